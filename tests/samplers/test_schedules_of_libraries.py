"""Schedules of menus against the rules of ComfyUI, RES4LYF and Forge, written out from their sources."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import beta

from samplerbench.benchmarks.planning.schedules import make_schedule

ROWS = 1000
INFINITE = 1e9  # a flow's level at t = 1
STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 20, 30)
SHIFTS = (1.0, 1.73, 3.0, 5.0, 12.0)


class StableDiffusion:
    """ModelSamplingDiscrete: 1000 levels, log-linear between."""

    sigmas = np.sqrt(1 / np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, ROWS) ** 2) - 1)

    def timestep(self, sigma):
        return float(np.abs(np.log(self.sigmas) - math.log(sigma)).argmin())

    def sigma(self, t):
        return float(np.exp(np.interp(t, np.arange(ROWS), np.log(self.sigmas))))


class Flow:
    """ModelSamplingDiscreteFlow, and ModelSamplingFlux with 10,000 rows and shift exp(mu)."""

    def __init__(self, shift, rows=ROWS):
        self.shift, self.multiplier = shift, 1000
        self.sigmas = np.array([self.sigma(j / rows * 1000) for j in range(1, rows + 1)])

    def timestep(self, sigma):
        return sigma * self.multiplier

    def sigma(self, t):
        t = t / self.multiplier
        return self.shift * t / (1 + (self.shift - 1) * t)


def simple_scheduler(model, steps):
    stride = len(model.sigmas) / steps
    return [*(model.sigmas[-(1 + int(x * stride))] for x in range(steps)), 0.0]


def ddim_scheduler(model, steps):
    stride = max(len(model.sigmas) // steps, 1)
    return [*model.sigmas[1::stride][::-1], 0.0]


def normal_scheduler(model, steps, sgm=False):
    start, end = model.timestep(model.sigmas[-1]), model.timestep(model.sigmas[0])
    times = np.linspace(start, end, steps + 1)[:-1] if sgm else np.linspace(start, end, steps)
    return [*map(model.sigma, times), 0.0]


def beta_scheduler(model, steps, a=0.6, b=0.6):
    quantiles = beta.ppf(1 - np.linspace(0, 1, steps, endpoint=False), a, b)
    rows = np.rint(quantiles * (len(model.sigmas) - 1)).astype(int)
    return [*(model.sigmas[row] for row in dict.fromkeys(rows.tolist())), 0.0]


def sd_turbo_scheduler(model, steps):
    times = np.flip(np.arange(1, 11) * 100 - 1)[:steps]
    return [*(model.sigmas[t] for t in times), 0.0]


def kl_optimal_scheduler(model, steps):
    part = np.arange(steps) / (steps - 1)
    low, high = math.atan(model.sigmas[0]), math.atan(model.sigmas[-1])
    return [*np.tan(part * low + (1 - part) * high), 0.0]


def karras_scheduler(model, steps, rho=7.0):
    low, high = model.sigmas[0] ** (1 / rho), model.sigmas[-1] ** (1 / rho)
    return [*((high + np.linspace(0, 1, steps) * (low - high)) ** rho), 0.0]


def linear_quadratic_schedule(model, steps, threshold=0.025):
    if steps == 1:
        return [model.sigmas[-1], 0.0]
    linear = steps // 2
    difference, quadratic = linear - threshold * steps, steps - linear
    square = difference / (linear * quadratic**2)
    first = threshold / linear - 2 * difference / quadratic**2
    gone = [i * threshold / linear for i in range(linear)]
    gone += [square * i**2 + first * i + square * linear**2 for i in range(linear, steps)]
    return [model.sigmas[-1] * (1 - x) for x in (*gone, 1.0)]


def laplace_scheduler(model, n, mu=0.0, scale=0.5):
    x = np.linspace(0, 1, n)
    levels = mu - scale * np.sign(0.5 - x) * np.log(1 - 2 * np.abs(0.5 - x) + 1e-5)
    return [*np.clip(np.exp(levels), model.sigmas[0], model.sigmas[-1]), 0.0]


def tangent(steps, slope, pivot, start, end):
    curve = [((2 / math.pi) * math.atan(-slope * (x - pivot)) + 1) / 2 for x in range(steps)]
    top, bottom = curve[0], curve[-1]
    return [(y - bottom) / (top - bottom) * (start - end) + end for y in curve]


def bong_tangent_scheduler(_model, steps):
    steps += 2
    middle = int((steps * 0.6 + steps * 0.6) / 2)
    pivot, slope = int(steps * 0.6), 0.2 / (steps / 40)
    upper = tangent(middle, slope, pivot, 1.0, 0.5)
    return upper[:-1] + tangent(steps - middle, slope, pivot - middle, 0.5, 0.0)


def loglinear(levels, count):
    """loglinear_interp of NVIDIA's guide, in ComfyUI and Forge."""
    at, known = np.linspace(0, 1, count), np.linspace(0, 1, len(levels))
    return np.exp(np.interp(at, known, np.log(levels[::-1])))[::-1]


