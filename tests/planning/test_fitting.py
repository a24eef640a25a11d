"""Rules that are found for a model: kept, counted, told in the table, and never in the way."""

import logging
import math

import numpy as np
import pytest
import torch

from samplerbench.benchmarks import run
from samplerbench.benchmarks.planning.cache import behaviour_digest
from samplerbench.benchmarks.planning.fitting import Pilot
from samplerbench.benchmarks.planning.gits import SEARCH_IDS
from samplerbench.benchmarks.planning.planner import plan
from samplerbench.benchmarks.sampling.counting import Meter
from samplerbench.benchmarks.suites.suite import Suite
from samplerbench.models import Denoiser, make_model
from samplerbench.models.denoiser import Wrapper
from samplerbench.results.run_directory.files import read_npz
from samplerbench.samplers import SampleNoise, karras, make

AUTO = make("auto")
GRID = karras(6, 0.002, 80.0)


@pytest.fixture(autouse=True)
def short_search(monkeypatch):
    """How good a rule is found is not what these tests are about."""
    monkeypatch.setattr("samplerbench.samplers.auto.search.GENERATIONS", 2)


def counted(model):
    """The model, and its meter."""
    meter = Meter()
    return meter.attach(model), meter


@pytest.mark.slow
def test_what_is_found_is_kept_and_its_evaluations_are_those_that_were_made(tmp_path):
    model, meter = counted(make_model("gmm-2d"))
    behaviour_digest(tmp_path, model)
    meter.reset()
    first = Pilot(model, tmp_path).fitted(AUTO, GRID)
    assert first.found.evaluations == meter.rows > 0  # look, trials, reference and finalists
    meter.reset()
    again = Pilot(model, tmp_path).fitted(AUTO, GRID)
    assert again == first
    assert meter.rows == 0
    other = Pilot(model, tmp_path).fitted(AUTO, karras(6, 0.002, 80.0, to_zero=False))
    trials = meter.rows  # the look is kept
    assert trials < other.found.evaluations
    assert first.found.rule != other.found.rule


def test_pilot__finalists_are_tried_on_latents_of_neither_look_nor_samples(monkeypatch):
    drawn = []
    latents = Pilot._denoiser_and_latents
    monkeypatch.setattr(
        Pilot,
        "_denoiser_and_latents",
        lambda self, meter, rows: drawn.append(rows) or latents(self, meter, rows),
    )
    pilot = Pilot(make_model("gmm-2d"), None)
    assert pilot.fitted(AUTO, GRID).found.rule
    look, fresh = set(pilot.probe.rows), set(pilot._reference_ends(to_zero=True)["rows"])
    assert len(fresh) == 64
    assert not look & fresh
    assert {int(row) for rows in drawn for row in rows} == look | fresh
    assert SEARCH_IDS > 2 * 10**8  # numbers of latents; samples are counted from 0


def test_pilot__the_reference_of_finalists_is_far_closer_than_they(tmp_path):
    pilot = Pilot(make_model("gmm-64d"), tmp_path)
    reference = pilot._reference_ends(to_zero=True)
    rows = torch.from_numpy(SEARCH_IDS + reference["rows"])
    x = 80.0 * SampleNoise(0, rows, pilot.model.event, torch.float64).initial()
    bound = pilot.model.bind(rows, 0)
    truth = bound(pilot.model.flow(x, 80.0, 0.002, bound.labels), 0.002).numpy()
    error = np.exp(np.log(np.sqrt(np.square(reference["ends"] - truth).mean(1))).mean())
    assert error == pytest.approx(float(reference["error"]), rel=0.5)
    stored = Pilot(pilot.model, tmp_path)._reference_ends(to_zero=True)
    assert all(np.array_equal(stored[name], reference[name]) for name in reference)


@pytest.mark.slow
def test_pilot__noise_of_the_size_of_rounding_changes_no_rule():
    """Not the host decides which rule is found, but the latents."""

    class Rounded(Wrapper):
        """A model whose evaluations have relative noise."""

        def denoise(self, x, sigma, labels):
            d = self.inner.denoise(x, sigma, labels)
            return d * (1 + 1e-7 * torch.randn(d.shape, dtype=d.dtype, generator=generator))

    generator = torch.Generator().manual_seed(0)
    model = make_model("gmm-2d")
    rules = [Pilot(m, None).fitted(AUTO, GRID).found.rule for m in (model, Rounded(model))]
    assert rules[0]._replace(spread=1.0) == rules[1]._replace(spread=1.0)
    assert rules[0].spread == pytest.approx(rules[1].spread, rel=1e-6)
    assert Pilot(model, None, seed=1).fitted(AUTO, GRID).found.rule[3:] != rules[0][3:]


@pytest.mark.slow
def test_guidance_counts_both_of_its_passes(tmp_path):
    digits = make_model("digits-cloud")
    guided = make_model("digits-cloud", guidance=2.0)
    looks = [Pilot(model, tmp_path)._probe_and_evaluations[1] for model in (digits, guided)]
    assert looks[1] == 2 * looks[0]


