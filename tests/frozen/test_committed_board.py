"""First board: its files are sound, of this version, and what the code still measures."""

from pathlib import Path

import pytest

from samplerbench import board
from samplerbench.benchmarks.frozen import draw_part, measure_exact, solve_entry
from samplerbench.benchmarks.frozen.definition import digest
from samplerbench.results.board import Submission
from samplerbench.results.board.submission import submissions_in

FOLDER = Path(__file__).parents[2] / "results" / "reference" / "board"
PART = draw_part()


def test_files__are_submissions_of_the_frozen_suite():
    found = [submission for _, submission in submissions_in(FOLDER)]
    assert len(found) > 100
    assert all(isinstance(submission, Submission) for submission in found)
    assert {(s.suite, s.digest, s.part) for s in found} == {("sb-2026.1", digest(), "public")}


@pytest.mark.parametrize(
    ("place", "sampler", "schedule"),
    [
        (2, "dpmpp_2m", "uniform_lambda"),
        (12, "heun", "karras"),
        (19, "dpmpp_2m", "uniform_lambda"),
    ],
)
def test_files__have_what_is_measured_now(place, sampler, schedule):
    few = PART._replace(instances=PART.instances[place : place + 1])
    stored = {s.solver.name: s for _, s in submissions_in(FOLDER) if isinstance(s, Submission)}
    curves = stored[f"{sampler} on {schedule}"].curves
    known = {(curve.problem, curve.moved): curve for curve in curves}
    for curve in measure_exact(solve_entry(sampler, schedule), few):
        before = known[curve.problem, curve.moved]
        assert curve.nfe == before.nfe
        assert curve.error == pytest.approx(before.error, rel=1e-3, abs=1e-9)


@pytest.mark.slow
def test_site__has_a_page_for_each_file(tmp_path):
    site = board(FOLDER, tmp_path / "site")
    assert site.refused == []
    assert site.count == len(list(FOLDER.glob("*.json")))
    assert len(list((tmp_path / "site" / "solvers").glob("*.html"))) == site.count
