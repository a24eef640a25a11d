"""Converged endpoints of latents, distances of samples to them, and the store of measurements."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...results.run_directory.files import read_npz, write_npz, write_text
from ..running.executors import Executor, Failure
from ..sampling.shard import CONVERGED_IDS
from ..scoring.converged_endpoints import CONVERGED_STEPS, Doubling, solve_by_doubling
from .tasks import solve_latents

if TYPE_CHECKING:
    from ..running.executors.worker_context import WorkerContext
    from .race import Squares
    from .request import AdviceRequest


def check_folder(folder: Path) -> None:
    """Raise a ValueError if a folder holds files, but no measurements of ``advise``."""
    visible = [path for path in folder.glob("*") if not path.name.startswith(".")]
    if visible and not (folder / "measured").is_dir():
        raise ValueError(
            f"{folder} holds something else than what advise writes; give --out another folder"
        )


class MeasurementStore:
    """Store of measurements with the same ``inputs``, whose digest names a subfolder.

    Each JSON value is a line of a log, so that a kill loses at most one value. Each array is a file.
    """

    def __init__(self, folder: Path, inputs: Mapping[str, Any]) -> None:
        text = json.dumps(inputs, indent=1, sort_keys=True)
        self._place = folder / "measured" / hashlib.sha256(text.encode()).hexdigest()[:12]
        self._place.mkdir(parents=True, exist_ok=True)
        write_text(self._place / "question.json", text)
        self._values: dict[str, Any] = {}
        self._log = self._place / "measured.jsonl"
        lines = self._log.read_text(encoding="utf-8") if self._log.is_file() else ""
        for line in lines.splitlines():
            with suppress(ValueError, TypeError):  # cut short by a kill: measured again
                key, value = json.loads(line)
                self._values[key] = value
        if lines and not lines.endswith("\n"):  # the next value has a line of its own
            with self._log.open("a", encoding="utf-8") as log:
                log.write("\n")

    def get(self, key: str) -> Any:
        """Return the JSON value that is stored under a key; None if there is none."""
        return self._values.get(key)

    def put(self, key: str, value: Any) -> None:
        """Store a JSON value under a key."""
        self._values[key] = value
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps([key, value]) + "\n")

    def get_array(self, key: str) -> NDArray[Any] | None:
        """Return the array that is stored under a key; None if there is none."""
        arrays = read_npz(self._file(key))
        return None if arrays is None else arrays["x"]

    def put_array(self, key: str, array: NDArray[Any]) -> None:
        """Store an array under a key."""
        write_npz(self._file(key), {"x": array})

    def _file(self, key: str) -> Path:
        return self._place / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.npz"


FIRST = 8
"""Number of latents on which the number of steps of the reference solver is chosen."""
PIECE = 32
"""Largest number of latents whose endpoints one task computes."""
FIRST_SCORED_ID = 1 << 16
"""Sample id of the first latent for scores; races use smaller ids."""
EXACT = 1e-6
"""Smallest distance that counts, as a share of the endpoints' standard deviation."""
RULE = Doubling(64, 1024, negligible=0.01, gain=4)
"""Rule for doubling the steps of the reference solver."""
LATENTS_ALWAYS_SOLVED = 72
"""Approximate number of latents whose endpoints are computed regardless of the time."""
SHARE = 0.4
"""Largest share of the time that reference solutions may take."""


def most_reference_steps(rate: float, seconds: float) -> int:
    """Return the largest number of steps of the reference solver that ``seconds`` allow.

    It is 2, 4, … times ``RULE.first``, at most ``RULE.last``. ``rate`` is evaluations a second.
    """
    steps = 2 * RULE.first
    while steps < RULE.last and 2 * steps * LATENTS_ALWAYS_SOLVED <= SHARE * seconds * rate:
        steps *= 2
    return steps


