"""A first step that shares the evaluation of the second: what the corrected coefficients must
add up to.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import NoNoise, SampleNoise, karras, make

LATENTS = 80.0 * SampleNoise(0, torch.arange(16), (2,), torch.float64).initial()
FAR = {"analytic_first": True, "through_zero": True}


class Constant:
    """A denoiser that always says the same: one datum."""

    def __init__(self, d: float) -> None:
        self.d = d

    def __call__(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        return torch.full_like(x, self.d)


def by_hand(method, denoise, x0, grid):
    """The definition, step by step: the second evaluation's d in the first step and in its memo."""
    first, *rows = method.plan(grid)
    s0, s1 = grid.sigma[:2]
    d = first.gain * x0
    d = denoise(first.a * x0 + first.b[0] * (first.p * x0 + first.q * d), s1)
    x, memos = s1 / s0 * x0 + (1 - s1 / s0) * d, [first.p * x0 + first.q * d]
    for i, row in enumerate(rows):
        memos.insert(0, row.p * x + row.q * (d if i == 0 else denoise(x, row.sigma)))
        x = row.a * x + sum(b * m for b, m in zip(row.b, memos, strict=False))
    return x


@pytest.mark.parametrize("points", [2, 3, 4])
@given(n=st.integers(2, 12))
@settings(deadline=None, max_examples=8)
def test_the_coefficients_are_the_definition(points, n):
    grid, problem = karras(n, 0.02, 80.0), ThreeModes()
    plain = make({"name": f"warped_ab_{points}", **FAR})
    deferred = make({"name": f"warped_ab_{points}", **FAR, "deferred": True})
    got = deferred.sample(problem, LATENTS, grid, NoNoise())
    torch.testing.assert_close(got, by_hand(plain, problem, LATENTS, grid), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("datum", [0.0, -0.5, 3.0])
def test_one_datum_wherever_it_lies_is_reached_exactly(datum):
    """The analytic step alone supposes data about zero, and ends off by its error."""
    grid = karras(6, 0.02, 80.0)
    ends = {
        deferred: make({"name": "warped_ab_4", **FAR, "deferred": deferred}).sample(
            Constant(datum), LATENTS, grid, NoNoise()
        )
        for deferred in (False, True)
    }
    assert float((ends[True] - datum).abs().max()) < 1e-9
    assert float((ends[False] - datum).abs().max()) > 1e-4


def test_it_costs_one_evaluation_less_than_there_are_steps():
    grid, asked = karras(5, 0.02, 80.0), []

    def counted(x, sigma):
        asked.append(sigma)
        return Constant(0.0)(x, sigma)

    method = make({"name": "warped_ab_4", **FAR, "deferred": True})
    method.sample(counted, LATENTS, grid, NoNoise())
    assert asked == list(grid.sigma[1:-1])
    assert method.nfe(grid) == len(asked)


def test_it_is_about_the_analytic_step():
    with pytest.raises(ValueError, match="set analytic_first too"):
        make({"name": "warped_ab_4", "deferred": True})
