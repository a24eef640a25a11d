"""Ways to find free numbers that make an error small: searches that see its value, and descents that
see its gradient; each may spend so many evaluations.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from samplerbench.benchmarks.tuning import power_mean

from ...arrays import FloatArray
from ...gradient import Unrolled

BOX = 2.0
"""Searches look between minus and plus this around the start: steps in log sigma up to 7 times longer
or shorter beside each other.
"""
NEAR = 0.3
"""The same for coefficients, and the length of the first steps of all local methods."""
RATE = 0.05
"""Of Adam, falling to nothing along half a cosine."""
SHIFT = 1e-3
"""Of a number, for a slope by differences."""
_FINEST = 1e-4


class SpentError(Exception):
    """No evaluations are left."""


@dataclass(eq=False)
class Trial:
    """An error as a function of free numbers, until the evaluations are spent.

    Attributes:
        descent: gives values and gradients at the numbers.
        budget: evaluations of the model a latent; the last call may go beyond it.
        history: of every new best its cost so far, its value (a logarithm), and the numbers.
    """

    descent: Unrolled
    budget: int
    history: list[tuple[float, float, FloatArray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._before = self.descent.problem.meter.rows

    @property
    def spent(self) -> float:
        """Evaluations a latent so far; a backward pass counts as two."""
        problem = self.descent.problem
        return (problem.meter.rows - self._before) / len(problem.ids)

    def value(self, z: NDArray[np.float64]) -> float:
        """The logarithm of the error."""
        self._check()
        found = self.descent
        distances = found.problem.distances(found.free.sampler_at(z), found.free.grid(z))
        return self._seen(float(np.log(power_mean(distances, found.power))), z)

    def slope(self, z: NDArray[np.float64]) -> tuple[float, FloatArray]:
        """The same, with its gradient."""
        self._check()
        value, slope = self.descent(z)
        return self._seen(value, z), slope

    def _check(self) -> None:
        if self.spent >= self.budget:
            raise SpentError

    def _seen(self, value: float, z: NDArray[np.float64]) -> float:
        if not self.history or value < self.history[-1][1]:
            self.history.append((self.spent, value, np.array(z, float)))
        return value


def at_random(trial: Trial, seed: int) -> None:
    """Uniformly from the box, after the start."""
    rng, z = np.random.default_rng(seed), np.zeros(trial.descent.free.size)
    while True:
        trial.value(z)
        z = rng.uniform(-BOX, BOX, len(z))


def by_coordinates(trial: Trial, seed: int) -> None:  # noqa: ARG001
    """One number after the other, up or down by a step that is halved when none gains."""
    z, step = np.zeros(trial.descent.free.size), NEAR
    best = trial.value(z)
    while step > _FINEST:
        before = best
        for k in range(len(z)):
            for sign in (1, -1):
                moved = z + sign * step * np.eye(len(z))[k]
                value = trial.value(moved)
                if value < best:
                    z, best = moved, value
                    break
        step = step if best < before else step / 2


def by_differences(trial: Trial, seed: int) -> None:  # noqa: ARG001
    """L-BFGS-B, with slopes by forward differences."""
    options = {"eps": SHIFT, "ftol": 1e-9, "maxfun": 10**6}
    minimize(trial.value, np.zeros(trial.descent.free.size), method="L-BFGS-B", options=options)


def by_optuna(trial: Trial, seed: int, *, way: str, reach: float = BOX) -> None:
    """Optuna's tree-structured Parzen estimator, or its CMA-ES (from the package cmaes).

    The start is its first trial.
    """
    import optuna  # pyright: ignore[reportMissingImports] - the extra tune

    optuna.logging.set_verbosity(logging.ERROR)
    names = [f"z{k}" for k in range(trial.descent.free.size)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a sampler is experimental
        sampler: Any = (
            optuna.samplers.TPESampler(seed=seed, multivariate=True)
            if way == "tpe"
            else optuna.samplers.CmaEsSampler(
                seed=seed, x0=dict.fromkeys(names, 0.0), sigma0=reach * NEAR
            )
        )
        study = optuna.create_study(sampler=sampler)
        study.enqueue_trial(dict.fromkeys(names, 0.0))
        study.optimize(
            lambda one: trial.value(
                np.array([one.suggest_float(name, -reach, reach) for name in names])
            ),
            n_trials=10**6,
        )


def by_gradient(trial: Trial, seed: int) -> None:  # noqa: ARG001
    """L-BFGS-B, with gradients through the sampler."""
    options = {"maxcor": 20, "ftol": 1e-9, "maxfun": 10**6}
    minimize(
        trial.slope, np.zeros(trial.descent.free.size), jac=True, method="L-BFGS-B", options=options
    )


def by_adam(trial: Trial, seed: int) -> None:  # noqa: ARG001
    """Adam (Kingma and Ba, arXiv:1412.6980, algorithm 1), with gradients through the sampler."""
    z = np.zeros(trial.descent.free.size)
    first, second, power = 0 * z, 0 * z, 0
    while True:
        _, slope = trial.slope(z)
        power += 1
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        rate = RATE * (1 + np.cos(np.pi * min(1.0, trial.spent / trial.budget))) / 2
        z = z - rate * (first / (1 - 0.9**power)) / (np.sqrt(second / (1 - 0.99**power)) + 1e-12)


Method = Callable[[Trial, int], None]
SEARCHES: dict[str, Method] = {
    "random": at_random,
    "coordinates": by_coordinates,
    "differences": by_differences,
    "TPE": partial(by_optuna, way="tpe"),
    "CMA-ES": partial(by_optuna, way="cma"),
}
"""They see values only."""
DESCENTS: dict[str, Method] = {"Adam": by_adam, "gradient": by_gradient}
"""They see gradients."""
OPTUNA = ("TPE", "CMA-ES")
"""Those that the extra ``tune`` brings."""


def available() -> dict[str, Method]:
    """The methods that are installed here."""
    there = all(find_spec(name) for name in ("optuna", "cmaes"))
    return {
        name: method
        for name, method in (SEARCHES | DESCENTS).items()
        if there or name not in OPTUNA
    }


def searched(method: Method, trial: Trial, seed: int) -> None:
    """Run a method until the evaluations are spent or it finds no more."""
    try:
        method(trial, seed)
    except SpentError:
        return
