"""Layout of a run directory, checks of a folder, and messages for failed writes.

::

    run.json                     {"suite": resolved suite, "provenance": {"command": …, …}}
    parts/CELL/cell.json         identity columns of the row, written when the cell is planned
    parts/CELL/made.json         fingerprints of the cell's sampler, model and extractor (:mod:`.behaviour_fingerprint`)
    parts/CELL/START-STOP.npz    a finished shard: samples START … STOP - 1
    parts/CELL/quality.json      measured quality columns, ``samples``, ``status`` and ``reason``
    parts/CELL/influence.npz     influence values, for paired comparisons
    parts/CELL/timing.json       timing columns, and the raw times as lists
    made/DIGEST.json             fingerprint of a model or an extractor, by its digest
    made/DIGEST.opened-HASH.json  hashes of files that the model opened only at sampling or scoring
    reference/NAME.npz           converged endpoints and the like
    samples/CELL.npz             a few samples: "images" (k, C, H, W) uint8 or "points" (k, 2) float32, and their "converged" endpoints
    samples/CELL-path.npz        trajectories of the first of these samples: "sigma" (k,), "x" and "d" (k, n, ...), "end" (n, ...)
    set-aside/CELL.N/            a cell made by an earlier sampler, model or extractor; ``why.json`` has the reason
    claims/                      during a run: shards that each process samples (:mod:`.sharing`)
    .lock .leader                which process leads (:mod:`.sharing`); ``.lock`` is never removed
    set-aside/damaged/           damaged files
    table.csv table.parquet report.html   rebuilt from the files above at any time

The files that results are made from are sealed (:mod:`.sealed`): a seal holds the file's path, its
``made_by``, its schema and a checksum. A damaged file is reported (logger ``samplerbench``) and
treated as missing. Runs older than checksums can be read, with a warning. A run into their folder
sets their parts aside.
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
INTERIM = "looks.json"
ASIDE = "set-aside"
LAYOUT = frozenset(
    {
        *("run.json", "parts", "made", "reference", "samples", INTERIM, "claims", ASIDE),
        "unchanged.json",  # written by runs up to November 2026, read by nothing
        *("table.csv", "table.parquet", "table.md", "table.tex", "timing.csv", "throughput.csv"),
        *("report.html", "figures", LOCK, LEASE),
    }
)
"""Names of files and folders at the top of a run directory."""

SHARD = re.compile(r"(\d{1,18})-(\d{1,18})\.npz")
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")
STRAY = re.compile(rf"\..+\.[0-9a-f]{{12}}{re.escape(PART)}")
"""Patterns of file names: shards, safe names, and half-written files of killed processes."""

CELL, MADE, QUALITY, TIMING = "cell.json", "made.json", "quality.json", "timing.json"
INFLUENCE, WHY = "influence.npz", "why.json"
PIN = "influence"  # key in quality.json of the digest of the cell's influence.npz


def part_place(cell: str, name: str) -> str:
    """Return the path of a cell's file, relative to the run directory and with slashes."""
    return f"parts/{check_file_name(cell)}/{check_file_name(name)}"


def shard_place(cell: str, start: int, stop: int) -> str:
    """Return the relative path of the shard with samples ``start`` … ``stop - 1``."""
    return part_place(cell, f"{start:08d}-{stop:08d}.npz")


def shard_ranges(samples: int, size: int) -> list[tuple[int, int]]:
    """Return ``(start, stop)`` of shards that cover [0, samples), of at most ``size`` each."""
    return [(start, min(start + size, samples)) for start in range(0, samples, size)]


def pictures_place(cell: str) -> str:
    """Return the relative path of the file with a cell's samples for reports."""
    return f"samples/{check_file_name(cell)}.npz"


def trajectories_place(cell: str) -> str:
    """Return the relative path of the file with a cell's trajectories for reports."""
    return f"samples/{check_file_name(cell)}-path.npz"


OPENED = ".opened-"
"""Separator, in file names, of a model's digest and a hash of files opened after loading."""


