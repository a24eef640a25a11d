"""Translation of another library's names, and of our noise levels as it takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..grid import Grid
from .pairs import PAIRS, Pair

LIBRARIES: dict[str, tuple[str, ...]] = {
    "k-diffusion": ("k-diffusion",),
    "diffusers": ("diffusers",),
    "azula": ("azula",),
    "torchsde": ("torchsde",),
    "official": ("dpm-solver", "UniPC", "diff-sampler", "edm"),
}


def translate(library: str) -> list[dict[str, Any]]:
    """Return the rows of a library's names with ours: ``label`` (in user interfaces), ``theirs``,
    ``ours``, ``steps``, ``end`` and ``note``.

    A label followed by "Karras" is the same sampler on the schedule ``karras``. What a library does
    in its last steps depends on their number; then a method has several rows. That the two agree,
    to ``within``, is tested (``pytest -m parity``).

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


def export_sigmas(library: str, sigmas: Sequence[float]) -> dict[str, Any]:
    """A list of levels with the call that hands it to a library.

    Args:
        library: "diffusers" or "k-diffusion".
        sigmas: falling levels; only the last may be 0.

    Returns:
        ``sigmas`` as the library takes them, ``call`` with the line of Python that does so, and
        ``notes``, what it changes.

    >>> export_sigmas("k-diffusion", [80.0, 1.0, 0.0])["sigmas"]
    [80.0, 1.0, 0.0]

    Raises:
        ValueError: another library, or levels that are no grid.
    """
    levels = list(Grid(tuple(sigmas)).sigma)
    if library == "k-diffusion":
        return {
            "library": library,
            "sigmas": levels,
            "call": "sampling.sample_dpmpp_2m(model, x, torch.tensor(sigmas))",
            "notes": "",
        }
    if library == "diffusers":
        return {
            "library": library,
            "sigmas": levels,
            "call": "scheduler.set_timesteps(sigmas=sigmas)",
            "notes": _DIFFUSERS,
        }
    raise ValueError(f"cannot export to {library!r}; choose diffusers or k-diffusion")


_DIFFUSERS = (
    "EulerDiscreteScheduler takes the list as it is, the final level included, and "
    "rounds it to float32. Schedulers without this argument "
    "take them by hand after set_timesteps(len(sigmas) - 1): scheduler.sigmas = "
    "torch.tensor(sigmas), while their timesteps, which the "
    "network sees, then have to be set too."
)
