"""``advise`` on exact models: the recommendation is the best, a second run measures nothing, and what cannot be
answered is said in a sentence.
"""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from samplerbench.benchmarks.advice import Advice, advise, advising, request
from samplerbench.benchmarks.advice import measuring as truth
from samplerbench.benchmarks.advice.advising import _inputs_of
from samplerbench.benchmarks.advice.candidates import FittedNumbers, tuned_cell
from samplerbench.benchmarks.advice.exports.equivalents import tabulate_steps
from samplerbench.benchmarks.advice.races import (
    forecast_errors_of_table,
    order_by_forecast,
)
from samplerbench.benchmarks.advice.request import make_request
from samplerbench.benchmarks.advice.run import OutOfTime
from samplerbench.benchmarks.advice.tasks import SamplingTask
from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.cli.usage import run_app
from samplerbench.benchmarks.planning.fitting import Pilot
from samplerbench.benchmarks.running.executors import Failure
from samplerbench.benchmarks.sampling.batch import latents
from samplerbench.benchmarks.sampling.shard import sample_shard
from samplerbench.models import make_model
from samplerbench.models.adapters import NativeDenoiser
from samplerbench.models.process import RectifiedFlow
from samplerbench.samplers import LinearMultistep, LinearRow, Source, registry

FEW = ("euler", "heun", "dpmpp_2m", "ipndm")


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    out = tmp_path_factory.mktemp("advice")
    return out, advise("gaussian", (5, 10), out=out, minutes=5, only=FEW, default="euler on karras")


@pytest.fixture(scope="module")
def error_of():
    """A function that gives the geometric mean distance of a cell on latents that no race looks at."""
    model, start, count = make_model("gaussian"), 1 << 22, 64
    ids = torch.arange(start, start + count)
    x = latents(model, ids, 0, model.dtype)[0]
    ends = model.endpoint(x, model.bind(ids, 0).labels).numpy()

    def measured(cell):
        stop = start + count
        found = sample_shard(model, None, cell, start, stop, "cpu", 0, stop, lambda _: None)
        distance = np.sqrt(np.square(found["endpoint"] - ends).mean(1))
        return float(np.exp(np.log(distance).mean()))

    return measured


def cell_of(choice, entries):
    """What an answer recommends, as a cell; one that was fitted to the model by its numbers."""
    known = {entry.label: entry.cell for entry in entries}
    if choice.label in known:
        return known[choice.label]
    base = next(entry.cell for entry in entries if entry.cell.label == choice.sampler)
    return tuned_cell(base, FittedNumbers.read(choice.levels, choice.coefficients))


@pytest.mark.slow
def test_the_recommendation_is_the_best_of_a_sweep_on_fresh_latents(answered, error_of):
    asked = make_request("gaussian", "cpu", 0, "card", FEW)
    for budget in answered[1].budgets:
        entries = asked.entries(budget.nfe, auto=False)
        least = min(error_of(entry.cell) for entry in entries)
        for best in budget.best.values():
            plain = best.untuned or best.choice
            assert error_of(cell_of(best.choice, entries)) <= error_of(cell_of(plain, entries))
        plain = budget.best["python"].untuned or budget.best["python"].choice
        assert error_of(cell_of(plain, entries)) <= 1.1 * least


@pytest.mark.slow
def test_what_leads_is_fitted_to_the_model_where_there_is_time(answered):
    """Levels where the library has a solver, and coefficients where it takes numbers."""
    for budget in answered[1].budgets:
        best = budget.best["python"]
        assert best.choice.coefficients
        assert best.untuned is not None
        assert not best.untuned.coefficients
        assert best.untuned_ratio.low > 1
        assert best.choice.nfe <= budget.nfe
        assert "Tabulated" in best.lines.code
        theirs = budget.best["comfyui"]
        assert theirs.choice.schedule == "tuned levels"
        assert not theirs.choice.coefficients
        assert theirs.choice.label == f"{theirs.choice.sampler} on tuned levels"
    assert any("fitted to this model" in one for one in answered[1].sentences)


def test_it_is_compared_with_what_is_used_now(answered):
    for budget in answered[1].budgets:
        best = budget.best["python"]
        assert budget.default.label == "euler on karras"
        assert best.to_default.high < 1
        assert best.to_best.value == 1
        assert best.choice.nfe <= budget.nfe
    assert "closer" in answered[1].sentences[0]


