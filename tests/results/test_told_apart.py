import numpy as np
import pytest
from runs import add, make_run

from samplerbench.results.curves import problems
from samplerbench.results.report import write_report
from samplerbench.results.report.answer import answer
from samplerbench.results.table import load


@pytest.fixture
def path(tmp_path):
    """Heun better than Euler by 0.2 at 10 evaluations and by nothing at 5, under a common spread of 1 in 100 samples."""
    run, (shared, own) = make_run(tmp_path / "run"), np.random.default_rng(0).normal(size=(2, 100))
    own -= own.mean()
    for budget, gap in ((5, 0.0), (10, 0.2)):
        add(run, "euler", influence=2 + shared, budget=budget)
        add(run, "heun", influence=2 - gap - 1e-3 + shared + 0.3 * own, budget=budget)
    return run.path


def test_shared_latents_tell_apart_what_intervals_do_not(path):
    ((_, rows),) = problems(load(path).frame)
    paired = {best.budget: best for best in answer(rows, {"": path}).best}
    alone = {best.budget: best.verdict for best in answer(rows).best}
    assert {budget: best.verdict for budget, best in paired.items()} == {5: "inconclusive", 10: "better than Euler"}
    assert {budget: best.rivals for budget, best in paired.items()} == {5: ("euler",), 10: ()}
    assert alone == {5: "inconclusive", 10: "inconclusive"}


def test_the_report_finds_the_influence_values(path, tmp_path):
    page = write_report(path, tmp_path / "out")
    assert "better than Euler at 10 NFE" in page.read_text()
    assert "better than Euler at 10 NFE" in page.with_name("table.md").read_text()


def test_the_report_of_two_runs_finds_those_of_each(path, tmp_path):
    other = make_run(tmp_path / "other")
    add(other, "ddpm", influence=np.arange(100.0), budget=10)
    page = write_report([path, other.path], tmp_path / "both")
    assert "better than Euler at 10 NFE" in page.read_text()