@pytest.mark.slow
def test_a_step_needs_no_rule_and_many_have_that_of_fewer(tmp_path, monkeypatch):
    monkeypatch.setattr("samplerbench.benchmarks.planning.fitting.MOST_STEPS", 30)
    model = make_model("gaussian")
    pilot = Pilot(model, tmp_path)
    assert pilot.fitted(AUTO, karras(1, 0.002, 80.0)) == AUTO
    many = pilot.fitted(AUTO, karras(70, 0.002, 80.0))
    most = pilot.fitted(AUTO, karras(30, 0.002, 80.0))
    assert many.found.rule == most.found.rule._replace(last=0.0)
    ids = torch.arange(20)
    x = 80.0 * torch.randn(20, *model.event, dtype=torch.float64, generator=torch.manual_seed(0))
    truth = model.bind(ids, 0)(model.flow(x, 80.0, 0.002), 0.002)
    missed = [
        float((s.sample(model.bind(ids, 0), x, karras(n, 0.002, 80.0)) - truth).norm())
        for s, n in ((most, 30), (many, 70))
    ]
    assert missed[1] < 2 * missed[0] < 1e-2


@pytest.mark.parametrize("broken", ["raises", "nan"])
def test_a_model_that_cannot_be_looked_at_is_a_warning(broken, caplog):
    class Broken(Denoiser):
        """Fails in one of two ways."""

        name, event, identity, dtype = "broken", (2,), "broken", torch.float64

        def denoise(self, x, sigma, labels):
            if broken == "raises":
                raise RuntimeError("no weights")
            return x * math.nan

    with caplog.at_level(logging.WARNING):
        assert Pilot(Broken(), None).fitted(AUTO, GRID) == AUTO
    assert "model broken cannot be looked at" in caplog.text
    assert ("no weights" if broken == "raises" else "not finite") in caplog.text


@pytest.mark.slow
def test_cells_have_the_rule_of_their_model_and_the_table_its_cost():
    suite = Suite(
        name="two", models=("gaussian", "gmm-2d"), samplers=("auto", "euler"), nfe=(5, 9), samples=8
    )
    models = {name: make_model(name) for name in ("gaussian", "gmm-2d")}
    cells = plan(suite, models, dict.fromkeys(models))
    rules = {(c.model, c.budget): c.sampler.found.rule for c in cells if c.label == "auto"}
    assert len(rules) == len(set(rules.values())) == 4
    assert all(c.facts["pilot_evaluations"] > 0 for c in cells if c.label == "auto")
    assert not any(c.facts for c in cells if c.label == "euler")


def test_run__the_text_of_its_rule_makes_a_row_again(tmp_path):
    suite = {
        "name": "one",
        "models": ["gmm-2d"],
        "nfe": [4],
        "samples": 16,
        "reference_samples": 8,
        "converged_samples": 32,
        "timing": {"enabled": False},
    }
    first, again = tmp_path / "first", tmp_path / "again"
    (rule,) = run(suite | {"samplers": ["auto"]}, first, device="cpu").frame["rule"]
    table = run(suite | {"samplers": [f"auto(rule='{rule}')"]}, again, device="cpu")
    assert table.frame["pilot_evaluations"].isna().all()
    (one,), (other,) = (
        [read_npz(path) for path in folder.glob("samples/*.npz") if "path" not in path.name]
        for folder in (first, again)
    )
    np.testing.assert_equal(other, one)


V3 = make("dpm_solver_v3")


def test_statistics_are_kept_for_every_grid_and_counted_once(tmp_path, monkeypatch):
    monkeypatch.setattr("samplerbench.benchmarks.planning.fitting.STATES", 8)
    model, meter = counted(make_model("gmm-2d"))
    behaviour_digest(tmp_path, model)
    meter.reset()
    pilot = Pilot(model, tmp_path)
    first = pilot.fitted(V3, GRID)
    assert first.facts["pilot_evaluations"] == meter.rows > 0
    assert pilot.fitted(V3, karras(1, 0.002, 80.0)) == first
    stored = Pilot(model, tmp_path).fitted(V3, GRID)
    assert meter.rows == first.facts["pilot_evaluations"]
    x = 80.0 * torch.ones(2, 2, dtype=torch.float64)
    problem = make_model("gmm-2d").bind(torch.arange(2), 0)
    assert torch.equal(stored.sample(problem, x, GRID), first.sample(problem, x, GRID))


@pytest.mark.slow
def test_run__statistics_are_in_every_row_of_their_sampler(monkeypatch):
    """One command: statistics for samples of another shape than a fingerprint's points, in workers too."""
    monkeypatch.setattr("samplerbench.benchmarks.planning.fitting.STATES", 4)
    suite = Suite(
        name="v3", models=("gmm-64d",), samplers=("dpm_solver_v3", "euler"), nfe=(5, 10), samples=8
    )
    table = run(suite)
    frame = table.frame[table.frame["sampler"] == "dpm_solver_v3"]
    assert set(frame["status"]) == {"ok"}
    assert (frame["pilot_evaluations"] > 0).all()
    assert frame["pilot_evaluations"].nunique() == 1
