"""What a metric may be and give, which are measured again, and which are refused, in this process."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from quiet_runs import quiet_run, quiet_setup
from remembered import remembered  # noqa: F401

from samplerbench.benchmarks.cli.views import rankable_columns
from samplerbench.benchmarks.metrics import Measured, metric, metrics
from samplerbench.benchmarks.scoring import versions
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results import quantities
from samplerbench.results.columns import Column
from samplerbench.results.quantities import Floor, Quantity
from samplerbench.results.quantities.built_in import ENERGY
from samplerbench.results.result_table import load

PACKAGE = "samplerbench.benchmarks.metrics"
metric_module = importlib.import_module(f"{PACKAGE}.metric")


@pytest.fixture
def registry(monkeypatch):
    """The metrics as they were, at the end."""
    monkeypatch.setattr(metric_module, "_METRICS", dict(metrics()))
    monkeypatch.setattr(quantities, "_OWNED", dict(quantities._OWNED))
    return metric_module._METRICS


def counted(registry, monkeypatch):
    """How often each metric is asked from now on."""
    calls = dict.fromkeys(registry, 0)

    def counting(found):
        def measure(cell):
            calls[found.name] += 1
            return found.measure(cell)

        measure.__module__ = found.measure.__module__
        return measure

    for name, found in registry.items():
        monkeypatch.setitem(registry, name, replace(found, measure=counting(found)))
    return calls


SUITE = {
    "name": "t", "models": ["gmm-2d"], "samplers": ["euler", "heun"], "nfe": [3], "samples": 64,
    "reference_samples": 16, "converged_samples": 64, "timing": {"enabled": False},
}  # fmt: skip


def run(out, **changes):
    suite = check_suite(SUITE | changes, "t")
    return quiet_run(suite, out).frame


def test_an_unknown_metric_is_refused_before_anything_is_sampled(tmp_path):
    suite = {
        "name": "t",
        "models": ["gmm-2d"],
        "samplers": ["euler"],
        "nfe": [3],
        "metrics": ["kdi"],
    }
    with pytest.raises(ValueError, match="unknown metric 'kdi'; did you mean kid"):
        quiet_setup(check_suite(suite, "t"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_kid_of_another_version_does_not_score_the_frechet_distance_again(
    tmp_path, registry, monkeypatch
):
    calls = counted(registry, monkeypatch)
    before = run(tmp_path)
    assert calls["frechet"] == calls["kid"] == calls["energy"] == 2
    run(tmp_path)
    assert calls["frechet"] == calls["kid"] == 2
    monkeypatch.setitem(
        registry, "kid", replace(registry["kid"], version=registry["kid"].version + 1)
    )
    after = run(tmp_path)
    assert calls == {name: (4 if name == "kid" else count) for name, count in calls.items()}
    assert calls["frechet"] == 2
    pd.testing.assert_frame_equal(before, after)


def test_metrics_that_are_not_asked_for_are_not_measured_and_join_later(
    tmp_path, registry, monkeypatch
):
    calls = counted(registry, monkeypatch)
    rows = run(tmp_path, metrics=["kid"])
    assert calls == {name: (2 if name == "kid" else 0) for name in calls}
    assert rows["kid"].notna().all()
    assert rows["fid_proxy"].isna().all()
    rows = run(tmp_path)
    assert calls["kid"] == calls["frechet"] == 2
    assert rows["fid_proxy"].notna().all()


def a_metric(name="other", needs=frozenset(), **about):
    """A metric with one quantity, defined here."""
    found = Quantity(**{"name": name, "meaning": "x"} | about)
    return metric(name, version=1, needs=needs, quantities=(found,))


def COLUMN(name):  # noqa: N802 - it makes what a constant would be
    return (Column(name, "number", ""),)


def constant(cell):
    return Measured({})


def leaving(cell):
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("measure", "needs", "words"),
    [
        (leaving, (), "SystemExit: 3"),
        (
            lambda cell: {"other": 1.0},
            (),
            "gives a dict; let it return Measured(columns, influence)",
        ),
        (lambda cell: Measured({"othr": 1.0}), (), "gives 'othr', which is none of its columns"),
        (
            lambda cell: Measured({"other": "high"}),
            (),
            "column other holds 'high', which is no number",
        ),
        (
            lambda cell: Measured({"other": cell.training}),
            (),
            "must say that it needs 'training set'",
        ),
        (
            lambda cell: Measured({}, {"other": np.ones((64, 1))}),
            (),
            "'other' have the shape (64, 1)",
        ),
        (lambda cell: Measured({}, {"other": np.full(64, np.nan)}), (), "a finite number for each"),
        (lambda cell: Measured({"other": np.float32(1.5)}, {"other": np.ones(64, int)}), (), ""),
        (lambda cell: Measured({"other": np.array(1.5)}), (), ""),
        (lambda cell: Measured({"other": 1 / 0}), {"labels"}, None),
    ],
)
def test_what_a_metric_may_give(tmp_path, registry, measure, needs, words):
    a_metric(needs=needs, error="se", influence="other")(measure)
    (row,) = run(tmp_path, samplers=["euler"]).to_dict("records")
    assert row["status"] == "ok"
    assert row["energy"] > 0
    if words:
        assert row["reason"].startswith("metric other: ")
        assert words in row["reason"]
    else:
        assert pd.isna(row["reason"])
        assert row["other"] == 1.5 if words == "" else pd.isna(row["other"])


def another(cell):
    return Measured({})


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: a_metric("a b"), "a metric needs a name of letters, digits and _, got 'a b'"),
        (lambda: a_metric(needs={"labls"}), "metric other needs 'labls'; choose from features, samples"),
        (lambda: a_metric(influence="kid", error="se"), "wants the column or array 'kid', which metric kid"),
        (lambda: a_metric("kid"), "two metrics are called 'kid': samplerbench.benchmarks.metrics.kernel."),
        (lambda: a_metric(beside=COLUMN("swd_floor")), "the column or array 'swd_floor', which metric swd"),
        (lambda: a_metric(beside=COLUMN("status")), "the column or array 'status', which every row has"),
        (lambda: a_metric(beside=COLUMN("a,b")), "metric other has a column 'a,b'; name it with ASCII letters"),
        (lambda: a_metric(influence="other"), "quantity 'other' has influence values, so verdicts are about"),
        (lambda: a_metric(flag="why"), "quantity other speaks of 'why', which is no column; put it beside"),
        (lambda: a_metric(floor=Floor(column="ground", meaning="x")), "speaks of 'ground', which is no c"),
        (lambda: metric("other", version=1, needs=(), quantities=(ENERGY,)), "which metric energy has"),
        (lambda: metric("other", version=1, needs=(), quantities=(Quantity(name="b", meaning=""),) * 2),
         "wants the column or array 'b', which another quantity of metric other has"),
    ],
)  # fmt: skip
def test_what_no_metric_can_be_is_one_sentence(registry, make, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared
        make()(constant)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "other" not in metrics()
    assert not [q for q in quantities.quantities() if q.name == "other"]


def test_every_file_of_the_folder_is_imported():
    folder = Path(metric_module.__file__).parent
    known = {name.rpartition(".")[2] for name in sys.modules if name.startswith(PACKAGE)}
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} <= known


def test_a_metric_of_this_package_lists_its_quantities_where_reports_find_them(
    registry, monkeypatch
):
    monkeypatch.setattr(constant, "__module__", f"{PACKAGE}.constant")
    with pytest.raises(ValueError, match=r"list its quantities in results/quantities/built_in\.py"):
        a_metric("other")(constant)
    assert "other" not in metrics()


def test_a_cell_that_is_run_again_in_a_notebook_replaces_its_metric(registry):
    first = a_metric("other")(constant)
    second = a_metric("other", error="se")(constant)
    assert metrics()["other"] is second
    assert [q.error for q in quantities.quantities() if q.name == "other"] == ["se"]
    with pytest.raises(
        ValueError, match=r"two metrics are called 'other': .*\.constant " r"and .*\.another"
    ):
        a_metric("other")(another)
    version = versions.version_of(first)
    assert version.startswith(f"1 of {Path(__file__).name}, code ")
    assert "unknown" not in version


@pytest.mark.usefixtures("registry", "remembered")
def test_an_edit_of_a_metrics_file_does_not_draw_the_samples_again(tmp_path, monkeypatch, caplog):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "edited_metric.py"
    file.write_text(
        "from samplerbench.benchmarks.metrics import Measured, metric\n"
        "from samplerbench.results.quantities import Quantity\n"
        "VALUES = Quantity(name='edited', meaning='x')\n"
        "@metric('edited', version=1, needs={'samples'}, quantities=(VALUES,))\n"
        "def edited(cell):\n    return Measured({'edited': 1.0})\n"
    )
    module = importlib.import_module("edited_metric")
    monkeypatch.setitem(sys.modules, "edited_metric", module)
    run(tmp_path / "run")
    file.write_text(file.read_text().replace("1.0", "2.25"))
    importlib.reload(module)
    assert (run(tmp_path / "run")["edited"] == 2.25).all()
    assert "set aside" not in caplog.text


@pytest.mark.usefixtures("registry", "remembered")
def test_show_ranks_by_a_metric_without_a_standard_error(tmp_path):
    measured = Quantity(name="bounded", meaning="x", error="ends")
    ends = {"bounded": 1.0, "bounded_low": 0.5, "bounded_high": 2.0}
    metric("bounded", version=1, needs=set(), quantities=(measured,))(lambda _: Measured(ends))
    run(tmp_path, nfe=[3])
    assert "bounded" in rankable_columns(load(tmp_path))
