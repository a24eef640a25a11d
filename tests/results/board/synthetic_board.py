"""Submissions to a board with invented errors, as many as a test or a reader's look needs."""

import hashlib

import numpy as np

from samplerbench.results.board.entries import Board
from samplerbench.results.board.scoring import Problem
from samplerbench.results.board.site import BuiltSite, build_site
from samplerbench.results.board.submission import Claims, Curve, Solver, Submission

BUDGETS = (4, 5, 6, 8, 10, 13, 17, 22, 30, 40, 60, 90)
KINDS = ("spectrum", "tails", "curve", "sheet", "modes", "points", "wavelet")
PROBLEMS = tuple(Problem(f"{kind}-{n}", kind) for kind in KINDS for n in (1, 2))
NETWORKS = (Problem("fashion", "fashion"), Problem("emoji-flow", "emoji-flow"))
BASELINE = "dpmpp_2m on log_snr"
NAMES = (
    f"{BASELINE}, euler on karras, heun on karras, dpmpp_3m on karras, ipndm on log_snr, "
    "unipc_3 on log_snr, unipc_2 on karras (rho 5), dpm_solver_2 on karras, deis_tab3, auto, "
    "gits on ipndm, oss on dpmpp_2m, amed (trained), sde_dpmpp_2m, ddpm"
).split(", ")


def submission_of(place=0, name=BASELINE, track="plain", *, stochastic=False, **fields):
    """A submission whose error falls as evaluations ** -order, with noise drawn from ``place``."""
    rng = np.random.default_rng(place)
    order, level = rng.uniform(0.8, 3.4), rng.uniform(0.5, 3)
    both = {"nfe": BUDGETS, "search": (8000.0,) * len(BUDGETS) if track == "self-tuning" else ()}

    def values(scale, power):
        noise = np.exp(rng.normal(size=len(BUDGETS)) * 0.1 + rng.normal() * 0.3)
        return tuple((scale * np.array(BUDGETS, float) ** -power * noise).tolist())

    curves = [
        Curve(problem=problem.name, moved=moved, error=values(level, order), **both)
        for problem in PROBLEMS
        for moved in (False, True)
        if not stochastic
    ]
    if place % 5 == 1:
        errors, why = (None, *curves[0].error[1:]), ("a step costs more than the budget",)
        curves[0] = curves[0].model_copy(update={"error": errors, "failures": why})
    for network in NETWORKS if stochastic or place % 3 == 0 else ():
        distance, none = values(3000 * level, 1.2 * order), (None,) * len(BUDGETS)
        curves.append(Curve(problem=network.name, error=none, distance=distance, **both))
    source = "def step(x):\n    return x\n" * (place % 4 == 3)
    stamp = hashlib.sha256(source.encode()).hexdigest() if source else "samplerbench 0.1.0"
    sampler, _, schedule = name.partition(" on ")
    spec = {"sampler": sampler, "schedule": schedule or "karras", "stochastic": stochastic}
    parts = {
        "suite": "sb-2026.1",
        "digest": "0123abcd",
        "track": track,
        "curves": tuple(curves),
        "solver": Solver(name=name, fingerprint=stamp, source=source, **spec),
        "claims": Claims(
            authors="A. Author, B. Author",
            paper="https://example.org/paper" if place % 2 else "A paper on solvers",
            licence=("MIT", "Apache-2.0", "")[place % 3],
            family="stochastic" if stochastic else ("multistep", "single-step", "")[place % 3],
            order=round(order),
        ),
        "software": {"torch": "2.8.0", "samplerbench": "0.1.0"},
        "machine": "2 cores",
    }
    return Submission(**{**parts, **fields})


def write_board(folder, count=15):
    """Write ``count`` submissions to a folder: 9 plain, 3 self-tuning, 1 open and 2 stochastic of 15."""
    folder.mkdir(parents=True)
    for place in range(count):
        kind, turn = place % 15, place // 15
        track = "self-tuning" if kind in (9, 10, 11) else "open" if kind == 12 else "plain"
        name = NAMES[kind] + f" v{turn + 1}" * bool(turn)
        made = submission_of(place, name, track, stochastic=kind > 12)
        made.write(folder / f"s{place:03}.json")
    return folder


def site_of(folder, out, baseline=BASELINE, reruns=None) -> BuiltSite:
    """The site of a folder's submissions."""
    board = Board("sb-2026.1", "0123abcd", "public", "", PROBLEMS, NETWORKS)
    return build_site(board, folder, out, baseline=baseline, reruns=reruns)