# levels of the last positive level of a flow where their own rule ends: the time is shifted twice
def twice(model):
    t = model.sigma(model.timestep(model.sigmas[0]))
    return t / (1 - t)


SD_RULES = {
    "simple": simple_scheduler,
    "normal": normal_scheduler,
    "sgm_uniform": lambda model, n: normal_scheduler(model, n, sgm=True),
    "beta_rows": beta_scheduler,
    "beta57": lambda model, n: beta_scheduler(model, n, 0.5, 0.7),
    "sd_turbo": sd_turbo_scheduler,
    "kl_optimal": kl_optimal_scheduler,
    "karras": karras_scheduler,
    "linear_quadratic": linear_quadratic_schedule,
    "laplace": laplace_scheduler,
}
FLOW_RULES = {
    "simple(table={!r})": simple_scheduler,
    "normal(table={!r})": normal_scheduler,
    "sgm_uniform(table={!r})": SD_RULES["sgm_uniform"],
    "beta_rows(table={!r})": beta_scheduler,
    "beta57(table={!r})": SD_RULES["beta57"],
}
TIME_RULES = {
    "kl_optimal": kl_optimal_scheduler,
    "karras": karras_scheduler,
    "linear_quadratic": linear_quadratic_schedule,
    "bong_tangent": bong_tangent_scheduler,
}


def difference_on_sd(spec, rule, n):
    """Largest relative difference of a level from the library's, on its own table; nan for another length."""
    model = StableDiffusion()
    theirs = np.array(rule(model, n))
    ours = np.array(make_schedule(spec)(n, model.sigmas[0], model.sigmas[-1]).sigma)
    if len(ours) != len(theirs):
        return math.nan
    return np.abs(ours[:-1] / theirs[:-1] - 1).max()


def difference_on_flow(spec, rule, n, model, low=None):
    """Largest difference of a flow time from the library's."""
    t = model.sigmas[0]
    theirs = np.array(rule(model, n))
    ours = np.array(make_schedule(spec)(n, low or t / (1 - t), INFINITE).sigma)
    return np.abs(ours / (1 + ours) - theirs).max()


def test_simple__and_all_rules_of_menus_have_the_levels_of_the_library_on_its_table():
    for spec, rule in SD_RULES.items():
        for n in STEPS:
            alone = n == 1 and spec in ("kl_optimal", "laplace")  # divided by zero, or clamped
            if not alone and (spec, n > 10) != ("sd_turbo", True):  # which has ten
                assert difference_on_sd(spec, rule, n) < 1e-6, (spec, n)


