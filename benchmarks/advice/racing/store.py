"""Measurements of a race in its folder: a stopped run, or one with more time, goes on from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....results.run_directory.files import read_npz, write_npz, write_text

LOG, QUESTION = "measured.jsonl", "question.json"


def check_folder(folder: Path) -> None:
    """Refuse a folder that no race wrote.

    Raises:
        ValueError: something else is in it.
    """
    visible = [path for path in folder.glob("*") if not path.name.startswith(".")]
    if visible and not (folder / "measured").is_dir():
        raise ValueError(
            f"{folder} holds something else than what advise writes; give --out another folder"
        )


class Store:
    """Measurements in a folder, all of one question: another question, or other code, starts over.

    Lines are appended, so that a kill costs at most the last line; arrays have a file
    each.

    Args:
        folder: made if it does not exist.
        question: all that the numbers depend on, as JSON values.
    """

    def __init__(self, folder: Path, question: Mapping[str, Any]) -> None:
        self.folder = folder
        text = json.dumps(question, indent=1, sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self._place = folder / "measured" / self.digest
        self._place.mkdir(parents=True, exist_ok=True)
        write_text(self._place / QUESTION, text)
        self._values: dict[str, Any] = {}
        log = self._place / LOG
        for line in log.read_text(encoding="utf-8").splitlines() if log.is_file() else ():
            try:
                key, value = json.loads(line)
            except (ValueError, TypeError):  # cut short by a kill: measured again
                continue
            self._values[key] = value

    def get(self, key: str) -> Any:
        """Return the value under a key; None if there is none."""
        return self._values.get(key)

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        self._values[key] = value
        with (self._place / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps([key, value]) + "\n")

    def arrays(self, key: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays under a key; None if there are none."""
        return read_npz(self._file(key))

    def put_arrays(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep arrays."""
        write_npz(self._file(key), {name: np.asarray(value) for name, value in arrays.items()})

    def _file(self, key: str) -> Path:
        return self._place / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.npz"
