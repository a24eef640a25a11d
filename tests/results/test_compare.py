import io
from types import SimpleNamespace

import numpy as np
import pytest
from looping import each
from rich.console import Console
from runs import add, make_run

from samplerbench.results.comparison import pairing
from samplerbench.results.comparison.compare import compare, compare_with
from samplerbench.results.comparison.estimates import Estimate
from samplerbench.results.comparison.pairing import Entry, Pair
from samplerbench.results.comparison.verdicts import judge_lines
from samplerbench.results.quantities import judged as judged_quantities
from samplerbench.results.result_table import load, rebuild
from samplerbench.results.table.curves import Tuning
from samplerbench.results.terminal.comparison import print_comparison, print_tuning

N = 400


def latents(seed=0, n=N):
    return np.random.default_rng(seed).normal(size=n)


@pytest.fixture
def pair(tmp_path):
    """Two runs: heun as before, euler worse by 0.2, ipndm with other latents."""
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    shared, other = latents(), latents(1)
    for run, shift, seed in ((a, 0.0, 0), (b, 0.2, 5)):
        add(run, "heun", influence=2 + shared, times=np.linspace(1, 1.1, 9) * (1 + shift))
        add(run, "euler", influence=2 + shift + shared + 0.1 * other)
        add(run, "ipndm", influence=2 + (shared if seed == 0 else other), seed=seed)
    add(a, "ddpm", influence=shared)
    return a.path, b.path


def by_sampler(comparison):
    return {line.sampler.partition(" ")[0]: line for line in comparison.lines}


def test_two_runs_are_matched_by_what_their_cells_are(pair):
    lines = by_sampler(compare(*pair))
    assert set(lines) == {"heun", "euler", "ipndm"}
    assert (lines["heun"].difference, lines["heun"].verdict, lines["heun"].paired) == (
        0.0,
        "equivalent",
        N,
    )
    assert lines["euler"].difference == pytest.approx(0.2, abs=1e-9)
    assert (lines["euler"].verdict, lines["euler"].paired) == ("worse", N)
    # other seeds: as two independent runs
    assert (lines["ipndm"].verdict, lines["ipndm"].paired) == ("inconclusive", 0)
    assert compare(*pair).unmatched == ("gmm-2d: ddpm at 10 (only in the baseline)",)


def test_swapping_the_runs_swaps_the_verdicts(pair):
    there, back = by_sampler(compare(*pair)), by_sampler(compare(*reversed(pair)))
    assert back["euler"].verdict == "better"
    for name, line in there.items():
        assert back[name].difference == -line.difference
        assert (back[name].low, back[name].high) == pytest.approx((-line.high, -line.low))


def test_times_are_a_ratio_with_an_interval(pair):
    line = by_sampler(compare(*pair))["heun"]
    assert line.time_ratio == pytest.approx(1.2)
    assert line.time_low < 1.2 < line.time_high
    assert (
        by_sampler(compare(*pair))["euler"].time_reason
        == "a side has no raw times: a run with --no-timing, or a table alone"
    )


def test_samplers_of_a_run_against_one_of_them_at_the_same_budget(tmp_path):
    run, z = make_run(tmp_path / "run"), latents()
    for budget, shift in ((5, 0.3), (10, 0.0)):
        add(run, "euler", influence=1 + z, budget=budget)
        add(run, "heun", influence=1 - shift + z + 0.01 * latents(1), budget=budget)
    add(run, "heun", influence=z, budget=10, start="mean")
    found = compare_with(run.path, "euler")
    assert {(line.sampler, line.budget): line.verdict for line in found.lines} == {
        ("heun · noise", 5): "better",
        ("heun · noise", 10): "equivalent",
    }
    assert found.unmatched == ("gmm-2d: heun · mean at 10 (only in the candidate)",)


def test_margin_is_a_share_of_the_baseline_or_of_ten_errors_of_the_floor(tmp_path):
    run, z = make_run(tmp_path / "run"), latents()
    add(run, "euler", influence=2 + z, quality={"fid_proxy_floor_se": 0.1})
    add(run, "heun", influence=2 + z, quality={"fid_proxy_floor_se": 0.5})
    (line,) = compare_with(run.path, "euler", margin=0.02).lines
    assert line.margin == pytest.approx(0.02 * 10 * 0.5)
    add(run, "heun", influence=2 + z, quality={"fid_proxy_floor_se": 0.01})
    (line,) = compare_with(run.path, "euler", margin=0.02).lines
    assert line.margin == pytest.approx(0.02 * line.baseline_value)


