"""Model cards: what a shipped model is, where it comes from, and the SHA-256 of its files.

A card is a folder ``cards/NAME`` with ``card.toml`` and the files that it names. Tensors are
safetensors (no pickles), and a file's SHA-256 is compared with the card whenever the file is read:
a number from other weights would look just as good.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from .check import check_card

CARDS = Path(__file__).parent
WEIGHTS, REFERENCE, CONVERGED = (
    "weights.safetensors",
    "reference.safetensors",
    "converged.safetensors",
)
MOMENTS, AXES = "moments.safetensors", "axes.safetensors"

Table = Mapping[str, Any]
"""A table of a card: strings, numbers, flags, lists of them, and tables."""


class CardError(ValueError):
    """A card, or a file that it names, is missing, damaged or out of date."""


@dataclass(frozen=True)
class FileEntry:
    """What a file of a card must be."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Card:
    """A shipped model.

    Attributes:
        name: its name, and its folder's.
        title: one line.
        licence: of the files in the folder (SPDX).
        event: shape of one sample.
        data: name, source, licence, preprocessing, ``range`` and, with classes, ``class_counts``.
        architecture: class and arguments of the network.
        training: recipe, steps, images seen, loss; whatever reproduces the weights.
        reference: what ``reference.safetensors`` was computed from: extractor identity and sizes;
            or ``card``, the name of another card of the same data, whose reference it shares. Empty
            if there is no reference.
        moments: what ``moments.safetensors`` was computed from, and how. Empty if there is no such
            file.
        extractor: name of the card of its feature extractor, or ``blocks-8`` for means of 8 x 8
            blocks of pixels; empty for features = pixels.
        sigma_min: smallest and
        sigma_max: largest noise level that it was trained for; 0 for a card that is no score model.
        files: file name to hash and size.
        folder: where the files are.
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
        """Name and the start of the SHA-256 of the weights, such as ``fashion-1f0c22…``."""
        return f"{self.name}-{self.files[WEIGHTS].sha256[:16]}"

    def tensors(self, file: str = WEIGHTS) -> dict[str, Tensor]:
        """The tensors of a file of this card, on the CPU.

        Raises:
            CardError: the file is missing, or not the one that the card was written for.
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
    """Names of the cards in a folder, sorted."""
    return sorted(path.parent.name for path in root.glob("*/card.toml"))


def load_card(name: str, root: Path = CARDS) -> Card:
    """Read ``root/name/card.toml``; files are read and verified when they are used.

    Raises:
        CardError: there is no such card, it cannot be read, or a value in it cannot be
            (:mod:`.check`).
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
        message = (
            f"{name}: card.toml cannot be read ({type(error).__name__}: {error}); "
            "reinstall samplerbench or restore the file"
        )
        raise CardError(message) from error
