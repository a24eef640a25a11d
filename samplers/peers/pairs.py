"""Translation of other libraries' names of samplers, and of our levels into their form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from ..grid import Grid
from ..other_names import Kind, other_names
from .locate import SOURCES

DOUBLE, SINGLE, NEAR = 1e-10, 5e-6, math.inf
"""Bounds of relative differences: for float64, for states rounded to float32, and no bound."""


class NamePair(NamedTuple):
    """One method under our name and under a peer's name.

    Attributes:
        ours: our sampler with options.
        theirs: the peer with options.
        label: name in user interfaces, "" if they have no other.
        fewest, most: range of the number of steps in which the two are equal.
        end: "zero" or "sigma_min" if the two are equal only on grids with that end, else "".
        within: largest relative difference of the samples.
        note: a difference or a warning for the user, or "".
    """

    ours: str
    theirs: str
    label: str = ""
    fewest: int = 1
    most: int = 10**9
    end: str = ""
    within: float = DOUBLE
    note: str = ""


_KD = "k-diffusion:sample_"
_DF = "diffusers:"
_DF_2M = f"{_DF}DPMSolverMultistepScheduler"
_LAST_STEP_OF_ORDER_4 = "the last step is of order 4, not x <- d"
_rounded = partial(NamePair, within=SINGLE, note="rounds the state to float32 in every step")
_similar = partial(NamePair, within=NEAR)
_to_zero = partial(NamePair, end="zero")
_dpmpp_3m = partial(NamePair, label="DPM++ 3M", note="of order 2")

PAIRS: tuple[NamePair, ...] = (
    # k-diffusion
    NamePair("euler", f"{_KD}euler", "Euler"),
    NamePair(
        "euler_churn(churn=5.0)",
        f"{_KD}euler(s_churn=5.0, s_tmin=0.05, s_tmax=50.0)",
        "Euler, churn",
    ),
    NamePair("euler_ancestral", f"{_KD}euler_ancestral", "Euler a"),
    NamePair("heun", f"{_KD}heun", "Heun"),
    NamePair(
        "edm_stochastic",
        f"{_KD}heun(s_churn=40.0, s_tmin=0.05, s_tmax=50.0, s_noise=1.003)",
        "Heun, churn",
    ),
    NamePair("dpm_2", f"{_KD}dpm_2", "DPM2"),
    NamePair("dpm_2_ancestral", f"{_KD}dpm_2_ancestral", "DPM2 a"),
    NamePair("lms(through_zero=True)", f"{_KD}lms", "LMS", note=_LAST_STEP_OF_ORDER_4),
    _similar("dpm_solver_fast", f"{_KD}dpm_fast", "DPM fast", note="theirs has levels of its own"),
    _similar(
        "dpm_solver_adaptive_23",
        f"{_KD}dpm_adaptive",
        "DPM adaptive",
        note="another step control, over the batch",
    ),
    NamePair("dpmpp_2s_ancestral", f"{_KD}dpmpp_2s_ancestral", "DPM++ 2S a"),
    NamePair("dpmpp_sde", f"{_KD}dpmpp_sde", "DPM++ SDE"),
    NamePair("dpmpp_2m", f"{_KD}dpmpp_2m", "DPM++ 2M"),
    NamePair("dpmpp_2m_sde", f"{_KD}dpmpp_2m_sde", "DPM++ 2M SDE", fewest=2),
    NamePair(
        "dpmpp_2m_sde(solver_type='heun')",
        f"{_KD}dpmpp_2m_sde(solver_type='heun')",
        "DPM++ 2M SDE Heun",
        fewest=2,
    ),
    NamePair(
        "dpmpp_3m_sde_published",
        f"{_KD}dpmpp_3m_sde",
        "DPM++ 3M SDE",
        fewest=2,
        note="of order 2; dpmpp_3m_sde is the corrected one",
    ),
    # diffusers
    _rounded("euler", f"{_DF}EulerDiscreteScheduler", "Euler"),
    _rounded("euler", f"{_DF}EDMEulerScheduler", "Euler"),
    _rounded("euler_ancestral", f"{_DF}EulerAncestralDiscreteScheduler", "Euler a"),
    _to_zero("heun", f"{_DF}HeunDiscreteScheduler", "Heun"),
    _to_zero("dpm_2", f"{_DF}KDPM2DiscreteScheduler", "DPM2"),
    _to_zero("dpm_2_ancestral", f"{_DF}KDPM2AncestralDiscreteScheduler", "DPM2 a"),
    NamePair(
        "lms(through_zero=True)", f"{_DF}LMSDiscreteScheduler", "LMS", note=_LAST_STEP_OF_ORDER_4
    ),
    NamePair("ddim", f"{_DF}DDIMScheduler", "DDIM"),
    NamePair("ddim(eta=0.5)", f"{_DF}DDIMScheduler(eta=0.5)", "DDIM, eta 0.5"),
    _to_zero(
        "ddpm", f"{_DF}DDPMScheduler", "DDPM", note="no noise in the last step, wherever it ends"
    ),
    NamePair(
        "plms",
        f"{_DF}PNDMScheduler",
        "PLMS",
        fewest=2,
        end="sigma_min",
        note="the step to 0 is of order 4, not x <- d",
    ),
    NamePair("ipndm(through_zero=True)", f"{_DF}IPNDMScheduler", "", note=_LAST_STEP_OF_ORDER_4),
    _rounded("dpmpp_2m", _DF_2M, "DPM++ 2M", end="zero"),
    _rounded("dpmpp_2m(last=(1,))", _DF_2M, "DPM++ 2M", end="sigma_min", most=14),
    _rounded("dpmpp_2m", _DF_2M, "DPM++ 2M", end="sigma_min", fewest=15),
    _dpmpp_3m(
        "dpmpp_3m_published(last=(2, 1))", f"{_DF_2M}(solver_order=3)", most=14, within=SINGLE
    ),
    _dpmpp_3m(
        "dpmpp_3m_published",
        f"{_DF_2M}(solver_order=3)",
        fewest=15,
        within=SINGLE,
        note="of order 2; dpmpp_3m is corrected",
    ),
    _rounded(
        "dpmpp_2m_sde", f"{_DF_2M}(algorithm_type='sde-dpmsolver++')", "DPM++ 2M SDE", end="zero"
    ),
    _to_zero("dpmpp_2m", f"{_DF}EDMDPMSolverMultistepScheduler", "DPM++ 2M"),
    _to_zero("dpmpp_sde", f"{_DF}DPMSolverSDEScheduler", "DPM++ SDE"),
    _to_zero("zeab_2(last=(1, 1))", f"{_DF}DEISMultistepScheduler", "DEIS", most=15),
    _to_zero(
        "zeab_3(last=(2, 1, 1))", f"{_DF}DEISMultistepScheduler(solver_order=3)", "DEIS", most=15
    ),
    _to_zero("zeab_2", f"{_DF}DEISMultistepScheduler", "DEIS", fewest=16),
    NamePair("unipc_2_published", f"{_DF}UniPCMultistepScheduler", "UniPC"),
    NamePair("unipc_3_published", f"{_DF}UniPCMultistepScheduler(solver_order=3)", "UniPC"),
    NamePair(
        "unipc_2_published(variant='bh1')",
        f"{_DF}UniPCMultistepScheduler(solver_type='bh1')",
        "UniPC",
        end="sigma_min",
        note="NaN in the step to 0",
    ),
    _similar(
        "dpmpp_2s",
        f"{_DF}DPMSolverSinglestepScheduler",
        "DPM++ 2S",
        note="theirs spends two intervals on a step",
    ),
    _similar(
        "sa_solver",
        f"{_DF}SASolverScheduler",
        "SA-Solver",
        note="theirs rescales order 2 and draws another noise",
    ),
    _to_zero("dpmpp_2m_sde", f"{_DF}CosineDPMSolverMultistepScheduler", "DPM++ 2M SDE"),
    _rounded("euler", f"{_DF}FlowMatchEulerDiscreteScheduler", "Euler"),
    NamePair("euler", f"{_DF}FlowMapEulerDiscreteScheduler", "Euler"),
    _rounded("flow_time", f"{_DF}FlowMatchHeunDiscreteScheduler", "Heun", end="zero"),
    _rounded("euler_ancestral(flow=True)", f"{_DF}LTXEulerAncestralRFScheduler", "Euler a"),
    _rounded(
        "euler_ancestral(eta=0.5, flow=True)",
        f"{_DF}LTXEulerAncestralRFScheduler(eta=0.5)",
        "Euler a",
    ),
    *(
        _similar("consistency", f"{_DF}{scheduler}", "LCM", note="theirs takes the map to end at 0")
        for scheduler in (
            "FlowMatchLCMScheduler",
            "FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)",
        )
    ),
    # azula
    NamePair("ddim", "azula:DDIMSampler"),
    NamePair("ddpm", "azula:DDPMSampler"),
    NamePair("euler", "azula:EulerSampler"),
    NamePair("heun", "azula:HeunSampler"),
    *(
        NamePair(f"{ours}_{k}(through_zero=True)", f"azula:{ours[0]}ABSampler(max_order={k})")
        for ours in ("zab", "vab")
        for k in (1, 2, 3, 4)
    ),
    *(
        NamePair(f"{ours}_{k}", f"azula:{ours[0]}EABSampler(max_order={k})")
        for ours in ("zeab", "xeab")
        for k in (1, 2, 3, 4)
    ),
    *(
        _similar(f"reab_{k}", f"azula:REABSampler(max_order={k})", note="theirs is of order 1")
        for k in (1, 2, 3, 4)
    ),
    _similar(
        "euler_maruyama",
        "azula:ItoSampler",
        note="theirs is explicit in sigma for the drift, in sigma^2 for the noise",
    ),
    # torchsde
    NamePair("euler_maruyama", "torchsde:euler"),
    # official repositories
    _to_zero("dpmpp_2m(last=(1, 1))", "dpm-solver:multistep", "DPM++ 2M", most=10),
    NamePair("dpmpp_2m", "dpm-solver:multistep", "DPM++ 2M", fewest=11),
    _dpmpp_3m(
        "dpmpp_3m_published(last=(2, 1, 1))",
        "dpm-solver:multistep(max_order=3)",
        most=10,
        end="zero",
    ),
    _dpmpp_3m("dpmpp_3m_published", "dpm-solver:multistep(max_order=3)", fewest=11),
    NamePair("dpm_solver_2m", "dpm-solver:multistep(algorithm_type='dpmsolver')", "", fewest=11),
    NamePair(
        "dpm_solver_3m_published",
        "dpm-solver:multistep(algorithm_type='dpmsolver', max_order=3)",
        "",
        fewest=11,
        note="of order 2",
    ),
    NamePair("dpmpp_2s", "dpm-solver:singlestep_fixed"),
    NamePair("dpmpp_3s", "dpm-solver:singlestep_fixed(max_order=3)"),
    NamePair("dpm_solver_2", "dpm-solver:singlestep_fixed(algorithm_type='dpmsolver')"),
    NamePair(
        "dpm_solver_3", "dpm-solver:singlestep_fixed(algorithm_type='dpmsolver', max_order=3)"
    ),
    _to_zero("unipc_3(last=(2, 1, 1), variant='bh1')", "UniPC:multistep", "UniPC"),
    _to_zero("unipc_3(last=(2, 1, 1))", "UniPC:multistep(variant='bh2')", "UniPC"),
    _to_zero("unipc_2(last=(1, 1))", "UniPC:multistep(variant='bh2', max_order=2)", "UniPC"),
    NamePair("unipc_3_published(variant='bh1')", "UniPC:multistep", "UniPC", end="sigma_min"),
    NamePair("unipc_3_published", "UniPC:multistep(variant='bh2')", "UniPC", end="sigma_min"),
    NamePair(
        "unipc_2_published", "UniPC:multistep(variant='bh2', max_order=2)", "UniPC", end="sigma_min"
    ),
    NamePair("euler", "diff-sampler:euler_sampler"),
    NamePair("heun", "diff-sampler:heun_sampler"),
    NamePair("dpm_2", "diff-sampler:dpm_2_sampler"),
    NamePair("ipndm", "diff-sampler:ipndm_sampler"),
    NamePair("ipndm_3", "diff-sampler:ipndm_sampler(max_order=3)"),
    *(
        _similar(
            f"deis_tab_{k}",
            f"diff-sampler:deis_sampler(max_order={k})",
            "DEIS",
            note="float32 coefficients",
        )
        for k in (2, 3, 4)
    ),
    _to_zero("heun", "edm:edm_sampler", "EDM"),
    _to_zero(
        "edm_stochastic",
        "edm:edm_sampler(S_churn=40, S_min=0.05, S_max=50.0, S_noise=1.003)",
        "EDM, churn",
    ),
)


LIBRARIES: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in ("k-diffusion", "diffusers", "azula", "torchsde")},
    "official": tuple(SOURCES),
    **dict.fromkeys(("comfyui", "forge", "a1111", "res4lyf"), ()),
}
"""Prefixes of each library's peers; a library without peers has :mod:`..other_names` alone."""


