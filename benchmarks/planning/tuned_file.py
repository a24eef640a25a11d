"""JSON file of tuning results: one entry for each model, sampler and number of steps."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import ValidationError, model_validator

from ...results.run_directory.files import LARGEST_JSON, read_regular, write_json
from ...samplers.families.tabulated import Table, TableRow
from ...samplers.spec import canonical_json
from ..suites.suite import StrictTable

What = Literal["grid", "coefficients", "both", "ratios"]
"""Kind of tuned numbers: levels ("grid", by search), coefficients (by least squares), "both", or
the "ratios" of dynamic compensation (by least squares)."""
WHATS: tuple[What, ...] = get_args(What)
Also = Literal["network-levels", "sums"]
"""Further numbers to tune: levels that the network is given, and sums of rows of coefficients."""
ALSO: tuple[Also, ...] = get_args(Also)


Rows = tuple[tuple[float, ...], ...]
"""Weights of each step: of the state, then of the denoised images so far, newest first."""


def check_table(
    name: str,
    top: float,
    steps: int,
    levels: tuple[float, ...],
    coefficients: Rows | None,
    network_levels: tuple[float, ...] | None,
) -> None:
    """Raise a ValueError unless the numbers are a table of ``steps`` steps from ``top`` to 0."""
    falling = all(cur > nxt for cur, nxt in pairwise(levels))
    ends = (len(levels), levels[0], levels[-1]) if levels else ()
    if ends != (steps + 1, top, 0) or not falling:
        raise ValueError(f"levels of {name} must fall from {top:g} to 0 in {steps} steps")
    sizes = [len(row) for row in coefficients or ()]
    first = sizes[0] if sizes else 2  # 1 where the first step makes no evaluation
    whole = list(range(first, steps + first))
    if coefficients is not None and (first not in {1, 2} or sizes != whole):
        raise ValueError(
            f"coefficients of {name} must be 2, 3, … numbers (1, 2, … where the "
            f"first step makes no evaluation), a row for each of {steps} steps"
        )
    given = network_levels
    if given is not None and (len(given) != steps or not all(0 < s <= top for s in given)):
        raise ValueError(
            f"network_levels of {name} must be {steps} numbers above 0, at most {top:g}"
        )


def table_of_numbers(
    coefficients: Rows | None, network_levels: tuple[float, ...] | None
) -> Table | None:
    """Return coefficients as a table; None without coefficients."""
    if coefficients is None:
        return None
    rows = zip(coefficients, network_levels or [None] * len(coefficients), strict=True)
    return tuple(TableRow(a, tuple(b), level) for (a, *b), level in rows)


class Score(StrictTable):
    """Averages over latents of |x - endpoint| / sqrt(d); ``error`` is the average to minimise."""

    error: float
    rms: float
    median: float


class TuningScores(StrictTable):
    """Scores of the best built-in schedule (``untuned``) and the tuned levels, on the same latents.

    ``resolution`` estimates the error of the endpoints: their RMS change when the solver's steps
    were last doubled. It is 0 for exact endpoints.
    """

    untuned: Score
    tuned: Score
    resolution: float

    @property
    def resolution_share(self) -> float:
        """Resolution as a share of the RMS distance, untuned or tuned, whichever is smaller."""
        return self.resolution / min(self.untuned.rms, self.tuned.rms) if self.resolution else 0.0

    @property
    def ratio(self) -> float:
        """Ratio of the tuned error to the untuned one."""
        return self.tuned.error / self.untuned.error


class HoldOutResult(StrictTable):
    """Tuned levels on another model, scaled in log sigma to its range, and their scores there."""

    model: str
    identity: str
    levels: tuple[float, ...]
    coefficients: tuple[tuple[float, ...], ...] | None = None
    network_levels: tuple[float, ...] | None = None
    latents: int
    scores: TuningScores


class Cost(StrictTable):
    """Cost of a stage of tuning: network evaluations, in total and per latent, and seconds."""

    evaluations: int
    per_latent: float
    seconds: float


class Loss(StrictTable):
    """Feature space of the distance to minimise: spec of an extractor, and its identity."""

    extractor: str
    identity: str


class Setting(StrictTable):
    """Settings of a tuning. An entry with different settings is tuned again.

    ``elsewhere`` is the identity of the hold-out model, on which results are scored too.
    """

    format: Literal[2] = 2
    what: What = "grid"
    also: tuple[Also, ...] = ()
    seed: int
    latents: int
    test_latents: int
    objective: Literal["mean", "rms", "geometric"]
    elsewhere: str
    loss: Loss | None = None


class TunedKey(StrictTable):
    """Key of an entry: model, its range, sampler as on the command line, plugin's origin, steps."""

    model: str
    identity: str
    sigma_min: float
    sigma_max: float
    sampler: str
    origin: str
    steps: int


