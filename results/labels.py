"""Names of well-known samplers as papers write them, for sentences in reports and terminals."""

from __future__ import annotations

LABELS = {
    "ddim": "DDIM",
    "ddpm": "DDPM",
    "dpm_solver_2": "DPM-Solver-2",
    "dpm_solver_v3": "DPM-Solver-v3",
    "dpmpp_2m": "DPM-Solver++(2M)",
    "dpmpp_3m": "DPM-Solver++(3M)",
    "edm_stochastic": "EDM stochastic",
    "euler": "Euler",
    "heun": "Heun",
    "ipndm": "iPNDM",
    "unipc_2": "UniPC-2",
    "unipc_3": "UniPC-3",
}
"""Label of a sampler by its registered name. No two samplers share a label."""


def label_of_curve(curve: str) -> str:
    """Return a curve's name with the sampler's label, if any, in place of the registered name."""
    sampler, separator, rest = curve.partition(" · ")
    return LABELS.get(sampler, sampler) + separator + rest
