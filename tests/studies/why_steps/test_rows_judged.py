"""Rows 4, 5, 6, 8, 13 and 16: verdicts as functions of invented numbers."""

import math

import pytest

from samplerbench_studies.why_steps.rows import (
    row_04_no_noise,
    row_05_one_step,
    row_06_collapse,
    row_08_solver,
    row_13_guidance,
    row_16_locality,
)
from samplerbench_studies.why_steps.statistics.intervals import Interval


def about(value: float, half: float = 0.01) -> Interval:
    return Interval(value, value - half, value + half)


@pytest.mark.parametrize(
    ("last", "trade", "kind"),
    [
        (about(0), about(10), "supports"),
        (about(-3), about(10), "supports"),
        (about(1), about(10), "refutes"),
        (about(0, 5), about(10), "inconclusive"),
        (about(-1), about(0), "refines"),
    ],
)
def test_row_4(last, trade, kind):
    verdict = row_04_no_noise.judge({1: about(0), 50: last}, trade, 10.0)
    assert verdict.kind == kind
    assert "In 50 steps" in verdict.numbers[0]


def test_row_4_names_the_steps_at_which_noise_helps_and_hurts():
    numbers = row_04_no_noise.judge(
        {1: about(0), 5: about(-8), 10: about(6), 50: about(0)}, about(100), 10.0
    ).numbers
    assert any(
        "without noise is nearer at 5 steps, and farther at 10 steps" in line for line in numbers
    )


@pytest.mark.parametrize(
    ("gaps", "kind"),
    [
        ((about(50), about(40)), "refutes"),
        ((about(50), about(0)), "supports"),
        ((about(50), about(0, 5)), "inconclusive"),
    ],
)
def test_row_5(gaps, kind):
    assert row_05_one_step.judge(dict(zip("ab", gaps, strict=True)), 100.0, 1e-14).kind == kind


@pytest.mark.parametrize(
    ("variance", "modes", "copies", "kind"),
    [
        (0.0, 0.2, 0.0, "supports"),
        (0.0, 1.0, 0.0, "supports"),
        (0.0, 0.2, 1.0, "supports"),
        (0.895, 1.0, 0.0, "inconclusive"),
        (1.0, 1.0, 1.0, "refutes"),
        (1.0, 1.0, 0.0, "refutes"),
    ],
)
def test_row_6(variance, modes, copies, kind):
    assert (
        row_06_collapse.judge(about(variance), about(modes), about(copies, 0.005), 0.01).kind
        == kind
    )


def test_row_6__tells_averages_from_copies():
    sentences = [
        row_06_collapse.judge(about(0.0), about(0.2), about(copies, 0.005), 0.01).sentence
        for copies in (0.0, 1.0)
    ]
    assert ["averages" in one for one in sentences] == [True, False]


@pytest.mark.parametrize(
    ("slopes", "kind"), [((1.1, 2.0), "supports"), ((1.1, 1.5), "refines"), ((0.0, 0.1), "refutes")]
)
def test_row_8(slopes, kind):
    first, second = slopes
    assert row_08_solver.judge([("a", 1, about(first)), ("b", 2, about(second))]).kind == kind


@pytest.mark.parametrize(
    ("earlier", "variance", "kind"),
    [
        (about(2.5), about(0.8), "supports"),
        (about(2.5), about(1.0), "refines"),
        (about(1, 0.2), about(0.8), "inconclusive"),
        (about(0.9), about(0.8), "refutes"),
        (about(math.nan), about(1.0), "refutes"),
    ],
)
def test_row_13(earlier, variance, kind):
    assert (
        row_13_guidance.judge(earlier, 0.02, {1.0: about(3), 4.0: about(7)}, variance).kind == kind
    )


@pytest.mark.parametrize(
    ("exact", "network", "kind"),
    [
        (about(5), about(4), "supports"),
        (about(5), about(1), "refines"),
        (about(1), about(math.nan), "refutes"),
        (about(2, 1), about(2, 1), "inconclusive"),
    ],
)
def test_row_16(exact, network, kind):
    radii = {name: [about(2.0)] * len(row_16_locality.LEVELS) for name in ("exact", "network")}
    assert row_16_locality.judge({"exact": exact, "network": network}, radii).kind == kind
