"""Processes against their textbook formulas in 50 digits."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from every_process import PROCESSES
from hypothesis import given, settings
from hypothesis import strategies as st
from looping import each
from scipy.integrate import quad

from samplerbench.models.process import (
    EDM,
    VE,
    Cosine,
    Discrete,
    Process,
    RectifiedFlow,
    SubVP,
    Trigonometric,
    VPLinear,
)


def textbook(process: Process, t: float) -> tuple[Any, Any]:
    """alpha and sigma as the papers write them.

    The working precision makes their cancellation harmless.
    """
    t_ = mpmath.mpf(t)
    match process:
        case EDM(sigma_data=data):
            return 1 / mpmath.sqrt(t_**2 + mpmath.mpf(data) ** 2), t_ / mpmath.sqrt(
                t_**2 + mpmath.mpf(data) ** 2
            )
        case SubVP(beta_d=beta_d, beta_min=beta_min):
            alpha = mpmath.exp(-(t_**2) * mpmath.mpf(beta_d) / 4 - t_ * mpmath.mpf(beta_min) / 2)
            return alpha, 1 - alpha**2
        case Trigonometric():
            return mpmath.cos(mpmath.pi * t_ / 2), mpmath.sin(mpmath.pi * t_ / 2)
        case VPLinear(beta_d=beta_d, beta_min=beta_min):
            alpha = mpmath.exp(-(t_**2) * mpmath.mpf(beta_d) / 4 - t_ * mpmath.mpf(beta_min) / 2)
            return alpha, mpmath.sqrt(1 - alpha**2)
        case Cosine(s=s):
            alpha = mpmath.cos((t_ + s) / (1 + mpmath.mpf(s)) * mpmath.pi / 2) / mpmath.cos(
                s / (1 + mpmath.mpf(s)) * mpmath.pi / 2
            )
            return alpha, mpmath.sqrt(1 - alpha**2)
        case VE():
            return mpmath.mpf(1), t_
        case RectifiedFlow(noise_scale=nu):
            return 1 - t_, mpmath.mpf(nu) * t_
        case _:
            raise AssertionError(process)


@each("process", PROCESSES, ids=repr)
def test_process__the_formulas_keep_their_accuracy_at_both_ends(process: Process) -> None:
    with mpmath.workdps(50):
        for t in [1e-12, 1e-8, 1e-4, 0.03, 0.5, 0.97, process.t_max]:
            alpha, sigma = textbook(process, t)
            # a rounding of t itself, seen through a vanishing alpha
            near_end = 1e-15 / min(1.0, float(alpha))
            assert float(abs(process.alpha(t) / alpha - 1)) < 2e-15 + near_end
            assert float(abs(process.sigma(t) / sigma - 1)) < 2e-15 + near_end


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
@settings(derandomize=True, deadline=None, max_examples=50)
@given(log_level=st.floats(np.log(1e-9), np.log(1e4)))
def test_t_of_inverts_level(process: Process, log_level: float) -> None:
    level = float(np.exp(log_level))
    # A native time near 1 resolves a level no better than eps * level; below that, rounding only.
    assert process.level(process.t_of(level)) == pytest.approx(level, rel=2e-14 + 4e-16 * level)


@each("process", PROCESSES, ids=repr)
def test_process__the_level_rises_from_zero_and_time_is_recovered(process: Process) -> None:
    t = np.concatenate([[0.0], np.geomspace(1e-9, process.t_max, 500)])
    level = process.level(t)
    assert level[0] == 0
    assert (np.diff(level) > 0).all()
    np.testing.assert_allclose(process.t_of(level), t, rtol=2e-14)


@each("process", PROCESSES, ids=repr)
def test_process__floats_and_arrays_agree_and_floats_stay_python_floats(process: Process) -> None:
    times = np.linspace(process.t_min, process.t_max, 7)
    for method in (process.alpha, process.sigma, process.level, process.t_of):
        values = method(times)
        assert values is not times
        for t, value in zip(times.tolist(), values, strict=True):
            single = method(t)
            assert type(single) is float
            assert single == value


@pytest.mark.parametrize("process", [VPLinear(), Cosine()], ids=repr)
def test_variance_preserving(process: Process) -> None:
    t = np.linspace(0, process.t_max, 200)
    np.testing.assert_allclose(process.alpha(t) ** 2 + process.sigma(t) ** 2, 1, atol=1e-14)


def test_vp_linear_integrates_its_rate() -> None:
    process = VPLinear(beta_d=7.0, beta_min=0.3)
    integral, _ = quad(lambda t: 0.3 + 7.0 * t, 0, 0.8)
    assert process.alpha(0.8) == pytest.approx(np.exp(-integral / 2), rel=1e-13)


def test_the_flow_reaches_infinity_only_at_one() -> None:
    assert RectifiedFlow().level(1.0) == np.inf
    assert RectifiedFlow().level(RectifiedFlow().t_max) == pytest.approx(1e4, rel=1e-11)


def test_mistakes_are_named() -> None:
    for make in (
        lambda: VE(t_min=2.0, t_max=1.0),
        lambda: VPLinear(beta_min=0.0),
        lambda: Cosine(t_max=1.0),
        lambda: RectifiedFlow(t_max=1.1),
        lambda: RectifiedFlow(noise_scale=0.0),
        lambda: EDM(sigma_data=0.0),
        lambda: Trigonometric(t_max=1.1),
        lambda: Discrete(levels=(1.0, 1.0)),
    ):
        with pytest.raises(ValueError, match="need"):
            make()


def test_the_levels_of_discrete_processes_are_the_published_ones() -> None:
    steps = np.arange(1000) / 999
    ddpm = Discrete.of_betas(1e-4 + (0.02 - 1e-4) * steps)
    stable = Discrete.of_betas((0.00085**0.5 + (0.012**0.5 - 0.00085**0.5) * steps) ** 2)
    assert (ddpm.level(0.0), ddpm.level(999.0)) == pytest.approx((0.0100, 157.4), rel=1e-3)
    assert (stable.level(0.0), stable.level(999.0)) == pytest.approx((0.0292, 14.61), rel=1e-2)


def test_a_discrete_process_is_vp_linear_between_its_times_as_they_become_many() -> None:
    levels, limit, off = np.geomspace(0.01, 100, 30), VPLinear(), []
    for steps in (10_000, 20_000):
        betas = (0.1 + 19.9 * (np.arange(steps) + 0.5) / steps) / steps
        time = (Discrete.of_betas(betas).t_of(levels) + 1) / steps
        off.append(np.abs(time - limit.t_of(levels)).max())
    assert off[1] < 2e-4
    assert off[0] / off[1] == pytest.approx(2, rel=0.05)  # of first order in 1 / steps


def test_a_discrete_process_stands_still_outside_its_levels_and_knows_infinity() -> None:
    process = Discrete(levels=(0.1, 1.0, 10.0, np.inf))
    assert process.t_of(0.01) == 0.0
    assert process.t_of(10**0.5) == pytest.approx(1.5)
    assert process.t_of(1e3) == 2.0
    assert process.t_of(np.inf) == 3.0 == process.t_max
    assert (process.alpha(3.0), process.sigma(3.0)) == (0.0, 1.0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("process", [VE(), EDM(), VPLinear(), SubVP(), Cosine()])
def test_t_of__an_infinite_level_has_no_finite_time_where_alpha_stays_above_0(process: Process):
    assert not np.isfinite(process.t_of(np.inf))
    times = process.t_of(np.array([1.0, np.inf]))
    assert np.isfinite(times).tolist() == [True, False]


@pytest.mark.parametrize("process", [RectifiedFlow(noise_scale=3.0, t_max=1.0), Trigonometric()])
def test_an_infinite_level_has_the_time_of_pure_noise(process: Process) -> None:
    assert process.t_of(np.inf) == 1.0
    assert process.alpha(1.0) == 0.0
