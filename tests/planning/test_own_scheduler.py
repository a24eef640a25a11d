"""``--sampler pipeline``: cells that do what a model's own scheduler would."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from samplerbench.benchmarks.planning import planner
from samplerbench.benchmarks.planning.planner import configure_pipeline
from samplerbench.benchmarks.sampling.shard import sample_shard
from samplerbench.benchmarks.suites.cell import Start
from samplerbench.benchmarks.suites.suite import Suite
from samplerbench.models import make_model
from samplerbench.models.denoiser import OwnSampling, Wrapper
from samplerbench.samplers import Grid, make, names

GRID = Grid((80.0, 8.0, 1.0, 0.0))


class Folder(Wrapper):
    """A model whose scheduler takes levels that halve from 40, and ends at them, or at 0."""

    def __init__(self, **changed) -> None:
        super().__init__(make_model("gmm-2d"))
        self.changed = changed

    def own_sampling(self, steps: int, scheduler: str = "") -> OwnSampling:
        if steps > 6:
            raise ValueError("take 6 steps at most")
        levels = tuple(40.0 * 0.5**i for i in range(steps + 1))
        own = OwnSampling("ddim", levels, start=30.0, end=0.9, description="Halving, by two")
        return own._replace(**self.changed)


def cells(model, **asked):
    settings = {"name": "own", "models": ("m",), "samplers": ("pipeline",), "steps": (3,)}
    suite = Suite(**settings | asked)
    return planner.plan(suite, {"m": model}, {"m": None})


def test_the_levels_scales_and_sampler_are_the_schedulers():
    (cell,) = cells(Folder(), samples=8)
    assert (cell.label, cell.end, cell.noise, cell.skip) == ("pipeline", "sigma_min", None, "")
    assert cell.record("own")["schedule"] == "own"
    assert cell.facts == {"preset": "Halving, by two"}
    assert cell.sampler.levels(cell.grid).sigma == (40.0, 20.0, 10.0, 5.0)
    model = Folder()
    arrays = sample_shard(model, None, cell, 0, 8, "cpu", 0, 8, lambda _: None)
    x = torch.randn(4, 2, dtype=torch.float64)
    bound = model.bind(torch.arange(4), 0)
    made = cell.sampler.sample(bound, 80 * x, cell.grid)
    torch.testing.assert_close(made, 0.9 * make("euler").sample(bound, 30 * x, (40.0, 20, 10, 5)))
    assert arrays["nfe"].tolist() == [3.0]


def test_a_scheduler_that_draws_noise_has_noise():
    (cell,) = cells(Folder(sampler="ddpm"), noise="white")
    assert cell.noise == "white"
    assert cell.sampler.stochastic


def test_a_budget_buys_as_many_steps_as_evaluations():
    found = cells(Folder(), steps=None, nfe=(4, 9))
    assert [len(cell.sampler.levels(cell.grid)) for cell in found[:1]] == [4]
    assert found[1].skip == "pipeline: take 6 steps at most"


def test_clamping_leaves_the_predicted_noise():
    preset = configure_pipeline(
        make("pipeline"), Folder(clip=0.3), GRID, Start("noise", 80.0, 80.0)
    )[0]
    bound = Folder().bind(torch.arange(3), 0)
    x = torch.randn(3, 2, dtype=torch.float64)
    state, levels = 30 * x, (40.0, 20.0, 10.0, 5.0)
    for cur, nxt in pairwise(levels):
        d = bound(state, cur)
        state = d.clamp(-0.3, 0.3) + nxt / cur * (state - d)
    torch.testing.assert_close(preset.sample(bound, 80 * x, GRID), 0.9 * state)


def test_models_without_a_scheduler_are_skipped_with_a_reason():
    (cell,) = cells(make_model("gmm-2d"))
    assert cell.skip == "no scheduler came with model gmm-2d: pipeline is for folders of diffusers"
    (cell,) = cells(Folder(), start=("mean",))
    assert "begins with noise" in cell.skip


def test_it_is_no_sampler_of_the_list():
    assert "pipeline" not in names()
    assert "pipeline" not in planner.expand_fixed_grid_keyword(["fixed-grid"])
    x = torch.randn(2, 2, dtype=torch.float64)
    bound = make_model("gmm-2d").bind(torch.arange(2), 0)
    alone = make("pipeline").sample(bound, 80 * x, GRID)
    assert torch.equal(alone, make("euler").sample(bound, 80 * x, GRID))
    with pytest.raises(ValueError, match="no option 'found'"):
        make("pipeline", found=1)
