"""Rule that doubles the steps of a reference solution."""

import numpy as np
import pytest

from samplerbench.benchmarks.scoring.converged_endpoints import ODE, solve_by_doubling


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("dtype", "steps"), [("float64", 1024), ("float32", 512)])
def test_solve_by_doubling__the_unit_of_the_data_does_not_matter(unit, dtype, steps):
    """The margin of rounding was 1e-5 whatever the unit and dtype: 50 times an error in unit 1e-3."""
    x = np.random.default_rng(0).normal(size=(50, 4))

    def solve(n):
        return (unit * (x + 2 / n**2)).astype(dtype)

    exact = (unit * x).astype(dtype)
    found = solve_by_doubling(solve, [exact], ODE, ODE.first)
    assert found.steps == steps
    assert found.resolution < 2e-5 * unit


def test_solve_by_doubling__a_reference_in_half_precision_ends_too():
    """Of a model whose own dtype is float16."""
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float16)
    assert solve_by_doubling(lambda _: x, [x + np.float16(1)], ODE, ODE.first).steps == 128
