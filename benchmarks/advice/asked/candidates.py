"""The configurations that are compared: every fixed-grid sampler with its options, and the peers' own
code, on the same schedules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from itertools import product
from typing import Any

from .... import samplers

SCHEDULES = (
    "karras(rho=4.0)",
    "karras",
    "karras(rho=15.0)",
    "uniform_lambda",
    "uniform_time",
    "uniform_time(power=2.0)",
)

OPTIONS: dict[str, tuple[Any, ...]] = {
    "analytic_first": (False, True),
    "deferred": (False, True),
    "through_zero": (False, True),
    "prediction": ("data", "noise"),
    "variant": ("bh1", "bh2"),
}
"""Options whose values are tried with every sampler that has them."""

EXCLUDED = ("torchdiffeq_", "scipy_", "torchsde_", "paradigms", "auto")
"""Adapters of other libraries, what equals another sampler to a tolerance, and the default,
which has a side of its own.
"""


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
"""Peers that only run from a clone (--peers-path), and only from one that holds their file."""


@dataclass(frozen=True)
class Candidate:
    """Configuration to compare.

    Attributes:
        side: whose it is.
        sampler: configured.
        spec: the sampler as the command line writes it.
        schedule: of its grids.
    """

    side: Side
    sampler: Any
    spec: str
    schedule: Schedule

    @property
    def label(self) -> str:
        """Sampler and schedule."""
        return f"{self.spec} on {self.schedule.label}"

    def __reduce__(self) -> tuple[Callable[..., Candidate], tuple[Any, ...]]:
        """Pickle the candidate with its sampler by name."""
        return _unpickle, (self.side, SentSampler.of(self.sampler), self.spec, self.schedule)


def _unpickle(side: Side, sampler: SentSampler, spec: str, schedule: Schedule) -> Candidate:
    return Candidate(side, sampler.here(), spec, schedule)


def ours(names: Iterable[str] | None = None) -> list[Candidate]:
    """Return every deterministic fixed-grid sampler but adapters and aliases, with all its options."""
    chosen = samplers.names() if names is None else names
    return on_schedules(
        "ours", [spec for name in chosen if takes_part(name) for spec in variants(name)]
    )


def takes_part(name: str) -> bool:
    """Return True if a registered sampler is one of this library's own methods for the
    probability-flow ODE, under its first name.
    """
    sampler = samplers.make(name)
    own = not samplers.origin(name) and not name.startswith(EXCLUDED)
    return own and not (
        sampler.adaptive or sampler.stochastic or sampler.batch_coupled or sampler.same_as
    )


def variants(name: str) -> list[dict[str, Any]]:
    """Return the combinations of a sampler's options that are tried and that it takes."""
    keys = sorted({f.name for f in fields(samplers.get(name))} & set(OPTIONS))
    specs = [
        {"name": name, **dict(zip(keys, values, strict=True))}
        for values in product(*(OPTIONS[key] for key in keys))
    ]
    return [spec for spec in specs if _is_accepted(spec)]


def _is_accepted(spec: Mapping[str, Any]) -> bool:
    """Return True if the sampler takes these options together."""
    try:
        samplers.make(spec)
    except ValueError:
        return False
    return True


def from_peers(*, clones: bool) -> list[Candidate]:
    """Return the peers' configurations; with ``clones``, also the ones found in --peers-path."""
    in_clones = set(available()) if clones else set()
    return on_schedules("peers", [*PEERS, *(spec for spec in CLONES if spec["name"] in in_clones)])


def default() -> list[Candidate]:
    """Return the default sampler as the only candidate."""
    return on_schedules("auto", [{"name": "auto"}], SCHEDULES[:1])


def on_schedules(
    side: Side, specs: Iterable[Mapping[str, Any]], schedules: Iterable[str] = SCHEDULES
) -> list[Candidate]:
    """Return each sampler on each schedule."""
    schedule_objects = [make_schedule(schedule) for schedule in schedules]
    return [
        Candidate(side, sampler, label_of(sampler), schedule)
        for sampler in map(samplers.make, specs)
        for schedule in schedule_objects
    ]
