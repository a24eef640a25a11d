"""Batch sizes of a cell's samples: the requested one, or a smaller one after memory ran out."""

from __future__ import annotations

from dataclasses import replace

from ....results.run_directory.reading import log
from ...sampling.failure import Failure
from ...suites.cell import Cell


class Batches:
    """Batch sizes that fit into memory, by cell, for its later shards.

    Samples do not depend on their batches, but for the rounding of float32. A cell whose sampler
    couples a batch stays unchanged: it would have other samples. A compiled or recorded one is
    compiled or recorded again for the smaller shape.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def fitted(self, cell: Cell) -> Cell:
        """Return the cell with its present batch size."""
        size = self._sizes.get(cell.key, cell.batch_size)
        return cell if size >= cell.batch_size else replace(cell, batch_size=size)

    def shrink(self, tried: Cell, count: int, failure: Failure) -> bool:
        """Make the batches of a cell smaller where that may help, and log it.

        Args:
            tried: the cell of the draw (:meth:`fitted`).
            count: number of samples to draw.
            failure: of the draw.

        Returns:
            True if they must be drawn again.
        """
        size = _size(tried, count)
        if not failure.shrink or size == 1 or tried.sampler.batch_coupled:
            return False
        if self.fitted(tried) != tried:  # another shard was faster, and this one says no more
            return True
        smaller = self._sizes[tried.key] = max(1, size // failure.shrink)
        log.warning(
            "%s on %s: memory ran out with batches of %d, and it goes on with %d (--batch-size "
            "begins with fewer): %s",
            tried.label,
            tried.model,
            size,
            smaller,
            failure.reason,
        )
        return True

    def reason(self, cell: Cell, tried: Cell, failure: Failure) -> str:
        """Return the reason why a cell has no samples, after :meth:`shrink` returned False.

        Args:
            cell: as requested.
            tried: of the last draw.
            failure: of that draw.
        """
        if not failure.shrink:
            return failure.reason
        if cell.sampler.batch_coupled and cell.batch_size > 1:
            return (
                f"{failure.reason}; its samples depend on their batch, which is left as it is: "
                f"give --batch-size less than {cell.batch_size}"
            )
        return failure.reason + ("; batches of 1 do not fit either" if tried != cell else "")


def _size(cell: Cell, count: int) -> int:
    """Return the size of the largest batch in ``count`` samples of a cell."""
    return min(cell.batch_size, count) if cell.execution == "eager" else cell.batch_size
