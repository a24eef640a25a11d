"""Weak orders of stochastic exponential integrators, without drawing anything: on a Gaussian
and on a nonlinear problem.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch
from scipy.interpolate import make_interp_spline

from samplerbench.benchmarks.conformance.moments import exact_moments
from samplerbench.benchmarks.conformance.problems import AnisotropicGaussian
from samplerbench.samplers import karras, make, uniform_lambda
from samplerbench.samplers.methods.dpmpp_sde import DPMppSDE


@pytest.mark.parametrize(
    "spec",
    [
        "dpmpp_3m_sde",
        "seeds_3",
        "er_sde_3",
        {"name": "er_sde_3", "scale": "sde"},
        "sa_solver",
        {"name": "sa_solver", "tau_start": 100.0, "tau_end": 0.0},
    ],
    ids=str,
)
def test_third_order_methods_are_of_weak_order_two(spec):
    """On fine grids, exactly.

    Noise that is white in each step costs them the third order that they have without it.
    """
    problem, errors = AnisotropicGaussian(), []
    for n in (256, 512):
        grid = karras(n, 0.15, 3.0, to_zero=False)
        truth = problem.covariance + 0.15**2 * torch.eye(3, dtype=torch.float64)
        errors.append(float((exact_moments(make(spec), problem, grid).cov - truth).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)


class TwoModes:
    """Data in one dimension, sum_k w_k N(mu_k, v_k)."""

    w, mu, v = np.array([0.6, 0.4]), np.array([-1.0, 0.8]), np.array([0.09, 0.16])

    def __call__(self, x, sigma):
        x, total = x.numpy()[:, None], self.v + sigma**2
        logits = np.log(self.w) - 0.5 * np.log(total) - (x - self.mu) ** 2 / (2 * total)
        p = np.exp(logits - logits.max(1, keepdims=True))
        return torch.from_numpy((p * (self.v * x + sigma**2 * self.mu) / total).sum(1) / p.sum(1))

    def mean_of_wave(self, sigma):
        """E[cos 2x + sin 2x] at a level."""
        return float(
            (
                self.w
                * (np.cos(2 * self.mu) + np.sin(2 * self.mu))
                * np.exp(-2 * (self.v + sigma**2))
            ).sum()
        )


@dataclass(frozen=True, kw_only=True)
class Independent(DPMppSDE):
    """With a draw of its own for each of its overlapping intervals."""

    def plan(self, grid):
        return [self.row(cur, nxt) for cur, nxt in grid.intervals()]


def weak_error(sampler, n, order=8):
    """Error of E[cos 2x + sin 2x] after n steps, by quadrature over the noise of one step after
    another, the last one first.
    """
    data, x = TwoModes(), np.linspace(-12, 12, 600)
    grid = uniform_lambda(n, 0.3, 1.5, to_zero=False)
    z, w = np.polynomial.hermite_e.hermegauss(order)
    value = lambda y: np.cos(2 * y) + np.sin(2 * y)  # noqa: E731
    for row in sampler.plan(grid)[::-1]:
        draws = len(getattr(row, "spans", (0,)))
        zs = np.array(list(product(z, repeat=draws))).T
        ws = np.prod(np.array(list(product(w / w.sum(), repeat=draws))), axis=1)
        tiled = [torch.from_numpy(np.tile(one, len(x))) for one in zs]
        y, _ = sampler.step(
            torch.from_numpy(np.repeat(x, len(ws))), row, (), data, lambda m=0, t=tiled, **_: t[m]
        )
        value = make_interp_spline(x, value(y.numpy().clip(-12, 12)).reshape(len(x), -1) @ ws, k=5)
    z, w = np.polynomial.hermite_e.hermegauss(60)
    start = sum(
        p * (value(mu + math.sqrt(v + 1.5**2) * z) @ w) / w.sum()
        for p, mu, v in zip(data.w, data.mu, data.v, strict=True)
    )
    return abs(start - data.mean_of_wave(0.3))


@pytest.mark.parametrize(
    ("sampler", "order", "n"),
    [
        (make("seeds_1"), 1, 8),
        (make("er_sde_1"), 1, 8),
        (make("seeds_2"), 2, 8),
        (make("dpmpp_sde"), 2, 64),  # its error changes sign near 10 steps
        (Independent(), 1, 8),
    ],
    ids=lambda of: getattr(type(of), "__name__", of),
)
def test_weak_order_on_a_nonlinear_problem(sampler, order, n):
    """Correlated increments make dpmpp_sde and seeds_2 second order."""
    assert sampler.order == order or isinstance(sampler, Independent)
    found = math.log2(weak_error(sampler, n) / weak_error(sampler, 2 * n))
    assert found == pytest.approx(order, abs=0.3)
