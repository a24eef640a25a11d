"""Fingerprint of a configured sampler: its grid, coefficients, and results for three points.

The points lie in the plane. The denoiser is exact for a mixture of two Gaussians, the noise fixed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Self, cast

import torch
from torch import Tensor

from ... import samplers
from ...models.loaders.schemes import is_package_data
from ...models.loaders.source_file import files_of_modules, hashes_of_code
from ...models.loaders.user_files import FileRecorder, module_file, named_hashes, record_files
from ...results.run_directory.behaviour_fingerprint import FILE, Fact, Fingerprint, Numbers, hash_of
from ...samplers import Grid, GridSampler, Noise, NoNoise, SampleNoise, Sampler
from ...samplers.loop import cached_plan
from ...samplers.types import Pair, StepNoise
from ..sampling.batch import noise_of
from ..suites.cell import Cell, Start
from .model import MANY_ROWS
from .reduced_numbers import flatten_value, reduce_plan, reduce_rows

if TYPE_CHECKING:
    from ...samplers.brownian import BrownianNoise

_DECLARED = ("order", "stochastic", "adaptive", "batch_coupled", "own_grid", "history")
"""Class attributes that affect how a sampler runs, or that are columns of the result table."""

ROOM = 2**17  # most numbers in the samples that a plugin is tried on, but two samples at least


def sampler_fingerprint(cell: Cell, event: tuple[int, ...] | None = None) -> Fingerprint:
    """Return the fingerprint of a cell's sampler, grid, noise and start.

    The fingerprint of a built-in sampler has no code, so rows stay valid if new code gives equal numbers.
    The fingerprint of any other sampler also has its files or version and, unless ``event`` is None,
    results for samples of this shape. Exceptions of the sampler pass through.

    Raises a ValueError if the cell has no grid.
    """
    if cell.grid is None:
        raise ValueError(f"{cell.label} has no grid, so there is nothing to show what it does")
    if event is None or not samplers.origin(cell.sampler.name):
        return _fingerprint_of_cell(cell, cell.grid)
    name = f"result for samples of shape {event} on {len(cell.grid)} steps"
    with record_files() as recorder:
        values = {name: _solve_samples(cell, cell.grid, event)}
        fingerprint = _fingerprint_of_cell(cell, cell.grid)
    return replace(
        fingerprint,
        exact={**fingerprint.exact, **_file_hashes(_module_of(cell.sampler), recorder)},
        values={**fingerprint.values, **values},
    )


def _fingerprint_of_cell(cell: Cell, grid: Grid) -> Fingerprint:
    """Return the fingerprint of a cell's sampler from its results for three points.

    The points lie in the plane, or have the shape ``sampler.event`` that the sampler was fitted to.
    """
    sampler, size = cell.sampler, f"on {len(grid)} step{'s' if len(grid) > 1 else ''}"
    exact: dict[str, Fact] = {declared: getattr(sampler, declared, None) for declared in _DECLARED}
    exact |= {f"number of evaluations {size}": sampler.nfe(grid)} | origin_of(sampler)
    values = {"grid": reduce_plan(list(grid.sigma))}
    if callable(getattr(sampler, "plan", None)):
        numbers, layout = flatten_value(cached_plan(cast(GridSampler, sampler), grid))
        exact[f"layout of the plan {size}"] = layout
        values[f"plan {size}"] = reduce_plan(numbers)
    noise = _noise_of(cell.noise, cell.sigma_max, cell.sigma_min)
    with torch.no_grad():
        event = getattr(sampler, "event", None) or EVENT
        white = SampleNoise(PROBE_SEED, _IDS, event, torch.float64).initial()
        x = sampler.sample(ProbeDenoiser(cell, event), grid.sigma[0] * white, grid, noise)
    # a peer may compute in float32
    dtype = torch.float32 if ":" in sampler.name else torch.float64
    values[f"result for three points {size}"] = reduce_rows(x, dtype)
    if cell.start.means is not None:
        values[f"start {cell.start.name}"] = _first_states(cell.start, cell.start.means)
    return Fingerprint("sampler", cell.label, exact, values)


def _solve_samples(cell: Cell, grid: Grid, event: tuple[int, ...]) -> Numbers:
    ids = torch.arange(max(2, min(MANY_ROWS, ROOM // math.prod(event))))
    dtype = getattr(torch, cell.dtype)
    x = grid.sigma[0] * SampleNoise(PROBE_SEED, ids, event, dtype).initial()
    noise = noise_of(replace(cell, seed=PROBE_SEED), ids, event)
    with torch.no_grad():
        x = cell.sampler.sample(ProbeDenoiser(cell, event), x, grid, noise)
    return reduce_rows(x[None], dtype)


def _first_states(start: Start, means: Tensor) -> Numbers:
    """Return two start states of ``start``, as short lists; a row of ``means`` has their shape."""
    ids = torch.arange(2)
    z = SampleNoise(PROBE_SEED, ids, tuple(means.shape[1:]), torch.float64).initial()
    labels = (ids % len(means)).to(means.device)
    return reduce_rows(start.states((start.sigma_max * z).to(means.device), labels), torch.float64)


def origin_or_digest(sampler: Sampler, steps: int) -> str:
    """Return the origin of an installed sampler or of a file; "" for a sampler of this package.

    A hash of its files follows if there are several. For a class of a notebook or script, which may
    change, it is a hash of samples with ``steps`` steps; "" if they fail, as the sampler's runs then do,
    with the reason.
    """
    origin, module = samplers.origin(sampler.name), _module_of(sampler)
    if (origin and not module) or (
        not origin and type(sampler).__module__.startswith("samplerbench.")
    ):
        return origin
    digest = digest_of_samples(sampler, steps)
    if not origin:
        return digest
    files = _file_hashes(module)  # also of modules that it imported as it sampled
    return f"{origin} with {hash_of(files)}" if len(files) > 1 else origin


def digest_of_samples(sampler: Sampler, steps: int, event: tuple[int, ...] = (4,)) -> str:
    """Return a hash of two samples of this shape with ``steps`` steps; "" if they fail."""
    x = torch.linspace(-30, 30, 2 * math.prod(event), dtype=torch.float64).reshape(2, *event)
    with suppress(Exception):
        grid = samplers.karras(steps, 0.01, 10.0)
        ends = sampler.sample(lambda x, s: (x + x.sin()) / (1 + s * s), x, grid, 0)
        return hash_of(ends.tolist())
    return ""


def origin_of(sampler: Sampler) -> dict[str, Fact]:
    """Return a plugin sampler's package or file (``origin``) and file hashes; {} if built in."""
    origin = samplers.origin(sampler.name)
    if not origin:
        return {}
    return _file_hashes(_module_of(sampler)) | {"origin": origin}