@pytest.mark.parametrize(
    ("quality", "metric", "reason"),
    [
        ({"fid_flag": "too few"}, "fid_proxy", "flagged: too few"),
        (
            {"fd_conv": 9.0, "fd_conv_se": 0.1, "fid_flag": "", "fd_conv_flag": "too few"},
            "fd_conv",
            "flagged: too few",
        ),
        (
            {"fd_conv": 9.0, "fd_conv_se": 0.1, "fid_flag": "too few", "fd_conv_flag": ""},
            "fd_conv",
            "",
        ),
        ({"dominated": True}, "fid_proxy", "dominated"),
        ({"dominated": True, "fd_conv": 9.0, "fd_conv_se": 0.1}, "fd_conv", ""),
    ],
)
def test_what_is_not_to_be_trusted_has_no_verdict(tmp_path, quality, metric, reason):
    run = make_run(tmp_path / "run")
    add(run, "euler", influence=5 + latents(), quality={"fd_conv": 1.0, "fd_conv_se": 0.1})
    add(run, "heun", influence=latents(), quality=quality)
    (line,) = [
        line
        for line in compare_with(run.path, "euler", metrics=["all"]).lines
        if line.metric == metric
    ]
    assert line.reason.startswith(reason)
    assert (line.verdict == "no verdict") == bool(reason)


def test_different_suites_models_and_estimators_are_refused_by_name(tmp_path):
    run = make_run(tmp_path / "a")
    add(run, influence=latents())
    for name, parts, row, sentence in (
        ("v", {"version": 2}, {}, "suite quick has version 1 in the first and 2 in the second"),
        (
            "m",
            {"identity": "other"},
            {},
            "model gmm-2d is gmm-2d-v1 in the first and other in the second",
        ),
        (
            "e",
            {},
            {"estimator": "frechet/1; identity-2; reference other; 300 converged"},
            "'reference gmm-2d' in the first run",
        ),
        (
            "c",
            {},
            {"estimator": "frechet/1; identity-2; reference gmm-2d"},
            "'300 converged' in the first run and 'nothing'",
        ),
    ):
        other = make_run(tmp_path / name, **parts)
        add(other, influence=latents(), quality=row)
        with pytest.raises(ValueError, match=sentence):
            compare(run.path, other.path)