@dataclass
class ConvergedEndpoints:
    """Converged endpoints of the latents of one seed. Each endpoint is stored once it is solved.

    Attributes:
        steps: number of steps of the reference solver; 0 for a model that knows its endpoints exactly; None before
            :meth:`set_steps`.
        resolution: root mean square error of the endpoints, in units of the data; 0 if they are exact.
        most: largest number of steps of the reference solver that there is time for.
    """

    request: AdviceRequest
    store: MeasurementStore
    executor: Executor
    context: WorkerContext
    steps: int | None = None
    resolution: float = 0.0
    most: int = RULE.last
    _endpoints: dict[tuple[int, int], NDArray] = field(default_factory=dict, repr=False)

    def set_steps(self, measured: Sequence[NDArray]) -> None:
        """Set ``resolution``, and ``steps`` so that endpoints are more exact than measured samples.

        ``measured`` are samples ``(FIRST, *event)`` of the first latents, one array for each configuration.
        Raises Failure if the model fails, or an endpoint is not finite.
        """
        if self.steps is None:
            self.solve(0, FIRST, 0)
            self.steps = 0 if (0, 0) in self._endpoints else None
        if self.steps == 0:
            return
        solution = solve_by_doubling(
            lambda steps: self.fetch(0, FIRST, steps),
            measured,
            RULE._replace(last=self.most),
            max(RULE.first, (self.steps or 0) // 2),
        )
        if not np.isfinite(solution.x).all():
            raise Failure("failed", "the reference solver finds no finite endpoints")
        self.steps, self.resolution = solution.steps, solution.resolution

    def squared_distances(self, x: NDArray, start: int) -> Squares:
        """Return the mean squared distances ``(n,)`` of samples ``x`` ``(n, *event)`` to endpoints.

        ``start`` is the id of the first sample. Samples that are not finite have distance inf. Distances too small
        to be resolved are replaced by the square of the largest of three numbers: ``resolution``, :data:`EXACT` times
        the endpoints' standard deviation, and EXACT**2 times their root mean square.
        """
        difference = (np.asarray(x, float) - self.fetch(start, start + len(x))).reshape(len(x), -1)
        with np.errstate(over="ignore", invalid="ignore"):
            means = np.square(difference).mean(1)
        # smaller distances are not resolved: the logarithm of one near 0 would outweigh all others
        ends = self.fetch(0, FIRST)
        rounding = EXACT**2 * float(np.sqrt(np.square(ends).mean()))  # of a mean far from 0
        least = max(self.resolution, EXACT * float(np.sqrt(ends.var(0).mean())), rounding) ** 2
        return np.where(np.isfinite(means), np.maximum(means, least), np.inf)

    def fetch(self, start: int, stop: int, steps: int | None = None) -> NDArray:
        """Return endpoints ``(n, *event)`` of latents ``start`` … ``stop - 1``.

        ``steps`` None stands for ``self.steps``.
        """
        steps = (self.steps or 0) if steps is None else steps
        self.solve(start, stop, steps)
        firsts = [first for first, _ in _pieces(start, stop)]
        whole = np.concatenate([self._endpoints[steps, first] for first in firsts])
        return whole[start - firsts[0] : stop - firsts[0]]

    def solve(self, start: int, stop: int, steps: int | None = None) -> None:
        """Solve for missing endpoints of latents ``start`` … ``stop - 1``; may raise Failure."""
        steps = (self.steps or 0) if steps is None else steps
        pieces = [p for p in _pieces(start, stop) if (steps, p[0]) not in self._endpoints]
        for first, x in self._stored_or_solved(pieces, f"ends {steps}", steps).items():
            self._endpoints[steps, first] = np.asarray(x, float)

    def converged_features(self, count: int, space: str) -> NDArray:
        """Return features ``(count, d)`` in ``space`` of converged samples that no race uses."""
        pieces = [(k, k + PIECE) for k in range(CONVERGED_IDS, CONVERGED_IDS + count, PIECE)]
        found = self._stored_or_solved(pieces, f"converged {space}", CONVERGED_STEPS, space)
        return np.concatenate([found[first] for first, _ in pieces])[:count]

    def _stored_or_solved(
        self, pieces: Sequence[tuple[int, int]], name: str, steps: int, space: str = ""
    ) -> dict[int, NDArray]:
        """Return stored or new endpoints, or with ``space`` their features, by first latent.

        New ones are stored under ``name`` and the first latent. With 0 ``steps``, they are left out
        if the model does not know its endpoints.
        """
        stored = {first: self.store.get_array(f"{name} {first}") for first, _ in pieces}
        found = {first: x for first, x in stored.items() if x is not None}
        todo = [piece for piece in pieces if piece[0] not in found]
        request = self.request
        tasks = [request.task(solve_latents, request.seed, *piece, steps, space) for piece in todo]
        # without tasks, the executor may be running others, and it has one map at a time
        for which, x in self.executor.map(tasks, self.context) if tasks else ():
            if isinstance(x, Failure):
                raise x
            if x is not None:
                found[todo[which][0]] = x
                self.store.put_array(f"{name} {todo[which][0]}", x)
        return found


def _pieces(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of the pieces with fixed bounds that overlap ``start`` … ``stop - 1``."""
    bounds = sorted({0, FIRST, FIRST_SCORED_ID + FIRST, *range(PIECE, stop + PIECE, PIECE)})
    for first, last in pairwise(bounds):
        if last > start and first < stop:
            yield first, last
