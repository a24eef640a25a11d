"""Rules fitted to a model: one probe, cached, and a search for each grid."""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass, field, fields
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
from ...samplers.spec import canonical_json
from ..sampling.counting import Meter
from .cache import cached_result, read_arrays, search_key, write_arrays
from .gits import SEARCH_IDS

_VERSION = 3
"""Version of the trajectories of a model."""

LATENTS = (16, 64)
"""Fewest and most trajectories of a probe."""
NUMBERS = 1024
"""Target for the numbers of one level in a probe's trajectories: few dimensions carry little
information each.
"""
ROOM = 2**27
"""Most numbers in memory for the states of a probe; a larger model has fewer trajectories."""
FRESH = 64
"""Number of latents for the trial of finalists, after those in the probe."""
FINE, RESOLVED = 32, 4.0
"""Evaluations of the finalists' reference solution, and the least ratio of the smallest error to
the reference's; below it, the probe's latents decide.
"""
MOST_STEPS = 50
"""Most steps of a fitted rule: longer grids use the rule for this number."""

log = logging.getLogger("samplerbench")


class _ProbeError(Exception):
    """Model that cannot be probed, in a sentence."""


@dataclass(frozen=True, eq=False)
class Pilot:
    """Probe of one model on ``device``, made once, and search for its rules; ``folder`` is the cache of both."""

    model: Denoiser
    folder: Path | None
    device: str = "cpu"
    seed: int = 0
    _references: dict[bool, dict[str, NDArray[Any]]] = field(default_factory=dict, init=False)

    def fitted(self, sampler: Sampler, grid: Grid) -> Sampler:
        """Return the sampler with the rule for a grid on this model.

        It stays unchanged if it needs no probe, if the grid has one step, or if the model cannot be probed.
        """
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
        if len(grid) > n:  # the last level of few steps is too high for many
            rule = rule._replace(last=0.0)
        return cast(Any, sampler).fitted(Fitted(rule, int(entry["evaluations"])))

    @property
    def probe(self) -> ProbeData:
        """Probe of the model, cached; it raises ValueError if it fails, or has no finite trajectories."""
        try:
            return self._probe_and_evaluations[0]
        except _ProbeError as unseen:
            raise ValueError(str(unseen)) from unseen

    def _search_rule(self, sampler: Sampler, n: int, start: float, to_zero: bool) -> dict[str, Any]:
        """Return the rule for a grid, and the evaluations for it."""
        (look, spent), meter = self._probe_and_evaluations, Meter()
        if start != self.model.sigma_max:  # the trajectories begin at no latent there
            rule = best_rule(look, n, start, to_zero=to_zero)
            return {"rule": list(rule), "evaluations": spent}
        grid = karras(n, self.model.sigma_min, start, to_zero=to_zero)  # its ends are all it is for

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
        """Return ``ends`` of the fresh latents ``rows``, the rule's ``error``, and the ``evaluations``, cached.

        The usual rule for the data's spread, on many steps, gives the ends. Its error is the
        geometric mean on the probe's latents, whose trajectories are known.
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
        """Return the file for a result that depends on the model alone."""
        digest = hashlib.sha256(canonical_json(self._cache_key).encode()).hexdigest()[:16]
        return self.folder and self.folder / f"auto-{kind}-{digest}.npz"

    def _draw(self, meter: Meter, sampler: Sampler, grid: Grid, rows: NDArray[np.int64]) -> Tensor:
        """Draw samples of some latents, in parts of the smallest probe's size."""
        parts = []
        for part in np.split(rows, range(LATENTS[0], len(rows), LATENTS[0])):
            bound, latents = self._denoiser_and_latents(meter, part)
            parts.append(sampler.sample(bound, grid.sigma[0] * latents, grid, NoNoise()))
        return torch.cat(parts)

    @cached_property
    def _probe_and_evaluations(self) -> tuple[ProbeData, int]:
        """Probe and its number of evaluations, cached."""
        path = self._cache_file("look")
        stored = read_arrays(path) if path else None
        if stored is not None:
            spent = int(stored.pop("evaluations"))
            return _probe_from_arrays(stored), spent
        meter = Meter()
        bound, latents = self._denoiser_and_latents(meter, np.arange(self._trajectory_count))
        try:
            probe = probe_model(bound, latents, self.model.sigma_min, self.model.sigma_max)
        except Exception as error:  # of a user's model
            why = f"{type(error).__name__}: {error}"
            raise _ProbeError(f"model {self.model.name} cannot be looked at ({why})") from error
        if path:
            write_arrays(path, _arrays_of_probe(probe) | {"evaluations": np.asarray(meter.rows)})
        return probe, meter.rows

    def _denoiser_and_latents(
        self, meter: Meter, rows: NDArray[np.int64]
    ) -> tuple[Denoise, Tensor]:
        """Return the counted denoiser of some search latents, and the latents."""
        ids = torch.from_numpy(SEARCH_IDS + rows).to(self.device)
        noise = SampleNoise(self.seed, ids, self.model.event, self.model.dtype)
        return meter.attach(self.model).bind(ids, self.seed), noise.initial()

    @property
    def _trajectory_count(self) -> int:
        """Number of trajectories."""
        dim = math.prod(self.model.event)
        least, most = LATENTS
        fitting = ROOM // (2 * MOST * dim)
        return max(2, min(fitting, max(least, min(most, NUMBERS // dim))))

    @property
    def _fresh_count(self) -> int:
        """Number of fresh latents."""
        return min(FRESH, ROOM // (2 * FINALISTS * math.prod(self.model.event)))

    @property
    def _cache_key(self) -> dict[str, Any]:
        """Cache key of a probe."""
        key = search_key(self.model, self.folder, self.device, self.seed, _VERSION)
        return key | {"code": _code_digest()}


@cache
def _code_digest() -> str:
    """Return a digest of the files that probe, forecast, search and choose."""
    paths = [*sorted(Path(auto.__file__).parent.glob("*.py")), Path(__file__)]
    files = (path.read_bytes() for path in paths)
    return hashlib.sha256(b"".join(files)).hexdigest()[:16]


def _rows_of_samples(ends: Tensor) -> NDArray[np.float64]:
    """Return samples ``(n, *event)`` as rows ``(n, d)`` float64."""
    return ends.flatten(1).double().cpu().numpy()


def _arrays_of_probe(look: ProbeData) -> dict[str, NDArray[Any]]:
    """Convert a probe to named arrays."""
    named = {f.name: getattr(look, f.name) for f in fields(look)}
    return {k: np.asarray(v) for k, v in (named | named.pop("response")._asdict()).items()}


def _probe_from_arrays(arrays: dict[str, NDArray[Any]]) -> ProbeData:
    """Restore a probe from named arrays."""
    response = Response(*(arrays.pop(name) for name in Response._fields))
    numbers = {"dim": int, "spread": float}
    own: dict[str, Any] = {k: numbers[k](v) if k in numbers else v for k, v in arrays.items()}
    return ProbeData(response=response, **own)
