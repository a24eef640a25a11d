"""Conformance suite: checks of every sampler, built in or plugged in, in about a second.

>>> from samplerbench.benchmarks.conformance import check_sampler
>>> check_sampler("euler", fast=True).passed
True
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ...samplers import Sampler, karras, make, non_default
from .check import Check, Conformance, guarded, print_conformance, raised
from .consistency import (
    check_algebra,
    check_finite,
    check_nfe,
    check_to_zero,
    check_translation,
    check_twin,
)
from .diagnosis import diagnose
from .moments import check_moments, check_noise
from .order import check_order, check_strong, check_tolerance, rms, slope
from .problems import INTERIOR, AnisotropicGaussian, Rational, ThreeModes, noise_for, uneven_grid
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
    """Check one sampler; one that raises has failed the check in which it did.

    Args:
        sampler: a sampler, or what :func:`~samplerbench.samplers.make` takes: its registry name, or
            a table with ``name`` and options.
        fast: orders on two of the four pairs of problem and grid.

    Raises:
        ValueError: unknown name or option.
    """
    subject: Any = make(sampler) if isinstance(sampler, (str, Mapping)) else sampler
    began = time.perf_counter()
    with _one_thread():
        checks = _runs(subject) or [
            check for name, run in _plan(subject, fast) for check in guarded(name, run)
        ]
    why = diagnose(subject, checks)
    return Conformance(
        subject.name, non_default(subject), subject.order, checks, time.perf_counter() - began, why
    )


def _runs(sampler: Sampler) -> list[Check]:
    """Return one failed check for a sampler that cannot take three steps, neither to 0 nor to
    sigma_min.
    """
    reasons = []
    for to_zero in (True, False):
        grid = karras(3, 0.02, 10.0, to_zero=to_zero)
        noise, latents = noise_for(sampler, torch.arange(4), (3,))
        try:
            sampler.sample(AnisotropicGaussian(), latents * grid.sigma[0], grid, noise)
        except Exception as error:
            reasons.append(raised(error))
    return [Check("runs", False, reasons[0])] if len(reasons) == 2 else []


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: with more, tensors of thirty numbers lose up to a hundredfold."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _plan(sampler: Sampler, fast: bool) -> list[tuple[str, Callable[[], list[Check]]]]:
    """Return the checks that apply."""
    if sampler.adaptive:
        accuracy: list[tuple[str, Callable[[], list[Check]]]] = [
            ("tolerance", lambda: check_tolerance(sampler))
        ]
    elif sampler.stochastic:
        accuracy = [
            ("moments", lambda: check_moments(sampler)),
            ("noise", lambda: check_noise(sampler)),
            ("strong order", lambda: check_strong(sampler)),
            ("translation", lambda: check_translation(sampler)),
        ]
    else:
        accuracy = [
            ("order", lambda: check_order(sampler, fast=fast)),
            ("translation", lambda: check_translation(sampler)),
        ]
    return [
        *accuracy,
        ("same as", lambda: check_twin(sampler)),
        ("nfe", lambda: check_nfe(sampler)),
        ("finite", lambda: check_finite(sampler)),
        ("to zero", lambda: check_to_zero(sampler)),
        ("algebra", lambda: check_algebra(sampler)),
        ("purity", lambda: check_purity(sampler)),
        ("batch independence", lambda: check_batch(sampler)),
    ]
