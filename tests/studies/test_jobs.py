"""Studies by way of an executor: several processes give the numbers of one, and a task that ends
its process costs itself alone.
"""

import os

import new_processes
import pandas as pd
import pytest
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.running.executors import Failure, InProcess, Pool
from samplerbench.benchmarks.tuning import tuning
from samplerbench.samplers import make
from samplerbench_studies.calibration import Calibration
from samplerbench_studies.calibration.trials import Case
from samplerbench_studies.frontier import Frontier, ours
from samplerbench_studies.why_steps import run as why_steps
from samplerbench_studies.why_steps.measuring.row import Answer, Figure, Verdict


@pytest.fixture(scope="module")
def pool():
    pool = Pool(2)
    with new_processes.ready():
        yield pool
        pool.close()


class Crashing(InProcess):
    """Tasks whose numbers are given end their process, or would in one of their own."""

    def __init__(self, *numbers):
        self.numbers = numbers

    def map(self, tasks, context, **how):
        for number, result in super().map(tasks, context, **how):
            lost = Failure("crashed", "its process ended with signal 11 (segmentation fault)")
            yield number, lost if number in self.numbers else result


class Backwards(InProcess):
    """The last task first."""

    def map(self, tasks, context, **how):
        last = len(tasks) - 1
        for number, result in super().map(tasks[::-1], context, **how):
            yield last - number, result


def calibration(log, executor, **changes):
    small = {"families": ("gaussian",), "samples": (40,), "replicates": 12}
    return Calibration.quick(
        log, **small | {"executor": executor, "progress": lambda _: None} | changes
    )


def test_calibrated_in_two_processes_or_backwards_the_numbers_are_the_same(
    tmp_path, pool, monkeypatch
):
    monkeypatch.setattr("samplerbench_studies.calibration.run.CHUNK", 5)
    here = calibration(tmp_path / "here", InProcess())()
    assert calibration(tmp_path / "pool", pool)() == here
    assert calibration(tmp_path / "back", Backwards())() == here


def test_a_chunk_that_is_lost_is_said_and_drawn_by_the_next_run(tmp_path, monkeypatch):
    monkeypatch.setattr("samplerbench_studies.calibration.run.CHUNK", 5)
    whole = calibration(tmp_path / "whole", InProcess())()
    with pytest.raises(Failure, match="fd-gaussian-4-40: its process ended with signal 11"):
        calibration(tmp_path / "lost", Crashing(1))()
    drawn, draw = [], Case.replicates
    monkeypatch.setattr(
        Case, "replicates", lambda self, numbers: drawn.append(numbers) or draw(self, numbers)
    )
    assert calibration(tmp_path / "lost", InProcess())() == whole
    assert drawn == [range(5, 10), range(10, 12)], "of the cell that lost one, those from there on"


def frontier(out, executor, told=None):
    study = Frontier(
        out,
        models=("gmm-2d",),
        budgets=(5,),
        samples=40,
        screen=8,
        executor=executor,
        progress=(told if told is not None else []).append,
    )
    return study, study(ours(("euler", "zab_2", "heun")))


@pytest.mark.slow
def test_the_frontier_in_two_processes_or_backwards_is_the_same(tmp_path, pool):
    first, here = frontier(tmp_path / "here", InProcess())
    second, there = frontier(tmp_path / "pool", pool)
    assert there == here
    assert second.known == first.known
    assert frontier(tmp_path / "back", Backwards())[1] == here


def test_a_measurement_that_is_lost_is_said_and_made_by_the_next_run(tmp_path):
    told = []
    first, here = frontier(tmp_path / "here", InProcess())
    second, _ = frontier(tmp_path / "lost", Crashing(0), told)
    assert any("crashed, its process ended with signal 11" in line for line in told)
    assert len(second.known) < len(first.known)
    third, again = frontier(tmp_path / "lost", InProcess())
    assert again == here
    assert {key: third.known[key] for key in first.known} == first.known


def test_a_row_that_is_lost_is_one_sentence_and_the_others_are_told(tmp_path, monkeypatch):
    """``explain`` in processes: row 2 ends its own."""
    monkeypatch.setattr(why_steps, "_measured", lost_or_found)
    monkeypatch.setattr(why_steps, "keep", lambda row, effort, key, found: answer(found))
    monkeypatch.setattr("samplerbench_studies.commands.explain.workers", Pool)
    monkeypatch.setattr("samplerbench_studies.why_steps.page.write_page", lambda path, *_: path)
    args = ["explain", "--rows", "1,2,3", "--jobs", "2", "--out", str(tmp_path)]
    with new_processes.ready():
        result = CliRunner().invoke(app, args, env={"COLUMNS": "300"})
    assert result.exit_code == 1
    said = result.output.splitlines()
    assert (
        "Row 2: crashed, its process ended itself with exit code 3, before it had a result "
        "(os._exit or the like)." in said
    )
    rows = [line.partition(" (")[0] for line in said if line.startswith(("Row 1", "Row 3"))]
    assert sorted(rows) == ["Row 1: claim supported", "Row 3: claim supported"]
    assert any(line.startswith("Page: ") for line in said)


def lost_or_found(_plan, number):
    if number == 2:
        os._exit(3)
    return number, 1.0


def answer(_):
    return Answer(
        Figure("<svg></svg>", "", ""), pd.DataFrame({"a": [1]}), Verdict("supports", "so"), ""
    )


def test_a_sampler_whose_tuning_fails_is_one_sentence_and_the_others_are_tuned(
    tmp_path, monkeypatch
):
    plain = tuning.search_levels

    def search(problem, sampler, *rest):
        if sampler == make("heun"):
            raise ZeroDivisionError("a search went wrong")
        return plain(problem, sampler, *rest)

    monkeypatch.setattr(tuning, "search_levels", search)
    args = ["tune", "--model", "gmm-2d", "--sampler", "heun", "--sampler", "euler", "--steps", "2"]
    args += ["--latents", "8", "--test-latents", "8", "--holdout-model", "gaussian"]
    result = CliRunner().invoke(app, [*args, "--out", str(tmp_path / "t.json")])
    assert result.exit_code == 1
    assert "heun, 2 steps: failed, ZeroDivisionError: a search went wrong" in result.output
    assert "euler" in (tmp_path / "t.json").read_text()
    assert "has the grids" in result.output
