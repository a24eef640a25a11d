"""Reading a run directory.

A missing or damaged file is read as None. The logger ``samplerbench`` reports a damaged one.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from .file_cache import RunFileCache
from .layout import (
    CELL,
    INFLUENCE,
    MADE,
    OPENED,
    PIN,
    QUALITY,
    SHARD,
    check_file_name,
    fingerprint_place,
    part_place,
    pictures_place,
    shard_place,
    shard_ranges,
    trajectories_place,
)
from .sealed import Arrays, DamagedError

log = logging.getLogger("samplerbench")


@dataclass(frozen=True)
class RunReader:
    """Run directory that can be read, file by file; made by :meth:`open`.

    ``model`` and ``extractor`` are the digests of the model whose reference data are read, and of
    the extractor of their features (:meth:`of_model`). "" stands for none.
    """

    path: Path
    model: str = ""
    extractor: str = ""
    _contents: RunFileCache = field(default=None, compare=False, repr=False)  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        """Create an empty cache of files, unless :meth:`of_model` passes one."""
        if self._contents is None:
            object.__setattr__(self, "_contents", RunFileCache(self.path))

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Return the existing run directory at ``path``. Raises a ValueError if it is none."""
        path = Path(path)
        if not (path / "parts").is_dir():
            raise ValueError(
                f"{path} is not a run directory (it has no parts/); give the "
                "folder that `samplerbench run` printed"
            )
        return cls(path)

    def of_model(self, digest: str, extractor: str = "") -> Self:
        """Return a reader of the reference data of one model and extractor, by their digests."""
        return replace(self, model=digest, extractor=extractor)

    def part_path(self, cell: str, name: str) -> Path:
        """Return the path of a cell's file, such as ``quality.json``."""
        return self.path / part_place(cell, name)

    def shard_path(self, cell: str, start: int, stop: int) -> Path:
        """Return the path of the shard with samples ``start`` … ``stop - 1``."""
        return self.path / shard_place(cell, start, stop)

    def pictures_path(self, cell: str) -> Path:
        """Return the path of the file with a cell's samples for reports."""
        return self.path / pictures_place(cell)

    def trajectories_path(self, cell: str) -> Path:
        """Return the path of the file with a cell's trajectories for reports."""
        return self.path / trajectories_place(cell)

    def cells(self) -> list[str]:
        """Return the keys of the planned cells, sorted."""
        return sorted(path.parent.name for path in (self.path / "parts").glob(f"*/{CELL}"))

    def file_names(self, cell: str) -> list[str]:
        """Return the names of the files in a cell's folder, sorted; [] without the folder."""
        try:
            return sorted(os.listdir(f"{self.path}/parts/{check_file_name(cell)}"))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def shard_ranges(self, cell: str, samples: int) -> list[tuple[int, int]]:
        """Return ``(start, stop)`` of the shards of a cell that cover [0, ``samples``).

        The ranges do not depend on how samples were added, so sums over shards have a fixed order.
        If the run did not record the shard size, the ranges of all stored shards are returned.
        """
        size = (self.read(cell, MADE) or {}).get("shard")
        if isinstance(size, int) and size > 0:
            return shard_ranges(samples, size)
        return sorted(self.stored_shards(cell))

    def missing_shards(self, cell: str, samples: int) -> list[tuple[int, int]]:
        """Return the :meth:`shard_ranges` of a cell that have no file, in order."""
        drawn = self.stored_shards(cell)
        return [piece for piece in self.shard_ranges(cell, samples) if piece not in drawn]

    def stored_shards(self, cell: str) -> set[tuple[int, int]]:
        """Return ``(start, stop)`` of each shard of a cell that has a file."""
        try:
            with os.scandir(self.part_path(cell, CELL).parent) as entries:
                names = [entry.name for entry in entries if entry.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return set()
        matches = [SHARD.fullmatch(name) for name in names]
        shards = [((int(match[1]), int(match[2])), match[0]) for match in matches if match]
        return {piece for piece, name in shards if shard_place(cell, *piece).endswith(f"/{name}")}

    def read_run(self) -> dict[str, Any]:
        """Return the items of ``run.json`` that have the right types; {} if it is missing or damaged."""
        record = self._contents.pending_run or self.read_top_json("run.json")
        return {key: value for key, value in record.items() if _has_expected_type(key, value)}

    def read(self, cell: str, name: str) -> dict[str, Any] | None:
        """Return the object in a cell's JSON file; None if the file is missing or damaged."""
        return self._read_or_none(part_place(cell, name), self._expected_maker(cell, name))

    def read_or_raise(self, cell: str, name: str) -> dict[str, Any]:
        """Return the object in a cell's JSON file. Raises as :meth:`.RunFileCache.read`."""
        return self._contents.read(part_place(cell, name), self._expected_maker(cell, name))

    def _expected_maker(self, cell: str, name: str) -> str | None:
        return None if name in (CELL, MADE) else self.made_by(cell)

    def read_influence(self, cell: str) -> Arrays | None:
        """Return the arrays of ``influence.npz``; None if missing, damaged or outdated."""
        place, pin = part_place(cell, INFLUENCE), self._pinned_digest(cell)
        if pin is not None and not (self.path / place).is_file():
            log.warning(
                "%s is missing, so that its row is compared as one that shares no latents with any "
                "other. Run the suite into this folder again to restore it.",
                self.path / place,
            )
        return self._read_or_none(place, self.made_by(cell), pin)

    def read_shard(self, cell: str, start: int, stop: int) -> Arrays | None:
        """Return the arrays of a shard; None if it is missing or damaged."""
        return self._read_or_none(shard_place(cell, start, stop), self.made_by(cell))

    def read_pictures(self, cell: str) -> Arrays | None:
        """Return a cell's samples for reports, as arrays by name; None if missing or damaged."""
        return self._read_or_none(pictures_place(cell), self.made_by(cell))

    def read_trajectories(self, cell: str) -> Arrays | None:
        """Return a cell's trajectories for reports, as arrays by name; None if missing or damaged."""
        return self._read_or_none(trajectories_place(cell), self.made_by(cell))

    def read_reference(self, name: str) -> Arrays | None:
        """Return reference data as arrays by name; None if they are missing or damaged."""
        return self._read_or_none(self._reference(name))

    def reference_steps(self, tag: str) -> list[int]:
        """Return the numbers N of the stored reference data named ``TAG-N``, sorted."""
        start = Path(self._reference(tag)).stem + "-"
        paths = (self.path / "reference").glob(f"{start}*.npz")
        ends = (path.stem.removeprefix(start) for path in paths)
        return sorted(int(end) for end in ends if end.isdecimal())

    def fingerprints(self) -> dict[str, dict[str, Any]]:
        """Return the fingerprint records of this run's models and extractors, by digest."""
        names = sorted(path.stem for path in (self.path / "made").glob("[!.]*.json"))
        names = [name for name in names if OPENED not in name]
        read = {name: self._read_or_none(fingerprint_place(name)) for name in names}
        return {name: record for name, record in read.items() if record is not None}

    def late_file_hashes(self, digest: str) -> dict[str, str]:
        """Return the SHA-256, by name, of the files that a model opened after loading.

        It is "" for a file that changed during the run.
        """
        files: dict[str, str] = {}
        for path in sorted((self.path / "made").glob(f"{check_file_name(digest)}{OPENED}*.json")):
            read = self._read_or_none(fingerprint_place(path.stem)) or {}
            for name, content in dict(read.get("files") or {}).items():
                # the file changed during the run: "" equals no hash
                files[name] = content if files.get(name, content) == content else ""
        return files

    def read_top_json(self, name: str) -> dict[str, Any]:
        """Return the object in a JSON file at the directory's top; {} if missing or damaged."""
        return self._read_or_none(name) or {}

    def made_by(self, cell: str) -> str:
        """Return the digest ``made_by`` in a cell's ``cell.json``; "" if none or damaged."""
        try:
            return str(self._contents.read(part_place(cell, CELL)).get("made_by") or "")
        except (FileNotFoundError, DamagedError):
            return ""

    @property
    def predates_checksums(self) -> bool:
        """Return True if the run is older than checksums, so that its files are read unchecked."""
        return self._contents.predates_checksums

    def _reference(self, name: str) -> str:
        return f"reference/{check_file_name(f'{self.model}.{name}' if self.model else name)}.npz"

    def _pinned_digest(self, cell: str) -> str | None:
        """Return the digest of ``influence.npz`` that ``quality.json`` records; None if none."""
        try:
            pin = self.read_or_raise(cell, QUALITY).get(PIN)
        except (FileNotFoundError, DamagedError):
            return None
        return str(pin.get("sha256")) if isinstance(pin, dict) else None

    def _read_or_none(self, place: str, *expected: str | None) -> dict[str, Any] | None:
        try:
            return self._contents.read(place, *expected)
        except FileNotFoundError:
            return None
        except DamagedError as fault:
            log.warning(
                "%s is damaged: %s. It is left out; run the suite into this folder again to "
                "restore it.",
                self.path / place,
                fault,
            )
            return None


_TABLES = ("suite", "provenance", "models")
_BY_MODEL = ("references", "fingerprints", "citations", "start_errors", "path_curvature")


def _has_expected_type(key: str, value: Any) -> bool:
    if key in _BY_MODEL:
        return isinstance(value, dict) and all(isinstance(item, dict) for item in value.values())
    if key == "earlier":
        return isinstance(value, list) and all(isinstance(item, dict) for item in value)
    return key not in _TABLES or isinstance(value, dict)


def read_run_record(path: Path) -> dict[str, Any]:
    """Return ``run.json`` of a run directory or a table file's folder; {} if missing or damaged.

    Items of a wrong type are left out.
    """
    return RunReader(path if path.is_dir() else path.parent).read_run()
