"""Comparison of readings of a network on clean samples.

A reading is an interpretation of the network: a denoiser with one choice of settings. E[x0 | x] has
the smallest squared error. So a reading is wrong if another reading has a smaller error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....models.adapters import NativeDenoiser
from ....models.denoiser import Denoiser
from .fit import CHANCE, LARGE_DEFECT, SMALL_DEFECT, Check, Fit, measure_fit, noise_of, usual_levels
from .maps import is_a_map, looks_like_a_map, variance_of

SMALLEST_GAIN = 0.005
"""Smallest relative difference of errors for which one candidate counts as better."""
MOST_ERROR_RATIO = 1.2
"""Largest :attr:`Candidate.error_ratio` of a candidate with right settings."""
LINEAR_RATIO = 0.95
"""Largest :attr:`Candidate.error_ratio` of a network that does more than scale the noisy sample."""
FEW_SAMPLES, MOST_READINGS = 24, 6
"""Number of samples on which all candidates are tried, and of candidates tried on all samples."""

MOST_CAUSES = 2
"""Largest number of equally good candidates that a message names in full."""

Readings = Iterable[tuple[str, Denoiser]]
"""Alternative interpretations of a network: pairs of settings and denoiser, made one by one."""
CandidatePair = tuple["Candidate", "Candidate"]
"""Two candidates fitted to the same samples: an alternative, and the stated candidate."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One interpretation of a network: settings, denoiser, and fit to the samples ``clean``."""

    settings: str
    model: Denoiser
    fit: Fit
    clean: Tensor
    labels: Tensor | None

    @property
    def few_samples(self) -> tuple[Tensor, Tensor | None]:
        """At most FEW_SAMPLES of the samples, spread over all, and their labels or None."""
        rows = torch.linspace(0, len(self.clean) - 1, min(FEW_SAMPLES, len(self.clean))).long()
        return self.clean[rows], None if self.labels is None else self.labels[rows]

    def noisy_samples(self, level: float) -> tuple[Tensor, Tensor]:
        """Return the noisy samples x0 + level z, and their noise z."""
        z = noise_of(self.model, self.clean)
        return self.clean + level * z, z

    @cached_property
    def error_ratio(self) -> float:
        """Ratio of the error to the error of the best multiple c x of x; median over levels."""
        variance = variance_of(self.clean)
        multiple = variance * self.fit.levels**2 / (variance + self.fit.levels**2)
        return float(np.median(self.fit.errors.mean(1) / multiple))

    @property
    def may_be_right(self) -> bool:
        """True if the error and defect fit right settings, perhaps of a poorly trained network."""
        return self.error_ratio <= MOST_ERROR_RATIO and self.fit.has_small_defect(LARGE_DEFECT)

    @property
    def is_right(self) -> bool:
        """True if error and defect are as small as for a trained network with right settings."""
        return self.error_ratio <= MOST_ERROR_RATIO and self.fit.has_small_defect()


def fit_candidate(
    settings: str,
    model: Denoiser,
    clean: Tensor,
    labels: Tensor | None,
    at: NDArray[np.float64] | None = None,
) -> Candidate:
    """Return a candidate with its fit to clean samples ``(n, *event)`` at the levels ``at``.

    Without ``at``, :func:`usual_levels` gives them. If the network raises an exception,
    errors are NaN. Only a ``torch.OutOfMemoryError`` passes through.
    """
    levels = usual_levels(model, clean) if at is None else at
    try:
        with np.errstate(all="ignore"):  # a reading's times may be outside of its process
            result = measure_fit(model, clean, labels, levels)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # a user's network may raise anything for other inputs
        nowhere = np.full((len(levels), len(clean)), math.nan)
        result = Fit(levels, nowhere, nowhere)
    return Candidate(settings, model, result, clean, labels)


def is_better(first: Candidate, other: Candidate) -> bool:
    """Return True if ``first`` has a smaller error, beyond chance and :data:`SMALLEST_GAIN`."""
    excess, se = other.fit.excess(first.fit)
    return excess > max(CHANCE * se, SMALLEST_GAIN)


class BetterReadings(NamedTuple):
    """Candidates that fit better than the one with the stated settings, best first.

    Candidates in ``passing`` have a small error and defect; candidates in ``failing`` do not. ``tried``
    pairs each alternative, better or not, with the stated candidate on the same samples.
    """

    passing: list[Candidate]
    failing: list[Candidate]
    tried: list[CandidatePair]


