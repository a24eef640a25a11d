"""The accuracy frontier: chosen on one half, scored on the other, resumable, and honest about
what does not run.
"""

import json

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.advice.candidates import is_candidate
from samplerbench.models import make_model
from samplerbench.samplers import make, names
from samplerbench.samplers.spec import parse_spec
from samplerbench_studies.frontier import Frontier, ours
from samplerbench_studies.frontier.candidates import default_candidates
from samplerbench_studies.frontier.measure import Errors, ExactProblem, SampleTask
from samplerbench_studies.frontier.problems import PARTS, problem_specs
from samplerbench_studies.frontier.table import error_ratio, summary_sentences

NAMES = ("euler", "zab_2", "heun")


def frontier(out, **changes):
    return Frontier(
        out,
        **{
            "models": ("gmm-2d",),
            "budgets": (5, 6),
            "samples": 40,
            "screen": 8,
            "progress": lambda _: None,
        }
        | changes,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("frontier")
    return out, frontier(out)([*ours(NAMES), *default_candidates()])


@pytest.mark.slow
def test_one_row_for_each_budget_criterion_and_side(run):
    rows = run[1]
    assert sorted((r["budget"], r["criterion"], r["side"]) for r in rows) == sorted(
        (b, c, s) for b in (5, 6) for c in ("median", "rms") for s in ("ours", "auto")
    )
    assert all(r["nfe"] <= r["budget"] and r["samples"] == 20 for r in rows)
    assert min(r["ratio_to_ours"] for r in rows if r["criterion"] == "median") == 1
    assert any("auto" in sentence for sentence in summary_sentences(rows))


def test_winners_are_chosen_on_the_first_half_and_scored_on_the_second(tmp_path, monkeypatch):
    asked = []
    sample = SampleTask.__call__

    def watch(self, *args):
        asked.append((self.candidate.label, self.start, self.stop))
        return sample(self, *args)

    monkeypatch.setattr(SampleTask, "__call__", watch)
    rows = frontier(tmp_path, budgets=(5,))(ours(NAMES))
    spans = {(start, stop) for _, start, stop in asked}
    assert spans == {(0, 8), (0, 20), (20, 40)}
    scored = {label for label, *span in asked if span == [20, 40]}
    assert scored == {f"{r['sampler']} on {r['schedule']}" for r in rows}


@pytest.mark.slow
def test_a_second_run_measures_nothing_and_gives_the_same_rows(run, monkeypatch):
    out, rows = run
    monkeypatch.setattr(SampleTask, "prepare", lambda *_: pytest.fail("measured again"))
    assert frontier(out)([*ours(NAMES), *default_candidates()]) == rows


def test_a_line_that_a_kill_cut_short_is_measured_again(tmp_path):
    first = frontier(tmp_path, budgets=(5,))
    rows = first(ours(NAMES))
    log = tmp_path / "measured-0.jsonl"
    log.write_text(log.read_text()[:-10])
    again = frontier(tmp_path, budgets=(5,))
    assert again(ours(NAMES)) == rows
    assert again.known == first.known


def test_the_hopeless_are_left_out_at_larger_budgets(tmp_path):
    made = frontier(tmp_path, budgets=(5, 8, 10))
    problem = ExactProblem("gmm-2d", make_model("gmm-2d"), 0, "zero", torch.zeros(8, 2))
    candidates = ours(("euler", "zab_2"))[:2]
    for budget, values in ((5, (1.0, 9.0)), (8, (1.0, 9.0))):
        for candidate, value in zip(candidates, values, strict=True):
            made.known[made._key(problem, candidate, budget, made.screen)] = [value, value]
    assert made._hopeful(problem, candidates, 10) == candidates[:1]
    assert made._hopeful(problem, candidates, 8) == candidates


def test_ours_are_own_deterministic_fixed_grid_methods_without_aliases():
    chosen = [name for name in names() if is_candidate(name)]
    assert {"euler", "heun", "zab_3", "unipc_3"} <= set(chosen)
    assert not {"ddim", "ddpm", "auto", "scipy_rk45", "torchdiffeq_rk4"} & set(chosen)
    assert all(not make(name).stochastic for name in chosen)


def test_a_sampler_that_fails_on_the_grid_is_no_winner(tmp_path):
    candidates = ours(("euler", "zab_2"))
    broken = type(candidates[0])("ours", Broken(), "broken", candidates[0].schedule)
    rows = frontier(tmp_path, budgets=(5,))([broken, *candidates])
    assert all(r["sampler"] != "broken" for r in rows)


class Broken:
    name, stochastic = "broken", False

    def nfe(self, grid):
        return len(grid)

    def sample(self, denoise, x, grid, noise):
        raise RuntimeError("no")


def test_comparison_is_paired_and_leaves_flipped_samples_out_of_the_rms():
    distance = np.linspace(0.1, 1.0, 50)
    kept = Errors(distance, np.zeros(50, bool))
    flipped = Errors(np.where(np.arange(50) == 0, 1e6, 2 * distance), np.arange(50) == 0)
    ratio, low, high = error_ratio(flipped, kept, "median")
    assert ratio == pytest.approx(2, rel=0.05)
    assert high - low < 0.5
    assert flipped.rms < 3
    assert flipped.flip_fraction == 0.02


def test_exact_samples_are_compared_as_a_smallest_distance():
    """Points are reached to the last bit."""
    exact = Errors(np.zeros(50), np.zeros(50, bool))
    assert error_ratio(exact, exact, "median") == (1, 1, 1)
    assert error_ratio(Errors(np.ones(50), exact.flipped), exact, "rms")[0] == 1e12


def test_summary_sentences__peers_without_ours_have_no_ratio():
    rows = [
        {"model": "gmm-2d", "end": "zero", "budget": 5, "criterion": criterion, "side": "peers"}
        | {"median": 1.0, "rms": 1.0, "ratio_to_ours": None}
        for criterion in ("median", "rms")
    ]
    assert summary_sentences(rows) == []


def test_too_few_samples_are_refused(tmp_path):
    with pytest.raises(ValueError, match="give more samples"):
        frontier(tmp_path, samples=10, screen=8)


def test_the_log_is_plain_json(run):
    for line in (run[0] / "measured-0.jsonl").read_text().splitlines():
        key, values = json.loads(line)
        assert len(json.loads(key)) == 6
        assert len(values) == 2


def test_parts_share_no_problem_and_each_can_be_made():
    parts = [problem_specs(part) for part in PARTS]
    assert [len(part) for part in parts] == [10, 10, 24]
    seeds = [spec.split("seed=")[1].split(",")[0] for part in parts for spec in part]
    assert len(set(seeds)) == 44
    assert problem_specs("sealed") == parts[2]
    for spec in parts[0]:
        parsed = parse_spec(spec)
        model = make_model(parsed.pop("name"), **parsed)
        assert (model.sigma_min, model.sigma_max) == (parsed["sigma_min"], parsed["sigma_max"])


def test_both_ends_have_the_exact_flow_and_the_denoised_image_there(tmp_path):
    study = frontier(tmp_path)
    model = make_model("gmm-2d")
    state, image = (study._endpoints("gmm-2d", model, end) for end in ("sigma_min", "zero"))
    assert torch.equal(image, model.denoise(state, model.sigma_min))
    assert 0 < float((image - state).norm()) < 0.1
