"""First board of the frozen suite: ``python -m samplerbench_studies.first_board FOLDER --jobs 2``.

Every registered sampler runs on the schedules of its authors (``samplerbench list samplers --json``), or at equal
distances in log-SNR if none are known; so do the self-tuning methods, and other libraries'
code. A finished entry is a file of the folder, and is not measured again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from samplerbench import samplers, submit
from samplerbench.benchmarks import authors_schedules_of

DEFAULT = "uniform_lambda"
SEARCHED = (
    ("auto", "karras"),
    ("dpm_solver_v3", "uniform_lambda"),
    ("ipndm", "gits(teacher_steps=128)"),
    ("dpmpp_2m", "gits(teacher_steps=128)"),
    ("dpmpp_2m", "oss"),
    ("dpmpp_2m", "optimal_kl"),
    ("dpmpp_2m", "equal_error"),
    ("unipc_2", "equal_error"),
)
"""Self-tuning methods: sampler and schedule."""
FURTHER = (
    ("dpmpp_2m", "karras"),
    ("dpmpp_2m", "dmn"),
    ("unipc_2", "dmn"),
    ("unipc_3", "karras"),
    ("ipndm", "karras"),
    ("ipndm", "dmn"),
    ("ipndm", "uniform_lambda"),
    ("deis_tab_3", "uniform_lambda"),
    ("heun", "uniform_lambda"),
    ("euler", "uniform_lambda"),
)
"""Usual combinations that no author states."""
OF_LIBRARIES = (
    (
        "k-diffusion:sample_{}",
        "karras",
        "euler heun dpm_2 lms dpmpp_2m dpm_fast dpm_adaptive euler_ancestral dpmpp_2s_ancestral"
        " dpmpp_sde dpmpp_2m_sde dpmpp_3m_sde",
    ),
    (
        "diffusers:{}Scheduler",
        DEFAULT,
        "EulerDiscrete HeunDiscrete KDPM2Discrete LMSDiscrete PNDM IPNDM DPMSolverSinglestep"
        " DPMSolverMultistep DPMSolverMultistep(solver_order=3) EDMDPMSolverMultistep"
        " DEISMultistep DEISMultistep(solver_order=3) UniPCMultistep"
        " UniPCMultistep(solver_order=3) DPMSolverSDE SASolver",
    ),
    (
        "azula:{}Sampler",
        DEFAULT,
        "zAB(max_order=3) vAB(max_order=3) zEAB(max_order=3) xEAB(max_order=3) REAB(max_order=3)",
    ),
    (
        "dpm-solver:{}",
        DEFAULT,
        "multistep multistep(max_order=3) singlestep_fixed singlestep_fixed(max_order=3)",
    ),
    ("UniPC:multistep{}", DEFAULT, "(variant='bh2',max_order=2) (variant='bh2')"),
    ("diff-sampler:{}_sampler", "karras", "ipndm deis(max_order=3) dpm_2"),
    ("edm:{}_sampler", "karras", "edm"),
)
"""Code of other libraries where it is installed or cloned: its name, a schedule, samplers with options."""
CLAIMS = {"authors": "The samplerbench authors", "licence": "MIT"}
FILES = {
    "docs/examples/last_step.py": {**CLAIMS, "family": "exponential Adams"},
    "docs/examples/fitted_table.py": {**CLAIMS, "family": "fitted table"},
}
"""Files of solvers, from the root of a checkout, and claims on them."""

ANY_GRID = samplers.karras(5, 0.01, 10.0)


class Entry(NamedTuple):
    """Sampler or file of the board, its schedule, and claims on a file."""

    sampler: str
    schedule: str = DEFAULT
    claims: dict[str, str] | None = None

    @property
    def file(self) -> str:
        """Name of the submission."""
        if self.claims:
            return Path(self.sampler).with_suffix(".json").name
        sampler = re.sub(r"\W+", "-", self.sampler).strip("-")
        return f"{sampler}.{self.schedule.partition('(')[0]}.json"


def entries() -> Iterator[Entry]:
    """Yield all entries of the board, the baseline first and searches last."""
    yield Entry("dpmpp_2m", DEFAULT)
    for name in samplers.names():
        cls = samplers.get(name)
        if cls.for_maps or cls.same_as or getattr(cls, "of_checkpoint", False):
            continue
        if name.startswith("scipy_"):
            continue  # one sample at a time: an hour each
        if not cls.adaptive and samplers.make(name).nfe(ANY_GRID) is None:
            continue  # steps in parallel, which no budget of evaluations decides
        if not getattr(cls, "needs_look", False) and not getattr(cls, "needs_statistics", False):
            known = authors_schedules_of(name)
            for schedule in known.schedules if known else (DEFAULT,):
                yield Entry(name, schedule)
    yield from (Entry(*pair) for pair in FURTHER + SEARCHED)
    for template, schedule, names in OF_LIBRARIES:
        for text in names.split():
            name, bracket, options = text.partition("(")
            yield Entry(template.format(name) + bracket + options, schedule)
    yield from (Entry(path, claims=claims) for path, claims in FILES.items())


def measure(entry: Entry, folder: Path, *, networks: bool) -> str:
    """Measure an entry that the folder lacks; return a line about it."""
    out, begun = folder / entry.file, time.monotonic()
    try:
        submit(
            entry.sampler,
            schedule=entry.schedule,
            out=out,
            networks=networks,
            claims=entry.claims,
        )
    except ValueError as error:
        return f"{entry.file}: {error}"
    return f"{entry.file}: {time.monotonic() - begun:.0f} s"


def main() -> None:
    """Measure all entries that the folder lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=(), help="samplers")
    parser.add_argument("--no-networks", action="store_true")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    wanted = {e.file: e for e in entries() if not args.only or e.sampler in args.only}
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with multiprocessing.get_context("spawn").Pool(args.jobs, maxtasksperchild=30) as pool:
        jobs = [
            pool.apply_async(measure, (entry, args.folder), {"networks": not args.no_networks})
            for entry in wanted.values()
        ]
        for number, job in enumerate(jobs, 1):
            print(f"{number} of {len(jobs)}: {job.get()}", flush=True)


if __name__ == "__main__":
    main()
