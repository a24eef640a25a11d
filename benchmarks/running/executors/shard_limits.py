"""Time limits of shards from the throughput of a network, and batch sizes that fit into memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf

import torch

from ....models.denoiser import Denoiser
from ....results.run_directory.reading import log
from ...sampling.batch import evaluations_per_sample
from ...sampling.execution import is_compiled
from ...sampling.failure import Failure
from ...suites.cell import Cell

ADAPTIVE_GUESS = 60  # expected evaluations of an adaptive sampler, for forecasts and limits
ADAPTIVE_MOST = 10  # largest allowed multiple of that guess
GENEROUS = 20  # largest allowed multiple of a shard's forecast: machines get busy, samplers do more
SHORTEST, SHORTEST_COMPILED = 60.0, 900.0  # shortest time limits of a shard, in seconds
ENOUGH = 1e5  # evaluations per second at which usual shards have the shortest limit


def expected_evaluations(model: Denoiser, cell: Cell) -> float:
    """Return network evaluations per sample: a guess for adaptive samplers, 0 without a grid."""
    if cell.grid is None:
        return 0.0
    says = evaluations_per_sample(cell)
    return float(model.passes * (ADAPTIVE_GUESS if says is None else says))


def evaluations_per_second(
    model: Denoiser, batch: int, device: str, *, seconds: float = 0.5, enough: float = inf
) -> float:
    """Return network evaluations (passes times samples) per second.

    They are measured for ``seconds``, or until there are ``enough``.
    """
    bound = model.bind(torch.arange(batch, device=device), 0)
    x = torch.zeros(batch, *model.event, dtype=model.dtype, device=device)
    level = min(max(1.0, model.sigma_min), model.sigma_max)
    bound(x, level)
    begin, calls, of_call = time.perf_counter(), 0, batch * model.passes
    while (spent := time.perf_counter() - begin) < seconds or not calls:
        if calls * of_call > enough * spent:
            break
        bound(x, level)
        if device != "cpu":
            torch.cuda.synchronize()
        calls += 1
    return calls * of_call / spent if spent else inf


@torch.no_grad()
def decoding_seconds_per_image(model: Denoiser) -> float:
    """Return the measured seconds to decode one latent, in a whole batch; 0 without a decoder."""
    if model.decoder is None:
        return 0.0
    latents = torch.zeros(model.decoder.batch, *model.event, device=model.decoder.device)
    begin = time.perf_counter()
    model.decode(latents).cpu()
    return (time.perf_counter() - begin) / len(latents)


class ShardTimeLimits:
    """Time limits of shards, in seconds.

    ``asked`` is the user's limit, 0 for no limit. If it is None, limits are forecast from the
    evaluations per second that ``measure`` returns for a cell.
    """

    def __init__(
        self, models: Mapping[str, Denoiser], asked: float | None, measure: Callable[[Cell], float]
    ) -> None:
        self._models, self._asked, self._measure = models, asked, measure
        self._rates: dict[tuple[str, int], float] = {}
        self._decoding: dict[str, float] = {}

    def limit_of(self, cell: Cell, count: int) -> float | None:
        """Return the seconds that ``count`` samples of a cell may take; None for no limit."""
        if self._asked is not None:
            return self._asked or None
        at = (cell.model, cell.batch_size)
        if at not in self._rates:
            self._rates[at] = self._measure(cell)
        if cell.model not in self._decoding:
            self._decoding[cell.model] = decoding_seconds_per_image(self._models[cell.model])
        longest = ADAPTIVE_MOST if cell.sampler.adaptive else 1
        evaluations = expected_evaluations(self._models[cell.model], cell) * count * longest
        # samplers may run whole batches
        whole = max(1, -(-count // cell.batch_size)) * cell.batch_size / count if count else 1.0
        shortest = SHORTEST_COMPILED if is_compiled(cell.execution) else SHORTEST
        seconds = evaluations * whole / self._rates[at] + count * self._decoding[cell.model]
        return max(shortest, GENEROUS * seconds)


class FittingBatchSizes:
    """Batch sizes that fit into memory, by cell, reduced when memory runs out.

    Smaller batches change samples by float32 rounding only. A sampler that couples the samples of a
    batch keeps its batch size. A new size costs another compilation or recording of a CUDA graph.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def resize(self, cell: Cell) -> Cell:
        """Return the cell with its reduced batch size, or unchanged if memory never ran out."""
        size = self._sizes.get(cell.key, cell.batch_size)
        return cell if size >= cell.batch_size else replace(cell, batch_size=size)

    def shrink(self, tried: Cell, count: int, failure: Failure) -> bool:
        """Reduce the batch size of a cell after a failure; return True if another try may succeed.

        ``tried`` is the cell as :meth:`resize` returned it; the failed shard had ``count`` samples.
        """
        size = min(tried.batch_size, count) if tried.execution == "eager" else tried.batch_size
        if not failure.shrink or size == 1 or tried.sampler.batch_coupled:
            return False
        if self.resize(tried) != tried:  # another shard has reduced it already
            return True
        smaller = self._sizes[tried.key] = max(1, size // failure.shrink)
        what = tried.label, tried.model, size, smaller, failure.reason
        log.warning(
            "%s on %s: memory ran out with batches of %d, and it goes on with %d (--batch-size "
            "begins with fewer): %s",
            *what,
        )
        return True

    def explain(self, cell: Cell, tried: Cell, failure: Failure) -> str:
        """Return the reason of a final failure; if memory ran out, why no batch size fits."""
        if not failure.shrink:
            return failure.reason
        if cell.sampler.batch_coupled and cell.batch_size > 1:
            return (
                f"{failure.reason}; its samples depend on their batch, which is left as it is: "
                f"give --batch-size less than {cell.batch_size}"
            )
        return failure.reason + ("; batches of 1 do not fit either" if tried != cell else "")