def test_the_answer_is_read_again(answered):
    out, advice = answered
    assert Advice.from_json(json.loads((out / "advice.json").read_text())) == advice


def test_a_second_run_measures_nothing_and_says_the_same(answered, monkeypatch):
    out, first = answered
    monkeypatch.setattr(SamplingTask, "__call__", lambda *_: pytest.fail("measured again"))
    again = advise("gaussian", (5, 10), out=out, minutes=5, only=FEW, default="euler on karras")
    assert [b.best["python"].choice.error for b in again.budgets] == [
        b.best["python"].choice.error for b in first.budgets
    ]


def test_question__covers_the_code_of_other_samplers(monkeypatch):
    """Changed code of a solver that pip installed, or of a notebook, got the measurements of the old code."""
    asked = make_request("gaussian", "cpu", 0, "card", ("heun", "euler"))
    seen = []
    for digest in ("a", "a", "b"):
        monkeypatch.setitem(registry._ORIGIN, "heun", f"mine 0.1 sha256:{digest}")
        seen.append(_inputs_of(asked))
    assert seen[0] == seen[1] != seen[2]
    # a file that a step reads changes what the sampler does, and not its code
    monkeypatch.setattr(registry.get("heun"), "sample", lambda _self, _denoise, x, *_: 3 * x)
    assert _inputs_of(asked) != seen[2]

    def redefined(power, cost=1):
        @dataclass(frozen=True, kw_only=True)
        class Mine(LinearMultistep):
            name, order, history = "mine_of_a_notebook", 1, 0
            source = Source("song2021ddim", "eq. 12", "https://arxiv.org/abs/2010.02502")

            def plan(self, grid):
                steps = [(cur, (nxt / cur) ** power) for cur, nxt in grid.intervals()]
                return [LinearRow(cur, a=r, b=(1 - r,)) for cur, r in steps]

            def nfe(self, grid):
                return cost * len(grid)

        registry.spec_of(Mine())
        return _inputs_of(make_request("gaussian", "cpu", 0, "card", (Mine.name,)))

    try:
        assert redefined(1.0) == redefined(1.0) != redefined(1.1)
        assert redefined(1.0, cost=12) == redefined(1.0, cost=12) != redefined(1.1, cost=12)
    finally:
        del registry._REGISTRY["mine_of_a_notebook"]


@pytest.mark.slow
def test_stochastic_samplers_are_compared_in_distribution(tmp_path):
    found = advise(
        "gaussian", (5,), out=tmp_path, minutes=5, only=("euler", "ddpm"), default="ddpm on karras"
    )
    (budget,) = found.budgets
    assert budget.default.error is None
    assert budget.default.fd_conv is not None
    assert budget.best["python"].choice.fd_conv.value < budget.default.fd_conv.value
    assert "its samples are nearer to the converged samples" in found.sentences[0]


def test_advise__takes_no_failure_of_features_for_one_of_the_sampler(tmp_path, monkeypatch):
    """The default was said to fail beside its error, and there to be no time for the distances."""
    plain = SamplingTask.__call__

    def without_features(self, context, tell):
        if self.space:
            raise RuntimeError("it takes 3 channels")
        return plain(self, context, tell)

    monkeypatch.setattr(SamplingTask, "__call__", without_features)
    found = advise(
        "gaussian", (4,), out=tmp_path, minutes=5, only=FEW[:1], default="heun on karras"
    )
    assert found.budgets[0].default.error is not None
    assert not found.budgets[0].default.failed
    undecided = " ".join(found.undecided)
    assert "have no fd_conv: RuntimeError: it takes 3 channels." in undecided
    assert "no time to compare all samplers" not in undecided


