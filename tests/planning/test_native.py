"""Levels that come with a model, as the default of every command, and the warning of drowned data."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import Tensor

from samplerbench.benchmarks.planning.native import (
    default_schedule,
    warn_if_noise_hides_data,
    warning_if_noise_hides_data,
)
from samplerbench.benchmarks.planning.planner import plan
from samplerbench.benchmarks.planning.schedules import levels_of_schedule, make_schedule
from samplerbench.benchmarks.sampling.batch import first_states_and_noise
from samplerbench.benchmarks.suites.files import load_suite
from samplerbench.benchmarks.suites.suite import Suite
from samplerbench.models import make_model
from samplerbench.models.adapters import NativeDenoiser
from samplerbench.models.denoiser import Wrapper
from samplerbench.models.process import EDM, Discrete, Process, RectifiedFlow, VPLinear
from samplerbench.samplers import Grid, karras, make
from samplerbench.samplers.schedules.discrete import table_levels

DDPM, COSINE = (Discrete(levels=tuple(table_levels(table))) for table in ("linear", "cosine"))


def nothing(x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
    return torch.zeros_like(x)


def network(process: Process, prediction: str = "eps", **given) -> NativeDenoiser:
    table = {"times": np.arange(1000)} if isinstance(process, Discrete) else {}
    return NativeDenoiser(
        nothing, process, prediction, name="net", event=(1, 4, 4), identity="net-1",
        limits=(-1.0, 1.0), **table, **given,
    )  # fmt: skip


class Leading(Wrapper):
    """A model whose scheduler begins below its highest level."""

    def native_levels(self, steps: int) -> tuple[float, ...]:
        return tuple(np.geomspace(40.0, 0.1, steps).tolist()) if steps > 1 else (40.0,)


def cells(model, **asked):
    settings = {"name": "own", "models": ("m",), "samplers": ("euler",), "steps": (4,)}
    return plan(Suite(**settings | asked), {"m": model}, {"m": None})


def test_native_levels__a_table_is_taken_at_even_whole_times():
    found = network(DDPM).native_levels(4)
    assert found == pytest.approx([DDPM.levels[t] for t in (999, 666, 333, 0)])
    many = network(DDPM).native_levels(1500)
    assert len(set(many)) == 1500


def test_native_levels__a_flow_is_taken_at_even_times_from_one():
    found = network(RectifiedFlow(), "flow").native_levels(4)
    assert found[1:] == pytest.approx([3.0, 1.0, 1 / 3], rel=1e-3)


def test_native_levels__a_formula_of_time_and_models_that_bring_a_range_alone():
    process = VPLinear()
    found = network(process).native_levels(4)
    assert found == pytest.approx([process.level(t) for t in (1.0, 0.75, 0.5, 0.25)])
    assert network(EDM(), "edm").native_levels(4) is None
    assert make_model("gmm-2d").native_levels(4) is None


def test_default_schedule__is_native_where_levels_come_with_the_model():
    assert default_schedule(network(DDPM), make("heun")) == "native"
    assert default_schedule(network(DDPM), make("auto")) == "karras"  # of which it takes the ends
    assert default_schedule(make_model("gmm-2d"), make("heun")) == "karras"


def test_plan__takes_the_default_of_each_model_unless_a_schedule_is_named():
    (own,) = cells(network(DDPM))
    assert own.schedule.label == "native"
    assert own.grid.sigma == (*network(DDPM).native_levels(4), 0.0)
    (low,) = cells(network(DDPM), end=("sigma_min",))
    assert low.grid.sigma == network(DDPM).native_levels(5)
    (named,) = cells(network(DDPM), schedules=("karras",))
    assert named.grid.sigma == pytest.approx(karras(4, DDPM.levels[0], DDPM.levels[-1]).sigma)
    jumps = cells(network(DDPM), samplers=("auto", "euler"), steps=(1,))
    assert [cell.record("")["schedule"] for cell in jumps] == ["own", "native"]
    (usual,) = cells(make_model("gmm-2d"))
    assert usual.schedule.label == "karras"


def test_plan__begins_where_the_scheduler_of_the_model_begins():
    model = Leading(make_model("gmm-2d"))
    (cell,) = cells(model)
    assert cell.start.sigma == cell.grid.sigma[0] == 40.0
    ids = torch.arange(3)
    (above,) = cells(model, schedules=("karras",))
    torch.testing.assert_close(
        first_states_and_noise(model, cell, ids)[0],
        first_states_and_noise(model, above, ids)[0] * 40 / model.sigma_max,
    )
    (mean,) = cells(model, start=("gaussian",))
    assert "take another, such as --schedule karras" in mean.skip


def test_levels_of__are_the_default_of_the_model_and_the_sampler(caplog):
    model = network(COSINE)
    assert levels_of_schedule(None, 4, model)[0] == (*model.native_levels(4), 0.0)
    assert levels_of_schedule(None, 4, model, make("auto"))[0][0] == model.sigma_max
    assert not caplog.records
    levels_of_schedule("karras", 8, model)
    assert "levels of karras after the first lie above 100" in caplog.text


def test_native__names_the_remedy_for_a_model_that_brings_none():
    with pytest.raises(ValueError, match=r"gmm-2d brings no levels .* such as --schedule karras"):
        make_schedule("native").for_model(make_model("gmm-2d"))


def test_suite__without_schedules_keeps_its_folder():
    suite = load_suite("quick")
    assert suite.schedules is None
    assert suite.digest == suite.replaced(schedules=["karras"]).digest


def test_drowned__warns_once_for_a_cosine_table_on_karras(caplog):
    model = network(COSINE)
    asked = cells(model, schedules=("karras", "native"), steps=(8, 20), samplers=("euler", "heun"))
    with caplog.at_level(logging.WARNING, "samplerbench"):
        warn_if_noise_hides_data(asked, {"m": model})
    (said,) = [record.message for record in caplog.records]
    assert said.startswith("4 of the 7 levels of karras after the first lie above 100")
    assert said.endswith("take --schedule native or --sampler auto")


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 10, 50])
def test_drowned__is_silent_on_usual_ranges(steps):
    edm, ddpm = network(EDM(), "edm"), network(DDPM)
    for model in (edm, ddpm, make_model("gmm-2d"), make_model("digits")):
        grid = karras(steps, model.sigma_min, model.sigma_max)
        assert warning_if_noise_hides_data(grid, model, "karras") == ""
    assert warning_if_noise_hides_data(Grid((157.0, 0.0)), ddpm, "karras") == ""


class _Shifting(Wrapper):
    def own_shift(self):
        return 4.0


def test_shifted__shift_model_is_that_of_the_models_scheduler():
    gmm = make_model("gmm-2d")
    own = make_schedule("shifted(base='kl_optimal', shift='model')")
    assert own.needs_model
    with pytest.raises(ValueError, match=r"gmm-2d does not say its shift; give a number"):
        own.for_model(gmm)
    known = make_schedule("shifted(base='kl_optimal', shift=4.0)")(7, 0.002, 80.0)
    shifting = own.for_model(Wrapper(_Shifting(gmm)))
    assert shifting(7, 0.002, 80.0) == known
    assert (shifting, shifting.label) == (own, "shifted(shift='model')")
    (cell,) = cells(_Shifting(gmm), schedules=(own.label,), steps=None, nfe=(5,))
    assert cell.steps == 5
