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
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickled with both parts."""
        return Failure, (self.status, self.reason)
