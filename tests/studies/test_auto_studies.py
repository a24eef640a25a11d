"""Studies of auto: its spread over probes, and its search in the account."""

import math

import pytest

from samplerbench_studies import probe_spread
from samplerbench_studies.search_cost import Found, table


def test_found__the_search_is_shared_out_over_the_samples():
    """Others whose error is 1 / n: with as much for the search as for the samples, auto is at 2 n."""
    found = Found({10: (0.05, 1000)}, {n: 1 / n for n in (5, 10, 20, 40)})
    assert found.ratio(10, math.inf) == pytest.approx(0.5)
    assert found.ratio(10, 100) == pytest.approx(1.0)
    assert math.isnan(found.ratio(10, 10))
    assert "| x | 1,000 | 0.55 |" in table({"x": found})


@pytest.mark.slow
def test_study__goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("samplerbench.samplers.auto.search.GENERATIONS", 2)
    monkeypatch.setattr(probe_spread, "SAMPLES", 64)
    out = tmp_path / "spread.csv"
    first = list(probe_spread.study(out, ["gmm-2d"], [4], 1, None))
    both = list(probe_spread.study(out, ["gmm-2d"], [4], 2, None))
    assert [row["probe"] for row in first + both] == [0, 1]
    rows = probe_spread.read(out)
    assert rows[0]["rule"] != rows[1]["rule"]
    assert "| gmm-2d | 4 | 2 |" in probe_spread.summary(rows)
