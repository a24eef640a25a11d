"""W11: a cell has the same numbers, to the last bit, whatever was asked for before."""

import pytest
from small_runs import numbers, row, run

SMALL = {"samplers": ["euler", "rk23"], "tolerances": [1e-2], "reference_samples": 8, "keep": 0}
"""An adaptive sampler, whose number of evaluations is a mean over batches, beside one on a grid."""


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gmm-2d", "gmm-64d"])
def test_the_numbers_do_not_depend_on_what_was_asked_for_before(tmp_path, model):
    """Extended in steps, or more asked first: a last shard with few rows turned all of them to
    half precision, and moved the rest.
    """
    samplers = ["euler", "rk23"] if model == "gmm-2d" else ["euler"]
    asked = {**SMALL, "models": [model], "samplers": samplers}
    fresh = numbers(run(tmp_path / "fresh", **asked, samples=560))
    for samples in (100, 520, 560):
        stepped = run(tmp_path / "stepped", **asked, samples=samples)
    assert numbers(stepped) == fresh
    first = run(tmp_path / "shrunk", **asked, samples=1100)
    assert row(first, sampler="euler")["samples"] == 1100
    shrunk = run(tmp_path / "shrunk", **asked, samples=560)
    assert numbers(shrunk) == fresh
    assert numbers(run(tmp_path / "shrunk", **asked, samples=1100)) == numbers(first)
