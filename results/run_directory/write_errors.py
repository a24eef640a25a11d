"""Write errors of a file system, as a sentence with the remedy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .layout import LOCK

_KEPT = "and run the same command again, what is done is kept"
FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of disk space is used up",
}
_REMEDIES = {
    errno.EROFS: "make its file system writable",
    errno.EACCES: "give yourself the right to write there",
    errno.EPERM: "give yourself the right to write there",
    errno.EIO: "see to the disk, or the server",
    errno.ESTALE: "see to the server",
    errno.ETIMEDOUT: "see to the server",
}


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError while writing into a run directory into a sentence with a remedy.

    Raises:
        ValueError: in place of the OSError.
    """
    try:
        yield
    except OSError as error:
        if sentence := _sentence(error, folder):
            raise ValueError(sentence) from error
        raise


def unwritable(path: Path, error: OSError) -> ValueError:
    """A run directory that cannot be written before anything is in it."""
    remedy = "free some space, or " * (error.errno in FULL)
    return ValueError(
        f"cannot write to {path} ({error.strerror}); {remedy}choose another folder with --out"
    )


def missing_folder_error(folder: Path) -> ValueError:
    """A run directory that is not there any more."""
    return ValueError(
        f"{folder} is gone: it was deleted or moved while the run went on; move it back, or run the "
        "same command again to begin anew"
    )


def _sentence(error: OSError, folder: Path) -> str:
    """Return the sentence on an error; "" for one that is not about the folder."""
    file = str(error.filename or folder)
    if error.errno in FULL:
        return f"{FULL[error.errno]}: {file} could not be written; free some space {_KEPT}"
    if not os.path.abspath(file).startswith(os.path.abspath(folder)):
        return ""
    if not (folder / LOCK).exists():
        return str(missing_folder_error(folder))
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{file} could not be written ({error.strerror}); {remedy} {_KEPT}" if remedy else ""
