"""Configurations of the frontier: all fixed-grid samplers with options, and peers (other
libraries).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from samplerbench.benchmarks import make_schedule
from samplerbench.benchmarks.advice import SCHEDULES, is_candidate, variants
from samplerbench.benchmarks.planning import Schedule
from samplerbench.benchmarks.suites import label_of
from samplerbench.samplers import make, non_default
from samplerbench.samplers import names as registered
from samplerbench.samplers.peers import available

Side = Literal["ours", "peers", "auto"]
SIDES: tuple[Side, ...] = ("ours", "peers", "auto")

PEERS: tuple[dict[str, Any], ...] = (
    *({"name": "azula:zABSampler", "max_order": k} for k in (2, 3, 4)),
    *({"name": "azula:vABSampler", "max_order": k} for k in (2, 3, 4)),
    *({"name": "azula:zEABSampler", "max_order": k} for k in (2, 3, 4)),
    *({"name": "azula:xEABSampler", "max_order": k} for k in (2, 3, 4)),
    {"name": "k-diffusion:sample_lms"},
    {"name": "k-diffusion:sample_dpmpp_2m"},
    {"name": "k-diffusion:sample_heun"},
    {"name": "k-diffusion:sample_dpm_2"},
    *(
        {"name": "diffusers:UniPCMultistepScheduler", "solver_order": k, "solver_type": b}
        for k in (2, 3)
        for b in ("bh1", "bh2")
    ),
    *({"name": "diffusers:DPMSolverMultistepScheduler", "solver_order": k} for k in (2, 3)),
    *({"name": "diffusers:DEISMultistepScheduler", "solver_order": k} for k in (2, 3)),
)
"""Leading multistep methods of other libraries, and the libraries' usual defaults."""

CLONES: tuple[dict[str, Any], ...] = (
    *(
        {"name": "diff-sampler:ipndm_sampler", "max_order": k, "afs": afs}
        for k in (2, 3, 4)
        for afs in (False, True)
    ),
    *(
        {"name": "diff-sampler:dpm_pp_sampler", "max_order": k, "afs": afs}
        for k in (2, 3)
        for afs in (False, True)
    ),
    *(
        {"name": "diff-sampler:deis_sampler", "max_order": k, "deis_mode": mode}
        for k in (2, 3, 4)
        for mode in ("tab", "rhoab")
    ),
    *(
        {"name": "diff-sampler:unipc_sampler", "max_order": k, "variant": variant}
        for k in (2, 3)
        for variant in ("bh1", "bh2")
    ),
    *(
        {"name": "UniPC:multistep", "max_order": k, "variant": variant}
        for k in (2, 3)
        for variant in ("bh1", "bh2")
    ),
    *({"name": "dpm-solver:multistep", "max_order": k} for k in (2, 3)),
)
"""Peers that run only from a clone of their repository in --peers-path."""


@dataclass(frozen=True)
class Candidate:
    """Configuration: a sampler on a schedule.

    Attributes:
        side: "ours", "peers" or "auto".
        sampler: configured sampler.
        spec: spec of the sampler, as on the command line.
        schedule: schedule of its grids.
    """

    side: Side
    sampler: Any
    spec: str
    schedule: Schedule

    @property
    def label(self) -> str:
        """Names of sampler and schedule."""
        return f"{self.spec} on {self.schedule.label}"

    def __reduce__(self) -> tuple[Callable[..., Candidate], tuple[Any, ...]]:
        """Pickle the sampler by its name and options."""
        sampler = {"name": self.sampler.name, **non_default(self.sampler)}
        return _unpickled_candidate, (self.side, sampler, self.spec, self.schedule)


def _unpickled_candidate(
    side: Side, sampler: dict[str, Any], spec: str, schedule: Schedule
) -> Candidate:
    return Candidate(side, make(sampler), spec, schedule)


def ours(names: Iterable[str] | None = None) -> list[Candidate]:
    """Return deterministic fixed-grid samplers, of ``names`` or all, on all schedules.

    They have all combinations of their options. Adapters of other libraries and aliases are
    excluded.
    """
    chosen = registered() if names is None else names
    return candidates_on_schedules(
        "ours", [spec for name in chosen if is_candidate(name) for spec in variants(name)]
    )


def from_peers(*, clones: bool) -> list[Candidate]:
    """Return the peers' configurations; with ``clones`` also those found in --peers-path."""
    found = set(available()) if clones else set()
    return candidates_on_schedules(
        "peers", [*PEERS, *(spec for spec in CLONES if spec["name"] in found)]
    )


def default_candidates() -> list[Candidate]:
    """Return ``auto``, the default configuration, as the only candidate."""
    return candidates_on_schedules("auto", [{"name": "auto"}], SCHEDULES[:1])


def candidates_on_schedules(
    side: Side, specs: Iterable[Mapping[str, Any]], schedules: Iterable[str] = SCHEDULES
) -> list[Candidate]:
    """Return each sampler on each schedule."""
    made = [make_schedule(schedule) for schedule in schedules]
    return [
        Candidate(side, sampler, label_of(sampler), schedule)
        for sampler in map(make, specs)
        for schedule in made
    ]
