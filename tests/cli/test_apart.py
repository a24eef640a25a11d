"""What is said of where the model's error dominates, and what is left out if not measured."""

import pytest

from samplerbench.benchmarks.cli.results import print_errors
from samplerbench.results.result_table import ResultTable

ROW = {
    "model": "m",
    "sampler": "euler",
    "budget": 5,
    "nfe": 5.0,
    "fd_conv": 1.0,
    "end": "zero",
    "status": "ok",
}
MEASURED = {"estimator": "e", "fid_proxy_converged": 0.5, "fid_proxy_converged_se": 0.1}


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, None),  # a model without a reference
        ({"estimator": "e"}, None),  # an older table
        (MEASURED, "The converged samples are too few"),
        (
            {**MEASURED, "dominated": True},
            "The model's error dominates the lead in a ranking by fid_proxy from 5 evaluations on",
        ),
    ],
)
def test_the_reason_is_the_right_one_or_none(capsys, known, said):
    print_errors(ResultTable.of([{**ROW, **known}]), {})
    printed = " ".join(capsys.readouterr().out.split())
    assert (said or "euler") in printed
    assert ("too few" in printed) == (said is not None and "too few" in said)
    assert ("dominates" in printed) == (said is not None)
