"""What another library's name means in ours."""

from __future__ import annotations

from typing import Any

from .pairs import PAIRS, Pair

LIBRARIES: dict[str, tuple[str, ...]] = {
    "k-diffusion": ("k-diffusion",),
    "diffusers": ("diffusers",),
    "azula": ("azula",),
    "torchsde": ("torchsde",),
    "official": ("dpm-solver", "UniPC", "diff-sampler", "edm"),
}


def translate(library: str) -> list[dict[str, Any]]:
    """Rows of a library's names with ours: ``label`` (in user interfaces), ``theirs``, ``ours``, ``steps``, ``end`` and ``note``.

    A label with "Karras" behind it is the same sampler on the schedule ``karras``. What a library does in its last steps depends on their
    number; then a method has several rows. That the two agree, to ``within``, is tested (``pytest -m parity``).

    Raises:
        ValueError: unknown library.
    """
    if library not in LIBRARIES:
        raise ValueError(f"cannot translate {library!r}; choose {', '.join(LIBRARIES)}")
    return [_row(pair) for pair in PAIRS if pair.theirs.partition(":")[0] in LIBRARIES[library]]


def _row(pair: Pair) -> dict[str, Any]:
    steps = "" if pair.most > 10**6 else f"up to {pair.most}"
    if pair.fewest > 1:
        steps = f"from {pair.fewest}" if not steps else f"{pair.fewest} to {pair.most}"
    rest = {"end": pair.end, "within": pair.within, "note": pair.note}
    return {"label": pair.label, "theirs": pair.theirs, "ours": pair.ours, "steps": steps, **rest}