@pytest.mark.parametrize("shift", SHIFTS)
def test_shifted__rules_of_menus_have_the_times_of_the_library_on_its_flow(shift):
    model = Flow(shift)
    for spec, rule in FLOW_RULES.items():
        low = twice(model) if rule in (normal_scheduler, SD_RULES["sgm_uniform"]) else None
        for n in STEPS[1:]:
            whole = f"shifted(base={spec.format('flow')!r}, shift={shift})"
            assert difference_on_flow(whole, rule, n, model, low) < 1e-6, (spec, n)
    for spec, rule in TIME_RULES.items():
        for n in STEPS[1:]:
            if rule(model, n)[-2] < model.sigmas[0] - 1e-12:
                # only the tangent goes below the model's levels, where ours is scaled
                assert (spec, shift, n) == ("bong_tangent", 12.0, 30)
                continue
            assert difference_on_flow(f"in_flow_time(base={spec!r})", rule, n, model) < 1e-6, spec


def test_shifted__flux_has_ten_thousand_rows():
    model = Flow(math.exp(1.15), rows=10_000)
    for spec, rule in FLOW_RULES.items():
        low = twice(model) if rule in (normal_scheduler, SD_RULES["sgm_uniform"]) else None
        whole = f"shifted(base={spec.format('flux')!r}, shift={math.exp(1.15)})"
        assert difference_on_flow(whole, rule, 8, model, low) < 1e-6, spec


@pytest.mark.parametrize("n", [*STEPS[1:], 23])
def test_ddim_uniform__has_the_lowest_levels_of_the_library_behind_sigma_max(n):
    model = StableDiffusion()
    theirs = ddim_scheduler(model, n)
    ours = make_schedule("ddim_uniform")(n, model.sigmas[0], model.sigmas[-1]).sigma
    assert ours[1:] == pytest.approx(theirs[-n:], rel=1e-9)
    assert len(theirs) - 1 >= n
    assert (len(theirs) - 1 == n) == (n * (ROWS // n) > ROWS - 2), "more where n does not divide"


def test_beta57__rows_that_repeat_take_the_next_one():
    model = StableDiffusion()
    theirs = beta_scheduler(model, 300, 0.5, 0.7)
    assert len(theirs) < 301
    ours = make_schedule("beta57")(300, model.sigmas[0], model.sigmas[-1])
    assert len(ours) == 300
    rows = [model.timestep(level) for level in ours.positive]
    assert all(a > b for a, b in pairwise(rows))


LISTS = {
    "sd15_gits": [14.615, 4.617, 2.507, 1.236, 0.702, 0.402, 0.240, 0.156, 0.104, 0.094, 0.029],
    "sdxl_gits": [14.615, 4.734, 2.567, 1.529, 0.987, 0.652, 0.418, 0.268, 0.179, 0.127, 0.029],
}


@pytest.mark.parametrize("model", LISTS)
@pytest.mark.parametrize("n", [4, 11, 17])
def test_align_your_steps__lists_of_forge_are_followed_by_zero(model, n):
    known = LISTS[model]
    ours = make_schedule(f"align_your_steps(model={model!r})")(n, known[-1], known[0])
    assert ours.sigma == pytest.approx([*loglinear(known, n), 0.0], rel=1e-9)


def test_align_your_steps__the_lists_of_32_are_those_of_forge():
    ends = {"sd15_32": (11.23951352, 0.03166121), "sdxl_32": (11.1491618, 0.02877334)}
    for model, (second, last) in ends.items():
        grid = make_schedule(f"align_your_steps(model={model!r})")(32, 0.015, 14.615)
        assert len(grid) == 32
        assert (grid.sigma[1], grid.sigma[-3]) == pytest.approx((second, last), rel=1e-9)


@pytest.mark.parametrize("n", [3, 10, 15])
def test_align_your_steps__replace_last_is_the_node_of_comfyui(n):
    known = [14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092]
    known += [0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582]
    ours = make_schedule("align_your_steps(replace_last=True)")(n, known[-1], known[0])
    assert ours.sigma == pytest.approx([*loglinear(known, n + 1)[:-1], 0.0], rel=1e-6)


FLUX = [0.9968, 0.9886, 0.9819, 0.975, 0.966, 0.9471, 0.9158, 0.8287, 0.5512, 0.2808, 0.001]


@pytest.mark.parametrize("n", [3, 10, 14])
def test_optimal_steps__inner_times_are_those_of_the_node(n):
    ours = make_schedule("optimal_steps")(n, 0.001 / 0.999, 1e4).sigma
    theirs = loglinear(FLUX, n + 1)
    assert [level / (1 + level) for level in ours[1:-1]] == pytest.approx(theirs[1:-1], rel=1e-9)
    assert (ours[0], ours[-1]) == (1e4, 0.0)


def test_gits_lists__are_those_of_the_node():
    grid_of = {
        (5, 1.2): [14.61464119, 2.84484982, 1.24153244, 0.59516323, 0.25053367],
        (7, 0.85): [
            14.61464119,
            12.2308979,
            8.75849152,
            7.49001646,
            5.09240818,
            2.84484982,
            0.95350921,
        ],
    }
    for (n, coefficient), known in grid_of.items():
        schedule = make_schedule(f"gits_lists(coefficient={coefficient})")
        assert schedule(n, 0.02916753, 14.61464119).sigma == pytest.approx([*known, 0.0], rel=1e-9)
        # for more than 20 steps, the list of 20 between
        longest = schedule(20, 0.02916753, 14.61464119, to_zero=False).sigma
        longer = schedule(40, 0.02916753, 14.61464119, to_zero=False).sigma
        assert longer[::2] == pytest.approx(longest, rel=1e-9)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("optimal_steps(model='sd3')", "choose one of flux, wan, chroma"),
        ("gits_lists(coefficient=2)", "gits_lists has no list '2.00'; choose one of 0.80"),
        ("gits_lists(coefficient=1.204)", "no list '1.204'"),
        ("laplace(beta=0)", "beta must be positive"),
        ("shifted(shift=0)", "shift must be positive"),
        ("shifted(shift='own')", "'shift' must be a float"),
        ("shifted(base='gits')", "take a formula"),
        ("shifted(base='nobody')", "unknown schedule 'nobody'"),
        ("simple(table='sd')", "choose one of linear, scaled_linear, cosine, flow, flux"),
    ],
)
def test_wrong_options_of_menus_are_refused(spec, reason):
    with pytest.raises(ValueError, match=reason):
        make_schedule(spec)