def translate(library: str, kind: Kind = "sampler") -> list[dict[str, Any]]:
    """Return a library's names of samplers or schedules with ours, one row (a dict) for each pair.

    Keys are ``label``, ``theirs``, ``ours``, ``steps``, ``end``, ``within`` and ``note``. In user
    interfaces, a label followed by "Karras" means that sampler on the schedule ``karras``. A
    pair holds for ``steps`` ("up to 14") and grids with this ``end``; "" is any. Tests (``pytest -m
    parity``) check that both samplers agree to ``within``, which is inf for similar methods and
    None without such a test. ``note`` says what differs, or why the method is not here.

    Raises:
        ValueError: unknown library.
    """
    if library not in LIBRARIES:
        raise ValueError(f"cannot translate {library!r}; choose {', '.join(LIBRARIES)}")
    rows = []
    for pair in PAIRS if kind == "sampler" else ():
        if pair.theirs.partition(":")[0] not in LIBRARIES[library]:
            continue
        steps = "" if pair.most > 10**6 else f"up to {pair.most}"
        if pair.fewest > 1:
            steps = f"from {pair.fewest}" if not steps else f"{pair.fewest} to {pair.most}"
        names = {"label": pair.label, "theirs": pair.theirs, "ours": pair.ours}
        rest = {"end": pair.end, "within": pair.within, "note": pair.note}
        rows.append({**names, "steps": steps, **rest})
    for row in other_names():
        if (row.library, row.kind) == (library, kind):
            names = {"label": row.label, "theirs": row.theirs, "ours": row.ours}
            rows.append({**names, "steps": "", "end": "", "within": None, "note": row.remark})
    return rows


