"""The size of the batches that a cell's samples are drawn in: the one that was asked for, or what is
left of it where memory ran out.
"""

from __future__ import annotations

from dataclasses import replace

from ....results.run_directory.reading import log
from ...sampling.failure import Failure
from ...suites.cell import Cell


class Batches:
    """What memory was found to hold of each cell, so that its later shards begin with that.

    Samples do not depend on their batches, but for the rounding of float32. A cell whose sampler
    couples a batch is left as it is: it would have other samples. One that is compiled or recorded
    is compiled or recorded anew, for the smaller shape.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def fitted(self, cell: Cell) -> Cell:
        """The cell as it is drawn now."""
        size = self._sizes.get(cell.key, cell.batch_size)
        return cell if size >= cell.batch_size else replace(cell, batch_size=size)

    def shrink(self, tried: Cell, count: int, failure: Failure) -> bool:
        """Make the batches of a cell smaller where that may help, and say so.

        Args:
            tried: the cell as it was drawn (:meth:`fitted`).
            count: how many samples it was to draw.
            failure: what became of them.

        Returns:
            Whether they are to be drawn again.
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
        """Why a cell has no samples, where :meth:`shrink` says that it will have none.

        Args:
            cell: as it was asked for.
            tried: as it was drawn last.
            failure: what became of that.
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
    """Samples of the largest batch that ``count`` samples of a cell make."""
    return min(cell.batch_size, count) if cell.execution == "eager" else cell.batch_size