def test_advise__loses_no_error_to_a_failing_extractor_or_decoder(tmp_path, monkeypatch):
    """Nothing runs them before nine tenths of the time are over, and their failure ended the command."""

    def fail(*_):
        raise Failure("failed", "out of memory")

    monkeypatch.setattr(truth.ConvergedEndpoints, "converged_features", fail)
    monkeypatch.setattr(advising, "draw_pictures", fail)
    found = advise(
        "gaussian", (4,), out=tmp_path, minutes=5, only=FEW[:1], default="heun on karras",
        extractor="pixels",
    )  # fmt: skip
    assert found.budgets[0].best["python"].choice.error is not None
    assert "Samples have no fd_conv: out of memory." in found.undecided
    assert "There are no pictures: out of memory." in found.undecided
    assert not found.pictures


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"minutes": 1e-6}, "is too little: model gmm-2d makes"),
        ({"library": "diffusers"}, "--for diffusers: it cannot run model gmm-2d"),
        ({"library": "pytorch"}, "there is no library 'pytorch'"),
        ({"default": "heun on karas"}, "unknown schedule 'karas'"),
        ({"only": ("hein",)}, "hein"),
        ({"only": ("ddpm",)}, "all of these draw noise"),
        ({"only": ("euler", "rk45")}, "whose cost a grid decides"),
        ({"default": "rk45"}, "--default rk45: .* whose cost a grid decides"),  # it won with 60
        ({"ms": np.inf}, "--ms must be a finite time above 0, got inf"),
        ({"ms": 1e-9}, "takes .* ms here, so that there is time for 0"),
    ],
)
def test_what_cannot_be_answered_is_a_sentence(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        advise("gmm-2d", (5,), **{"out": tmp_path, "minutes": 0.1, "only": FEW} | options)


def test_advise__refuses_a_library_before_anything_is_evaluated(tmp_path, monkeypatch):
    monkeypatch.setattr(request, "check_model", lambda *_, **__: pytest.fail("it was evaluated"))
    with pytest.raises(ValueError, match="fashion is no network of diffusers"):
        advise("fashion", library="diffusers", out=tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_advise__answers_with_what_is_there_where_its_time_is_over(tmp_path, monkeypatch):
    plain, made = SamplingTask.__call__, []

    def interrupted(self, context, tell):
        made.append(self)
        if len(made) > 20:  # six are for the reference solution, then come those of the first look
            raise OutOfTime
        return plain(self, context, tell)

    monkeypatch.setattr(SamplingTask, "__call__", interrupted)
    found = advise("gaussian", (5, 10), out=tmp_path, minutes=5, only=FEW)
    (one,) = found.budgets
    assert one.nfe == 5
    assert 10 <= one.tried < one.candidate_count
    assert one.best["python"].lines.code
    assert one.best["python"].choice.error is None
    told = " ".join(found.undecided)
    assert "no time for 10 evaluations" in told
    assert "Time ran out while errors were measured" in told


def test_a_few_step_map_has_nothing_to_choose(tmp_path):
    with pytest.raises(ValueError, match=r"few-step map: .* no solver to choose"):
        advise("fashion-map", (4,), out=tmp_path)


def test_a_model_that_is_none_is_refused(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text(
        "import torch\n"
        "from samplerbench.models import Denoiser\n"
        "class Broken(Denoiser):\n"
        "    name, event, identity = 'broken', (2,), 'broken-1'\n"
        "    def denoise(self, x, sigma, labels):\n"
        "        return x * float('nan')\n"
        "def factory():\n"
        "    return Broken()\n"
    )
    with pytest.raises(ValueError, match="broken"):
        advise(f"{file}:factory", (5,), out=tmp_path / "out", minutes=0.1, only=FEW)


def test_a_folder_of_something_else_is_not_written_into(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="holds something else"):
        advise("gmm-2d", (5,), out=tmp_path, minutes=0.1, only=FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.slow
def test_the_command_writes_the_page(tmp_path):
    line = ["advise", "--model", "gaussian", "--nfe", "4", "--sampler", "euler", "--minutes", "5"]
    line += ["--no-isolation", "--out", str(tmp_path / "mine")]
    result = CliRunner().invoke(app, line, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    assert {"advice.html", "advice.json"} <= {p.name for p in (tmp_path / "mine").iterdir()}
    assert max(len(row) for row in result.output.splitlines()) < 400


def test_advise__refuses_workers_that_are_no_number_or_not_there(monkeypatch):
    for words in (["x"], ["2", "--no-isolation"]):
        monkeypatch.setattr("sys.argv", ["x", "advise", "--model", "gmm-2d", "--jobs", *words])
        assert run_app(app) == 2


def test_a_forecast_is_exact_where_the_denoiser_is_linear():
    """On a Gaussian nothing is of second order, so the error that is forecast is the one that is made."""
    asked = make_request("gaussian", "cpu", 0, "card", ("heun", "dpmpp_2m", "unipc_2"))
    pilot = Pilot(asked.model, None)
    rows = torch.from_numpy(pilot.probe.rows)
    for entry in asked.entries(8, auto=False)[:6]:
        told, _ = forecast_errors_of_table(
            pilot.probe, tabulate_steps(entry.cell.sampler, entry.cell.grid)
        )
        start = (1 << 30) + rows
        found = sample_shard(
            asked.model,
            None,
            entry.cell,
            int(start[0]),
            int(start[-1]) + 1,
            "cpu",
            0,
            1 << 31,
            lambda _: None,
        )["endpoint"]
        made = pilot.probe.distances_from_ends(torch.from_numpy(found), to_zero=True)
        np.testing.assert_allclose(told, made, rtol=0.02, atol=1e-6)


@pytest.mark.slow
def test_what_is_forecast_to_do_well_comes_first():
    asked = make_request("gmm-64d", "cpu", 0, "card", ())
    look = Pilot(asked.model, None).probe
    entries = asked.entries(10, auto=False)[::9]
    found = order_by_forecast(look, entries)
    assert sorted(e.label for e in found) == sorted(e.label for e in entries)
    model, ids = asked.model, torch.arange(8)
    ends = model.endpoint(latents(model, ids, 0, model.dtype)[0], model.bind(ids, 0).labels).numpy()

    def error(entry):
        made = sample_shard(model, None, entry.cell, 0, 8, "cpu", 0, 8, lambda _: None)["endpoint"]
        return np.sqrt(np.square(made - ends).mean())

    errors = [error(entry) for entry in (*found[:5], *found[-5:])]
    assert np.median(errors[:5]) < 0.2 * np.median(errors[5:])


def test_order_by_forecast__takes_no_entries_as_with_only_auto():
    assert order_by_forecast(Pilot(make_model("gaussian"), None).probe, []) == []


def test_lines_of_a_start_at_infinity_are_refused_as_they_would_lack_the_first_step():
    """They began with pure noise at the second level, where the sampler has a step behind it."""

    class Network(torch.nn.Module):
        def forward(self, x_t, t, labels=None):
            return x_t / 2

    model = NativeDenoiser(
        Network(), RectifiedFlow(), "flow", name="f", event=(2,), identity="f-1", infinite=True,
        sigma_max=1e4,
    )  # fmt: skip
    asked = request.AdviceRequest("f", model, "cpu", 0)
    (cell,) = asked.plan_cells(["euler"], ["uniform_time(process='flow')"], 5)
    assert cell.infinite
    assert cell.grid.sigma[0] < 10
    lines = asked.export_lines("k-diffusion", cell)
    assert not lines.code
    assert "sigma_max=inf" in lines.remark
    made = make_model("gaussian")
    plain = request.AdviceRequest("gaussian", made, "cpu", 0)
    (cell,) = plain.plan_cells(["euler"], ["karras"], 5)
    assert plain.export_lines("k-diffusion", cell).code


def test_truth__is_no_finer_than_there_is_time_for():
    assert truth.most_reference_steps(60.0, 700.0) == 128
    assert truth.most_reference_steps(400.0, 300.0) == 512
    assert truth.most_reference_steps(1e6, 600.0) == truth.RULE.last
    assert truth.most_reference_steps(1e-3, 1.0) == 2 * truth.RULE.first


def test_endpoints_are_solved_in_the_same_pieces_whoever_asks():
    assert list(truth._pieces(0, 4)) == [(0, truth.FIRST)]
    assert list(truth._pieces(4, 40)) == [(0, truth.FIRST), (truth.FIRST, truth.PIECE), (32, 64)]
    scored = truth.FIRST_SCORED_ID
    assert list(truth._pieces(scored, scored + 1)) == [(scored, scored + truth.FIRST)]
    assert list(truth._pieces(1 << 17, (1 << 17) + 1)) == [(1 << 17, (1 << 17) + truth.PIECE)]