def export_sigmas(library: str, sigmas: Sequence[float]) -> dict[str, Any]:
    """Return falling levels as "diffusers" or "k-diffusion" takes them.

    The keys are ``library``, ``sigmas`` (the levels), ``call`` (the line of Python that takes them)
    and ``notes`` (what that line changes, or "").

    >>> export_sigmas("k-diffusion", [80.0, 1.0, 0.0])["sigmas"]
    [80.0, 1.0, 0.0]

    Raises:
        ValueError: another library, or levels that are no grid.
    """
    levels = list(Grid(tuple(sigmas)).sigma)
    if library not in _EXPORT_CALLS:
        raise ValueError(f"cannot export to {library!r}; choose diffusers or k-diffusion")
    call, notes = _EXPORT_CALLS[library]
    return {"library": library, "sigmas": levels, "call": call, "notes": notes}


_DIFFUSERS_NOTES = (
    "EulerDiscreteScheduler takes the list as it is, the final level included, and "
    "rounds it to float32. Schedulers without this argument "
    "take them by hand after set_timesteps(len(sigmas) - 1): scheduler.sigmas = "
    "torch.tensor(sigmas), while their timesteps, which the "
    "network sees, then have to be set too."
)

_EXPORT_CALLS = {
    "k-diffusion": ("sampling.sample_dpmpp_2m(model, x, torch.tensor(sigmas))", ""),
    "diffusers": ("scheduler.set_timesteps(sigmas=sigmas)", _DIFFUSERS_NOTES),
}
"""By library, the line of Python that takes a list of levels, and notes on what it changes."""