class TunedEntry(StrictTable):
    """Entry of the file: tuned levels of one subject, with their scores and costs.

    Attributes:
        levels: ``steps + 1`` levels from sigma_max to 0.
        coefficients: a row for each step: weight of the state, then weights of the denoised images,
            newest first (:class:`.TableRow`); None if the sampler keeps its own.
        network_levels: level that the network is given in each step; None for ``levels`` itself.
        nfe: counted evaluations per sample on the levels.
        schedule: best built-in schedule on the training latents; ``untuned`` scores are its scores.
        train, test: scores by distances of samples, on the training latents and on other latents.
        gap: train-test gap: :attr:`TuningScores.ratio` on the other latents over the ratio on the training
            latents, minus 1. With a loss in features, ratios are of ``loss_test`` and ``loss_train``.
        teacher: cost of the converged endpoints of the training latents, and of coarser solutions. It
            is 0 evaluations for a closed form. Entries of one command share these endpoints.
        search: cost of all other evaluations on the training latents, before the final scores.
        loss_train, loss_test: scores by the loss in features, per feature; None without such a loss.
    """

    subject: TunedKey
    setting: Setting
    levels: tuple[float, ...]
    coefficients: tuple[tuple[float, ...], ...] | None = None
    network_levels: tuple[float, ...] | None = None
    nfe: int
    schedule: str
    train: TuningScores
    test: TuningScores
    gap: float
    teacher: Cost
    search: Cost
    elsewhere: HoldOutResult
    loss_train: TuningScores | None = None
    loss_test: TuningScores | None = None

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        key, what = self.subject, self.setting.what
        numbers = (self.levels, self.coefficients, self.network_levels)
        check_table(key.sampler, key.sigma_max, key.steps, *numbers)
        own = what == "grid" and "network-levels" not in self.setting.also
        if (self.coefficients is None) != own:
            amount = "no coefficients" if own else "coefficients"
            raise ValueError(f"{key.sampler} must have {amount}, since {what} was tuned")
        return self

    @property
    def table(self) -> Table | None:
        """Coefficients as a table; None if the sampler keeps its own."""
        return table_of_numbers(self.coefficients, self.network_levels)

    @property
    def largest_resolution_share(self) -> float:
        """Largest :attr:`TuningScores.resolution_share` among all scores of the entry."""
        scores = (self.train, self.test, self.elsewhere.scores, self.loss_train, self.loss_test)
        return max(each.resolution_share for each in scores if each is not None)

    @property
    def digest(self) -> str:
        """Digest of the levels and any coefficients, which determine samples of the subject."""
        parts = (self.levels, self.coefficients, self.network_levels)
        given = [part for part in parts if part is not None]
        content = given if len(given) > 1 else self.levels
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:8]

    @property
    def facts(self) -> dict[str, Any]:
        """Columns of the result table for a row with the tuned levels."""
        scores = self.elsewhere.scores
        words = "+".join([self.setting.what, *self.setting.also])
        return {
            "tuning_digest": self.digest,
            "tuning_teacher": self.teacher.evaluations,
            "tuning_search": self.search.evaluations,
            "tuning_what": None if words == "grid" else words,
            "tuning_loss": self.setting.loss and self.setting.loss.identity,
            "tuning_objective": self.setting.objective,
            "tuning_latents": self.setting.latents,
            "tuning_seed": self.setting.seed,
            "tuning_seconds": self.teacher.seconds + self.search.seconds,
            "tuning_gap": self.gap,
            "tuning_other": self.elsewhere.model,
            "tuning_other_error": scores.tuned.error,
            "tuning_other_untuned": scores.untuned.error,
        }


class _File(StrictTable):
    tuned: tuple[TunedEntry, ...]


def read_tuned(path: Path) -> tuple[TunedEntry, ...]:
    """Return the entries of a file; raise OSError if it is missing, ValueError for another kind."""
    content = read_regular(path, LARGEST_JSON)
    try:
        return _File.model_validate_json(content).tuned
    except ValidationError as error:
        raise ValueError(
            f"{path} is no file of tuned schedules, or one of another version; give another file to tune into"
        ) from error


def check_writable(path: Path) -> None:
    """Raise a ValueError if a file's folder is missing, or the file or the folder is read-only."""
    if not path.parent.is_dir():
        raise ValueError(
            f"cannot write {path}: there is no folder {path.parent}; make it, or choose another file with --out"
        )
    if not os.access(path.parent, os.W_OK) or (path.exists() and not path.stat().st_mode & 0o222):
        raise ValueError(
            f"cannot write {path}: it is read-only, or its folder is; choose another file with --out"
        )


def write_tuned(path: Path, entries: Iterable[TunedEntry]) -> None:
    """Write entries to a file, atomically."""
    write_json(path, {"tuned": [entry.model_dump(mode="json") for entry in entries]})
