"""Speed of the model, the budgets that it buys, and the check that there is time enough."""

from __future__ import annotations

from collections.abc import Sequence

from ...running.executors import Failure
from ...running.executors.worker_context import WorkerContext
from ..racing.measuring import Bench
from ..racing.tasks import Paces
from ..racing.truth import FIRST, RULE
from .run import Run

LEAST = 20
"""Configurations that the least race tries."""
BATCH = 8
"""Samples at a time at which the rate is measured, about as many as in a race's first rounds."""
COMPARED = 0.93
"""Share of the time at which all is measured but times and pictures."""


def paces(run: Run, world: WorkerContext) -> tuple[float, float]:
    """Return evaluations a second of all workers together, and of one worker at a batch of one."""
    model_run = run.asked
    task = Paces(model_run.spec, model_run.model.identity, model_run.device, (1, BATCH), 0.3)
    rates = []
    for _, outcome in run.executor.map([task] * run.executor.size, world):
        if isinstance(outcome, Failure):
            raise outcome
        rates.append(outcome)
    return sum(pair[1] for pair in rates), rates[0][0]


def budgets_of(run: Run, asked_for: Sequence[int], unit_rate: float) -> list[int]:
    """Return the evaluations per sample that are requested.

    Raises:
        ValueError: fewer than a step costs.
    """
    passes = run.asked.model.passes
    if run.ms is None:
        least = min(asked_for)
        if least < passes:
            raise ValueError(
                f"--nfe {least}: a step of model {run.asked.spec} costs {passes} evaluations; "
                f"give {passes} or more"
            )
        return sorted(set(asked_for))
    within = int(run.ms * unit_rate / 1000)
    if within < max(2, passes):
        raise ValueError(
            f"--ms {run.ms:g}: an evaluation of model {run.asked.spec} takes {1000 / unit_rate:.3g} ms here, "
            f"so that there is time for {within}; give --ms {2 * max(2, passes) * 1000 / unit_rate:.2g} or more"
        )
    return [within]


def check_time(run: Run, bench: Bench, budgets: Sequence[int]) -> None:
    """Refuse what cannot be done in the time.

    Raises:
        ValueError: not even the least race has time.
    """
    exact = run.asked.model.kind != "denoiser"
    solved = 0 if exact else (FIRST * 3 * RULE.first + 32 * 2 * RULE.first)
    needed = (solved + sum(budgets) * (LEAST * FIRST + 3 * 32)) / bench.rate
    spent = run.clock.spent  # to load the model, on a busy machine
    if needed > 60 * run.clock.minutes * COMPARED - spent:
        raise ValueError(
            f"--minutes {run.clock.minutes:g} is too little: model {run.asked.spec} makes "
            f"{bench.rate:.3g} evaluations a second here, and the least race at "
            f"{', '.join(map(str, budgets))} evaluations takes about {1.2 * (needed + spent) / 60:.2g} minutes; "
            "give more --minutes, or fewer and smaller --nfe"
        )