def fingerprint_place(digest: str) -> str:
    """Return the relative path of a model's or an extractor's fingerprint."""
    return f"made/{check_file_name(digest)}.json"


def check_file_name(name: str) -> str:
    """Return ``name``. Raises a ValueError if it is not safe as a file's name."""
    if not SAFE.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a file of a run; use letters, digits and . _ = + -")
    return name


def check_not_link(folder: Path) -> None:
    """Raise a ValueError if a folder is a symbolic link, which a run would write through."""
    if folder.is_symlink():
        raise ValueError(
            f"{folder} is a symbolic link, and a run would write through it; "
            "remove it or choose another folder with --out"
        )


def check_run_folder(path: Path) -> None:
    """Check that a folder is a run directory or can become one. Nothing is written.

    Raises:
        ValueError: ``path`` is a file, cannot be written, holds other files, or has links to
            folders or a lock that is no plain file.
    """
    try:
        if path.exists() and not path.is_dir():
            raise ValueError(
                f"{path} is a file, not a run directory; choose another folder with --out"
            )
        if path.exists() and (stranger := _why_no_run_directory(path)):
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
    """Raise a ValueError if a folder of a run is a symbolic link, or holds a link to a folder."""
    check_not_link(folder)
    if folder.is_dir():
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink() and entry.is_dir():
                    check_not_link(Path(entry.path))


def _check_writable(folder: Path) -> None:
    """Raise an OSError if a folder, or its nearest existing parent, cannot be written."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(existing))
    if hasattr(os, "statvfs") and os.statvfs(existing).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(existing))


def _why_no_run_directory(path: Path) -> str:
    """Return the reason why a folder is no run directory; "" if it is one or is empty."""
    names = {entry.name for entry in path.iterdir() if not STRAY.fullmatch(entry.name)}
    if "run.json" in names:
        run = read_json(path / "run.json")
        if run is None and {LOCK, "parts"} <= names:
            return ""
        is_ours = run is not None and (sealed.KEY in run or {"suite", "provenance"} <= run.keys())
        return "" if is_ours else "its run.json is another program's"
    # the run was killed before it wrote run.json, or the file was deleted
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
    **dict.fromkeys((errno.EACCES, errno.EPERM), "give yourself the right to write there"),
    errno.EIO: "see to the disk, or the server",
    **dict.fromkeys((errno.ESTALE, errno.ETIMEDOUT), "see to the server"),
}


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Turn OSErrors of writes to a run directory into ValueErrors with a remedy, if known."""
    try:
        yield
    except OSError as error:
        if sentence := _write_error_sentence(error, folder):
            raise ValueError(sentence) from error
        raise


def unwritable_error(path: Path, error: OSError) -> ValueError:
    """Return the error for a new run directory that cannot be written."""
    remedy = "free some space, or " * (error.errno in FULL)
    return ValueError(
        f"cannot write to {path} ({error.strerror}); {remedy}choose another folder with --out"
    )


def missing_folder_error(folder: Path) -> ValueError:
    """Return the error for a run directory that vanished during the run."""
    return ValueError(
        f"{folder} is gone: it was deleted or moved while the run went on; move it back, or run the "
        "same command again to start again"
    )


def _write_error_sentence(error: OSError, folder: Path) -> str:
    """Return a message with a remedy for a failed write; "" if no remedy is known."""
    file = str(error.filename or folder)
    if error.errno in FULL:
        return f"{FULL[error.errno]}: {file} could not be written; free some space {_KEPT}"
    if not Path(os.path.abspath(file)).is_relative_to(os.path.abspath(folder)):
        return ""
    if error.filename and os.path.abspath(file) == os.path.abspath(folder):  # it could not be made
        return str(unwritable_error(folder, error))
    remedy = _REMEDIES.get(error.errno or 0)
    if not remedy and not (folder / LOCK).exists():
        return str(missing_folder_error(folder))
    return f"{file} could not be written ({error.strerror}); {remedy} {_KEPT}" if remedy else ""
