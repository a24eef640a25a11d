"""Measure the findings of docs/explanation/findings.md about other libraries.

``python -m samplerbench_studies.peer_findings.measure [--peers-path DIR] [NUMBER …]``. Everything
runs on exact problems in float64 and takes a minute on one core. For a missing library, the output
says what to install.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import torch

from samplerbench.benchmarks.conformance import INTERIOR, ThreeModes, rms, slope, uneven_grid
from samplerbench.benchmarks.suites import parse_spec
from samplerbench.samplers import Grid, NoNoise, karras, make
from samplerbench.samplers.peers import set_peers_path

from . import diffusers as diffusers
from . import libraries as libraries
from . import res4lyf as res4lyf

STEPS = (32, 64, 128, 256)
PROBLEM = ThreeModes()


def graded(n: int) -> Grid:
    """Return levels at lam ~ (i / n)^2, with short first steps.

    The first-order step that starts a multistep method then has an error of order n^-4 only.
    """
    high, low = INTERIOR[1], INTERIOR[0]
    return Grid((high, *(high * (low / high) ** ((i / n) ** 2) for i in range(1, n)), low))


def error(spec: str, grid: Grid) -> float:
    """Return the RMS error of a deterministic sampler on the mixture."""
    end = make(parse_spec(spec)).sample(PROBLEM, PROBLEM.start.clone(), grid, NoNoise())
    return rms(end, PROBLEM.truth(grid.sigma[-1]))


def order(spec: str, grids: Callable[[int], Grid] = graded) -> str:
    """Return the measured order, and the error on the finest grid."""
    errors = [error(spec, grids(n)) for n in STEPS]
    return f"{spec}: order {slope(STEPS, errors):.2f}, error {errors[-1]:.1e} at {STEPS[-1]} steps"


def third_order_multistep() -> Iterator[str]:
    """1. DPM-Solver++(3M) is of order 2 wherever it is published; with the missing factor 2 it is
    of order 3.
    """
    yield order("dpm-solver:multistep(max_order=3)")
    yield order("diffusers:EDMDPMSolverMultistepScheduler(solver_order=3)")
    yield order("k-diffusion:sample_dpmpp_3m_sde(eta=0.0)")
    yield order("diff-sampler:dpm_pp_sampler(max_order=3, predict_x0=False)")
    yield order("dpmpp_3m_published")
    yield order("dpmpp_3m")
    for n in (8, 16, 32, 64):
        grid = karras(n, 0.05, 10.0, to_zero=False)
        theirs, ours = (
            _against_converged(spec, grid) for spec in ("dpmpp_3m_published", "dpmpp_3m")
        )
        yield f"{n} karras steps from 10 to 0.05: published {theirs:.1e}, corrected {ours:.1e}"


def _against_converged(spec: str, grid: Grid) -> float:
    fine = karras(1500, grid.sigma[-1], grid.sigma[0], to_zero=False)
    start = PROBLEM.start * (grid.sigma[0] / INTERIOR[1])
    truth, end = (
        make(parse_spec(s)).sample(PROBLEM, start.clone(), g, NoNoise())
        for s, g in (("dpmpp_3m", fine), (spec, grid))
    )
    return rms(end, truth)


def rosenbrock() -> Iterator[str]:
    """2. azula's REABSampler is of order 1: one sigma_t that should be sigma_s."""
    for k in (2, 3):
        yield order(f"azula:REABSampler(max_order={k})")
        yield order(f"reab_{k}")


def unipc() -> Iterator[str]:
    """3. UniPC's vary_coeff is of order 1, and its files disagree with float64."""
    yield order("UniPC:multistep(variant='vary_coeff', max_order=3, lower_order_final=False)")
    yield order("UniPC:multistep(variant='bh2', max_order=3, lower_order_final=False)")
    yield order("unipc_3")
    yield from libraries.unipc_dtype()


def diff_sampler() -> Iterator[str]:
    """4. diff-sampler: rhoab, tab, ipndm_v, thresholding, and an evaluation that is not counted."""
    for k in (2, 3, 4):
        spec = f"diff-sampler:deis_sampler(max_order={k}, deis_mode='rhoab')"
        yield _or_exception(lambda spec=spec: order(spec), spec)
    yield order("deis_rhoab_3")
    yield from libraries.tab_consistency()
    for k in (2, 3, 4):
        yield order(f"diff-sampler:ipndm_v_sampler(max_order={k})")
        yield order(f"zab_{k}")
    for spec in ("diff-sampler:ipndm_v_sampler(max_order=3)", "zab_3", "ipndm_3"):
        yield f"on steps that alternate as 1 to 2, {order(spec, uneven_grid)}"
    for n in (50, 200):
        yield (
            f"thresholded x0 prediction, {n} steps: error "
            f"{error('diff-sampler:dpm_pp_sampler(max_order=2)', graded(n)):.1e}"
        )
        yield f"without, {n} steps: error {error('dpmpp_2m', graded(n)):.1e}"
    theirs, ours = (
        make(name).nfe(Grid((10.0, 1.0, 0.1))) for name in ("diff-sampler:unipc_sampler", "unipc_3")
    )
    yield f"unipc_sampler of order 3 on 2 steps: {theirs} evaluations; ours: {ours}"


def equal_step_weights() -> Iterator[str]:
    """8. iPNDM: a low order by theory, among the best at few steps."""
    for spec in ("ipndm", "zab_3"):
        yield f"on steps that alternate as 1 to 2, {order(spec, uneven_grid)}"
    for n in (6, 10, 15, 40):
        grid = karras(n, 0.05, 10.0, to_zero=False)
        yield f"{n} steps: " + ", ".join(
            f"{s} {_against_converged(s, grid):.1e}" for s in ("ipndm", "zab_4", "dpmpp_2m")
        )


def _or_exception(run: Callable[[], str], spec: str) -> str:
    try:
        return run()
    except (IndexError, AssertionError, RuntimeError, TypeError, ValueError) as problem:
        return f"{spec}: raises {type(problem).__name__}: {problem}"


FINDINGS: dict[str, Callable[[], Iterator[str]]] = {
    "1": third_order_multistep,
    "2": rosenbrock,
    "3": unipc,
    "4": diff_sampler,
    "5": diffusers.levels,
    "6": libraries.torchdiffeq_in_sigma,
    "7": libraries.unused_noise,
    "8": equal_step_weights,
    "9": diffusers.steps_to_zero,
    "10": diffusers.churn,
    "11": res4lyf.orders,
}


def main() -> None:
    """Print the requested findings, all by default."""
    parser = argparse.ArgumentParser(description="Measure the findings about other libraries.")
    parser.add_argument("numbers", nargs="*", metavar="NUMBER")
    parser.add_argument(
        "--peers-path", help="folder with clones of dpm-solver, UniPC, diff-sampler, edm, RES4LYF"
    )
    given = parser.parse_args()
    if given.peers_path:
        set_peers_path(given.peers_path)
    for number in given.numbers or FINDINGS:
        print(" ".join((FINDINGS[number].__doc__ or "").partition("\n\n")[0].split()))
        try:
            for line in FINDINGS[number]():
                print(f"   {line}")
        except ValueError as reason:
            print(f"   not measured: {reason}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
