"""Rules of sampler ``auto`` (:class:`Rule`): a probe of a model, and a search for each grid."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.denoiser import Denoiser
from ...samplers import Denoise, Grid, NoNoise, SampleNoise, Sampler, auto, karras, make
from ...samplers.auto import (
    Fitted,
    ProbeData,
    Response,
    Rule,
    best_rule,
    choose_rule,
    find_finalists,
    principal_axes,
    probe_model,
    typical,
)
from ...samplers.auto.probe import MOST
from ...samplers.auto.search import CONFIRMED, FINALISTS, LATENTS_PER_AXIS
from ...samplers.auto.statistics import Statistics, measure_statistics
from ...samplers.spec import canonical_json
from ..sampling.counting import Meter
from .cache import cached_result, read_arrays, search_key, write_arrays
from .gits import SEARCH_IDS

_VERSION = 3
"""Version of a model's probe, part of its cache key."""

LATENTS = (16, 64)
"""Fewest and most trajectories of a probe."""
NUMBERS = 1024
"""Target for the product of a probe's trajectories and the model's dimensions."""
ROOM = 2**27
"""Largest number of values in a probe's states, so that large models get fewer trajectories."""
STATES, PROBES = 64, 1
"""Trajectories of a model's statistics, and Jacobian probes on each at each level."""
FRESH = 64
"""Largest number of further latents on which finalists (the best rules found) are compared."""
FINE, RESOLVED = 32, 4.0
"""Steps of the finalists' reference solution, and least ratio of their error to its error.

Below that ratio, only the probe's latents decide between finalists.
"""
MOST_STEPS = 50
"""Most steps of a fitted rule; a longer grid uses the rule for this number of steps."""

log = logging.getLogger("samplerbench")


class _ProbeError(Exception):
    """Error for a model that cannot be probed; the message is a sentence."""


