"""Failure of a task: the status and reason of its row.

All imports of this module are quick.
"""

from __future__ import annotations


class Failure(Exception):  # noqa: N818 - it becomes the status of a row
    """Task that cannot be completed: the status and the reason of its row.

    Attributes:
        status: "failed", "diverged", "skipped"; "crashed" if the process ended, "timed out" if it
            had to be ended, "killed" if another process ended it, which says nothing about the
            task.
        reason: in plain words, on one line.
        shrink: divisor of the batch for another try after memory ran out, >= 2; 0 for other
            failures.
    """

    def __init__(self, status: str, reason: str, shrink: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.shrink = shrink

    def __reduce__(self) -> tuple[type, tuple[str, str, int]]:
        """Pickle all parts."""
        return Failure, (self.status, self.reason, self.shrink)
