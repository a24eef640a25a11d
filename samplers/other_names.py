"""Names of samplers and schedules in other programs, with our specs, from ``other_names.csv``.

Sources: ComfyUI ``comfy/samplers.py``, Forge and A1111 ``modules/sd_samplers*.py`` and ``sd_schedulers.py``,
RES4LYF ``beta/rk_coefficients_beta.py``, and the schedulers of diffusers.

>>> spec_of_other_name("sampler", "uni_pc_bh2")
{'name': 'unipc_3_published'}
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from .spec import parse_spec

Kind = Literal["sampler", "schedule"]


class OtherName(NamedTuple):
    """Sampler or schedule of another program, by its name there, with our spec.

    Attributes:
        library: program, as ``list --translate`` takes it.
        kind: "sampler" or "schedule".
        theirs: the name there.
        label: name in the program's menu; "" if the menu shows ``theirs``.
        ours: our spec of the same method; "" if we have none.
        nearest: our spec of a similar method; "" if ``ours`` is set or no method is similar.
        note: difference, or the reason why there is no such method here; else "".
    """

    library: str
    kind: str
    theirs: str
    label: str
    ours: str
    nearest: str
    note: str

    @property
    def remark(self) -> str:
        """``note``, followed by ``nearest`` if there is one."""
        return self.note + (f"; the nearest is {self.nearest}" if self.nearest else "")


@cache
def other_names() -> tuple[OtherName, ...]:
    """Return the rows of ``other_names.csv``, in the order of each program's menu."""
    text = files(__package__ or "").joinpath("other_names.csv").read_text(encoding="utf-8")
    return tuple(OtherName(**row) for row in csv.DictReader(text.splitlines()))


def spec_of_other_name(kind: Kind, name: str) -> dict[str, Any]:
    """Return our spec for another program's name; {} if there is none or programs disagree."""
    found = {row.ours for row in _rows_called(kind, name) if row.ours}
    return parse_spec(found.pop()) if len(found) == 1 else {}


def describe_other_name(kind: Kind, name: str) -> str:
    """Return a sentence on a program whose method of this name is missing here; "" if none is."""
    for row in _rows_called(kind, name):
        if not row.ours:
            return f"{row.library} has one of this name: {row.remark}"
    return ""


def _rows_called(kind: Kind, name: str) -> list[OtherName]:
    return [row for row in other_names() if row.kind == kind and name in (row.theirs, row.label)]
