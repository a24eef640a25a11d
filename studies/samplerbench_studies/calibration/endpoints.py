"""Calibration of verdicts on distances to converged endpoints, with few flips to another mode.

Two samplers have distances from known distributions, or are real samplers on ``gmm-2d`` with a
population of 20,000 latents. Replicates draw N latents and compute the verdicts of
``samplerbench.results.comparison``. The table also has the verdicts of a normal approximation of
the root mean square.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from samplerbench.benchmarks.metrics import distance_columns, endpoint_distance, flip_columns
from samplerbench.models import make_model
from samplerbench.models.exact import ExactModel
from samplerbench.results import csv_lines, markdown_table
from samplerbench.results.comparison import Entry, Pair, claim, estimate_of, judge, typical_error
from samplerbench.results.quantities import ENDPOINTS
from samplerbench.results.run_directory import read_npz, write_npz, write_text
from samplerbench.samplers import NoNoise, SampleNoise, karras, make

from .summary import Z95

SAMPLES = (32, 64, 256, 1000, 2000)
POPULATION = 20_000
"""Number of latents of a population."""
TRUTH = 1_000_000
"""Number of draws of a simulated law by which its true values are computed."""
NOTHING = 0.02
"""Difference of two populations that counts as none, as a share of the first one's value."""
JUDGED = tuple(quantity for quantity in ENDPOINTS if quantity.influence)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Draws:
    """Distances of two samplers on the same latents, and flags of flipped samples: ``(2, n)``."""

    distances: Array
    flipped: NDArray[np.bool_]

    def take(self, which: NDArray[np.int64]) -> Draws:
        """Return the draws at the indices ``which``."""
        return Draws(self.distances[:, which], self.flipped[:, which])


@dataclass(frozen=True, eq=False)
class PairLaw:
    """Joint distribution of the distances of two samplers.

    Attributes:
        name: name of the row.
        apart: root mean square distance between the endpoints of two latents, per dimension.
        draw: function ``(rng, n)`` to n draws.
        truth: population of draws whose values count as true.
    """

    name: str
    apart: float
    draw: Callable[[np.random.Generator, int], Draws]
    truth: Draws


def simulated_law(
    name: str,
    *,
    spread: float,
    correlation: float,
    flips: float = 0.0,
    level: float = 0.05,
    shift: float = 0.0,
    degrees: float = math.inf,
) -> PairLaw:
    """Return a law of lognormal distances with equal spreads; two endpoints are 1 apart.

    Args:
        name: name of the row.
        spread: standard deviation of the logarithms.
        correlation: correlation of the two samplers' logarithms.
        flips: share of the second sampler's samples that end about 1 away.
        level: typical error of the first sampler.
        shift: shift of the second sampler's logarithms.
        degrees: if finite, distances are absolute values of a Student's t of these degrees of
            freedom.
    """

    def draw(rng: np.random.Generator, n: int) -> Draws:
        z = rng.standard_normal((2, n))
        z[1] = correlation * z[0] + math.sqrt(1 - correlation**2) * z[1]
        e = np.exp(spread * z)
        if math.isfinite(degrees):
            e = np.abs(z) * np.sqrt(degrees / rng.chisquare(degrees, n))
        e *= level * np.array([[1.0], [math.exp(shift)]])
        flipped = np.stack([np.zeros(n, bool), rng.random(n) < flips])
        return Draws(np.where(flipped, np.exp(0.25 * rng.standard_normal((2, n))), e), flipped)

    return PairLaw(name, 1.0, draw, draw(np.random.default_rng(0), TRUTH))


def law_with_equal_rms(flips: float, level: float, correlation: float = 0.95) -> PairLaw:
    """Return a law of two samplers with equal root mean squares.

    The second has a smaller typical error, but flips. Arguments are as in :func:`simulated_law`.
    """
    spread, far = 0.6, math.exp(2 * 0.25**2)
    square = level**2 * math.exp(2 * spread**2)
    rest = (square - flips * far) / (1 - flips)
    return simulated_law(
        f"equal RMS, flips {flips:.1%}",
        spread=spread,
        correlation=correlation,
        flips=flips,
        level=level,
        shift=math.log(rest / square) / 2,
    )


def simulated_laws() -> Iterator[PairLaw]:
    """Yield the simulated laws of the table."""
    for flips, level in ((0.001, 0.05), (0.003, 0.06), (0.01, 0.12), (0.05, 0.25)):
        yield law_with_equal_rms(flips, level)
    for flips in (0.001, 0.003, 0.01, 0.05, 0.25):
        yield simulated_law(f"flips {flips:.1%}", spread=0.6, correlation=0.99, flips=flips)
    for correlation in (0.0, 0.9, 0.995):
        yield simulated_law(f"equal, r = {correlation:g}", spread=0.6, correlation=correlation)
    yield simulated_law("heavy tails", spread=1.5, correlation=0.9)
    yield simulated_law("heavy tails, 10 % worse", spread=1.0, correlation=0.9, shift=math.log(1.1))
    yield simulated_law("Student t3", spread=1.0, correlation=0.9, degrees=3)


