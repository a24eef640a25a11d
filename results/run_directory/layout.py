"""Layout of a run directory, the folders that are refused, and sentences on what cannot be written.

::

    run.json                     {"suite": resolved suite, "provenance": {"command": …, …}}
    parts/CELL/cell.json         identity columns of the row, written when the cell is planned
    parts/CELL/made.json         what the sampler, the model and the extractor of the cell do (:mod:`.fingerprint`)
    parts/CELL/START-STOP.npz    a finished shard: samples START … STOP - 1
    parts/CELL/quality.json      measured quality columns, with ``samples``, ``status`` and ``reason``
    parts/CELL/influence.npz     influence values, for paired comparisons
    parts/CELL/timing.json       timing columns, and the raw times as lists
    made/DIGEST.json             what a model or an extractor does, by the digest that ``made_by`` names it with
    made/DIGEST.opened-HASH.json  files that were opened only while samples were made and scored
    reference/NAME.npz           converged endpoints and the like
    samples/CELL.npz             a few samples: "images" (k, C, H, W) uint8 or "points" (k, 2) float32, and their "converged" endpoints
    samples/CELL-path.npz        trajectories of the first of them: "sigma" (k,), "x" and "d" (k, n, ...), "end" (n, ...)
    set-aside/CELL.N/            what another sampler, model or extractor made under this name, with the reason in ``why.json``
    claims/                      while a run goes on: which process samples what (:mod:`.claims`)
    .lock .leader                which process leads (:mod:`.sharing`); the first stays
    set-aside/damaged/           files that were not what their names say
    table.csv table.parquet report.html   rebuilt from the above at any time

Every file above the last two lines is sealed (:mod:`.sealed`): it names its place, what made it and the
number of its form, and its content is checked when it is read. One that does not hold is reported (logger
``samplerbench``) and taken for missing. Runs older than checksums can be read, with a warning; a
run into such a directory sets their parts aside, since nothing proves what made them.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import sealed
from .files import PART, read_json

LOCK, LEASE = ".lock", ".leader"
ASIDE = "set-aside"
LAYOUT = frozenset(
    {
        *("run.json", "parts", "made", "reference", "samples", "looks.json", "claims", ASIDE),
        "unchanged.json",  # of runs up to November 2026; nothing reads it
        *("table.csv", "table.parquet", "table.md", "table.tex", "timing.csv", "throughput.csv"),
        *("report.html", "figures", LOCK, LEASE),
    }
)
"""Names at the top of a run directory."""

SHARD = re.compile(r"(\d{1,18})-(\d{1,18})\.npz")
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")
STRAY = re.compile(rf"\..+\.[0-9a-f]{{12}}{re.escape(PART)}")
"""Names of shards, of anything in a run directory, and of files that a killed process was
writing.
"""

CELL, MADE, QUALITY, TIMING = "cell.json", "made.json", "quality.json", "timing.json"
INFLUENCE, WHY = "influence.npz", "why.json"
PIN = "influence"
"""Item of ``quality.json`` with the digest of its influence values."""


def part_place(cell: str, name: str) -> str:
    """Return the place of a cell's file: its path below the run directory, with slashes."""
    return f"parts/{check_file_name(cell)}/{check_file_name(name)}"


def shard_place(cell: str, start: int, stop: int) -> str:
    """Return the place of the shard with samples ``start`` … ``stop - 1``."""
    return part_place(cell, f"{start:08d}-{stop:08d}.npz")


def shard_ranges(samples: int, size: int) -> list[tuple[int, int]]:
    """Return the shards ``(start, stop)`` of [0, ``samples``): all of one size but the last."""
    return [(start, min(start + size, samples)) for start in range(0, samples, size)]


def pictures_place(cell: str) -> str:
    """Return the place of a cell's pictures."""
    return f"samples/{check_file_name(cell)}.npz"


def trajectories_place(cell: str) -> str:
    """Return the place of a cell's trajectories."""
    return f"samples/{check_file_name(cell)}-path.npz"


OPENED = ".opened-"
"""Separator between the digests of a model and of its files that were opened late."""


def fingerprint_place(digest: str) -> str:
    """Return the place of the fingerprint of a model or an extractor."""
    return f"made/{check_file_name(digest)}.json"


