"""The levels and steps of diffusers folders, read without the library."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers_folders import (
    DDIM,
    LINEAR,
    UNET,
    V,
    levels,
    pipeline,
    spec_of,
    write,
)
from looping import each

from samplerbench.benchmarks.advice.request import AdviceRequest
from samplerbench.benchmarks.planning.planner import pipeline_evaluations_by_steps
from samplerbench.models.checkpoints.checkpoint_denoiser import Checkpoint, fields_affecting_output
from samplerbench.models.checkpoints.diffusers.preset import own_sampling
from samplerbench.models.checkpoints.diffusers.steps import native_levels, own_shift, steps_of
from samplerbench.models.checkpoints.families import diffusers
from samplerbench.models.checkpoints.opening import open_checkpoint
from samplerbench.samplers import make


def at(times) -> list[float]:
    return [levels(LINEAR)[t] for t in times]


@each(
    ("said", "steps", "expected"),
    [
        ({}, 4, [*at([750, 500, 250, 0]), 0.0]),
        ({"steps_offset": 1}, 4, [*at([751, 501, 251, 1]), 0.0]),
        # the last step from time 0 to time 0 goes nowhere
        ({"set_alpha_to_one": False}, 4, at([750, 500, 250, 0])),
        ({"set_alpha_to_one": False, "steps_offset": 1}, 2, at([501, 1, 0])),
        ({"timestep_spacing": "trailing"}, 4, [*at([999, 749, 499, 249]), 0.0]),
        ({"_class_name": "DDPMScheduler", "timestep_spacing": "linspace"}, 4, [*at([999, 666, 333, 0]), 0]),
        ({"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"}, 2, [*at([999, 499]), 0]),
    ],
)  # fmt: skip
def test_diffusers_config__the_levels_of_a_preset(tmp_path, said, steps, expected):
    spec = spec_of(pipeline(tmp_path, DDIM | said))
    assert steps_of(spec, steps).levels_to_end == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("said", "steps", "times"),
    [
        ({"_class_name": "DDPMScheduler", "timestep_spacing": "leading"}, 8, range(875, -1, -125)),
        # DDIM steps elsewhere than it evaluates next, but it evaluates there
        ({"timestep_spacing": "trailing"}, 3, [999, 666, 332]),
    ],
)
def test_native_levels__are_where_the_scheduler_evaluates(tmp_path, said, steps, times):
    spec = spec_of(pipeline(tmp_path, DDIM | said))
    assert native_levels(spec, steps) == pytest.approx(at(times), rel=1e-9)


def test_the_levels_of_flows_and_of_edm(tmp_path):
    flow = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 2.0}
    found = steps_of(spec_of(pipeline(tmp_path / "flow", flow)), 3).levels_to_end
    last = 2 * 0.001 / 1.001  # the library shifts it once more
    times = [2 * t / (1 + t) for t in ((1 + last) / 2, last)]
    assert found == pytest.approx([1e4, *(t / (1 - t) for t in times), 0.0])
    edm = {"_class_name": "EDMEulerScheduler"}
    found = steps_of(spec_of(pipeline(tmp_path / "edm", edm)), 3).levels_to_end
    middle = ((80 ** (1 / 7) + 0.002 ** (1 / 7)) / 2) ** 7
    assert found == pytest.approx([80.0, middle, 0.002, 0.0])


def spec_of_flow(folder, tokens=2, name="FlowMatchEulerDiscreteScheduler", **said):
    spec = spec_of(pipeline(folder, {"_class_name": name} | said))
    return replace(spec, event=(4, 32, 64), preset=spec.preset | {"tokens": tokens})


@each(
    ("said", "shift"),
    [
        ({}, 1.0),
        ({"shift": 6.0}, 6.0),
        # of diffusers: mu is linear in the 16 × 32 = 512 tokens, from 0.5 at 256 to 1.15 at 4096
        ({"shift": 6.0, "use_dynamic_shifting": True}, math.exp(0.5 + 0.65 * 256 / 3840)),
        ({"use_dynamic_shifting": True, "time_shift_type": "linear"}, 0.5 + 0.65 * 256 / 3840),
        ({"use_dynamic_shifting": True, "max_shift": 2.05, "max_image_seq_len": 512}, math.exp(2.05)),
        ({"use_dynamic_shifting": True, "tokens": 0}, None),
    ],
)  # fmt: skip
def test_own_shift__is_fixed_or_by_the_size_of_the_state(tmp_path, said, shift):
    assert own_shift(spec_of_flow(tmp_path, **said)) == pytest.approx(shift)


def test_own_shift__other_schedulers_of_flows_and_none(tmp_path):
    unipc = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 5.0}
    assert own_shift(spec_of_flow(tmp_path / "wan", name="UniPCMultistepScheduler", **unipc)) == 5.0
    assert own_shift(spec_of(pipeline(tmp_path / "ddim", DDIM))) is None
    heun = spec_of_flow(tmp_path / "heun", name="FlowMatchHeunDiscreteScheduler", shift=3.0)
    assert native_levels(heun, 4) == native_levels(spec_of_flow(tmp_path, shift=3.0), 4)
    hidden = spec_of_flow(tmp_path / "unknown", tokens=0, use_dynamic_shifting=True)
    with pytest.raises(ValueError, match="its shift depends on an unknown size"):
        native_levels(hidden, 4)


def test_native_levels__schedulers_without_a_table(tmp_path):
    said = {"_class_name": "ScoreSdeVeScheduler", "sigma_max": 50.0}
    spec = spec_of(pipeline(tmp_path / "ve", said))
    with pytest.raises(ValueError, match="ScoreSdeVeScheduler: its levels are not known here"):
        native_levels(spec, 3)
    model = Checkpoint(spec, lambda x, t, labels: torch.zeros_like(x), "ve", "0", None, diffusers)
    assert model.native_levels(3) == pytest.approx([50.0, 0.5**0.5, 0.01])
    maps = spec_of(pipeline(tmp_path / "cm", {"_class_name": "CMStochasticIterativeScheduler"}))
    assert native_levels(maps, 2) == pytest.approx([80.0, 0.002])


def test_checkpoint__an_invalid_setting_of_the_scheduler_is_one_sentence(tmp_path):
    spec = spec_of(pipeline(tmp_path, DDIM | {"steps_offset": None}))
    model = Checkpoint(spec, lambda x, t, labels: torch.zeros_like(x), "m", "0", None, diffusers)
    assert model.native_levels(4) is not None  # those of the process
    with pytest.raises(ValueError, match="m: its scheduler has an invalid setting"):
        model.own_sampling(4)


def test_native_levels__shift_terminal_stretches_the_times(tmp_path):
    said = {"shift": 3.0, "shift_terminal": 0.1}
    spec, plain = (spec_of_flow(tmp_path / str(len(of)), **of) for of in (said, {"shift": 3.0}))
    times = [t / (1 + t) for t in native_levels(spec, 5)[1:]]
    before = np.array([t / (1 + t) for t in native_levels(plain, 5)[1:]])
    stretched = 1 - (1 - before) / ((1 - before[-1]) / (1 - 0.1))  # stretch_shift_to_terminal
    assert times == pytest.approx(stretched, rel=1e-9)
    assert times[-1] == pytest.approx(0.1)


@each(
    ("said", "steps", "why"),
    [
        ({"timestep_spacing": "linspace"}, 4, "does not step to the times"),
        ({"timestep_spacing": "trailing"}, 7, "take a number that divides 1000"),
        ({}, 1001, "need 1 to 1000 steps"),
        ({"clip_sample": True, "set_alpha_to_one": False}, 4, "stays at its level and only clamps the image"),
        ({"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, 4, "of the noise has no limit there"),
        ({"_class_name": "PNDMScheduler", "skip_prk_steps": True, "timestep_spacing": "linspace"}, 4, "does not step"),
        ({"_class_name": "PNDMScheduler", "skip_prk_steps": True}, 1, "its only step goes nowhere"),
        ({"_class_name": "PNDMScheduler"}, 4, "without skip_prk_steps"),
        ({"_class_name": "PNDMScheduler", "skip_prk_steps": True, "set_alpha_to_one": True}, 4, "with set_alpha_to_one"),
        ({"_class_name": "PNDMScheduler", "prediction_type": "v_prediction"}, 4, "prediction_type v_prediction"),
        ({"_class_name": "SASolverScheduler"}, 4, "no sampler is known to step as SASolverScheduler"),
        ({"_class_name": "EulerDiscreteScheduler", "interpolation_type": "log_linear"}, 4, "interpolation_type"),
        ({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"} | V, 4, "timestep_type continuous"),
        ({"_class_name": "DDPMScheduler", "variance_type": "learned_range"}, 4, "variance_type learned_range"),
        ({"_class_name": "DDPMScheduler", "variance_type": "fixed_large", "steps_offset": 1}, 4, "ends with noise"),
        ({"_class_name": "DDPMScheduler", "thresholding": True}, 4, "with thresholding"),
        ({"_class_name": "HeunDiscreteScheduler", "clip_sample": True}, 4, "with clip_sample"),
        ({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3, "solver_type": "heun"}, 4, "solver_order 3, solver_type heun"),
        ({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver"}, 4, "algorithm_type sde-dpmsolver"),
        ({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"}, 4, "final_sigmas_type zero"),
        ({"_class_name": "DPMSolverMultistepScheduler", "use_beta_sigmas": True}, 4, "use_beta_sigmas"),
        ({"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True}, 4, "prediction_type epsilon with use_flow_sigmas"),
        ({"_class_name": "UniPCMultistepScheduler", "solver_order": 4}, 4, "solver_order 4"),
        ({"_class_name": "UniPCMultistepScheduler", "solver_type": "bh1"}, 4, "solver_type bh1"),
        ({"_class_name": "UniPCMultistepScheduler", "disable_corrector": [0]}, 4, "disable_corrector"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_karras_sigmas": True}, 4, "use_karras_sigmas"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "stochastic_sampling": True}, 4, "stochastic_sampling"),
        ({"_class_name": "FlowMatchHeunDiscreteScheduler"}, 4, "no sampler is known to step as"),
    ],
)  # fmt: skip
def test_diffusers_config__steps_that_are_no_path_of_ours_are_refused(tmp_path, said, steps, why):
    spec = spec_of(pipeline(tmp_path, DDIM | said))
    with pytest.raises(ValueError, match=why) as refused:
        own_sampling(spec, steps)
    assert str(said.get("_class_name", "DDIMScheduler")) in str(refused.value) or steps > 1000


def test_own_sampling__a_lower_sigma_max_is_not_told_the_time_of_a_higher_level(tmp_path):
    spec = spec_of(pipeline(tmp_path, DDIM)).with_settings({"sigma_max": "20"})
    assert own_sampling(spec, 2).levels[0] < 20
    with pytest.raises(ValueError, match="begins at a noise level above sigma_max=20; leave that"):
        own_sampling(spec, 8)


@each(
    "kind",
    ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler"],
)
def test_own_sampling__levels_by_a_formula_do_not_begin_at_a_lower_sigma_max(tmp_path, kind):
    spec = spec_of(pipeline(tmp_path, {"_class_name": kind}))
    first = own_sampling(spec, 4).levels[0]
    assert own_sampling(spec.with_settings({"sigma_max": "10000"}), 4).levels[0] == first
    lower = spec.with_settings({"sigma_max": "40"})
    assert native_levels(lower, 4)[0] == 40
    with pytest.raises(ValueError, match=f"{kind}: it begins at a noise level above sigma_max=40"):
        own_sampling(lower, 4)


def test_own_sampling__kdpm2_has_a_time_for_each_level_between(tmp_path):
    own = own_sampling(spec_of(pipeline(tmp_path, {"_class_name": "KDPM2DiscreteScheduler"})), 15)
    seen: list[float] = []

    def denoise(x, sigma):
        seen.append(sigma)
        return torch.zeros_like(x)

    make(own.sampler).sample(denoise, torch.ones(1, 1), own.levels)
    assert not set(seen[1::2]) - dict(own.times).keys()


def test_own_sampling__another_scheduler_has_the_settings_of_the_folder(tmp_path):
    kept = {"_class_name": "DDPMScheduler", "timestep_spacing": "leading"}
    spec = spec_of(pipeline(tmp_path, DDIM | kept))
    own = own_sampling(spec, 4, "UniPCMultistepScheduler")
    assert own.sampler == "unipc_2(variant='bh2', last=[2, 1])"
    assert own.levels == pytest.approx([*at([800, 600, 400, 200]), 0.0])
    assert own.description == "UniPCMultistepScheduler, leading"
    assert own_sampling(spec, 4, "DDIMScheduler").sampler == "ddim"
    with pytest.raises(ValueError, match="samples no network that was trained for DDPMScheduler"):
        own_sampling(spec, 4, "FlowMatchEulerDiscreteScheduler")
    with pytest.raises(ValueError, match="the scheduler NoScheduler is none that is read"):
        own_sampling(spec, 4, "NoScheduler")


def test_clamping_is_no_difference(tmp_path):
    clamps = spec_of(pipeline(tmp_path / "a", {"_class_name": "DDIMScheduler"}))
    assert clamps.preset["clip"] == 1.0
    assert clamps.preset["differs"] == []  # the sampler pipeline clamps so
    assert spec_of(pipeline(tmp_path / "c")).preset["differs"] == []


def test_an_infinite_range(tmp_path):
    """A flow begins far up; a table with nothing left of the data has no such level in the library."""
    flow = pipeline(tmp_path / "flow", {"_class_name": "FlowMatchEulerDiscreteScheduler"})
    own = own_sampling(spec_of(flow).with_settings({"sigma_max": "inf"}), 3)
    assert own.levels[0] == own.start == 1e6
    told = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    table = spec_of(pipeline(tmp_path / "table", DDIM | V | told))
    first = own_sampling(table, 4).levels[0]
    assert first == pytest.approx(table.sigma_max, rel=1e-12)
    assert first > 1e4
    with pytest.raises(ValueError, match="leave out sigma_max=inf"):
        own_sampling(table.with_settings({"sigma_max": "inf"}), 4)


@pytest.mark.parametrize(
    ("scheduler", "evaluations"),
    [("HeunDiscreteScheduler", 9), ("PNDMScheduler", 6), ("DPMSolverMultistepScheduler", 5)],
)
def test_a_budget_counts_what_the_scheduler_evaluates(tmp_path, scheduler, evaluations):
    said = {
        "_class_name": scheduler,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "timestep_spacing": "leading",
    }
    spec = spec_of(pipeline(tmp_path, said))
    model = SimpleNamespace(passes=2, own_sampling=lambda *of: own_sampling(spec, *of))
    assert pipeline_evaluations_by_steps(make("pipeline"), model)(5) == 2 * evaluations


def test_how_it_is_sampled_is_no_part_of_the_model(tmp_path):
    one = spec_of(pipeline(tmp_path / "a", DDIM | {"timestep_spacing": "trailing"}))
    other = spec_of(pipeline(tmp_path / "b", DDIM | {"timestep_spacing": "leading"}))
    assert one.preset["spacing"] != other.preset["spacing"]
    assert fields_affecting_output(one) == fields_affecting_output(other)
    with pytest.raises(ValueError, match="no setting"):
        one.with_settings({"preset": "1"})


def test_hidden_files_of_a_download_do_not_change_the_content(tmp_path):
    before = open_checkpoint(pipeline(tmp_path)).sha256
    write(tmp_path, ".cache/huggingface/download/unet.metadata", {"time": 1})
    assert open_checkpoint(tmp_path).sha256 == before
    write(tmp_path, "unet/config.json", UNET | {"sample_size": 16})
    assert open_checkpoint(tmp_path).sha256 != before


def test_levels_are_plain_numbers(tmp_path):
    spec = spec_of(pipeline(tmp_path))
    json.dumps(spec.as_json())
    assert not any(isinstance(level, np.generic) for level in steps_of(spec, 5).levels_to_end)


def test_advice_request__what_you_use_now_and_a_candidate_have_the_models_shift(tmp_path):
    said = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 6.0}
    spec = spec_of(pipeline(tmp_path, said))
    model = Checkpoint(spec, lambda x, t, labels: torch.zeros_like(x), "flow", "0", None, diffusers)
    request = AdviceRequest("flow", model, "cpu", 0, "pixels", ("dpmpp_2m",))
    own = "the checkpoint's own scheduler, FlowMatchEulerDiscreteScheduler, shifted"
    assert request.current_configuration.words == own
    (raced,) = (e for e in request.entries(4, auto=False) if e.cell.schedule.label == "native")
    even = np.linspace(1, 6 * 0.001 / 1.005, 4)  # the library shifts the last time twice
    for levels_of in (raced.cell.grid.sigma, model.own_sampling(4).levels):
        times = [level / (1 + level) for level in levels_of[:-1]]
        assert times == pytest.approx(6 * even / (1 + 5 * even), abs=2e-4)


def test_checkpoint__with_a_scheduler_it_can_be_copied_and_pickled(tmp_path):
    spec = spec_of(pipeline(tmp_path / "ddim", DDIM))
    model = Checkpoint(spec, math.hypot, "model", "0", scheduler=diffusers)
    levels = model.native_levels(4)
    assert levels == native_levels(spec, 4)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.native_levels(4) == levels
