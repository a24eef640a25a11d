"""What becomes of work that cannot be completed: its row says why.

What is imported here is quick to import.
"""

from __future__ import annotations


class Failure(Exception):  # noqa: N818 - it becomes the status of a row
    """A task that cannot be completed: the status and the reason of its row.

    Attributes:
        status: "failed", "diverged", "skipped"; "crashed" if the process ended, "timed out" if it
            had to be ended, "killed" if somebody else ended it, which says nothing of the task.
        reason: in plain words, on one line.
        shrink: what to divide the batch by before another try is worth it, >= 2, where memory ran
            out; 0 where that is not why.
    """

    def __init__(self, status: str, reason: str, shrink: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.shrink = shrink

    def __reduce__(self) -> tuple[type, tuple[str, str, int]]:
        """Pickled with all its parts."""
        return Failure, (self.status, self.reason, self.shrink)
