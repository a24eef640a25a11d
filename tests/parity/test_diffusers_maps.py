"""A consistency model of diffusers: the library's own loop and ours give the same images."""

from __future__ import annotations

import pytest
import torch

from samplerbench.models import make_model
from samplerbench.samplers import Grid, make

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
# a library's warnings are its own
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

LABELS = torch.tensor([0, 1, 3])


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(32, 32),
        norm_num_groups=8,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        num_class_embeds=4,
    )
    scheduler = diffusers.CMStochasticIterativeScheduler(clip_denoised=False)
    return diffusers.ConsistencyModelPipeline(network, scheduler)


class Drawn:
    """Noise of torch's generator, as the library draws it."""

    def __init__(self, seed: int, like: torch.Tensor) -> None:
        self.generator, self.like = torch.Generator().manual_seed(seed), like

    def at(self, step, cur, nxt):
        return lambda draw=0, *, cur=None, nxt=None: torch.randn(
            self.like.shape, generator=self.generator
        )


@torch.no_grad()
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_samples_are_the_librarys(pipeline, tmp_path, steps):
    pipeline.save_pretrained(tmp_path / "cm")
    model = make_model(str(tmp_path / "cm"))
    assert (model.kind, model.spec.source("prediction")) == ("map", "family")
    scheduler, network = pipeline.scheduler, pipeline.unet.eval()
    scheduler.set_timesteps(num_inference_steps=steps)
    x = 80 * torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    generator, theirs = torch.Generator().manual_seed(2), x
    for t in scheduler.timesteps:
        output = network(scheduler.scale_model_input(theirs, t), t, class_labels=LABELS).sample
        theirs = scheduler.step(output, t, theirs, generator=generator).prev_sample
    grid = Grid(tuple(scheduler.sigmas.double().tolist()))
    bound = model.bind(torch.arange(3), 0, LABELS)
    ours = make("consistency").sample(bound, x, grid, Drawn(2, x))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
