"""Quantities of which higher is better: verdicts, ranks, fronts, sentences and figures respect it."""

import io
import math

import numpy as np
import pytest
from rich.console import Console
from runs import add, make_run

from samplerbench.benchmarks.tuning.fair_schedules import compare_fairly
from samplerbench.results.comparison.best_rows import best_curve_budgets, ranked_curves
from samplerbench.results.comparison.compare import compare, compare_with, comparison_notes
from samplerbench.results.comparison.estimates import estimate_of
from samplerbench.results.comparison.findings import findings_of
from samplerbench.results.comparison.gate import gate
from samplerbench.results.comparison.pairing import Entry, Pair
from samplerbench.results.comparison.pareto import pareto
from samplerbench.results.comparison.significance import claim
from samplerbench.results.comparison.verdicts import judge
from samplerbench.results.figures.ecdf import ecdf
from samplerbench.results.figures.export import write_figures
from samplerbench.results.figures.ranking import ranking
from samplerbench.results.figures.series import curves_to_name, series_of
from samplerbench.results.figures.work_precision import front
from samplerbench.results.quantities import find
from samplerbench.results.quantities.quantity import Quantity
from samplerbench.results.report.build import write_report
from samplerbench.results.result_table import ResultTable, load
from samplerbench.results.sentences import answer_in_words, lead_sentences
from samplerbench.results.table.curves import comparable_parts
from samplerbench.results.terminal.ranking import print_table

NAME, N = "psnr_conv", 64
SHARED = np.random.default_rng(0).normal(0, 5, N)
OWN = np.random.default_rng(1).normal(0, 0.5, N)


def add_psnr(run, sampler, level, *, spread=1.0, name=NAME, n=N, apart=12.0, quality=(), **row):
    """A cell whose samples have ``level`` on average, with the same hard and easy initial noise."""
    each = level + np.resize(SHARED + spread * OWN * len(sampler), n)
    columns = {name: each.mean(), f"{name}_se": each.std(ddof=1) / math.sqrt(n), "samples": n}
    columns |= {name.replace("conv", "apart"): apart}
    add(run, sampler, quality=columns | dict(quality), arrays={name: each}, **row)


@pytest.fixture
def run(tmp_path):
    """At 5 and 10 evaluations heun is nearer to the converged images than euler; ipndm lies between."""
    run = make_run(tmp_path / "run")
    for budget, gain in ((5, 0.0), (10, 8.0)):
        at = {"budget": budget, "steps": budget}
        for sampler, level in (("euler", 20.0), ("heun", 30.0), ("ipndm", 25.0)):
            nfe = {"nfe": float(budget)}
            add_psnr(run, sampler, level + gain, spread=0.1, quality=nfe, **at)
    return run


def verdicts(comparison):
    return {(line.sampler, line.budget): line.verdict for line in comparison.lines}


def test_judge__more_decibels_are_better(run):
    better = dict.fromkeys([("heun", 5), ("heun", 10), ("ipndm", 5), ("ipndm", 10)], "better")
    found = compare_with(run.path, "euler")
    assert verdicts(found) == better
    assert all(line.difference > 0 and line.metric == NAME for line in found.lines)
    against = verdicts(compare_with(run.path, "heun"))
    assert set(against.values()) == {"worse"}
    assert "interval; higher is better. Verdicts" in " ".join(comparison_notes(found))


def test_judge__a_margin_in_decibels_is_that_of_the_error(tmp_path):
    """A share of the error, 1 % or 0.086 dB, at any level of the baseline."""
    run = make_run(tmp_path / "run")
    for model, level in (("a", 10.0), ("b", 50.0)):
        for sampler, gain in (("euler", 0.0), ("heun", 0.05), ("ipndm", 0.2), ("deis", -0.2)):
            add_psnr(run, sampler, level + gain, spread=1e-4, model=model, n=20_000)
    found = compare_with(run.path, "euler")
    assert [line.margin for line in found.lines] == pytest.approx([20 * math.log10(1.01)] * 6)
    for model in "ab":
        of_model = {line.sampler: line.verdict for line in found.lines if line.model == model}
        assert of_model == {"heun": "equivalent", "ipndm": "better", "deis": "worse"}


def test_comparison_notes__state_both_directions(run):
    add(run, "deis", quality={NAME: 1.0, f"{NAME}_se": 1.0, "kid": 1.0, "kid_se": 1.0})
    add(run, "ddim", quality={NAME: 1.0, f"{NAME}_se": 1.0, "kid": 1.0, "kid_se": 1.0})
    notes = {
        names: " ".join(comparison_notes(compare_with(run.path, "deis", metrics=names)))
        for names in (("kid",), (NAME,), ("kid", NAME))
    }
    assert "interval; lower is better. V" in notes["kid",]
    assert "interval; higher is better. V" in notes[NAME,]
    assert "higher is better for psnr_conv, lower for the others. V" in notes["kid", NAME]


