"""Our noise levels as other libraries take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..grid import Grid


def export_sigmas(library: str, sigmas: Sequence[float]) -> dict[str, Any]:
    """A list of levels with the call that hands it to a library.

    Args:
        library: "diffusers" or "k-diffusion".
        sigmas: falling levels; only the last may be 0.

    Returns:
        ``sigmas`` as the library takes them, ``call`` with the line of Python that does so, and ``notes``, what it changes.

    >>> export_sigmas("k-diffusion", [80.0, 1.0, 0.0])["sigmas"]
    [80.0, 1.0, 0.0]

    Raises:
        ValueError: another library, or levels that are no grid.
    """
    levels = list(Grid(tuple(sigmas)).sigma)
    if library == "k-diffusion":
        return {"library": library, "sigmas": levels, "call": "sampling.sample_dpmpp_2m(model, x, torch.tensor(sigmas))", "notes": ""}
    if library == "diffusers":
        return {"library": library, "sigmas": levels, "call": "scheduler.set_timesteps(sigmas=sigmas)", "notes": _DIFFUSERS}
    raise ValueError(f"cannot export to {library!r}; choose diffusers or k-diffusion")


_DIFFUSERS = (
    "EulerDiscreteScheduler takes the list as it is, the final level included, and rounds it to float32. Schedulers without this argument "
    "take them by hand after set_timesteps(len(sigmas) - 1): scheduler.sigmas = torch.tensor(sigmas), while their timesteps, which the "
    "network sees, then have to be set too."
)
