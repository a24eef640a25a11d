"""Model cards: descriptions of the shipped models, with sources and the SHA-256 of their files.

A card is a folder ``cards/NAME`` with ``card.toml`` and the files that it names. Tensors are
safetensors, not pickles. A file's SHA-256 is compared with the card at every read, since results of
other weights would look just as plausible.
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

Rule = tuple[Callable[[Any], bool], str]
"""Test of a value, and the description of valid values for error messages."""


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list | tuple) and bool(value) and all(map(fits, value))


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


_TEXT: Rule = (
    lambda value: isinstance(value, str) and bool(value.strip()) and value.isprintable(),
    "a line of text",
)
_COUNT: Rule = (lambda value: type(value) is int and 0 < value < 2**53, "a whole number >= 1")
_COUNTS: Rule = (_is_list_of(_COUNT[0]), "a list of whole numbers >= 1")
_TABLE: Rule = (lambda value: isinstance(value, Mapping), "a table")
_LEVEL: Rule = (
    lambda value: _is_finite_number(value) and 0 <= value < 1e6,
    "a number >= 0 and below 1e6",
)
_POSITIVE: Rule = (lambda value: _is_finite_number(value) and value > 0, "a number > 0")
_RANGE: Rule = (
    lambda value: (
        _is_list_of(_is_finite_number)(value)
        and len(value) == 2
        and -1e6 < value[0] < value[1] < 1e6
    ),
    "two numbers, the lower one first",
)
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_FILE: Rule = (_matches(_NAME), "a name of letters, digits, '.', '_' and '-'")
_HASH: Rule = (_matches(r"[0-9a-f]{64}"), "64 hexadecimal digits")

_RULES: dict[str, Rule] = {
    f"{table}{key}": rule
    for table, rule, keys in (
        ("", _FILE, "name extractor"),
        ("", _TEXT, "title licence"),
        ("", _COUNTS, "event"),
        ("", _LEVEL, "sigma_min sigma_max"),
        ("", _TABLE, "data architecture training reference moments files"),
        ("data.", _TEXT, "name source licence preprocessing split"),
        ("data.", _RANGE, "range"),
        ("data.", _COUNT, "levels"),
        ("data.", _COUNTS, "shape class_counts"),
        ("architecture.", _TEXT, "class"),
        ("architecture.", _POSITIVE, "sigma_data"),
        ("architecture.", _COUNT, "parameters autoencoder_parameters"),
        ("architecture.", _COUNT, "points components rank classes"),
        ("architecture.", _TABLE, "autoencoder net"),
        ("architecture.autoencoder.", _COUNTS, "channels"),
        ("architecture.net.", _COUNTS, "channels"),
        ("architecture.net.", _COUNT, "in_channels embedding patch group features classes labels"),
        ("training.", _TEXT, "script"),
        ("training.", _COUNT, "steps images_seen"),
        ("reference.", _FILE, "card"),
        ("reference.", _TEXT, "extractor set"),
        ("reference.", _COUNT, "n"),
        ("moments.", _TEXT, "set script"),
        ("moments.", _COUNT, "n"),
    )
    for key in keys.split()
}
_OF_FILE = {"sha256": _HASH, "bytes": _COUNT}
_NEEDED = ("name", "title", "licence", "event", "files")


def check_card(table: Mapping[str, Any], folder: str) -> None:
    """Check the keys and values of a ``card.toml`` in a folder called ``folder``.

    Unknown keys may have text, flags, finite numbers, lists or tables as values. Raises a
    ValueError for a missing key, an invalid value, or a ``name`` other than ``folder``.
    """
    for key in _NEEDED:
        if key not in table:
            raise ValueError(f"{key} is missing")
    _check_values(table, "")
    if table["name"] != folder:
        raise ValueError(f"name is {table['name']!r}, but the folder is {folder!r}")
    low, high = table.get("sigma_min", 0.0), table.get("sigma_max", 0.0)
    if not (low == high == 0 or 0 < low < high):
        raise ValueError(
            f"sigma_min {low} and sigma_max {high} must satisfy 0 < sigma_min < sigma_max"
        )
    for name, entry in table["files"].items():
        if not _FILE[0](name) or not isinstance(entry, Mapping) or set(entry) != {*_OF_FILE}:
            raise ValueError(f"files: {name!r} must be {_FILE[1]}, with its sha256 and bytes")
        for key, (right, must) in _OF_FILE.items():
            if not right(entry[key]):
                raise ValueError(
                    f"files: {key} of {name} is {str(entry[key])[:80]!r}; it must be {must}"
                )


def _check_values(table: Mapping[str, Any], prefix: str) -> None:
    for key, value in table.items():
        place = f"{prefix}{key}"
        right, must = _RULES.get(
            place, (_is_plain_value, "text, a flag, a finite number, or a list or table of them")
        )
        if not right(value):
            raise ValueError(f"{place} is {str(value)[:80]!r}; it must be {must}")
        if isinstance(value, Mapping) and place != "files":
            _check_values(value, f"{place}.")


def _is_plain_value(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain_value, value))
    return isinstance(value, str | bool | Mapping) or _is_finite_number(value)


CARDS = Path(__file__).parent
WEIGHTS, MOMENTS, AXES = "weights.safetensors", "moments.safetensors", "axes.safetensors"
REFERENCE, CONVERGED = "reference.safetensors", "converged.safetensors"

Table = Mapping[str, Any]
"""A table of a card: strings, numbers, flags, lists of them, and tables."""


class CardError(ValueError):
    """Error for a card, or a file that it names, that is missing, damaged or out of date."""


@dataclass(frozen=True)
class FileEntry:
    """Checksum (SHA-256, 64 hexadecimal digits) and size in bytes of a file of a card."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Card:
    """Description of a shipped model.

    Attributes:
        name: name of the card and of its folder.
        title: description in one line.
        licence: SPDX licence of the files in the folder.
        event: shape of one sample.
        data: name, source, licence, preprocessing, ``range`` and, with classes, ``class_counts``.
        architecture: class and arguments of the network.
        training: recipe, steps, images seen and loss, from which the weights can be reproduced.
        reference: extractor's identity, ``set`` and size ``n`` of ``reference.safetensors``; or
            only ``card``, the name of the card with the reference. Empty without a reference.
        moments: data set and script of ``moments.safetensors``; empty without that file.
        extractor: name of the card of the feature extractor; ``blocks-8`` for means of blocks of
            pixels, 8 along each side; empty for pixels as features.
        sigma_min, sigma_max: range of noise levels of the training; 0 and 0 for the card of a
            network that is no denoiser, such as a classifier.
        files: checksum and size by file name.
        folder: folder of the files.
    """

    name: str
    title: str
    licence: str
    event: tuple[int, ...]
    data: Table = field(default_factory=dict)
    architecture: Table = field(default_factory=dict)
    training: Table = field(default_factory=dict)
    reference: Table = field(default_factory=dict)
    moments: Table = field(default_factory=dict)
    extractor: str = ""
    sigma_min: float = 0.0
    sigma_max: float = 0.0
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    folder: Path = CARDS

    @property
    def identity(self) -> str:
        """Name and the first 16 digits of the weights' SHA-256, such as ``fashion-1f0c22…``."""
        return f"{self.name}-{self.files[WEIGHTS].sha256[:16]}"

    def tensors(self, file: str = WEIGHTS) -> dict[str, Tensor]:
        """Return the tensors of a file of this card, on the CPU.

        Raises:
            CardError: the file is missing, differs from the card, or is no safetensors file.
        """
        remedy = "reinstall samplerbench or restore the file"
        entry = self.files.get(file)
        if entry is None:
            raise CardError(
                f"{self.name}: the card has no file {file}; it has {', '.join(self.files) or 'none'}"
            )
        path = self.folder / file
        if not path.is_file():
            raise CardError(f"{self.name}: {file} is missing from {self.folder}; {remedy}")
        content = path.read_bytes()
        if len(content) != entry.bytes:
            raise CardError(
                f"{self.name}: {file} has {len(content)} bytes, not the "
                f"{entry.bytes} of its card; {remedy}"
            )
        if (found := hashlib.sha256(content).hexdigest()) != entry.sha256:
            short = f"sha256 {found[:12]}…, expected {entry.sha256[:12]}…"
            raise CardError(f"{self.name}: {file} does not match its card ({short}); {remedy}")
        try:
            return safetensors.torch.load(content)
        except SafetensorError as error:
            raise CardError(
                f"{self.name}: {file} is not a safetensors file ({error}); {remedy}"
            ) from error


def card_names(root: Path = CARDS) -> list[str]:
    """Return the names of the cards in a folder, sorted."""
    return sorted(path.parent.name for path in root.glob("*/card.toml"))


def load_card(name: str, root: Path = CARDS) -> Card:
    """Read the card ``root/name/card.toml``; the files that it names are read and checked on use.

    Raises:
        CardError: there is no such card, it cannot be read, or it has an invalid value.
    """
    folder = root / name
    path = folder / "card.toml"
    if not path.is_file():
        raise CardError(
            f"there is no card {name!r} in {root}; the cards are: {', '.join(card_names(root)) or 'none'}"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        check_card(table, name)
        files = {file: FileEntry(**entry) for file, entry in table.pop("files").items()}
        return Card(**{**table, "event": tuple(table["event"]), "files": files, "folder": folder})
    except (ValueError, TypeError, RecursionError) as error:
        raise CardError(
            f"{name}: card.toml cannot be read ({type(error).__name__}: {error}); "
            "reinstall samplerbench or restore the file"
        ) from error