@pytest.mark.parametrize("name", ["simple", "ddim_uniform", "sd_turbo", "beta_rows", "beta57"])
def test_simple__and_other_rules_of_rows_refuse_more_steps_than_rows(name):
    with pytest.raises(ValueError, match="1100 steps are too many for a beta table with"):
        make_schedule(name)(1100, 0.02916753, 14.61464119)


@pytest.mark.parametrize("shift", SHIFTS)
def test_shifted__even_flow_times_are_flow_shift(shift):
    for n in (1, 2, 9):
        for to_zero in (False, True):
            ends = {"n": n, "sigma_min": 0.003, "sigma_max": 80.0, "to_zero": to_zero}
            even = make_schedule(f"shifted(base=\"uniform_time(process='flow')\", shift={shift})")
            known = make_schedule(f"flow_shift(shift={shift})")
            assert even(**ends).sigma == pytest.approx(known(**ends).sigma, rel=1e-9)


def test_shifted__shifts_multiply_and_leave_what_scales_with_the_range():
    once = make_schedule("shifted(base='kl_optimal', shift=6.0)")(9, 0.01, 80.0).sigma
    twice_shifted = make_schedule(
        "shifted(base=\"shifted(base='kl_optimal', shift=2.0)\", shift=3.0)"
    )
    assert twice_shifted(9, 0.01, 80.0).sigma == pytest.approx(once, rel=1e-12)
    assert once[4] > 1.5 * make_schedule("kl_optimal")(9, 0.01, 80.0).sigma[4]
    for base in ("karras", "uniform_lambda", "bong_tangent"):
        moved = make_schedule(f"shifted(base={base!r})")(9, 0.01, 80.0).sigma
        assert moved == pytest.approx(make_schedule(base)(9, 0.01, 80.0).sigma, rel=1e-12)