def files_of_sampler(sampler: Sampler) -> frozenset[str]:
    """Return the code files of a plugin sampler and the files opened at its import; else none."""
    module = _module_of(sampler) if samplers.origin(sampler.name) else None
    if module is None:
        return frozenset()
    return frozenset(files_of_modules(module)) | _files_opened(module)


def _module_of(sampler: Sampler) -> ModuleType | None:
    return None if ":" in sampler.name else sys.modules.get(type(sampler).__module__)


def _file_hashes(module: ModuleType | None, *seen: FileRecorder) -> dict[str, Fact]:
    """Return {FILE + name: hash} of a plugin's code and opened files; {} if ``module`` is None."""
    if module is None:
        return {}
    folder = Path(module_file(module.__name__) or ".").parent
    files = named_hashes(_files_opened(module, *seen), folder) | hashes_of_code(module)
    return {FILE + name: digest for name, digest in files.items()}


def _files_opened(module: ModuleType, *seen: FileRecorder) -> frozenset[str]:
    """Return a user's files and package data that were opened at import or recorded in ``seen``."""
    root = Path(module_file(module.__name__.partition(".")[0]) or "/dev/null").parent
    opened: set[str] = set()
    for recorder in filter(None, (*seen, samplers.seen_at_import(module.__name__))):
        opened |= recorder.paths
        opened.update(path for path in tuple(recorder.opened) if is_package_data(path, root))
    return frozenset(opened)


