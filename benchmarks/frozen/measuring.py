"""Measurement of a solver on the frozen suite: curves for problems, moved problems and networks."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from ...models.denoiser import Denoiser
from ...models.exact.base import CHUNK
from ...models.reference import Extractor
from ...results.board.scoring import MOST
from ...results.board.submission import Curve
from ..identity.model import first_fingerprint
from ..metrics.endpoint import endpoint_error
from ..metrics.estimators.frechet import population_estimate
from ..metrics.estimators.rows import FloatArray
from ..planning.cache import default_cache, read_arrays, write_arrays
from ..planning.gits import SEARCH_IDS
from ..planning.model_loading import load_model
from ..planning.planner import plan
from ..sampling.batch import latents, sample_batch
from ..sampling.counting import Meter
from ..sampling.failure import Failure, error_in_words
from ..sampling.shard import clamp
from ..suites.cell import Cell
from ..suites.suite import Suite
from .constants import (
    AXES,
    BUDGETS,
    NETWORK_BUDGETS,
    NETWORK_SAMPLES,
    NETWORKS,
    SAMPLES,
    TOLERANCES,
)
from .instances import Instance, Part
from .isolation import Job, run_isolated


class SolverResult(NamedTuple):
    """Result of a solver at a budget; samples are None if it fails or a step exceeds the budget.

    ``nfe`` counts the evaluations per sample, and ``search`` all evaluations before sampling.
    """

    samples: Tensor | None
    nfe: float | None = None
    search: int = 0
    failure: str = ""


SECONDS = 600.0
"""Longest wall time of a stranger's solver for a batch, in seconds."""

Solve = Callable[[Denoiser, str, int, Tensor, Sequence[int]], Iterator[SolverResult]]
"""Solver on a model: takes model, spec, root seed, sample ids ``(n,)`` and budgets; yields a result
for each budget, in order."""


def solve_entry(sampler: str, schedule: str) -> Solve:
    """Return a :data:`Solve` that runs a registered sampler on a schedule, both given by specs."""

    def solve(
        model: Denoiser, spec: str, seed: int, ids: Tensor, budgets: Sequence[int]
    ) -> Iterator[SolverResult]:
        meter = Meter()
        metered = meter.attach(model)
        first_fingerprint(metered)  # evaluates the model for caches: not counted as a search
        suite = Suite(
            name="frozen",
            models=(spec,),  # pyright: ignore[reportArgumentType] - read by the suite
            samplers=(sampler,),
            schedules=(schedule,),
            nfe=tuple(budgets),
            samples=max(2, len(ids)),
            seed=seed,
        )
        done: dict[str, SolverResult] = {}  # adaptive: budgets with one tolerance share a cell
        for budget in budgets:
            own = {"nfe": (budget,), "tolerances": (TOLERANCES.get(budget, 1e-3),)}
            # searches of other budgets and runs must not make this one cheaper
            with TemporaryDirectory() as folder, patch.dict(os.environ, SAMPLERBENCH_CACHE=folder):
                meter.reset()
                try:
                    cells = plan(suite.model_copy(update=own), {spec: metered}, {spec: None})
                except (ValueError, ArithmeticError) as error:
                    yield SolverResult(None, failure=error_in_words(error))
                    continue
                search = meter.rows
            for cell in cells:
                if cell.key not in done:
                    done[cell.key] = _run(metered, meter, cell, ids, search)
                yield done[cell.key]

    return solve


def _run(metered: Denoiser, meter: Meter, cell: Cell, ids: Tensor, search: int) -> SolverResult:
    if cell.skip:
        return SolverResult(None, None, search)
    parts, rows = [], 0.0
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for part in _batches(ids):
                bound = metered.bind(part, cell.seed)
                meter.tell = partial(_check_count, meter, len(part))
                batch = sample_batch(metered, meter, bound, cell, part)
                parts.append(batch.x)
                rows += batch.nfe * len(part)
    except Exception as error:  # raised by the sampler
        reason = error.reason if isinstance(error, Failure) else error_in_words(error)
        return SolverResult(None, None, search, reason)
    finally:
        meter.tell = None
    return SolverResult(torch.cat(parts), rows / len(ids), search)


