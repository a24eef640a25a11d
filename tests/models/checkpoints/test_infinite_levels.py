"""Which families know the level at which nothing is left of the data: the table of studies/measured/checkpoints.md."""

from __future__ import annotations

import math

import pytest
import torch
from looping import each

from samplerbench.models.checkpoints.checkpoint_denoiser import Checkpoint
from samplerbench.models.checkpoints.diffusers.scheduler import specification_fields
from samplerbench.models.checkpoints.families import dit, flow_matching, openai
from samplerbench.models.checkpoints.specification import Specification

ZERO = {"rescale_betas_zero_snr": True}
YES = {
    **{k: dit.TRAININGS[k] for k in ("SiT", "SiT-GVP", "REPA", "REPA-cosine")},
    **{f"torchcfm, {k}": v for k, v in flow_matching.TRAININGS.items()},
    "JiT": {"process": {"name": "flow", "noise_scale": 2.0}, "prediction": "x0",
            "time": dit.REVERSED},
    "SD3": specification_fields({"_class_name": "FlowMatchEulerDiscreteScheduler"}),
    "v, zero SNR": specification_fields(
        {"_class_name": "DDIMScheduler", "prediction_type": "v_prediction", **ZERO}
    ),
    "x0, zero SNR": specification_fields({"_class_name": "DDIMScheduler", "prediction_type": "sample", **ZERO}),
    "MeanFlow as a flow": dit.MEAN_FLOW | {"kind": "denoiser"},
}  # fmt: skip
NO = {
    "DiT": dit.TRAININGS["DiT"],
    "SiT-VP": dit.TRAININGS["SiT-VP"],
    "EDM": openai.TEACHER,
    "EDM of diffusers": specification_fields({"_class_name": "EDMEulerScheduler"}),
    "v": specification_fields({"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}),
    "noise, zero SNR": specification_fields({"_class_name": "DDIMScheduler", **ZERO}),
    "score_sde, VE": {"process": {"name": "ve"}, "prediction": "eps", "time": {"of": "log_level"}},
    "MeanFlow": dit.MEAN_FLOW,
    "a consistency model": openai.STUDENT,
    "LCM, zero SNR": specification_fields(
        {"_class_name": "LCMScheduler", "prediction_type": "v_prediction", **ZERO}
    ),
}  # fmt: skip


def model(fields) -> Checkpoint:
    spec = Specification(
        family="dit", network={}, weights={"file": "x.pt"}, event=(1, 2, 2), **fields
    )
    spec = spec.with_settings({"sigma_max": "inf"})
    return Checkpoint(spec, lambda x, t, labels: torch.zeros_like(x), "m", "0")


@each("family", YES)
def test_checkpoint__these_begin_at_noise_alone(family):
    found = model(YES[family])
    z = torch.randn(3, 1, 2, 2)
    d = found.denoise(z, math.inf, None)
    assert found.infinite
    assert d.isfinite().all()
    assert math.isfinite(found.sigma_max)


@each("family", NO)
def test_checkpoint__these_are_refused_in_a_sentence(family):
    with pytest.raises(ValueError, match=r"infinite level|begins at a finite level"):
        model(NO[family])
