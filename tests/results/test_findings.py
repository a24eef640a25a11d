import numpy as np
import pytest
from runs import add, make_run

from samplerbench.results.comparison.compare import compare_with
from samplerbench.results.comparison.findings import findings_of
from samplerbench.results.report.build import write_report
from samplerbench.results.result_table import ResultTable, load


@pytest.fixture
def path(tmp_path):
    """Heun better than Euler by 0.2 at 10 evaluations and by nothing at 5, under a common
    spread of 1 in 100 samples.
    """
    run, (shared, own) = make_run(tmp_path / "run"), np.random.default_rng(0).normal(size=(2, 100))
    own -= own.mean()
    for budget, gap in ((5, 0.0), (10, 0.2)):
        add(run, "euler", influence=2 + shared, budget=budget)
        add(run, "heun", influence=2 - gap - 1e-3 + shared + 0.3 * own, budget=budget)
    return run.path


def test_shared_latents_tell_apart_what_intervals_do_not(path):
    frame = load(path).frame
    (paired,), (alone,) = (
        findings_of(frame, homes).by_title.values() for homes in ({"": path}, {})
    )
    assert {best.budget: best.standing for best in paired.best} == {5: "inconclusive", 10: "better"}
    assert {best.budget: best.rivals for best in paired.best} == {5: ("euler",), 10: ()}
    assert [best.is_shown_best for best in paired.best] == [False, True]
    assert {best.budget: best.standing for best in alone.best} == {
        5: "inconclusive",
        10: "inconclusive",
    }


def test_the_verdicts_against_euler_are_those_of_compare(path):
    lines = {(line.sampler, line.budget): line for line in compare_with(path, "euler").lines}
    found = findings_of(load(path).frame, {"": path})
    assert {(line.sampler, line.budget): line for line in found.lines.values()} == lines


def a_run(tmp_path, rows):
    """A run of fashion: rows of (sampler, budget, fid_proxy, fd_conv, more quality columns)."""
    run = make_run(tmp_path / "run")
    for sampler, budget, fid, conv, more in rows:
        quality = {"fd_conv": conv, "fd_conv_se": 0.01, "nfe": float(budget), **more}
        influence = fid + np.random.default_rng(0).normal(size=100) * 1e-3
        add(
            run,
            sampler,
            influence=influence,
            quality=quality,
            budget=budget,
            steps=budget,
            model="fashion",
        )
    (found,) = findings_of(load(run.path).frame, {"": run.path}).by_title.values()
    return found


ROWS = [
    ("euler", 5, 9.0, 8.0, {}),
    ("heun", 5, 5.0, 4.0, {}),
    ("euler", 20, 1.5, 0.5, {}),
    ("heun", 20, 1.4, 0.7, {}),
]


def test_where_the_models_error_dominates_the_distance_to_converged_samples_is_spoken_of(tmp_path):
    """Heun is nearer to the data at 20 evaluations, being further from the solution."""
    found = a_run(tmp_path / "no", ROWS)
    assert (found.quantity.name, found.is_dominated, [best.curve for best in found.best]) == (
        "fid_proxy",
        False,
        ["heun", "heun"],
    )
    found = a_run(tmp_path / "yes", [*ROWS[:3], (*ROWS[3][:4], {"dominated": True})])
    assert (found.quantity.name, found.is_dominated, [best.curve for best in found.best]) == (
        "fd_conv",
        True,
        ["heun", "euler"],
    )
    assert [best.is_shown_best for best in found.best] == [True, True]


def test_where_that_is_missing_or_flagged_it_is_open(tmp_path):
    missing = a_run(
        tmp_path / "missing",
        [(name, n, fid, None, {"dominated": n == 20}) for name, n, fid, _, _ in ROWS],
    )
    assert missing.quantity.name == "fid_proxy"
    assert [best.refusal[:9] for best in missing.best] == ["", "dominated"]
    assert [best.is_shown_best for best in missing.best] == [True, False]
    assert missing.plateau is None
    flagged = a_run(
        tmp_path / "flagged",
        [(*row[:4], {"dominated": True, "fd_conv_flag": "too few"}) for row in ROWS],
    )
    assert flagged.quantity.name == "fd_conv"
    assert [best.refusal for best in flagged.best] == ["flagged: too few"] * 2


def test_what_more_work_buys_is_shown_or_open(tmp_path):
    def plateau(values, noise=1e-3):
        run = make_run(tmp_path / f"{len(list(tmp_path.iterdir()))}")
        for budget, value in values.items():
            own = np.random.default_rng(budget).normal(size=400)
            add(
                run,
                "euler",
                influence=value + noise * (own - own.mean()),
                budget=budget,
                steps=budget,
            )
        (found,) = findings_of(load(run.path).frame, {"": run.path}).by_title.values()
        return found.plateau and (found.plateau.budget, found.plateau.kind)

    assert plateau({5: 3.0, 10: 2.0, 20: 1.0}) == (20, "falling")
    assert plateau({5: 3.0, 10: 2.0, 20: 2.0001}) == (10, "none")  # within 1 %, shown
    assert plateau({5: 3.0, 10: 2.0, 20: 2.5}) == (10, "none")
    # a fall of 0.1 is not excluded
    assert plateau({5: 3.0, 10: 2.0, 20: 1.9}, noise=1.0) == (10, "open")
    assert plateau({5: 3.0}) is None


@pytest.mark.slow
def test_the_lowest_of_many_equal_samplers_is_rarely_called_better():
    """The judge knows that the lowest was chosen by looking at all: 100 pages of nine equal
    samplers at three budgets.
    """
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(100):
        values = rng.normal(10, 1, (3, 9))
        rows = [
            {
                "model": "m",
                "sampler": name,
                "schedule": "karras",
                "status": "ok",
                "steps": n,
                "nfe": float(n),
                "budget": n,
                "seed": seed,
                "fid_proxy": value,
                "fid_proxy_se": 1.0,
            }
            for n, line in zip((5, 10, 20), values, strict=True)
            for seed, (name, value) in enumerate(zip("abcdefghi", line, strict=True))
        ]
        (found,) = findings_of(ResultTable.of(rows).frame).by_title.values()
        wrong += any(len(best.rivals) < best.others for best in found.best)
    assert wrong <= 100 * 0.05 + 3 * (100 * 0.05 * 0.95) ** 0.5
    assert wrong > 0  # and it is a test


def test_the_report_finds_the_influence_values(path, tmp_path):
    page = write_report(path, tmp_path / "out")
    assert "At 10 evaluations use Heun; it is better than Euler" in page.read_text()
    assert "heun at 10 NFE (better than Euler)" in page.with_name("table.md").read_text()


def test_the_report_of_two_runs_finds_those_of_each(path, tmp_path):
    other = make_run(tmp_path / "other")
    add(other, "ddpm", influence=np.arange(100.0), budget=10)
    page = write_report([path, other.path], tmp_path / "both")
    assert "At 10 evaluations use Heun · run; it is better than Euler" in page.read_text()
