"""Claims of page, Markdown and terminal against verdicts, of committed runs and random tables."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rendered_claims import check_page, judge

from samplerbench.results.report.build import write_report
from samplerbench.results.result_table import ResultTable, load

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
RUNS = ("quick", "full-exact", "fashion-ranking", "heun-5000", "fairness")


@pytest.mark.parametrize("name", RUNS)
def test_nothing_is_claimed_of_the_committed_runs_without_a_verdict(name):
    path = REFERENCE / name
    check_page(path, load(path))


def test_the_page_of_the_ranking_speaks_of_the_distance_to_converged_samples(tmp_path):
    path = REFERENCE / "fashion-ranking"
    page = write_report(path, tmp_path)
    said = page.read_text()
    assert "FD to converged <small>[95 %]" in said
    assert "FID proxy <small>[95 %]" not in said
    assert "Lowest FD to converged: auto" in page.with_name("table.md").read_text()
    assert "against Euler at the same budget, by fd_conv" in said
    assert "use dpmpp_2m_sde" not in said
    assert {line.metric for line in judge(path, "euler").lines} == {"fd_conv"}


VALUE = st.sampled_from([-0.1, 0.0, 0.5, 1.0, 1.002, 1.1, 2.0, 5.0, 20.0, 21.0, 300.0])
ERROR = st.sampled_from([None, 0.0, 0.001, 0.01, 0.2, 3.0])


@st.composite
def tables(draw):
    """A run: one or two models, some samplers at some budgets, and everything that can speak
    against a verdict.
    """
    rows = []
    used = draw(st.lists(st.sampled_from([1, 5, 10, 20]), min_size=1, max_size=3, unique=True))
    samplers = draw(
        st.lists(
            st.sampled_from(["euler", "heun", "ddim", "ipndm"]), min_size=1, max_size=4, unique=True
        )
    )
    conv, ruled, flags = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    for model in draw(st.sampled_from([("m",), ("m", "n")])):
        for sampler in samplers:
            for budget in used:
                fid, se, ms = draw(VALUE), draw(ERROR), draw(st.sampled_from([None, 1.0, 1.1, 4.0]))
                row = {
                    "model": model,
                    "sampler": sampler,
                    "schedule": "karras",
                    "steps": budget,
                    "budget": budget,
                    "nfe": float(budget),
                    "seed": 0,
                    "samples": 100,
                    "status": draw(st.sampled_from(["ok"] * 9 + ["failed"])),
                    "estimator": "e",
                    "fid_proxy": fid,
                    "fid_proxy_se": se,
                    "fid_proxy_floor": 0.9,
                    "fid_proxy_floor_se": 0.01,
                    "cell": f"{model}{sampler}{budget}",
                    "dominated": draw(st.booleans()) if ruled else None,
                    "fid_flag": draw(st.sampled_from(["", "few"])) if flags else "",
                    "ms_per_sample": ms,
                    "ms_low": ms and ms - 0.1,
                    "ms_high": ms and ms + 0.1,
                }
                if se is not None and draw(st.booleans()):
                    row |= {
                        "fid_proxy_low": max(fid - se, 0.0),
                        "fid_proxy_high": max(fid + 4 * se, 0.0),
                    }
                if conv:
                    row |= {"fd_conv": draw(VALUE), "fd_conv_se": draw(ERROR)}
                    row |= {"fd_conv_flag": draw(st.sampled_from(["", "few"])) if flags else ""}
                rows.append(row)
    return ResultTable.of(rows)


@pytest.mark.slow
@settings(
    derandomize=True,
    deadline=None,
    max_examples=25,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(tables())
def test_nothing_is_claimed_of_random_tables_without_a_verdict(tmp_path, table):
    path = tmp_path / "table.csv"
    table.to_csv(path)
    check_page(path, load(path))
