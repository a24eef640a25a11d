"""Rules that are found for a model: one look at it, kept with it, and a search for each grid."""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models import Denoiser
from ...results.run_directory.disk.files import read_npz, write_npz
from ...samplers import Denoise, Grid, NoNoise, SampleNoise, Sampler, karras, pilot
from ...samplers.pilot import Fitted, Look, Response, Rule, best_rule, look_at
from ...samplers.pilot.look import MOST
from ..sampling.meter import Meter
from ..suites.spec import canonical
from .cache import remembered
from .gits import SEARCH_IDS

_SEED = 0
_VERSION = 2
"""Raised when the same model would give other trajectories."""

LATENTS = (16, 64)
"""Trajectories of a look, at least and at most."""
NUMBERS = 1024
"""A look has as many trajectories as make this many numbers of one level, within these bounds: few
dimensions tell little each.
"""
ROOM = 2**27
"""Numbers that the states of a look may have in memory; a larger model has fewer trajectories."""
MOST_STEPS = 50
"""A grid of more steps has the rule of one of this many."""

log = logging.getLogger("samplerbench")


class _UnseenError(Exception):
    """A model that cannot be looked at, in a sentence."""


@dataclass(frozen=True, eq=False)
class Pilot:
    """Looks at one model, once, and finds rules for it.

    Attributes:
        model: on ``device``.
        folder: where look and rules are kept; None keeps nothing.
        device: "cpu" or "cuda".
    """

    model: Denoiser
    folder: Path | None
    device: str = "cpu"

    def fitted(self, sampler: Sampler, grid: Grid) -> Sampler:
        """The sampler with the rule that is found for a grid on this model.

        It stays as it is if it needs no look, where the grid has one step, or where the model
        fails or has no finite trajectories, which its rows will say.
        """
        if not getattr(sampler, "needs_look", False) or len(grid) == 1:
            return sampler
        n, start = min(len(grid), MOST_STEPS), grid.sigma[0]
        key = self._key | {"steps": n, "start": start, "to_zero": grid.to_zero}
        try:
            found = remembered(
                self.folder, "auto", key, lambda: self._search(sampler, n, start, grid.to_zero)
            )
        except _UnseenError as unseen:
            log.warning("%s; %s has its usual rule there", unseen, sampler.name)
            return sampler
        rule = Rule(*found["rule"])
        if len(grid) > n:  # the last level of few steps is too high for many
            rule = rule._replace(last=0.0)
        return cast(Any, sampler).fitted(Fitted(rule, int(found["evaluations"])))

    @property
    def look(self) -> Look:
        """What was seen of the model, from the cache if it is there.

        Raises:
            ValueError: it fails, or has no finite trajectories.
        """
        try:
            return self._look[0]
        except _UnseenError as unseen:
            raise ValueError(str(unseen)) from unseen

    def _search(self, sampler: Sampler, n: int, start: float, to_zero: bool) -> dict[str, Any]:
        """The rule for a grid, and the evaluations that it took."""
        (look, spent), meter = self._look, Meter()
        grid = karras(n, self.model.sigma_min, start, to_zero=to_zero)  # its ends are all it is for

        def trial(rule: Rule) -> NDArray[np.float64]:
            bound, latents = self._latents(meter, look.rows)
            tried = cast(Any, sampler).fitted(Fitted(rule, 0))
            end = tried.sample(bound, start * latents, grid, NoNoise())
            return look.missed(end, to_zero=to_zero)

        known = start == self.model.sigma_max  # there the trajectories begin at a latent
        rule = best_rule(look, n, start, to_zero=to_zero, trial=trial if known else None)
        return {"rule": list(rule), "evaluations": spent + meter.rows}

    @cached_property
    def _look(self) -> tuple[Look, int]:
        """The look and the evaluations that it took, from the cache if they are there."""
        digest = hashlib.sha256(canonical(self._key).encode()).hexdigest()[:16]
        path = self.folder and self.folder / f"auto-look-{digest}.npz"
        stored = read_npz(path) if path else None
        if stored is not None:
            spent = int(stored.pop("evaluations"))
            return _restored(stored), spent
        meter = Meter()
        bound, latents = self._latents(meter, np.arange(self._count))
        try:
            found = look_at(bound, latents, self.model.sigma_min, self.model.sigma_max)
        except Exception as error:  # whatever a user's model raises
            why = f"{type(error).__name__}: {error}"
            raise _UnseenError(f"model {self.model.name} cannot be looked at ({why})") from error
        if path:
            write_npz(path, _stored(found) | {"evaluations": np.asarray(meter.rows)})
        return found, meter.rows

    def _latents(self, meter: Meter, rows: NDArray[np.int64]) -> tuple[Denoise, Tensor]:
        """The counted denoiser of some latents that no sample begins at, and the latents."""
        ids = torch.from_numpy(SEARCH_IDS + rows).to(self.device)
        noise = SampleNoise(_SEED, ids, self.model.event, self.model.dtype)
        return meter.attach(self.model).bind(ids, _SEED), noise.initial()

    @property
    def _count(self) -> int:
        """How many trajectories."""
        dim = math.prod(self.model.event)
        least, most = LATENTS
        fitting = ROOM // (2 * MOST * dim)
        return max(2, min(fitting, max(least, min(most, NUMBERS // dim))))

    @property
    def _key(self) -> dict[str, Any]:
        """What a look depends on."""
        model = self.model
        return {
            "model": model.name,
            "identity": model.identity,
            "sigma_min": model.sigma_min,
            "sigma_max": model.sigma_max,
            "dtype": str(model.dtype),
            "seed": _SEED,
            "version": _VERSION,
            "code": _code(),
        }


@cache
def _code() -> str:
    """A digest of the files that look, forecast and search."""
    folder = Path(pilot.__file__).parent
    files = (path.read_bytes() for path in sorted(folder.glob("*.py")))
    return hashlib.sha256(b"".join(files)).hexdigest()[:16]


def _stored(look: Look) -> dict[str, NDArray[Any]]:
    """A look as named arrays."""
    named = {f.name: getattr(look, f.name) for f in fields(look)}
    return {k: np.asarray(v) for k, v in (named | named.pop("response")._asdict()).items()}


def _restored(arrays: dict[str, NDArray[Any]]) -> Look:
    """The look of named arrays."""
    response = Response(*(arrays.pop(name) for name in Response._fields))
    numbers = {"dim": int, "spread": float}
    own: dict[str, Any] = {k: numbers[k](v) if k in numbers else v for k, v in arrays.items()}
    return Look(response=response, **own)
