"""Schedules that authors use with their own samplers, according to a paper or its code.

Some sources state two schedules: for continuous and trained times, for coarse and fine images, or
for two processes. Both are listed. Comparisons at authors' schedules leave out samplers not listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Usage(NamedTuple):
    """Samplers, their authors' schedules, and the source: ``key`` in references.bib, ``where``."""

    samplers: tuple[str, ...]
    schedules: tuple[str, ...]
    key: str
    where: str


def _usage(samplers: str, schedules: str, key: str, where: str) -> Usage:
    return Usage(tuple(samplers.split()), tuple(schedules.split()), key, where)


USAGES = (
    _usage("euler euler_churn heun edm_stochastic", "karras", "karras2022edm", "eq. (5)"),
    _usage(
        "dpm_solver_1 dpm_solver_2 dpm_solver_3 dpm_solver_fast",
        "uniform_lambda",
        "lu2022dpmsolver",
        "section 3.3",
    ),
    _usage(
        "dpm_solver_2m dpm_solver_3m dpm_solver_3m_published dpmpp_2m dpmpp_2s dpmpp_3m "
        "dpmpp_3m_published dpmpp_3s",
        "uniform_lambda uniform_time",
        "lu2022dpmpp",
        "authors' code, README.md: uniform in logSNR for low resolutions, uniform in time for high ones",
    ),
    _usage(
        "dpm_solver_v3",
        "uniform_lambda",
        "zheng2023dpmsolverv3",
        "authors' code, codebases/edm/sample.sh: uniform in logSNR",
    ),
    _usage(
        "unipc_1 unipc_2 unipc_2_published unipc_3 unipc_3_published",
        "uniform_lambda uniform_time",
        "zhao2023unipc",
        "authors' code, example/score_sde_pytorch/sample.sh (uniform in logSNR) and "
        "example/stable-diffusion, uni_pc/sampler.py (in time)",
    ),
    _usage(
        "ddim",
        "uniform_time discrete_leading",
        "song2021ddim",
        "appendix D.2, linear; the quadratic one was for CIFAR-10",
    ),
    _usage("ddpm", "uniform_time", "ho2020ddpm", "Alg. 2: every trained time"),
    _usage(
        "pndm",
        "uniform_time discrete_leading",
        "liu2022pndm",
        "authors' code, runner/runner.py: the linear steps of DDIM",
    ),
    _usage(
        "deis_tab_2 deis_tab_3 deis_tab_4",
        "quadratic_time",
        "zhang2023deis",
        "authors' code, README.md: phase t, order 2",
    ),
    _usage(
        "ipndm ipndm_1 ipndm_2 ipndm_3",
        "uniform_time",
        "zhang2023deis",
        "authors' code, th_deis/sampler.py, get_sampler_ipndm: uniform in time",
    ),
    _usage(
        "euler_maruyama reverse_diffusion predictor_corrector",
        "uniform_time uniform_lambda",
        "song2021sde",
        "authors' code, sampling.py: uniform in t, of which log(sigma) is a linear function in sde_lib.VESDE",
    ),
    _usage("lms", "karras", "crowson2022kdiffusion", "sample.py"),
    _usage("dpmpp_2m_sde", "karras", "crowson2022kdiffusion", "train.py, with eta = 0"),
    _usage("dpmpp_2s_ancestral", "karras", "crowson2022kdiffusion", "sample_clip_guided.py"),
    _usage("restart", "karras", "xu2023restart", "authors' code, benchmarks/generate_restart.py"),
    _usage(
        "er_sde_1 er_sde_2 er_sde_3 er_sde_3_published",
        "karras",
        "cui2025ersde",
        "authors' code, examples/edm/generate.py",
    ),
    _usage(
        "seeds_1 seeds_2 seeds_3",
        "karras",
        "gonzalez2023seeds",
        "authors' code, generate.py: discretization edm by default",
    ),
    _usage(
        "sa_solver sa_solver_pece",
        "uniform_time",
        "xue2023sasolver",
        "authors' code, sa_solver.py: skip_type time by default",
    ),
    _usage(
        "stork_2 stork_4",
        "uniform_time flow_shift",
        "tan2025stork",
        "authors' code, STORKScheduler.py: uniform in time for noise prediction, shifted for flow matching",
    ),
    _usage(
        "vab_1 vab_2 vab_3 vab_4 reab_1 reab_2 reab_3 reab_4",
        "uniform_time",
        "rozet2025azula",
        "azula/sample.py, Sampler.timesteps",
    ),
)

AUTHORS: Mapping[str, tuple[str, ...]] = {
    sampler: usage.schedules for usage in USAGES for sampler in usage.samplers
}
"""Names of the authors' schedules, by the name of the sampler."""


def authors_schedules_of(sampler: str) -> Usage | None:
    """Return a sampler's authors' schedules and their source; None for a sampler not listed."""
    return next((usage for usage in USAGES if sampler in usage.samplers), None)