def population_law(folder: Path, other: str, nfe: int, size: int = POPULATION) -> PairLaw:
    """Return the law of ``dpmpp_2m`` and another sampler on ``gmm-2d``, from ``size`` latents."""
    model = make_model("gmm-2d")
    assert isinstance(model, ExactModel)
    ids = torch.arange(size)
    latents = model.sigma_max * SampleNoise(0, ids, model.event, model.dtype).initial()
    path = folder / f"endpoints-gmm-2d-{size}.npz"
    stored = read_npz(path) or {}
    if stored.get("identity") != model.identity:
        stored = {"x": model.endpoint(latents).numpy(), "identity": np.array(model.identity)}
        write_npz(path, stored)
    x = torch.from_numpy(stored["x"])
    grid = karras(nfe, model.sigma_min, model.sigma_max)
    ends = [
        make(name).sample(model.bind(ids, 0), latents, grid, NoNoise())
        for name in _sampler_pair(other)
    ]
    distances = np.stack([(end - x).square().mean(1).sqrt().numpy() for end in ends])
    modes = model.mode_of(x)
    assert modes is not None
    flipped = np.stack([(model.mode_of(end) != modes).numpy() for end in ends])  # type: ignore[union-attr]
    truth = Draws(distances, flipped)
    return PairLaw(
        f"gmm-2d, {' and '.join(_sampler_pair(other))} at {nfe}",
        endpoint_distance(x.numpy()),
        lambda rng, n: truth.take(rng.choice(size, n)),
        truth,
    )


def _sampler_pair(other: str) -> tuple[str, str]:
    return "dpmpp_2m", other