ROWS, EVENT, PROBE_SEED = 3, (2,), 0
_MOST = 20_000  # most cached tensors of noise


class ProbeDenoiser:
    """Exact float64 denoiser of a mixture of two Gaussians with equal covariances, unequal weights.

    The coordinates have standard deviations a and means c ± m. With v = a² + sigma² and b = 0.2,

        d = e + a² / v (x - e),        e = c + m tanh(m / v · (x - c) + b).

    The scale of the data is in the middle of the cell's noise levels, so that most steps see both Gaussians.
    For another ``event`` than (2,), the two values of a, c and m are repeated over the coordinates.
    """

    def __init__(self, cell: Cell, event: tuple[int, ...]) -> None:
        scale, count = math.sqrt(cell.sigma_max * cell.sigma_min), math.prod(event)
        self._square, self._centre, self._apart = (
            torch.tensor(values * -(-count // 2), dtype=torch.float64)[:count] * unit
            for values, unit in (
                ((0.09, 0.49), scale**2),
                ((0.4, -0.3), scale),
                ((1.1, 0.5), scale),
            )
        )

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return E[x0 | x] for ``x`` ``(n, *event)`` at ``sigma``, a number or ``(n,)``."""
        level = (
            sigma.to(torch.float64).reshape(-1, 1) if isinstance(sigma, Tensor) else float(sigma)
        )
        rows = x.to(torch.float64).flatten(1)
        total = self._square + level * level
        log_odds = ((rows - self._centre) * (self._apart / total)).sum(1, keepdim=True).add_(0.2)
        side = log_odds.tanh_()
        d = torch.lerp(self._centre + self._apart * side, rows, self._square / total)
        return d.to(x.dtype).reshape(x.shape)

    def both(self, x: Tensor, sigma: float | Tensor) -> Pair:
        """Return d as the guided image, and 0.75 d as the image that guidance leads away from."""
        d = self(x, sigma)
        return d, 0.75 * d

    def take(self, rows: Tensor) -> Self:  # noqa: ARG002 - no row has anything of its own
        """Return this denoiser, which is the same for all rows."""
        return self


class CachedNoise:
    """Cache around a noise source, for probes that draw the same tensors again and again.

    ``of_levels`` is True if the source's draws depend on the levels of a step.
    """

    def __init__(self, source: SampleNoise | BrownianNoise, *, of_levels: bool = False) -> None:
        self._source, self._of_levels = source, of_levels
        self._drawn: dict[tuple[object, ...], Tensor] = {}

    def initial(self) -> Tensor:
        """Return the latents, standard normal."""
        return self._cached(("initial",), self._source.initial)

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:
        """Return a function for the noise of a step from ``cur`` to ``nxt``, with cached draws."""
        source = self._source.at(step, cur, nxt)
        where = (step, cur, nxt) if self._of_levels else (step,)

        def answer(draw: int = 0, *, cur: float | None = None, nxt: float | None = None) -> Tensor:
            return self._cached((*where, draw, cur, nxt), lambda: source(draw, cur=cur, nxt=nxt))

        return answer

    def take(self, rows: Tensor) -> Noise:
        """Return the noise of a subset or of repeats of the rows, without the cache."""
        return self._source.take(rows)

    def _cached(self, key: tuple[object, ...], draw: Callable[[], Tensor]) -> Tensor:
        if len(self._drawn) > _MOST:
            self._drawn.clear()
        if key not in self._drawn:
            self._drawn[key] = draw()
        return self._drawn[key].clone()


_IDS = torch.arange(ROWS)
_WHITE = CachedNoise(SampleNoise(PROBE_SEED, _IDS, EVENT, torch.float64))


@cache
def _noise_of(kind: str | None, sigma_max: float, sigma_min: float) -> Noise:
    """Return white noise, or Brownian noise between the levels; for None, a source that raises."""
    if kind is None:
        return NoNoise()
    if kind != "brownian":
        return _WHITE
    from ...samplers.brownian import BrownianNoise

    path = BrownianNoise(PROBE_SEED, _IDS, EVENT, sigma_max, sigma_min, torch.float64)
    return CachedNoise(path, of_levels=True)
