"""Spread of `auto` over probes: the same search from other latents, measured on fixed samples.

    python -m samplerbench_studies.probe_spread --out results/reference/auto/spread.csv

A row is one probe of one model at one number of evaluations. Rows that the file has are not measured
again, so that an interrupted study goes on. ``--summary`` prints the spread of each problem.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samplerbench.benchmarks.metrics import FrechetReference, estimate
from samplerbench.benchmarks.planning import Pilot
from samplerbench.benchmarks.sampling import clamp
from samplerbench.benchmarks.scoring import load_references
from samplerbench.benchmarks.suites import parse_spec
from samplerbench.models import Denoiser, make_model
from samplerbench.models.exact import ExactModel
from samplerbench.results import format_number, markdown_table
from samplerbench.results.run_directory import read_npz, write_npz
from samplerbench.samplers import Grid, NoNoise, SampleNoise, karras, make

MODES = "family:modes(dim=21, std=0.0725, seed=315, sigma_min=0.002, sigma_max=80.0)"
PROBLEMS = ("fashion", "emoji", "gmm-2d", "fashion-mppca", MODES)
BUDGETS = (5, 8, 10, 4, 6)
PROBES, SAMPLES, BATCH = 16, 512, 128
AXES = 32
"""Number of features, with at least 15 samples for each."""
FINE = 100
"""Steps of ``dpmpp_3m`` for the reference solution of a network."""
OTHERS, MANY = 10**6, 2048
"""First sample id and number of the samples that replace a missing reference."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Model with the endpoints of its samples and a feature space."""

    name: str
    folder: Path | None = None

    @cached_property
    def model(self) -> Denoiser:
        """Model of the problem."""
        spec = parse_spec(self.name)
        return make_model(spec.pop("name"), **spec)

    def samples(self, sampler: Any, grid: Grid, ids: Tensor) -> Tensor:
        """Draw samples by their numbers."""
        parts = []
        for part in ids.split(BATCH):
            noise = SampleNoise(0, part, self.model.event, self.model.dtype)
            bound = self.model.bind(part, 0)
            parts.append(sampler.sample(bound, grid.sigma[0] * noise.initial(), grid, NoNoise()))
        return torch.cat(parts)

    def grid(self, n: int) -> Grid:
        """Return a grid of n evaluations to 0."""
        return karras(n, self.model.sigma_min, self.model.sigma_max)

    @cached_property
    def endpoints(self) -> Tensor:
        """Denoised images at sigma_min of converged trajectories."""
        path = (
            self.folder
            and self.folder / f"endpoints-{self.name.split('(')[0].replace(':', '-')}.npz"
        )
        stored = read_npz(path) if path else None
        if stored is None:
            stored = {"x": self._solved.numpy()}
            if path:
                write_npz(path, stored)
        return torch.from_numpy(stored["x"])

    @cached_property
    def _solved(self) -> Tensor:
        ids, model = torch.arange(SAMPLES), self.model
        if not isinstance(model, ExactModel):
            return self.samples(make("dpmpp_3m"), self.grid(FINE), ids)
        noise, bound = SampleNoise(0, ids, model.event, model.dtype), model.bind(ids, 0)
        x = model.sigma_max * noise.initial()
        return bound(model.flow(x, model.sigma_max, model.sigma_min, bound.labels), model.sigma_min)

    @cached_property
    def reference(self) -> tuple[FrechetReference, Any]:
        """Moments of the data, and the feature extractor."""
        try:
            found = load_references({self.name: self.model}, f"card:{AXES}")[self.name]
        except ValueError:
            found = None
        if found is not None and found.extractor.dim <= AXES + 2:
            held = FrechetReference(found.mean, found.cov)
            return held, lambda x: found.extractor(clamp(x, found.clamp)[0])
        ids = torch.arange(OTHERS, OTHERS + MANY)
        others = self.samples(make("dpmpp_3m"), self.grid(FINE // 2), ids).flatten(1).double()
        values, axes = np.linalg.eigh(np.cov(others.numpy().T))
        axes = axes[:, -AXES:] / np.sqrt(values[-AXES:])
        seen = others.numpy() @ axes
        held = FrechetReference(seen.mean(0), np.cov(seen.T))
        return held, lambda x: x.flatten(1).double().numpy() @ axes

    def measured(self, probe: int, n: int) -> dict[str, Any]:
        """Measure the rule for n evaluations that the search finds by one probe."""
        grid = self.grid(n)
        sampler: Any = Pilot(self.model, self.folder, seed=probe).fitted(make("auto"), grid)
        return {
            "problem": self.name,
            "probe": probe,
            "nfe": n,
            "evaluations": sampler.found.evaluations,
            "rule": " ".join(f"{v:.6g}" for v in sampler.found.rule),
        } | self.errors(self.samples(sampler, grid, torch.arange(SAMPLES)))

    def errors(self, x: Tensor) -> dict[str, float]:
        """Return median and root mean square of the distances, and the Fréchet distance."""
        squares = (x - self.endpoints).flatten(1).double().square().mean(1).numpy()
        held, features = self.reference
        found = estimate(held, features(x))
        return {
            "median": float(np.median(np.sqrt(squares))),
            "rms": float(np.sqrt(squares.mean())),
            "fid": float(found.value),
            "fid_se": float(found.se),
        }


def study(
    out: Path, problems: Sequence[str], budgets: Sequence[int], probes: int, folder: Path | None
) -> Iterator[dict[str, Any]]:
    """Measure the rows that the file lacks, and append them."""
    known = {(r["problem"], int(r["probe"]), int(r["nfe"])) for r in read(out)}
    for name in problems:
        problem = Problem(name, folder)
        for n, probe in product(budgets, range(probes)):
            if (name, probe, n) in known:
                continue
            row = problem.measured(probe, n)
            fresh = not out.exists()
            with out.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(row))
                if fresh:
                    writer.writeheader()
                writer.writerow(row)
            yield row


def read(out: Path) -> list[dict[str, str]]:
    """Read the measured rows."""
    if not out.exists():
        return []
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def summary(rows: Sequence[dict[str, str]]) -> str:
    """Return a table by problem and budget: median and worst probe relative to the best."""
    lines = []
    for name, n in dict.fromkeys((r["problem"], r["nfe"]) for r in rows):
        own = [r for r in rows if (r["problem"], r["nfe"]) == (name, n)]
        cells = []
        for column in ("median", "rms", "fid"):
            values: NDArray[np.float64] = np.array([float(r[column]) for r in own])
            low, high = values.min(), values.max()
            ratio = f"{high / low:.2f}" if low > 0 else "-"
            cells += [format_number(float(np.median(values))), ratio]
        cost = format_number(float(np.mean([float(r["evaluations"]) for r in own])))
        lines.append((name, n, len(own), *cells, cost))
    header = ("problem", "NFE", "probes", "median", "ratio", "RMS", "ratio", "FID", "ratio", "cost")
    return markdown_table(header, lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--problem", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--nfe", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--probes", type=int, default=PROBES)
    parser.add_argument("--cache", type=Path, help="folder where probes are kept")
    parser.add_argument("--summary", action="store_true", help="print what the file says")
    args = parser.parse_args()
    if args.summary:
        print(summary(read(args.out)))
        return
    for row in study(args.out, args.problem, args.nfe, args.probes, args.cache):
        print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
