"""Conformance suite: checks of any sampler, built in or plugged in, in about a second.

>>> from samplerbench.benchmarks.conformance import check_sampler
>>> check_sampler("euler", fast=True).passed
True
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch

from ...models.exact.base import one_thread
from ...samplers import Sampler, karras, make, non_default
from .basic_checks import (
    check_algebra,
    check_finite,
    check_nfe,
    check_same_as,
    check_to_zero,
    check_translation,
)
from .check import Check, Conformance, checks_or_failure, exception_in_words, print_conformance
from .diagnosis import diagnose
from .moments import check_moments, check_noise
from .order import check_order, check_strong, check_tolerance, rms, slope
from .problems import INTERIOR, AnisotropicGaussian, Rational, ThreeModes, draw_samples, uneven_grid
from .purity import check_batch, check_purity

__all__ = [
    "INTERIOR",
    "Check",
    "Conformance",
    "Rational",
    "ThreeModes",
    "check_sampler",
    "print_conformance",
    "rms",
    "slope",
    "uneven_grid",
]


def check_sampler(sampler: Sampler | str | Mapping[str, Any], *, fast: bool = False) -> Conformance:
    """Run the checks that apply to a sampler; an exception fails the check that it interrupts.

    Args:
        sampler: a sampler, its registry name, or a table with ``name`` and options.
        fast: True measures orders on two of the four pairs of problem and grid.

    Raises:
        ValueError: unknown name or option.
    """
    subject: Any = make(sampler) if isinstance(sampler, (str, Mapping)) else sampler
    began = time.perf_counter()
    with one_thread():
        checks = _check_can_run(subject) or [
            check
            for name, run in _checks_by_name(subject, fast).items()
            for check in checks_or_failure(name, partial(run, subject))
        ]
    why, params = diagnose(subject, checks), non_default(subject)
    seconds = time.perf_counter() - began
    return Conformance(subject.name, params, subject.order, checks, seconds, why)


def _check_can_run(sampler: Sampler) -> list[Check]:
    """Run three steps to 0 and to sigma_min; return a failed check if both runs raise, else []."""
    reasons = []
    for to_zero in (True, False):
        grid = karras(3, 0.02, 10.0, to_zero=to_zero)
        try:
            draw_samples(sampler, AnisotropicGaussian(), grid, torch.arange(4))
        except Exception as error:
            reasons.append(exception_in_words(error))
    return [Check("runs", False, reasons[0])] if len(reasons) == 2 else []


def _checks_by_name(sampler: Sampler, fast: bool) -> dict[str, Callable[[Any], Iterable[Check]]]:
    accuracy: dict[str, Callable[[Any], Iterable[Check]]]
    if sampler.adaptive:
        accuracy = {"tolerance": check_tolerance}
    elif sampler.stochastic:
        accuracy = {
            "moments": check_moments,
            "noise": check_noise,
            "strong order": check_strong,
            "translation": check_translation,
        }
    else:
        accuracy = {"order": partial(check_order, fast=fast), "translation": check_translation}
    return accuracy | {
        "same as": check_same_as,
        "nfe": check_nfe,
        "finite": check_finite,
        "to zero": check_to_zero,
        "algebra": check_algebra,
        "purity": check_purity,
        "batch independence": check_batch,
    }
