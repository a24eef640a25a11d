r"""Distances that methods with scalar coefficients cannot fall below, or were found to reach.

    python -m samplerbench_studies.fitted.bound --models gmm-64d --nfe 4,5,6,8,10,15 \
        --out results/reference/fitted/bound.csv

With n evaluations, a method of this class ends at x_n = c x_0 + sum_j w_j d_j. Here x_0 is the latent,
and d_0 ... d_{n-1} are the denoised images of its own evaluations. The numbers c and w are scalars, the
same for all latents. Multistep methods, ``auto``, and solvers fitted by ``tune``, BNS, S4S,
NeuralSolver, DyWeight, DC-Solver and LD3 are in the class. Distances are RMS over the dimensions, to
the exact or converged endpoint e of the same latent. A row has them as root mean square over latents,
or as their median (column ``criterion``), for four runs:

    auto        with the rule that its search finds on other latents
    dpmpp_2m    on the best built-in schedule
    untuned     best of METHODS on built-in schedules; both are chosen on the measured latents
    oracle      table whose numbers are all fitted on the measured latents themselves

Each run has three columns. The second and the third keep the evaluations of the run:

    NAME             distance of the run
    NAME_shared      least distance found for one c and w for all latents
    NAME_per_sample  distance with the best c and w of each latent by itself

So NAME_per_sample <= NAME_shared <= NAME. Bounds and estimates among them:

*   ``per_sample`` is exact, by projection. It is a lower bound for every method that ends in a
    combination of *these* evaluations, even if its coefficients depend on the latent. It says
    nothing about other evaluations. With at most n + 1 dimensions these vectors span the space as a
    rule. Then it is 0 and says nothing, as for ``gmm-2d`` from n = 1 on.
*   ``shared`` by RMS is exact, the minimum of least squares. It is a lower bound for all last steps
    on these evaluations and these latents. By the median it is the lowest found by reweighted least
    squares: an upper estimate of the least median, and no bound.
*   ``oracle`` is the lowest distance that a search found in the whole class, on these latents. The
    problem is not convex, so the minimum is at most this. It is an upper estimate of what the class
    can reach here. A method further away is shown to leave at least this room; none is
    shown to be the best.
*   ``oracle_fresh`` is the distance of the same table on as many other latents, without a choice
    among tables. It estimates the error of an actual member of the class. So the best of the class
    on the model's distribution is at most this, up to the noise of latents. The excess over
    ``oracle`` is overfitting, which is large by RMS where few latents cross a boundary of the flow.

No column bounds the whole class from below, since evaluations elsewhere may span more.

Gaussian models are a check, since their d is affine. Let the covariance have K distinct variances, and
the data mean m. Then x_0 - m has K parts, and images and endpoint combine these parts and m with
coefficients that depend on the level and the variance only. So both residuals are 0 for n >= K if the
images are in general position (n >= K - 1 if m = 0), and with one variance for n = 1.

The oracle's numbers are c and w for each evaluation's state and for the end, and each evaluation's
level in the model's range: (n^2 + 5 n + 2) / 2. Fits start from the best of the other runs and of
Euler's method (``starts`` of them), and use at most ``effort`` evaluations per latent each. Latents
times dimensions should be far above the numbers: compare the column ``oracle_numbers``.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from samplerbench.benchmarks.planning import Pilot, default_cache
from samplerbench.benchmarks.suites import label_of, parse_spec
from samplerbench.benchmarks.tuning import (
    TEST_IDS,
    TRAIN_IDS,
    TuningProblem,
    candidate_grids,
    tuning_problem,
)
from samplerbench.models import make_model
from samplerbench.results import csv_lines
from samplerbench.results.run_directory import write_text
from samplerbench.samplers import karras, make

from ..arrays import FloatArray
from .oracle import CRITERIA, Oracle, Run
from .spans import residuals, summarise, trajectories

METHODS = (
    "euler",
    "dpmpp_2m",
    "unipc_2",
    "deis_tab_3",
    "ipndm",
    "reab_2(analytic_first=True)",
    "vab_4(through_zero=True)",
)
"""Methods among which the best untuned one is chosen."""


@dataclass(eq=False)
class Subject:
    """Model with latents to measure on, and as many others.

    Attributes:
        name: spec of the model.
        latents: number of latents.
        seed: seed of the latents.
        cache: folder of the probes and rules of ``auto``; None for none.
    """

    name: str
    latents: int
    seed: int = 0
    cache: Path | None = field(default_factory=default_cache)

    def __post_init__(self) -> None:
        spec = parse_spec(self.name)
        self.model = make_model(spec.pop("name"), **spec)
        self.test = tuning_problem(self.model, TEST_IDS, self.latents, self.seed)

    @cached_property
    def fresh(self) -> TuningProblem:
        """Problem of as many other latents."""
        return tuning_problem(self.model, TRAIN_IDS, self.latents, self.seed)

    def auto(self, n: int) -> Run:
        """Return ``auto`` with its rule for ``n`` evaluations."""
        grid = karras(n, self.model.sigma_min, self.model.sigma_max)
        return Run("auto", Pilot(self.model, self.cache).fitted(make("auto"), grid), grid)

    def untuned(self, n: int) -> dict[str, list[tuple[Run, FloatArray]]]:
        """Return each of :data:`METHODS` on all built-in schedules, with the latents' distances."""
        found = {}
        for name in METHODS:
            sampler = make(name)
            nfe = sampler.nfe(karras(n, self.model.sigma_min, self.model.sigma_max))
            steps = n + (n - (nfe or n))  # an analytic first step makes no evaluation
            grids, _ = candidate_grids(steps, self.model)
            found[name] = [
                (
                    Run(f"{label_of(sampler)} on {label}", sampler, grid),
                    self.test.distances(sampler, grid),
                )
                for grid, label in grids.items()
            ]
        return found