def _check_count(meter: Meter, samples: int, _rows: int) -> None:
    if meter.rows > MOST * samples:
        raise Failure("failed", f"it took more than {MOST:g} evaluations a sample")


def _batches(ids: Tensor) -> Sequence[Tensor]:
    """Return sample ids in batches of CHUNK; descending ids in batches of half of CHUNK."""
    return ids.split(CHUNK) if len(ids) < 2 or ids[1] > ids[0] else ids.split(CHUNK // 2)


def measure_exact(
    solve: Solve, part: Part, *, skip: Collection[tuple[str, bool]] = ()
) -> Iterator[Curve]:
    """Yield the curves of a solver on the exact problems of a part, as drawn and moved.

    On a moved problem, samples come in reverse order and in batches of half the size. ``skip`` has
    pairs (name of a problem, True if moved) to leave out.
    """
    for instance in part.instances:
        for moved in (False, True):
            if (instance.name, moved) not in skip:
                yield _measure_problem(solve, instance, part.seed, moved=moved)


def exact_endpoints(instance: Instance, seed: int) -> NDArray[Any]:
    """Return the exact endpoints ``(SAMPLES, *event)`` of a problem as drawn, cached."""
    model = load_model(instance.spec).model
    path = default_cache() / f"frozen-{model.identity}-{seed}-{SAMPLES}.npz"
    stored = read_arrays(path)
    if stored is None:
        x, _ = latents(model, torch.arange(SAMPLES), seed, model.dtype)
        ends = model.endpoint(x)
        assert ends is not None
        stored = {"x": ends.numpy()}
        write_arrays(path, stored)
    return stored["x"]


def _measure_problem(solve: Solve, instance: Instance, seed: int, *, moved: bool) -> Curve:
    spec = instance.moved if moved else instance.spec
    model = load_model(spec).model
    ids, truth, unit = torch.arange(SAMPLES), exact_endpoints(instance, seed), instance.spread
    if moved:
        ids, shape = ids.flip(0), truth.shape
        truth = model.moved_states(torch.from_numpy(truth).flatten(1)).reshape(shape)  # type: ignore[attr-defined]
        truth, unit = truth.flip(0).numpy(), unit * model.factor  # type: ignore[attr-defined]
    results = list(solve(model, spec, seed, ids, BUDGETS))
    errors = [_error(result, truth, unit) for result in results]
    return _curve(instance.name, results, errors, (), moved=moved)


def _error(result: SolverResult, truth: NDArray[Any], unit: float) -> float | None:
    """Return the median distance to ``truth`` over ``unit``; None if >= 1e30, or shapes differ."""
    if result.samples is None or result.samples.shape != truth.shape:
        return None
    x = result.samples.double().numpy()
    finite = np.isfinite(x.reshape(len(x), -1)).all(axis=1)
    distances = np.full(len(x), math.inf)
    if finite.any():
        distances[finite] = endpoint_error(x[finite], truth[finite]).per_sample
    median = float(np.median(distances)) / unit
    return median if median < 1e30 else None  # the largest number in a submission


def measure_networks(
    solve: Solve, part: Part, *, skip: Collection[tuple[str, bool]] = ()
) -> Iterator[Curve]:
    """Yield the curves of a solver on networks: Fréchet distances divided by their floors.

    For the arguments see :func:`measure_exact`.
    """
    for name in NETWORKS:
        if (name, False) in skip:
            continue
        model, known = load_model(name).model, network_reference(name)
        ids = torch.arange(NETWORK_SAMPLES)
        results = list(solve(model, name, part.seed, ids, NETWORK_BUDGETS))
        distances = [
            distance_over_floor(x, known) if x is not None and bool(x.isfinite().all()) else None
            for x, *_ in results
        ]
        yield _curve(name, results, [None] * len(results), distances, moved=False)


def _curve(
    name: str,
    results: Sequence[SolverResult],
    errors: Sequence[float | None],
    distances: Sequence[float | None],
    *,
    moved: bool,
) -> Curve:
    search = tuple(result.search for result in results)
    # a submission takes no longer lines
    failures = {"".join(filter(str.isprintable, result.failure))[:300] for result in results}
    return Curve(
        problem=name,
        moved=moved,
        nfe=tuple(_short(result.nfe) for result in results),
        error=tuple(map(_short, errors)),
        distance=tuple(map(_short, distances)),
        search=search if any(search) else (),
        failures=tuple(sorted(failures - {""})),
    )


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def solve_file(path: Path, sampler: str, schedule: str) -> Solve:
    """Return a :data:`Solve` that runs a sampler of a file in a process without the model."""

    def solve(
        model: Denoiser,
        _spec: str,
        seed: int,
        ids: Tensor,
        budgets: Sequence[int],
    ) -> Iterator[SolverResult]:
        for budget in budgets:
            parts, rows, search, failure = [], 0, 0, ""
            for part in _batches(ids):
                job = Job(
                    path=path,
                    sampler=sampler,
                    schedule=schedule,
                    budget=budget,
                    sigma_min=model.sigma_min,
                    sigma_max=model.sigma_max,
                    x=latents(model, part, seed, model.dtype)[0],
                    noise_seed=_noise_seed(seed, part),
                    seconds=SECONDS,
                    denoise=partial(_denoise_rows, model, part, seed),
                    draw=partial(_draw_unscored, model, seed),
                )
                outcome = run_isolated(job)
                rows, search = rows + outcome.rows, max(search, outcome.search)
                failure = failure or outcome.failure
                if outcome.samples is not None:
                    parts.append(outcome.samples)
            samples = None if failure else torch.cat(parts)
            yield SolverResult(samples, rows / len(ids), search, failure)

    return solve


def _denoise_rows(
    model: Denoiser, ids: Tensor, seed: int, x: Tensor, sigma: float | Tensor, rows: Tensor
) -> Tensor:
    return model.bind(ids[rows], seed)(x, sigma)


def _draw_unscored(model: Denoiser, seed: int, count: int) -> Tensor:
    """Return states at sigma_max of latents that no scored sample has."""
    ids = torch.arange(SEARCH_IDS, SEARCH_IDS + count)
    return latents(model, ids, seed, model.dtype)[0]


def _noise_seed(seed: int, ids: Tensor) -> int:
    """Return a seed of step noise that does not reveal the latents, and differs between batches."""
    text = f"{seed} {int(ids.min())} noise"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


class NetworkReference(NamedTuple):
    """Converged samples of a network, in the space in which a solver's samples are compared.

    Attributes:
        extractor: feature extractor of the network's card.
        limits: range to which samples are clamped.
        axes: ``(d, AXES)`` first principal axes of the features of converged samples.
        converged: ``(n, AXES)`` features of converged samples along the axes.
        floor: 1.96 standard errors of the distance between the first :data:`.constants.NETWORK_SAMPLES`
            converged samples and the others. A distance below it is not significantly above 0.
    """

    extractor: Extractor
    limits: tuple[float, float] | None
    axes: FloatArray
    converged: FloatArray
    floor: float


@cache
def network_reference(name: str) -> NetworkReference:
    """Return a shipped network's converged samples, from the suite's file or else its card."""
    reference = load_model(name).model.reference()
    assert reference is not None
    path = Path(__file__).with_name(f"{name}.safetensors")
    if path.exists():
        tensors = load_file(path)
        axes, along = tensors["axes"].numpy(), tensors["features"].double().numpy()
    else:
        assert reference.converged is not None
        _, axes = np.linalg.eigh(np.cov(reference.converged, rowvar=False))
        axes = np.ascontiguousarray(axes[:, ::-1][:, :AXES])
        along = reference.converged @ axes
    split = population_estimate(along[:NETWORK_SAMPLES], along[NETWORK_SAMPLES:])
    return NetworkReference(
        reference.extractor, reference.clamp, axes, along, 1.96 * float(split.se)
    )


def distance_over_floor(samples: Tensor, known: NetworkReference) -> float:
    """Return the Fréchet distance to converged samples, divided by the floor; 0 if negative.

    The bias of both sides is removed, so that the distance scatters about 0 for converged samples.
    """
    features = known.extractor(clamp(samples, known.limits)[0]) @ known.axes
    return max(0.0, float(population_estimate(features, known.converged).value)) / known.floor