@dataclass(frozen=True, eq=False)
class Pilot:
    """Search for rules of sampler ``auto`` on a model, from one probe of the model, and its statistics.

    A probe has trajectories of the model and their Jacobians. Probe, rules and statistics (for
    ``dpm_solver_v3``) are cached in ``folder``, unless it is None. ``seed`` is the seed of the latents.
    """

    model: Denoiser
    folder: Path | None
    device: str = "cpu"
    seed: int = 0
    _references: dict[bool, dict[str, NDArray[Any]]] = field(default_factory=dict, init=False)

    def fitted(self, sampler: Sampler, grid: Grid) -> Sampler:
        """Return the sampler with the best rule for a grid on this model, or with its statistics.

        The sampler is unchanged if it needs neither, if it needs a rule and the grid has one step,
        or if probing fails.
        """
        if getattr(sampler, "needs_statistics", False):
            return self._with_statistics(sampler)
        if not getattr(sampler, "needs_look", False) or len(grid) == 1:
            return sampler
        n, start = min(len(grid), MOST_STEPS), grid.sigma[0]
        key = self._cache_key | {"steps": n, "start": start, "to_zero": grid.to_zero}
        try:
            entry = cached_result(
                self.folder, "auto", key, lambda: self._search_rule(sampler, n, start, grid.to_zero)
            )
        except _ProbeError as unseen:
            log.warning("%s; %s has its usual rule there", unseen, sampler.name)
            return sampler
        rule = Rule(*entry["rule"])
        if len(grid) > n:  # the last level of a shorter grid is too high
            rule = rule._replace(last=0.0)
        return cast(Any, sampler).fitted(Fitted(rule, int(entry["evaluations"])))

    def _with_statistics(self, sampler: Sampler) -> Sampler:
        """Return the sampler with the model's statistics; unchanged if they cannot be measured."""
        try:
            return cast(Any, sampler).fitted(self._statistics)
        except _ProbeError as unseen:
            log.warning("%s; %s has no statistics there", unseen, sampler.name)
            return sampler

    @cached_property
    def _statistics(self) -> Statistics:
        """Statistics of the model, cached."""
        path = self._cache_file("statistics")
        if stored := read_arrays(path) if path else None:
            given: dict[str, Any] = {**stored, "event": self.model.event}
            given["evaluations"] = int(stored["evaluations"])
            return Statistics(**given)
        dim, meter = math.prod(self.model.event), Meter()
        count = max(2, min(STATES, ROOM // (2 * MOST * dim)))
        denoise, latents = self._denoiser_and_latents(meter, np.arange(count))
        ends = self.model.sigma_min, self.model.sigma_max
        with self._explaining():
            measured = measure_statistics(denoise, latents, *ends, probes=PROBES)
        found = replace(measured, evaluations=meter.rows)
        if path:
            arrays = {f.name: np.asarray(getattr(found, f.name)) for f in fields(found)}
            write_arrays(path, arrays)
        return found

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Raise a _ProbeError in place of any error of a user's model."""
        try:
            yield
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise _ProbeError(f"model {self.model.name} cannot be looked at ({why})") from error

    @property
    def probe(self) -> ProbeData:
        """Cached probe of the model. Raises a ValueError if the model cannot be probed."""
        try:
            return self._probe_and_evaluations[0]
        except _ProbeError as unseen:
            raise ValueError(str(unseen)) from unseen

    def _search_rule(self, sampler: Sampler, n: int, start: float, to_zero: bool) -> dict[str, Any]:
        """Return the best ``rule`` for a grid, and the ``evaluations`` spent on the search."""
        (look, spent), meter = self._probe_and_evaluations, Meter()
        if start != self.model.sigma_max:  # no trajectory of the probe begins there
            rule = best_rule(look, n, start, to_zero=to_zero)
            return {"rule": list(rule), "evaluations": spent}
        grid = karras(n, self.model.sigma_min, start, to_zero=to_zero)  # only its ends matter

        def run(rule: Rule, rows: NDArray[np.int64]) -> Tensor:
            return self._draw(meter, cast(Any, sampler).fitted(Fitted(rule, 0)), grid, rows)

        ranked = find_finalists(
            look,
            n,
            start,
            to_zero=to_zero,
            trial=lambda rule: look.distances_from_ends(run(rule, look.rows), to_zero=to_zero),
        )
        cost, rules = ranked[0][0], [rule for _, rule in ranked]
        if len(rules) > 1 and n <= CONFIRMED and self._fresh_count >= LATENTS_PER_AXIS:
            reference = self._reference_ends(to_zero=to_zero)
            spent += int(reference["evaluations"])
            if math.log(RESOLVED * float(reference["error"]) / look.spread) <= cost:
                rows = reference["rows"]
                ends = np.stack([_rows_of_samples(run(rule, rows)) for rule in rules])
                axes = principal_axes(look.image, len(rows) // LATENTS_PER_AXIS)
                rules = [choose_rule(rules, ends, reference["ends"], axes, look.spread)]
        return {"rule": list(rules[0]), "evaluations": spent + meter.rows}

    def _reference_ends(self, *, to_zero: bool) -> dict[str, NDArray[Any]]:
        """Return a reference solution for latents other than the probe's, cached.

        ``ends`` are samples of the latents ``rows`` by the usual rule for the data's spread, with
        FINE steps. ``error`` is the geometric mean error of this rule and grid on the probe's
        latents, whose ends are known. ``evaluations`` counts the network calls.
        """
        path = self._cache_file(f"ends-{'zero' if to_zero else 'sigma_min'}")
        if stored := self._references.get(to_zero) or (read_arrays(path) if path else None):
            return stored
        look, meter, high = self._probe_and_evaluations[0], Meter(), self.model.sigma_max
        usual: Any = make("auto")
        rule = typical(look.spread)._replace(deferred=high >= usual.FAR * look.spread)
        sampler = usual.fitted(Fitted(rule, 0))
        fresh = LATENTS[1] + np.arange(self._fresh_count)
        grid = karras(FINE, self.model.sigma_min, high, to_zero=to_zero)
        missed = look.distances_from_ends(
            self._draw(meter, sampler, grid, look.rows), to_zero=to_zero
        )
        ends = _rows_of_samples(self._draw(meter, sampler, grid, fresh))
        good = np.isfinite(ends).all(1)
        error = np.exp(np.log(np.maximum(missed, np.finfo(float).tiny)).mean())
        reference = {"ends": ends[good], "rows": fresh[good], "error": np.asarray(error)}
        reference["evaluations"] = np.asarray(meter.rows)
        self._references[to_zero] = reference
        if path:
            write_arrays(path, reference)
        return reference

    def _cache_file(self, kind: str) -> Path | None:
        """Return the cache file for a ``kind`` of result without a grid; None without a cache."""
        digest = hashlib.sha256(canonical_json(self._cache_key).encode()).hexdigest()[:16]
        return self.folder and self.folder / f"auto-{kind}-{digest}.npz"

    def _draw(self, meter: Meter, sampler: Sampler, grid: Grid, rows: NDArray[np.int64]) -> Tensor:
        """Return samples of the latents ``rows``, drawn in batches of the smallest probe's size."""
        parts = []
        for part in np.split(rows, range(LATENTS[0], len(rows), LATENTS[0])):
            bound, latents = self._denoiser_and_latents(meter, part)
            parts.append(sampler.sample(bound, grid.sigma[0] * latents, grid, NoNoise()))
        return torch.cat(parts)

    @cached_property
    def _probe_and_evaluations(self) -> tuple[ProbeData, int]:
        """Probe of the model, cached, and the number of evaluations that it took."""
        path = self._cache_file("look")
        stored = read_arrays(path) if path else None
        if stored is not None:
            spent = int(stored.pop("evaluations"))
            return _probe_from_arrays(stored), spent
        meter = Meter()
        bound, latents = self._denoiser_and_latents(meter, np.arange(self._trajectory_count))
        with self._explaining():
            probe = probe_model(bound, latents, self.model.sigma_min, self.model.sigma_max)
        if path:
            write_arrays(path, _arrays_of_probe(probe) | {"evaluations": np.asarray(meter.rows)})
        return probe, meter.rows

    def _denoiser_and_latents(
        self, meter: Meter, rows: NDArray[np.int64]
    ) -> tuple[Denoise, Tensor]:
        """Return denoiser and latents for the latents ``rows``; ``meter`` counts calls."""
        ids = torch.from_numpy(SEARCH_IDS + rows).to(self.device)
        noise = SampleNoise(self.seed, ids, self.model.event, self.model.dtype)
        latents = self.model.place_noise(noise.initial())
        return meter.attach(self.model).bind(ids, self.seed), latents

    @property
    def _trajectory_count(self) -> int:
        """Number of trajectories of the probe."""
        dim = math.prod(self.model.event)
        least, most = LATENTS
        fitting = ROOM // (2 * MOST * dim)
        return max(2, min(fitting, max(least, min(most, NUMBERS // dim))))

    @property
    def _fresh_count(self) -> int:
        """Number of latents other than the probe's on which the best rules found are compared."""
        return min(FRESH, ROOM // (2 * FINALISTS * math.prod(self.model.event)))

    @property
    def _cache_key(self) -> dict[str, Any]:
        """Cache key of the probe; keys of searches also contain the grid."""
        key = search_key(self.model, self.folder, self.device, self.seed, _VERSION)
        return key | {"code": _code_digest()}


@cache
def _code_digest() -> str:
    """Return a digest of the source files whose code probes a model and searches for its rule."""
    paths = [*sorted(Path(auto.__file__).parent.glob("*.py")), Path(__file__)]
    files = (path.read_bytes() for path in paths)
    return hashlib.sha256(b"".join(files)).hexdigest()[:16]


def _rows_of_samples(ends: Tensor) -> NDArray[np.float64]:
    """Return samples ``(n, *event)`` as rows ``(n, d)`` in float64."""
    return ends.flatten(1).double().cpu().numpy()


def _arrays_of_probe(look: ProbeData) -> dict[str, NDArray[Any]]:
    """Return the fields of a probe as named arrays."""
    named = {f.name: getattr(look, f.name) for f in fields(look)}
    return {k: np.asarray(v) for k, v in (named | named.pop("response")._asdict()).items()}


def _probe_from_arrays(arrays: dict[str, NDArray[Any]]) -> ProbeData:
    """Return the probe whose fields are these named arrays."""
    response = Response(*(arrays.pop(name) for name in Response._fields))
    numbers = {"dim": int, "spread": float}
    own: dict[str, Any] = {k: numbers[k](v) if k in numbers else v for k, v in arrays.items()}
    return ProbeData(response=response, **own)
