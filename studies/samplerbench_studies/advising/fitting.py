"""Comparison of two ways to fit coefficients to a model: least squares and gradient descent.

    python -m samplerbench_studies.advising.fitting --model fashion --nfe 6,10

Both start from the coefficients of ``auto`` and use the same latents; least squares hold some of
them out to choose the step. The error is the geometric mean of distances on 256 other latents.
Evaluations are counted, a backward pass as two.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from samplerbench.benchmarks.advice import make_request, resolve_levels
from samplerbench.benchmarks.planning import Pilot, default_cache
from samplerbench.benchmarks.tuning import (
    OBJECTIVES,
    TEST_IDS,
    TRAIN_IDS,
    FreeParameters,
    Runs,
    TuningProblem,
    fit,
    power_mean,
    tuning_problem,
)
from samplerbench.samplers import Grid, Sampler, karras, make

from ..gradient import Unrolled

EQUATIONS, CHOOSING = 64, 32
"""Numbers of latents to fit to and to choose the size of a step by, as in ``advise``."""
WHOLE, OLDER = 12, 4
"""With more than ``WHOLE`` steps, only ``OLDER`` weights of earlier steps are free in each step."""
GRADIENTS = (30, 120)
TESTED = 256


class Row(NamedTuple):
    """Error and cost of one way to fit coefficients.

    Attributes:
        way: name of the way.
        evaluations: evaluations of the fit per latent.
        fitted: error on the latents of the fit.
        tested: error on other latents.
        seconds: wall time of the fit.
    """

    way: str
    evaluations: float
    fitted: float
    tested: float
    seconds: float


def rows_of(
    train: TuningProblem, test: TuningProblem, sampler: Sampler, grid: Grid
) -> Iterator[Row]:
    """Yield the row of ``sampler`` itself, and a row for each way to fit it."""

    def error(problem: TuningProblem, made: Sampler, levels: Grid) -> float:
        return power_mean(problem.distances(made, levels), OBJECTIVES["geometric"])

    yield Row("auto", 0, error(train, sampler, grid), error(test, sampler, grid), 0)
    model = train.model

    x = torch.cat([states for _, states in train.batches])
    runs = Runs(model, train.ids, train.seed, x, train.endpoints, len(x))
    begun, before = time.perf_counter(), train.meter.rows
    older = None if len(grid) <= WHOLE else OLDER
    free = FreeParameters(sampler, grid, model.sigma_min, model.sigma_max, "coefficients", older)
    found = fit(free, runs.differences_from_ends, EQUATIONS)
    yield Row(
        "least squares",
        (train.meter.rows - before) / len(train.ids),
        error(train, found.sampler, found.grid),
        error(test, found.sampler, found.grid),
        time.perf_counter() - begun,
    )
    for gradients in GRADIENTS:
        begun, before = time.perf_counter(), train.meter.rows
        descent = Unrolled(train, sampler, grid, OBJECTIVES["geometric"], "coefficients")
        _, z = minimise_by_lbfgs(descent, gradients)
        yield Row(
            f"{gradients} gradients",
            (train.meter.rows - before) / len(train.ids),
            error(train, descent.free.sampler_at(z), grid),
            error(test, descent.free.sampler_at(z), grid),
            time.perf_counter() - begun,
        )


def minimise_by_lbfgs(descent: Unrolled, gradients: int) -> tuple[float, NDArray[np.float64]]:
    """Return the smallest value that L-BFGS-B found from 0, and its argument."""
    seen: list[tuple[float, NDArray[np.float64]]] = []

    def watched(z: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = descent(z)
        seen.append((value, z.copy()))
        return value, slope

    options = {"maxcor": 20, "maxfun": gradients, "maxiter": gradients, "ftol": 1e-6}
    minimize(watched, np.zeros(descent.free.size), jac=True, method="L-BFGS-B", options=options)
    return min(seen, key=lambda pair: pair[0])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="as run takes it")
    parser.add_argument("--nfe", default="6,10", help="budgets")
    args = parser.parse_args()
    model = make_request(args.model, "cpu", 0, "card", ()).model
    train = tuning_problem(model, TRAIN_IDS, EQUATIONS + CHOOSING, 0)
    test = tuning_problem(model, TEST_IDS, TESTED, 0)
    print("| evaluations | way | evaluations a latent | error | on other latents | of auto's | s |")
    print("|---|---|---|---|---|---|---|")
    for budget in (int(text) for text in args.nfe.split(",")):
        grid = karras(budget // model.passes, model.sigma_min, model.sigma_max)
        with torch.no_grad():
            auto = Pilot(model, default_cache(), "cpu").fitted(make("auto"), grid)
            sampler, levels = resolve_levels(auto, grid)
            for problem in (train, test):
                problem.converge_endpoints((sampler, levels))
        own = 0.0
        for row in rows_of(train, test, sampler, levels):
            own = own or row.tested
            print(
                f"| {budget} | {row.way} | {row.evaluations:.0f} | {row.fitted:.3g} | {row.tested:.3g} | "
                f"{row.tested / own:.2f} | {row.seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
