"""The guide for metrics: its code runs, and what it says of files, needs and columns is so."""

import importlib
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from scipy import stats

from samplerbench.benchmarks import run
from samplerbench.benchmarks.metrics import metrics
from samplerbench.results import quantities
from samplerbench.results.comparison.compare import compare_with

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "adding-a-metric.md").read_text(
    encoding="utf-8"
)
METRIC = importlib.import_module("samplerbench.benchmarks.metrics.metric")


@pytest.fixture
def guide(monkeypatch):
    """What the guide's code defines, until the end of the test."""
    monkeypatch.setattr(METRIC, "_METRICS", dict(metrics()))
    monkeypatch.setattr(quantities, "_OWNED", dict(quantities._OWNED))
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    made = {"__name__": "guide"}
    exec(code, made)
    return made


class OfSamples:
    """A cell whose samples are its features, and whose truth is standard normal."""

    def __init__(self, features):
        self.features = features
        self.reference = type("Reference", (), {"mean": np.zeros(features.shape[1])})


@pytest.mark.parametrize("shift", [0.4, 2.0])
def test_its_metric_is_unbiased_with_the_error_that_it_says(guide, shift):
    rng = np.random.default_rng(0)
    found = [guide["offset"](OfSamples(rng.standard_normal((80, 3)) + shift)) for _ in range(400)]
    values, errors = (
        np.array([one.columns[name] for one in found]) for name in ("offset", "offset_se")
    )
    assert stats.ttest_1samp(values, 3 * shift**2).pvalue > 1e-3
    assert 0.85 < np.sqrt(np.mean(errors**2)) / values.std(ddof=1) < 1.15


def test_its_metric_is_in_the_table_and_in_verdicts(guide, tmp_path):
    suite = {
        "models": ["gmm-2d"],
        "samplers": ["euler", "heun"],
        "nfe": [9],
        "samples": 64,
        "reference_samples": 8,
    }
    suite |= {"converged_samples": 64, "timing": {"enabled": False}}
    table = run(suite, tmp_path / "run", device="cpu")
    assert table.frame[["offset", "offset_se"]].notna().all().all()
    (line,) = compare_with(tmp_path / "run", "heun", metrics=["offset"]).lines
    assert line.paired == 64


def test_the_needs_of_the_page_are_those_there_are():
    (sentence,) = re.findall(r"say what must be there: (.*?)\. Otherwise", PAGE, re.DOTALL)
    assert re.findall(r"`([^`]+)`", sentence) == list(get_args(METRIC.Need))