def test_gate__a_loss_of_decibels_is_a_regression_and_a_gain_none(tmp_path):
    runs = []
    for name, level in (("before", 30.0), ("after", 28.0)):
        runs.append(make_run(tmp_path / name))
        add_psnr(runs[-1], "heun", level, n=640)
    (loss,), (gain,) = (
        gate(runs[0].path, runs[1].path).checks,
        gate(*(r.path for r in runs[::-1])).checks,
    )
    assert (loss.what, loss.outcome, gain.outcome) == (NAME, "regression", "passed")


def test_compare__other_backbones_of_lpips_get_no_verdict(tmp_path):
    runs = []
    for name, backbone in (("a", "alex-1"), ("b", "vgg-2"), ("c", "alex-1")):
        runs.append(make_run(tmp_path / name))
        level = 0.5 if name == "a" else 0.3
        quality = {"lpips_network": backbone}
        options = {"name": "lpips_conv", "apart": 0.6, "n": 640}
        add_psnr(runs[-1], "heun", level, spread=1e-3, quality=quality, **options)
    (other,), (same,) = (compare(runs[0].path, b.path).lines for b in runs[1:])
    assert (other.verdict, other.reason) == ("no verdict", "lpips_network differs")
    assert (same.verdict, same.reason) == ("better", ""), "lower is better"


def test_ranks__the_most_decibels_are_first(run):
    table = load(run.path)
    assert set(table.best_per_budget(NAME)["curve"]) == {"heun"}
    assert best_curve_budgets(table.frame, NAME, {"": run.path}) == {
        "gmm-2d": frozenset({("heun", 5), ("heun", 10)})
    }
    ((_, rows),) = comparable_parts(table.frame)
    assert ranked_curves(rows) == ["heun", "ipndm", "euler"]
    html = table._repr_html_()
    assert "higher is better" in html
    assert html.index("<th>heun") < html.index("<th>ipndm") < html.index("<th>euler")
    assert r"$\mathbf{30" in table.to_latex(NAME)
    assert r"$\mathbf{2" not in table.to_latex(NAME)


def test_best_places__without_verdicts_intervals_decide_in_either_direction():
    def row(sampler, value, **more):
        fixed = {"model": "m", "budget": 5, "nfe": 5.0, "status": "ok", f"{NAME}_se": 1.0}
        return fixed | {"sampler": sampler, NAME: value} | more

    rows = [row("a", 20.0), row("b", 29.0), row("c", 30.0)]
    coverage = [row(s, v) | {"precision": v / 40} for s, v in (("a", 20.0), ("b", 30.0))]
    for column, frame, best in (
        (NAME, ResultTable.of(rows).frame, {"b", "c"}),
        ("precision", ResultTable.of(coverage).frame, {"b"}),
    ):
        assert {name for name, _ in best_curve_budgets(frame, column)["m"]} == best


def test_print_table__the_star_and_the_order_are_of_the_highest(run):
    console = Console(file=io.StringIO(), width=100, no_color=True)
    print_table(load(run.path), console, metric=NAME, home=run.path)
    lines = console.file.getvalue().splitlines()
    names = [
        line.split()[0]
        for line in lines
        if line.split()[:1] and line.split()[0] in ("heun", "ipndm", "euler")
    ]
    assert names == ["heun", "ipndm", "euler"]
    assert [line.split()[0] for line in lines if "*" in line and "better" not in line] == ["heun"]
    text = " ".join(console.file.getvalue().split())
    assert "psnr_conv by NFE budget, higher is better; * highest" in text
    assert "bars: value by budget" in text
    assert "lower" not in text.replace("higher for", "")


def test_pareto__a_row_with_fewer_decibels_and_no_less_cost_is_off_the_front(run):
    rows = pareto(load(run.path).ok.frame, NAME, "nfe").set_index(["sampler", "nfe"])
    on = {(sampler, nfe) for (sampler, nfe), row in rows.iterrows() if row["on_front"]}
    assert on == {("heun", 5.0), ("heun", 10.0)}
    assert rows.loc[("euler", 5.0), "front"] == "off"


def test_sentences__name_the_highest_and_claim_no_factor(run):
    frame = load(run.path).frame
    (finding,) = findings_of(frame, {"": run.path}).by_title.values()
    assert [best.curve for best in finding.best] == ["heun", "heun"]
    assert [best.verdict for best in finding.best] == ["better than Euler"] * 2
    assert answer_in_words(finding)[0].startswith("Highest PSNR to the ODE: heun at 5 and 10 NFE")
    from samplerbench.results.comparison.headline import headline_table

    sentences = lead_sentences(finding, headline_table(frame))
    assert sentences[0].startswith("At 10 evaluations use Heun; it is better than Euler (PSNR")
    assert (
        sentences[1] == "The highest value still rises at 10 evaluations, the most that were tried."
    )


def test_report__heads_say_highest(run):
    page = write_report([run.path], run.path).read_text(encoding="utf-8")
    assert '<th scope="col">Highest</th>' in page
    assert '<th scope="col">highest</th>' in page
    assert '<th scope="col">Lowest</th>' not in page
    assert "Higher is better. NFE" in page
    assert "Lower is better" not in page
    assert "Highest PSNR to the ODE" in page or "use Heun" in page
    assert "another row could be better or cheaper" in page


