"""The schedules that authors used with their own samplers, where their papers say so in general, not for one data set."""

from __future__ import annotations

from collections.abc import Mapping

AUTHORS: Mapping[str, tuple[str, ...]] = {
    "euler": ("karras",),
    "heun": ("karras",),
    "edm_stochastic": ("karras",),
    "dpm_solver_1": ("uniform_lambda",),
    "dpm_solver_2": ("uniform_lambda",),
    "dpm_solver_3": ("uniform_lambda",),
    "dpm_solver_fast": ("uniform_lambda",),
    "ddim": ("uniform_time",),
    "ddpm": ("uniform_time",),
}
"""Sampler to names of schedules.

EDM's samplers: Karras et al. 2022, eq. (5). DPM-Solver: Lu et al. 2022, section 3.3, uniform in lambda. DDIM: Song et al. 2021, appendix
D.2, the linear choice (the quadratic one was for CIFAR-10). DDPM: Ho et al. 2020, Algorithm 2, every trained time. A sampler that is not
here has no schedule of its author's in this table, and such a comparison leaves it out.
"""