def check_file_name(name: str) -> str:
    """Return ``name``, or raise a ValueError if it is not safe as a file's name."""
    if not SAFE.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a file of a run; use letters, digits and . _ = + -")
    return name


def check_not_link(folder: Path) -> None:
    """Raise a ValueError for a folder that is a symbolic link."""
    if folder.is_symlink():
        raise ValueError(
            f"{folder} is a symbolic link, and a run would write through it; "
            "remove it or choose another folder with --out"
        )


def check_run_folder(path: Path) -> None:
    """Raise a ValueError for a folder that cannot become a run directory; write nothing.

    A link would have a run change files elsewhere. A pipe in place of the lock would be waited for.

    Raises:
        ValueError: ``path`` is a file, cannot be written, or holds something else.
    """
    try:
        if path.exists() and not path.is_dir():
            raise ValueError(
                f"{path} is a file, not a run directory; choose another folder with --out"
            )
        stranger = _why_no_run_directory(path) if path.exists() else ""
        if stranger:
            raise ValueError(
                f"{path} is not a run directory ({stranger}); choose an "
                "empty or new folder with --out"
            )
        for name in ("parts", "made", "reference", "samples", "claims", ASIDE):
            _check_no_links(path / name)
        lock = path / LOCK
        if lock.is_symlink() or (lock.exists() and not lock.is_file()):
            raise ValueError(
                f"{lock} is no plain file, as the lock of a run is; remove it or choose another "
                "folder with --out"
            )
        _check_writable(path)
    except OSError as error:
        raise unwritable_error(path, error) from error


def _check_no_links(folder: Path) -> None:
    """Raise a ValueError for a run's folder that is a symbolic link or holds one to a folder."""
    check_not_link(folder)
    if folder.is_dir():
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink() and entry.is_dir():
                    check_not_link(Path(entry.path))


def _check_writable(folder: Path) -> None:
    """Raise an OSError if a folder, or the nearest one above it, cannot be written."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(existing))
    if hasattr(os, "statvfs") and os.statvfs(existing).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(existing))


def _why_no_run_directory(path: Path) -> str:
    """Return the reason why a folder is no run directory, in words; "" for an empty one or a run's."""
    names = {entry.name for entry in path.iterdir() if not STRAY.fullmatch(entry.name)}
    if "run.json" in names:
        run = read_json(path / "run.json")
        if run is None and {LOCK, "parts"} <= names:
            return ""
        is_ours = run is not None and (sealed.KEY in run or {"suite", "provenance"} <= run.keys())
        return "" if is_ours else "its run.json is another program's"
    # killed before run.json was there, or it is gone
    is_begun = LOCK in names and ("parts" in names or names <= {LOCK, LEASE})
    strangers = sorted(names - LAYOUT if is_begun else names)
    return f"it holds {strangers[0]!r}" if strangers else ""


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
    """Turn an OSError while writing into a run directory into a ValueError with a remedy."""
    try:
        yield
    except OSError as error:
        if sentence := _write_error_sentence(error, folder):
            raise ValueError(sentence) from error
        raise


def unwritable_error(path: Path, error: OSError) -> ValueError:
    """Return the error for a run directory that cannot be written, before anything is in it."""
    remedy = "free some space, or " * (error.errno in FULL)
    return ValueError(
        f"cannot write to {path} ({error.strerror}); {remedy}choose another folder with --out"
    )


def missing_folder_error(folder: Path) -> ValueError:
    """Return the error for a run directory that does not exist any more."""
    return ValueError(
        f"{folder} is gone: it was deleted or moved while the run went on; move it back, or run the "
        "same command again to begin anew"
    )


def _write_error_sentence(error: OSError, folder: Path) -> str:
    """Return the sentence on an error; "" for an error that is not about the folder."""
    file = str(error.filename or folder)
    if error.errno in FULL:
        return f"{FULL[error.errno]}: {file} could not be written; free some space {_KEPT}"
    if not os.path.abspath(file).startswith(os.path.abspath(folder)):
        return ""
    if not (folder / LOCK).exists():
        return str(missing_folder_error(folder))
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{file} could not be written ({error.strerror}); {remedy} {_KEPT}" if remedy else ""
