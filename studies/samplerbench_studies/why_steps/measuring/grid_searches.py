"""Minimisation of an error over free parameters within a budget of evaluations.

Searches use values of the error, descents its gradient.
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
"""Half-width of the box of searches around the start. Neighbouring steps in log sigma can then
differ by a factor of 7.
"""
NEAR = 0.3
"""Half-width of the box for coefficients, and length of the first step of all local methods."""
RATE = 0.05
"""Learning rate of Adam, which falls to 0 along half a cosine."""
SHIFT = 1e-3
"""Change of a parameter for a gradient by differences."""
_FINEST = 1e-4


class SpentError(Exception):
    """Error: no evaluations are left."""


@dataclass(eq=False)
class Trial:
    """Error as a function of free parameters, until the evaluations are spent.

    Attributes:
        descent: function that returns value and gradient.
        budget: evaluations of the model per latent; the last call may exceed it.
        history: for every new best, the cost so far, the value (a logarithm) and the parameters.
    """

    descent: Unrolled
    budget: int
    history: list[tuple[float, float, FloatArray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._before = self.descent.problem.meter.rows

    @property
    def spent(self) -> float:
        """Evaluations per latent so far; a backward pass counts as two."""
        problem = self.descent.problem
        return (problem.meter.rows - self._before) / len(problem.ids)

    def value(self, z: NDArray[np.float64]) -> float:
        """Return the logarithm of the error."""
        self._check()
        found = self.descent
        distances = found.problem.distances(found.free.sampler_at(z), found.free.grid(z))
        return self._seen(float(np.log(power_mean(distances, found.power))), z)

    def slope(self, z: NDArray[np.float64]) -> tuple[float, FloatArray]:
        """Return the logarithm of the error, and its gradient."""
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
    """Try the start, then uniform draws from the box."""
    rng, z = np.random.default_rng(seed), np.zeros(trial.descent.free.size)
    while True:
        trial.value(z)
        z = rng.uniform(-BOX, BOX, len(z))


def by_coordinates(trial: Trial, seed: int) -> None:  # noqa: ARG001
    """Change one parameter after the other by a step, which is halved if none improves."""
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
    """Run L-BFGS-B with gradients by forward differences."""
    options = {"eps": SHIFT, "ftol": 1e-9, "maxfun": 10**6}
    minimize(trial.value, np.zeros(trial.descent.free.size), method="L-BFGS-B", options=options)


def by_optuna(trial: Trial, seed: int, *, way: str, reach: float = BOX) -> None:
    """Run Optuna's tree-structured Parzen estimator, or its CMA-ES (from the package cmaes).

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
    """Run L-BFGS-B with gradients through the sampler."""
    options = {"maxcor": 20, "ftol": 1e-9, "maxfun": 10**6}
    minimize(
        trial.slope, np.zeros(trial.descent.free.size), jac=True, method="L-BFGS-B", options=options
    )


def by_adam(trial: Trial, seed: int) -> None:  # noqa: ARG001
    """Run Adam (Kingma and Ba, arXiv:1412.6980, algorithm 1) with gradients through the sampler."""
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
"""Searches by name, which use values only."""
DESCENTS: dict[str, Method] = {"Adam": by_adam, "gradient": by_gradient}
"""Descents by name, which use gradients."""
OPTUNA = ("TPE", "CMA-ES")
"""Searches that need the extra ``tune``."""


def available() -> dict[str, Method]:
    """Return the installed methods by name."""
    there = all(find_spec(name) for name in ("optuna", "cmaes"))
    return {
        name: method
        for name, method in (SEARCHES | DESCENTS).items()
        if there or name not in OPTUNA
    }


def searched(method: Method, trial: Trial, seed: int) -> None:
    """Run a method until the evaluations are spent or it stops."""
    try:
        method(trial, seed)
    except SpentError:
        return
