"""On a float32 network a sample does not depend on its batch beyond the rounding of matrix
products of another shape.
"""

import pytest
import torch

from samplerbench.models import make_model
from samplerbench.samplers import NoNoise, SampleNoise, get, karras, make, names

UNCOUPLED = [
    name for name in names() if not get(name).batch_coupled and not name.startswith("scipy")
]
RELATIVE = 2e-5
"""Of the largest value: some methods leave the data's range at six steps, and high-order
weights multiply what rounding leaves.
"""
TOLERANCE = 1e-3
"""Of adaptive samplers, whose accepted steps may change with the last bit."""


@pytest.mark.slow
def test_samples_alone_and_in_a_batch_agree():
    model = make_model("fashion")
    moved = {}
    with torch.no_grad():
        for name in UNCOUPLED:
            sampler = make(name)
            grid = (
                karras(6, model.sigma_min, model.sigma_max)
                if not sampler.adaptive
                else karras(2, 0.5, model.sigma_max)
            )
            ends = []
            for ids in (torch.arange(2), torch.arange(1)):
                noise = SampleNoise(0, ids, model.event)
                bound = model.bind(ids, 0)
                ends.append(
                    sampler.sample(
                        bound,
                        model.sigma_max * noise.initial(),
                        grid,
                        noise if sampler.stochastic else NoNoise(),
                    )
                )
            scale = max(1.0, float(ends[0].abs().max()))
            moved[name] = float((ends[0][:1] - ends[1]).abs().max()) / scale
    allowed = {name: TOLERANCE if get(name).adaptive else RELATIVE for name in moved}
    assert {name: value for name, value in moved.items() if not value < allowed[name]} == {}