def measured_rows(
    subject: Subject,
    budgets: Sequence[int],
    *,
    effort: int,
    kept: int,
    criteria: Sequence[str] = tuple(CRITERIA),
    skip: Callable[[Mapping[str, Any]], bool] = lambda key: False,  # noqa: ARG005
) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of evaluations and criterion, unless ``skip`` is True of its key."""
    for n in budgets:
        keys = [key_of(subject, n, criterion, effort, kept) for criterion in criteria]
        keys = [key for key in keys if not skip(key)]
        if not keys:
            continue
        auto = subject.auto(n)
        for problem in (subject.test, subject.fresh):
            problem.converge_endpoints((auto.sampler, auto.grid))
        untuned = subject.untuned(n)
        for key in keys:
            yield key | _measured(subject, auto, untuned, key["criterion"], effort, kept)


def key_of(subject: Subject, n: int, criterion: str, effort: int, kept: int) -> dict[str, Any]:
    """Return the columns that say which row it is."""
    return {
        "model": subject.name,
        "dim": int(np.prod(subject.model.event)),
        "nfe": n,
        "latents": subject.latents,
        "seed": subject.seed,
        "criterion": criterion,
        "effort": effort,
        "starts": kept,
    }


def _measured(
    subject: Subject,
    auto: Run,
    untuned: Mapping[str, list[tuple[Run, FloatArray]]],
    criterion: str,
    effort: int,
    kept: int,
) -> dict[str, Any]:
    """Return the further columns of a row."""

    def error(each: tuple[Run, FloatArray]) -> float:
        return summarise(each[1], criterion)

    best = {name: min(each, key=error) for name, each in untuned.items()}
    least = min(best.values(), key=error)[0]
    named = {"auto": auto, "dpmpp_2m": best["dpmpp_2m"][0], "untuned": least}
    starts = {run.label: run for run in (*named.values(), best["euler"][0])}
    oracle, oracle_runs = Oracle(subject.test, criterion, effort, kept)(list(starts.values()))
    runs = {name: trajectories(subject.test, r.sampler, r.grid) for name, r in named.items()}
    row: dict[str, Any] = {}
    for name, each in (runs | {"oracle": oracle_runs}).items():
        columns = (name, f"{name}_shared", f"{name}_per_sample")
        row |= dict(zip(columns, residuals(each, criterion), strict=True))
    for name, run in (("auto", auto), ("oracle", oracle)):
        fresh = subject.fresh.distances(run.sampler, run.grid)
        row[f"{name}_fresh"] = summarise(fresh, criterion)
    n = oracle_runs.basis.shape[1] - 1
    return row | {
        "oracle_numbers": (n * n + 5 * n + 2) // 2,
        "oracle_start": oracle.label,
        "dpmpp_2m_run": named["dpmpp_2m"].label,
        "untuned_run": least.label,
        "resolution": subject.test.resolution,
    }


def read_rows(out: Path) -> list[dict[str, str]]:
    """Read the measured rows; none if there is no file."""
    if not out.exists():
        return []
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append_row(out: Path, row: Mapping[str, Any]) -> None:
    """Write the file with one row more, as a whole, so that an interruption leaves the file before."""
    rows = [*read_rows(out), row]
    write_text(out, csv_lines(list(row), ([each[key] for key in row] for each in rows)))


def is_measured(rows: Sequence[Mapping[str, str]], key: Mapping[str, Any]) -> bool:
    """Return True if rows of a file have this key."""
    return any(all(row[name] == str(value) for name, value in key.items()) for row in rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--models", required=True, help="models, between commas")
    parser.add_argument("--nfe", default="4,5,6,8,10,15", help="numbers of evaluations")
    parser.add_argument("--latents", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--criteria", default=",".join(CRITERIA), help="rms, median or both")
    parser.add_argument("--effort", type=int, default=8000, help="evaluations per latent of a fit")
    parser.add_argument("--starts", type=int, default=2, help="best starts to fit from")
    parser.add_argument("--out", type=Path, default=Path("results/reference/fitted/bound.csv"))
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    budgets, criteria = [int(n) for n in args.nfe.split(",")], args.criteria.split(",")
    if unknown := set(criteria) - set(CRITERIA):
        parser.error(f"--criteria {min(unknown)}: choose from {', '.join(CRITERIA)}")
    for name in args.models.split(","):
        subject = Subject(name, args.latents, args.seed)
        skip = partial(is_measured, read_rows(args.out))
        options: dict[str, Any] = {"effort": args.effort, "kept": args.starts, "skip": skip}
        for row in measured_rows(subject, budgets, criteria=criteria, **options):
            append_row(args.out, row)
            print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