def test_report__summary_and_latex_have_the_decibels(run):
    write_report([run.path], run.path)
    assert "| NFE | PSNR |" in (run.path / "table.md").read_text(encoding="utf-8")
    assert r"psnr\_conv by network evaluations" in (run.path / "table.tex").read_text()


def test_compare_fairly__says_that_decibels_cannot_be_halved(run):
    with pytest.raises(ValueError, match="psnr_conv cannot be halved; choose from fid_proxy, "):
        compare_fairly(run.path, "euler", [NAME], 0.01, "best")


def test_write_figures__kinds_with_targets_are_left_out_unless_named(run, tmp_path):
    drawn = {f"gmm-2d-{kind}-{NAME}-nfe.svg" for kind in ("work-precision", "pareto")}
    for metrics in ([NAME], []):
        paths = write_figures(run.path, tmp_path, formats=["svg"], metrics=metrics)
        assert {path.name for path in paths} == drawn
    with pytest.raises(ValueError, match="psnr_conv has no targets here"):
        write_figures(run.path, tmp_path, kinds=["pareto", "ecdf"], metrics=[NAME])


def test_figures__the_best_are_named_ranked_and_on_the_front(run):
    table = load(run.path)
    ((_, rows),) = comparable_parts(table.frame)
    series = series_of(rows, NAME, "nfe")
    assert [curve.name for curve in curves_to_name(series, 1, NAME)] == ["heun"]
    assert [curve.name for curve in curves_to_name(series, 1, "rmse")] == ["euler"]
    (axes,) = front(table, NAME).axes
    assert [5.0, 10.0] in [list(line.get_xdata()) for line in axes.lines], "heun leads at both"
    words = [text.get_text() for text in axes.texts]
    assert "heun" in words
    assert not {"euler", "ipndm"} & set(words)
    with pytest.raises(ValueError, match="psnr_conv has no targets here; choose a metric of which"):
        ecdf(table, NAME)


def test_ranking__errors_and_decibels_agree_where_they_tell_the_same(tmp_path):
    run = make_run(tmp_path / "run")
    for sampler, level in (("euler", 20.0), ("heun", 30.0), ("ipndm", 25.0)):
        add_psnr(run, sampler, level, quality={"rmse": 10 ** (-level / 20)})
    figure = ranking(load(run.path), NAME, "rmse")
    assert "ρ = 1.00" in [text.get_text() for axes in figure.axes for text in axes.texts]


def ranked(*pairs):
    """Words of the figure of samplers with these two numbers, from fid_proxy and rmse."""
    rows = [
        {"model": "m", "sampler": name, "budget": 5, "nfe": 5, "status": "ok", "fid_proxy": a, "rmse": b}
        for name, (a, b) in zip("abcd", pairs, strict=False)
    ]  # fmt: skip
    figure = ranking(ResultTable.of(rows), "fid_proxy", "rmse")
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_ranking__correlation_does_not_depend_on_the_order_of_equal_values():
    assert "ρ = 0.50" in ranked((1, 1), (2, 3), (3, 2))
    assert "ρ = 0.87" in ranked((1, 1), (1, 2), (2, 3))
    assert "ρ = 0.87" in ranked((1, 2), (1, 1), (2, 3))
    assert not [text for text in ranked((1, 1), (1, 2), (1, 3)) if "ρ" in text]


def test_quantity__only_means_may_rise_with_verdicts():
    with pytest.raises(ValueError, match="let lower be better"):
        Quantity(name="a", meaning="", error="se", influence="a", summary="share", lower=False)
    psnr = find(NAME)
    assert (psnr.loss(3.0), psnr.better, psnr.best) == (-3.0, "higher", "highest")
    rmse = find("rmse")
    assert (rmse.loss(3.0), rmse.better, rmse.best) == (3.0, "lower", "lowest")


def test_judge__unseen_flips_make_no_decibels_equivalent():
    """One sample in a hundred loses 30 dB; most sets of 64 have none of them."""
    rng, quantity, verdicts = np.random.default_rng(0), find(NAME), []
    for _ in range(100):
        entries = []
        for share in (0.0, 0.01):
            each = 40 + 0.01 * rng.normal(size=N) - 30 * (rng.random(N) < share)
            row = {NAME: each.mean(), f"{NAME}_se": each.std(ddof=1) / 8, "psnr_apart": 10.0}
            row |= {"samples": N, "seed": 0, "sampler": str(share)}
            entries.append(Entry(row, estimates={NAME: estimate_of(row, {NAME: each}, quantity)}))
        verdicts.append(claim(judge(Pair(*entries), quantity).evidence))
    assert verdicts.count("equivalent") <= 5


def test_judge__samplers_whose_samples_coincide_may_differ_in_others(tmp_path):
    runs = [make_run(tmp_path / name) for name in "ab"]
    for run in runs:
        add_psnr(run, "heun", 30.0, spread=0.0)
        add_psnr(run, "copy", 30.0, spread=0.0)
    assert set(verdicts(compare(*(run.path for run in runs))).values()) == {"equivalent"}
    assert verdicts(compare_with(runs[0].path, "heun")) == {("copy", 10): "inconclusive"}