def better_readings(stated: Candidate, readings: Readings) -> BetterReadings:
    """Return the alternative interpretations that fit better than the ``stated`` candidate.

    All are first tried on a few samples at every second level. The best are then tried on all samples
    and levels.
    """
    few, labels = stated.few_samples
    at = stated.fit.levels
    rough = fit_candidate("", stated.model, few, labels, at[::2])
    tried = [fit_candidate(name, model, few, labels, at[::2]) for name, model in readings]
    gains = {id(reading): rough.fit.excess(reading.fit)[0] for reading in tried}
    hopeful = [reading for reading in tried if gains[id(reading)] > -SMALLEST_GAIN]
    # first the readings that are right on the few samples, each group best first
    hopeful = sorted(hopeful, key=lambda c: (not c.is_right, -gains[id(c)]))[:MOST_READINGS]
    full = [fit_candidate(c.settings, c.model, stated.clean, stated.labels, at) for c in hopeful]
    compared = [(reading, rough) for reading in tried if reading not in hopeful]
    compared += [(reading, stated) for reading in full]
    better = [reading for reading in full if is_better(reading, stated)]
    better.sort(key=lambda reading: reading.fit.median_log_error)
    right = [c for c in better if c.is_right]
    return BetterReadings(right, [c for c in better if c not in right], compared)


def check_readings(
    stated: Candidate, better: BetterReadings, broken: str, observation: str
) -> Check:
    """Check that no alternative settings fit better, and that the outputs are not broken.

    Settings that may be right pass if no others fit better, even with broken outputs. If others fit
    better, but all in ``better.failing``, the check is undecided. In other cases it fails.
    ``broken`` is a fault of the outputs, or "". If it is not "" and others fit better, it fails.
    It is "" for outputs that are not finite if a reading in ``better.passing`` mends them.
    ``observation`` describes the outputs, for the message that no settings fit.
    """
    passed: bool | None = False
    count = len(better.tried)
    if broken and (better.passing or better.failing or not stated.may_be_right):
        detail = f"the network is wrong, however it is read: {broken}"
    elif better.passing:
        best, *others = better.passing
        alike = [best.settings, *(c.settings for c in others if not is_better(best, c))]
        excess, _ = stated.fit.excess(best.fit)
        gain = "the output is finite"
        if math.isfinite(excess):
            percent = 100 * excess / (1 + excess)
            gain = f"the mean squared error on the images is {percent:.0f} % smaller"
        detail = f"the map is wrong: with {' or '.join(alike)} {gain}, and the other checks pass"
        if len(alike) > MOST_CAUSES:
            detail = (
                f"the map is wrong, and {len(alike)} other readings fit alike, such as {alike[0]}; "
                "these images are too simple to tell them apart"
            )
    elif not stated.may_be_right:
        detail = f"the map is wrong, and none of {count} other readings is right: {observation}"
    elif better.failing:
        passed, other = None, better.failing[0]
        detail = (
            f"the error is smaller with {other.settings}, but its defect is up to "
            f"{other.fit.largest_defect:.2g}: the network is trained little, or its map "
            f"is wrong in a way that is not among {count} readings"
        )
    else:
        passed, detail = True, f"none of {count} other readings fits better"
    return Check("usual mistakes", passed, detail)


def check_denoises(candidate: Candidate) -> Check:
    """Check that the error is <= MOST_ERROR_RATIO times the error of the best multiple of x."""
    detail = f"the error is {candidate.error_ratio:.2g} times that of the best multiple of the noisy sample (median)"
    passed = candidate.error_ratio <= MOST_ERROR_RATIO
    if not passed:
        detail += "; the map is wrong, or the images are not what it was trained on"
    return Check("denoises", passed, detail)


def check_zero_defect(candidate: Candidate, *, own: bool) -> Check:
    """Check that the defect is about 0.

    A defect up to LARGE_DEFECT passes if the network does more than scale its input, else it is
    undecided. A larger defect fails; on the model's own samples (``own``) it is undecided. On clean
    samples a few-step map fails with a defect above SMALL_DEFECT.
    """
    fit, passed = candidate.fit, None
    worst = int(abs(fit.defect).argmax())
    at = f"{fit.defect[worst]:+.2g} at sigma {fit.levels[worst]:.3g} (± {fit.defect_se[worst]:.1g})"
    detail = f"the defect is {at} at most, and 0 for a posterior mean"
    # check_time checks that the network of a NativeDenoiser does more than scale its input
    is_trained = isinstance(candidate.model, NativeDenoiser) or candidate.error_ratio < LINEAR_RATIO
    if fit.has_small_defect():
        passed = True
    elif (
        not own
        and looks_like_a_map(fit, candidate.clean)
        and is_a_map(candidate.model, candidate.clean, candidate.labels)
    ):
        passed = False
        detail = (
            f"d is no posterior mean: the defect is {at}, and from high levels d is as far from x0 as "
            "another sample; it is a few-step map: say kind=map"
        )
    elif fit.has_small_defect(LARGE_DEFECT) and is_trained:
        passed, detail = True, f"{detail}; more than {SMALL_DEFECT:g}, so it is trained little"
    elif own:
        detail += ": the map is wrong, or the network is trained little and makes no data"
    elif fit.has_small_defect(LARGE_DEFECT):
        detail += (
            ", and the error is that of a multiple of the noisy sample: the network is trained "
            "hardly at all, or its map is wrong"
        )
    else:
        passed = False
        detail = (
            f"d is no posterior mean: the defect is {at}; its process, prediction, sign or time is "
            "wrong, or it is trained on other data, or hardly at all"
        )
    return Check("Pythagoras", passed, detail)