def test_mistakes_are_sentences(tmp_path, pair):
    other = make_run(tmp_path / "other")
    add(other, "rk45", influence=latents())
    for call, sentence in (
        (lambda: compare(pair[0], other.path), "share no finished cell"),
        (
            lambda: compare(*pair, metrics=["kid"]),
            "'kid' has no values to compare; choose from fid_proxy",
        ),
        (lambda: compare(*pair, margin=-1), "0 or more"),
        (
            lambda: compare_with(pair[0], "eular"),
            "'eular'; choose the baseline from those there: ddpm, euler, heun, ipndm",
        ),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()


def test_a_table_alone_compares_unpaired(pair, tmp_path):
    for path in pair:
        rebuild(path)
    lines = by_sampler(compare(pair[0] / "table.csv", pair[1]))
    # the same numbers need no error
    assert (lines["heun"].difference, lines["heun"].verdict) == (0.0, "equivalent")
    assert lines["euler"].paired == 0
    errors = [load(path).frame.set_index("sampler")["fid_proxy_se"]["euler"] for path in pair]
    # shared latents of unknown covariance: it may have either sign
    assert lines["euler"].se == pytest.approx(sum(errors))


def test_opposite_influences_are_why_shared_latents_without_them_add_their_errors(tmp_path):
    """Two samplers whose samples contribute oppositely: independent errors would call nothing a
    difference.
    """
    run, z = make_run(tmp_path / "run"), latents()
    add(run, "euler", influence=1 + z)
    add(run, "heun", influence=1 - z)
    paired = compare_with(run.path, "euler").lines[0].se
    table = load(run.path)
    table.to_csv(tmp_path / "table.csv")
    alone = compare_with(tmp_path / "table.csv", "euler").lines[0].se
    independent = np.hypot(*table.frame["fid_proxy_se"])
    assert alone == pytest.approx(paired)
    assert alone > 1.4 * independent


@each("quality", [{}, {"fid_proxy_se": None}, {"fid_flag": "too few"}, {"dominated": True}])
@each("form", ["run", "table.csv"])
def test_compare__a_run_against_itself_is_equivalent_line_by_line(tmp_path, quality, form):
    run = make_run(tmp_path)
    for sampler, level in (("euler", 2.0), ("heun", -1.0)):
        cell = add(run, sampler, influence=level + latents())
        found = run.read(cell, "quality.json")
        run.write(cell, "quality.json", found | quality)
    rebuild(tmp_path)
    path = tmp_path if form == "run" else tmp_path / "table.csv"
    lines = compare(path, path, metrics=["all"], margin=0.0).lines
    assert [line.verdict for line in lines] == ["equivalent"] * 2


def test_each_model_is_compared_by_what_it_is_spoken_of_in(tmp_path):
    """Where the model's own error dominates, that is the distance to its converged samples,
    unless somebody asks.
    """
    run, z = make_run(tmp_path), latents()
    for model, dominated in (("fashion", True), ("gmm-2d", False)):
        for sampler, level in (("euler", 2.0), ("heun", 1.0)):
            quality = {
                "fd_conv": level,
                "fd_conv_se": 0.01,
                "dominated": dominated and sampler == "heun",
            }
            add(run, sampler, influence=level + z, quality=quality, model=model)
    found = compare_with(run.path, "euler")
    assert {line.model: (line.metric, line.verdict) for line in found.lines} == {
        "fashion": ("fd_conv", "better"), "gmm-2d": ("fid_proxy", "better"),
    }  # fmt: skip
    assert found.others == ()
    asked = compare_with(run.path, "euler", metrics=["fid_proxy"])
    assert {line.model: line.verdict for line in asked.lines} == {
        "fashion": "no verdict",
        "gmm-2d": "better",
    }


def test_identical_samplers_are_rarely_called_different():
    """100 tables of 10 lines, each line two runs of one sampler: false verdicts in 5 % of the
    tables at most, plus three errors of that.
    """

    def entry(rng, seed):
        z = 1 + rng.normal(size=60)
        influence = Estimate(float(z.mean()), float(z.std(ddof=1)) / 60**0.5, z - z.mean())
        return Entry({"seed": seed}, estimates={"fid_proxy": influence})

    rng = np.random.default_rng(0)
    tables = [
        judge_lines(
            [(Pair(entry(rng, 0), entry(rng, 1)), judged_quantities()[0]) for _ in range(10)], 0.01
        )
        for _ in range(100)
    ]
    wrong = sum(any(line.verdict in ("better", "worse") for line in lines) for lines in tables)
    assert wrong <= 5 + 3 * (100 * 0.05 * 0.95) ** 0.5
    single = [abs(line.difference) > 1.96 * line.se for lines in tables for line in lines]
    # a line alone has its level, so the bound above is the correction's doing
    assert 0.03 < np.mean(single) < 0.08


def test_pairing_finds_a_difference_that_two_independent_runs_hide(tmp_path):
    """A shift of 0.1 under a common spread of 1 and an own spread of 0.3: 5 standard errors
    paired, 1 unpaired.
    """
    run, shared = make_run(tmp_path / "run"), latents()
    for seed, sampler, own, shift in (
        (0, "euler", 1, 0.0),
        (0, "heun", 2, -0.1),
        (7, "ipndm", 2, -0.1),
    ):
        add(
            run,
            sampler,
            influence=1 + shift + (shared if seed == 0 else latents(9)) + 0.3 * latents(own),
            seed=seed,
        )
    verdicts = {
        line.sampler.partition(" ")[0]: line.verdict
        for line in compare_with(run.path, "euler").lines
    }
    assert verdicts == {"heun": "better", "ipndm": "inconclusive"}


def test_terminal_shows_every_line_within_80_columns(pair):
    console = Console(width=80, file=io.StringIO())
    print_comparison(compare(*pair), console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for words in (
        "worse",
        "equivalent",
        "inconclusive",
        "×1.2",
        "1 unpaired",
        "Not compared: gmm-2d: ddpm at 10",
    ):
        assert words in " ".join(text.split())


def test_print_comparison__names_and_numbers_stay_whole_in_a_narrow_terminal(pair):
    console = Console(width=30, file=io.StringIO())
    print_comparison(compare(*pair), console)
    words = console.file.getvalue().split()
    assert {"sampler", "NFE", "heun", "euler", "equivalent", "×1.2"} <= {*words}


def test_print_tuning__numbers_stay_whole_in_a_narrow_terminal():
    tuning = Tuning(123_456, 234_567, 64, 12.5, 0.25, "other", 0.125, 0.0625)
    sides = {"baseline": "heun", "baseline_tuning": None, "sampler": "x=[b]", "tuning": tuning}
    console = Console(width=30, file=io.StringIO())
    print_tuning([SimpleNamespace(model="m", budget=10, **sides)], console)
    words = console.file.getvalue().split()
    assert {"x=[b]", "10", "123,456", "234,567", "+25%", "0.0625", "0.125"} <= {*words}


@pytest.mark.parametrize("later", [0, 50])
def test_matching__work_is_in_proportion_to_the_rows(monkeypatch, later):
    def rows(sampler, first):
        names = {"sampler": sampler, "curve": sampler, "schedule": "own", "slot": 10}
        return [Entry({**names, "seed": seed}) for seed in range(first, first + 50)]

    looked_at = []
    texts = pairing._column_texts
    monkeypatch.setattr(pairing, "_column_texts", lambda *x: looked_at.append(x) or texts(*x))
    matched = pairing.match_cells(rows("euler", 0), rows("euler", later)[::-1])
    found = pairing.match_with_sampler(rows("euler", 0) + rows("heun", 0), "euler")
    assert len(matched.pairs) == (0 if later else 50)
    for pair in (*matched.pairs, *found.pairs):
        assert pair.baseline.record["seed"] == pair.candidate.record["seed"]
    assert len(looked_at) < 1000


def test_a_table_in_memory_is_compared_too(tmp_path):
    run = make_run(tmp_path / "run")
    for budget in (5, 10):
        for name, shift in (("euler", 1.0), ("heun", 0.0)):
            add(run, name, influence=shift + latents(), budget=budget)
    table = load(run.path).where(budget=5)
    (line,) = compare_with(table, "euler").lines
    assert (line.sampler, line.budget, line.paired) == ("heun", 5, 0)
    assert line.difference == compare_with(run.path, "euler").lines[0].difference
