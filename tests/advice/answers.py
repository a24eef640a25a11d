"""Answers made by hand."""

import numpy as np

from samplerbench.benchmarks.advice.answer import (
    Advice,
    Budget,
    Choice,
    Recommendation,
    Value,
)
from samplerbench.benchmarks.advice.exports import Export

HOSTILE = "</script><img src=x onerror=alert(1)> | `**bold**` \x1b[31m"


def choice(sampler="euler", schedule="uniform_time", nfe=8, error=None, **given):
    error = Value(*error) if isinstance(error, tuple) else error
    label = f"{sampler} · {schedule}" if schedule else sampler
    return Choice(label, sampler, schedule, float(nfe), nfe, (80.0, 1.25, 0.0), error, **given)


def best(chosen, library="diffusers", to_default=None, to_best=None, tied=(), **lines):
    values = [Value(*one) if isinstance(one, tuple) else one for one in (to_default, to_best)]
    given = {"code": f"use({chosen.sampler!r})", "remark": ""} | lines
    return Recommendation(library, chosen, *values, tuple(tied), Export(library, **given))


def budget(nfe, *bests, default=None, **given):
    known = {"in_distribution": None, "tried": 40, "left_out": 0, "latents": 128, "undecided": ""}
    now = default or choice("euler", nfe=nfe, error=(0.5, 0.4, 0.6))
    return Budget(nfe, now, {one.library: one for one in bests}, **(known | given))


def advice(*budgets, sentences=("One follows.", "Another does."), **given):
    known = {
        "model": "fashion",
        "about": {"event": [1, 28, 28], "sigma_min": 0.002, "passes": 1, "identity": "ab12"},
        "default": "euler, as its card says",
        "library": "diffusers",
        "undecided": (),
        "scored_on": 256,
        "resolution": 0.0021,
        "minutes": (4.2, 5.0),
        "device": "2 cores",
        "timed_batch": 0,
        "command": "samplerbench advise --model fashion --nfe 5,8",
        "provenance": {"torch": "2.9", "machine": {"cores": 2}},
    }
    return Advice(budgets=budgets, sentences=sentences, **(known | given))


def whole():
    """An answer with something in every place: three budgets, four libraries, much that is
    awkward.
    """
    unipc = choice("unipc_3", "karras(rho=7)", 8, (0.0512, 0.0481, 0.0543), ms=15.5)
    auto = choice("auto", "", 8, (0.0401, 0.0385, 0.042), fd_conv=Value(1.4, 1.2, 1.6))
    noisy = choice("euler_ancestral", "karras(rho=7)", 8, fd_conv=Value(0.8, 0.7, 0.9))
    code = "import it\n\nprint('</code>' if 1 < 2 else \"&amp;\")\nx = '```'"
    at_8 = budget(
        8,
        best(auto, "python", (0.08, 0.07, 0.09), (1, 1, 1)),
        best(
            unipc,
            "diffusers",
            (0.1024, 0.09, 0.12),
            (1.277, 1.2, 1.35),
            [f"deis_{n}" for n in range(40)],
            code=code,
            remark="Times are <rounded>.",
        ),
        best(choice("lms", "karras", 8), "k-diffusion", code="", remark="It has no such solver."),
        best(unipc, "comfyui", (0.1024, 0.09, 0.12), (1.277, 1.2, 1.35)),
        in_distribution=noisy,
    )
    at_5 = budget(
        5,
        best(choice(HOSTILE, "", 5, (0.3, 0.2, 0.4)), "diffusers", None, (1.1, 0.9, 1.3)),
        best(choice("auto", "", 5, (0.29, 0.2, 0.4)), "python"),
        default=choice("heun", nfe=5, failed="it <diverged>"),
        left_out=1200,
        undecided="the time was up with 12 left.",
    )
    level = choice("euler", nfe=20, error=(0.02, 0.02, 0.02))
    at_20 = budget(20, best(level, "diffusers", (1, 1, 1), (1.2, 0.9, 1.5, "few")), default=level)
    return advice(at_5, at_8, at_20, model=f"mine?{HOSTILE}", undecided=("20 was close.",))


def pictures(budgets=(8, 20), side=28, colour=False):
    shape = (4, side, side, 3) if colour else (4, side, side)
    some = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    named = {f"{kind}_{n}": some[k] for k, kind in ((1, "default"), (2, "best")) for n in budgets}
    return {"converged": some[0], **named}
