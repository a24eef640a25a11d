"""The table of published FIDs (``table.csv``), a row for each number of a source."""

from __future__ import annotations

import csv
import re
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from ..text import choices

TABLE = Path(__file__).parent / "table.csv"


@dataclass(frozen=True)
class Published:
    """Published number as its source gives it. Texts are "" where the source does not say.

    Attributes:
        model: name of the checkpoint, or as much of it as the source says.
        dataset: its data, size and kind.
        solver: the paper's name of the sampler.
        grid: the paper's name of the schedule, cleaned.
        nfe: network evaluations per sample, "" where they are not known.
        depth: sequential ones, where the source counts those in place of ``nfe``.
        fid: the number, with the digits of the source.
        paper, where, url: what to cite, and the table or file in it.
        samples: generated samples of the number.
        seeds: their seeds, or what was chosen among several sets.
        end: "zero" or "sigma_min".
        labels: how class labels are drawn; "none" for an unconditional model.
        quantisation: how values become 8 bits: "round" or "truncate".
        extractor: whose Inception code.
        thresholding: of predictions of the data: "dynamic" or "none".
        afs: whether the first step is from a formula: "yes" or "no".
        also: other sources with the same number.
        remark: what else a reader must know.
    """

    model: str
    dataset: str
    solver: str
    grid: str
    nfe: str
    depth: str
    fid: str
    paper: str
    where: str
    url: str
    samples: str
    seeds: str
    end: str
    labels: str
    quantisation: str
    extractor: str
    thresholding: str
    afs: str
    also: str
    remark: str

    @property
    def value(self) -> float:
        """The FID."""
        return float(self.fid)

    @property
    def flat(self) -> dict[str, Any]:
        """Record as JSON values: numbers as numbers, and None for what the source does not say."""
        texts = asdict(self)
        counts = {name: int(texts[name]) for name in ("nfe", "depth", "samples") if texts[name]}
        fields = {name: value or None for name, value in texts.items()}
        return {**fields, **counts, "fid": self.value}

    @property
    def rounding(self) -> float:
        """Half a unit of its last digit."""
        return 0.5 * 10.0 ** -len(self.fid.partition(".")[2])


@cache
def published(path: Path = TABLE) -> tuple[Published, ...]:
    """The rows of the table.

    Raises:
        ValueError: its columns are others.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        expected = [field.name for field in fields(Published)]
        if reader.fieldnames != expected:
            raise ValueError(f"{path.name} has other columns than {', '.join(expected)}")
        return tuple(Published(**row) for row in reader)


def model_names() -> list[str]:
    """The models of the table, sorted."""
    return sorted({row.model for row in published()}, key=str.casefold)


def checked_model(name: str) -> str:
    """The name of a model as the table writes it.

    Raises:
        ValueError: there is no such model; the message lists the names.
    """
    names = {model.casefold(): model for model in model_names()}
    if name.casefold() not in names:
        raise ValueError(
            f"nothing is published here of a model {name!r}; give --published-model "
            f"NAME: {choices(name, names.values(), most=len(names))}"
        )
    return names[name.casefold()]


def model_in(spec: str) -> str | None:
    """The published model that a model's own name, or the file in it, is called by; None if
    there is none.

    >>> model_in("edm:/data/edm-ffhq-64x64-uncond-vp.pkl"), model_in("gmm-2d")
    ('edm-ffhq-64x64-uncond-vp', None)
    """
    parts = [spec, *re.split(r"[/\\:?]", spec)]
    stems = {part.casefold() for part in parts}
    stems |= {re.sub(r"\.[a-z]+$", "", stem) for stem in stems}
    return next((model for model in model_names() if model.casefold() in stems), None)


def rows_of_model(name: str) -> list[Published]:
    """The rows of a model, and those whose source says only the beginning of its name, such as
    ``edm-cifar10-32x32`` of ``edm-cifar10-32x32-uncond-vp``.
    """
    return [row for row in published() if name == row.model or name.startswith(f"{row.model}-")]