def calibrate_endpoints(
    folder: Path,
    *,
    replicates: int = 500,
    quick: bool = False,
    progress: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Return a row for each law and number of samples.

    Args:
        folder: folder that stores the endpoints of the population.
        replicates: number of replicates for each row.
        quick: True for one law and one number of samples, to show the form of the table.
        progress: callback with a description of the current work.
    """
    rows = []
    samples: Sequence[int] = (64,) if quick else SAMPLES
    real = (population_law(folder, o, n) for n in (20, 50) for o in ("unipc_2", "ipndm"))
    for law in (law_with_equal_rms(0.003, 0.06),) if quick else chain(simulated_laws(), real):
        progress(f"distances to endpoints: {law.name}")
        rows += [calibration_row(law, n, replicates) for n in samples]
    return rows


def calibration_row(law: PairLaw, n: int, replicates: int) -> dict[str, Any]:
    """Return a table row: coverage and power under a law, as shares of replicates of ``n``
    latents.
    """
    true = {
        "typical_error": [typical_error(e, law.apart).value for e in law.truth.distances],
        "flip_fraction": [float(f.mean()) for f in law.truth.flipped],
        "rmse": [math.sqrt(float(np.square(e).mean())) for e in law.truth.distances],
    }
    rng = np.random.default_rng([7, zlib.crc32(law.name.encode()), n])
    seen: dict[str, list[float]] = {}
    for _ in range(replicates):
        for name, value in _counts_of_replicate(law.draw(rng, n), law.apart, true).items():
            seen.setdefault(name, []).append(value)
    means = {
        name: float(np.nanmean(values)) for name, values in seen.items() if _has_any_true(values)
    }
    return {"law": law.name, "n": n, **means, "replicates": replicates}


def _has_any_true(values: Sequence[float]) -> bool:
    return not all(map(math.isnan, values))


def _counts_of_replicate(
    drawn: Draws, apart: float, true: dict[str, list[float]]
) -> dict[str, float]:
    """Return the counts of one replicate; NaN for a count that does not apply."""
    pair = Pair(
        *(_table_entry(*both, apart) for both in zip(drawn.distances, drawn.flipped, strict=True))
    )
    counted: dict[str, float] = {}
    for quantity in JUDGED:
        name, (a, b) = quantity.name, true[quantity.name]
        found = judge(pair, quantity)
        assert found is not None
        row = pair.candidate.record
        flagged = bool(quantity.flag and row[quantity.flag])
        low, high = float(row[f"{name}_low"]), float(row[f"{name}_high"])  # type: ignore[arg-type]
        verdict = claim(found.evidence)
        counted |= {
            f"{name}_flagged": float(flagged),
            f"{name}_coverage": math.nan if flagged else float(low <= b <= high),
            f"{name}_verdicts": float(verdict in ("better", "worse")),
            f"{name}_wrong": float(_is_wrong_verdict(verdict, b - a, a)),
        }
        if quantity.summary == "typical" and found.gap.se is not None:
            off = abs(found.gap.value - (b - a))
            counted["difference_coverage"] = float(off <= Z95 * found.gap.se)
    return counted | _counts_by_delta_method(drawn.distances, true["rmse"])


def _is_wrong_verdict(verdict: str, true: float, of: float) -> bool:
    """Return True for "better" if the second sampler is not better, and "worse" if it is.

    Args:
        verdict: verdict on the second sampler, "better", "worse" or another.
        true: true difference, second less first.
        of: true value of the first; a smaller share of it than :data:`NOTHING` is no difference.
    """
    worse = true > -NOTHING * of
    return (verdict == "better" and worse) or (verdict == "worse" and true < -NOTHING * of)


def _table_entry(distances: Array, flipped: NDArray[np.bool_], apart: float) -> Entry:
    """Return distances and flips in the form of a row of a run with its arrays."""
    columns = distance_columns(distances, apart, ENDPOINTS) | flip_columns(flipped)
    record: dict[str, object] = {"seed": 0, "model": "m", **columns}
    arrays = {"distance": distances, "flipped": flipped.astype(np.float64)}
    estimates = {q.name: estimate_of(record, arrays, q) for q in JUDGED}
    return Entry(record, estimates={name: e for name, e in estimates.items() if e is not None})


def _counts_by_delta_method(distances: Array, true: list[float]) -> dict[str, float]:
    """Return coverage and wrong verdicts of root mean squares by the delta method alone."""
    squares, n = np.square(distances), distances.shape[1]
    values = np.sqrt(squares.mean(axis=1))
    terms = (squares - values[:, None] ** 2) / (2 * values[:, None])
    error, gap = terms[1].std(ddof=1) / math.sqrt(n), values[1] - values[0]
    is_apart = abs(gap) > Z95 * (terms[1] - terms[0]).std(ddof=1) / math.sqrt(n)
    verdict = ("better" if gap < 0 else "worse") if is_apart else ""
    return {
        "normal_coverage": float(abs(values[1] - true[1]) <= Z95 * error),
        "normal_wrong": float(_is_wrong_verdict(verdict, true[1] - true[0], true[0])),
    }


HEADS = {
    "law": "law",
    "n": "N",
    "typical_error_coverage": "typical: coverage",
    "difference_coverage": "Δ coverage",
    "typical_error_verdicts": "verdicts",
    "typical_error_wrong": "wrong",
    "flip_fraction_coverage": "flips: coverage",
    "flip_fraction_wrong": "wrong",
    "rmse_flagged": "RMS: flagged",
    "rmse_coverage": "coverage if not",
    "rmse_verdicts": "verdicts",
    "rmse_wrong": "wrong",
    "normal_coverage": "normal law: coverage",
    "normal_wrong": "wrong",
}


def write_endpoints(rows: Sequence[dict[str, Any]], folder: Path) -> Path:
    """Write ``endpoints.csv`` and ``endpoints.md``; return the path of the latter."""
    header = ["law", "n", *sorted({name for row in rows for name in row} - {"law", "n"})]
    lines = csv_lines(header, ([row.get(name) for name in header] for row in rows))
    write_text(folder / "endpoints.csv", lines)
    cells = [[_cell(row.get(name)) for name in HEADS] for row in rows]
    parts = ["# Calibration of distances to endpoints", "", *_sentences(rows), ""]
    write_text(
        folder / "endpoints.md", "\n".join([*parts, markdown_table(tuple(HEADS.values()), cells)])
    )
    return folder / "endpoints.md"


def _cell(value: object) -> str:
    return f"{value:.1%}" if isinstance(value, float) else "" if value is None else str(value)


def _sentences(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the findings of the table as list items."""

    def ends(name: str) -> str:
        values = [row[name] for row in rows if name in row]
        return f"{min(values):.1%} to {max(values):.1%}" if values else "nothing to count"

    held = [
        row["rmse_flagged"] + (1 - row["rmse_flagged"]) * row.get("rmse_coverage", 0.0)
        for row in rows
    ]
    return [
        f"- Typical error: intervals cover {ends('typical_error_coverage')}, those of differences "
        f"{ends('difference_coverage')}; verdicts go the wrong way in {ends('typical_error_wrong')}.",
        f"- Flips: intervals cover {ends('flip_fraction_coverage')}; verdicts go the wrong way in "
        f"{ends('flip_fraction_wrong')}.",
        f"- Root mean square: flagged or covered in {min(held):.1%} to {max(held):.1%}; verdicts go "
        f"the wrong way in {ends('rmse_wrong')}.",
        f"- By a normal law alone: intervals cover {ends('normal_coverage')}; verdicts go the wrong "
        f"way in {ends('normal_wrong')}.",
    ]
