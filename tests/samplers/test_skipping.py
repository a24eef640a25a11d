"""Skipped evaluations: what is held, how often the network is called, and the orders that remain."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from looping import each

from samplerbench.benchmarks.advice.exports.equivalents import tabulate_steps
from samplerbench.benchmarks.conformance.order import ExactStartSampler, rms, slope
from samplerbench.benchmarks.conformance.problems import (
    GRIDS,
    RecordingDenoiser,
    draw_samples,
    problems,
)
from samplerbench.benchmarks.planning.budget import most_steps_within
from samplerbench.samplers import Grid, NoNoise, integrate, karras, make, uniform_lambda

GRID = karras(12, 0.02, 20.0)
IDS = torch.arange(5)
MIXTURE = problems()[1]


def skip(sampler, pattern="every 2", **options):
    return make("skip", sampler=sampler, pattern=pattern, **options)


def run(sampler, denoise=MIXTURE, grid=GRID, dim=2):
    made = make(sampler) if isinstance(sampler, str) else sampler
    return draw_samples(made, denoise, grid, IDS, dim)


def pattern_of(sampler, grid=GRID):
    """The evaluations of a sampler, 1 if made."""
    answers = [answer for row in sampler.plan(grid) for answer in row.answers]
    return "".join("1" if hasattr(answer, "stale") else "0" for answer in answers)


class Given:
    """Denoiser whose noise eps at a level is a given number, in any state."""

    def __init__(self, eps):
        self.eps = eps

    def __call__(self, x, sigma):
        return x - sigma * self.eps(float(sigma))

    def take(self, rows):
        return self


ALIKE = [
    *("euler", "dpmpp_2m", "heun", "unipc_2", "deis_rrk_3", "warped_ab_2", "gradient_estimation"),
    *("dpmpp_3m(last=(2, 1))", "dpmpp_2m(startup='singlestep')", "predictor_corrector"),
    *("ddpm", "dpmpp_2m_sde", "seeds_2", "restart", "edm_stochastic", "sa_solver"),
]


@each("spec", ALIKE)
@each("pattern", ["every 1", "1", "change 1"])
def test_skip__without_skips_it_is_the_sampler_bit_for_bit(spec, pattern):
    if pattern == "change 1" and make(spec).nfe(GRID) != len(GRID):
        return  # two evaluations of one level
    held = skip(spec, pattern, output="data", taylor=1)
    assert torch.equal(run(held), run(spec))
    assert (held.order, held.nfe(GRID)) == (make(spec).order, make(spec).nfe(GRID))


@pytest.mark.slow
@each("spec", ALIKE)
@each("pattern", ["every 2", "every 5", "110", "change 2.5"])
def test_skip__counts_the_calls_of_the_network(spec, pattern):
    held = skip(spec, pattern, output="data", first=2, last=1)
    for n in (1, 2, 3, 10):
        recorder, grid = RecordingDenoiser(MIXTURE), karras(n, 0.02, 20.0)
        run(held, recorder, grid)
        assert len(recorder.outputs) == held.nfe(grid) == pattern_of(held, grid).count("1")
    assert held.nfe(GRID) < make(spec).nfe(GRID)


def test_skip__euler_with_held_noise_is_a_loop_and_eulers_method_on_fewer_levels():
    x = first = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for i, (cur, nxt) in enumerate(GRID.intervals()):
        if i % 3 == 0:
            eps = (x - MIXTURE(x, cur)) / cur
        x = x + (nxt - cur) * eps
    coarse = make("euler").sample(MIXTURE, first, Grid((*GRID.sigma[:-1:3], 0.0)))
    for output in ("noise", "data", "velocity"):
        ours = skip("euler", "every 3", output=output).sample(MIXTURE, first, GRID)
        torch.testing.assert_close(ours, x, rtol=0, atol=1e-12)
        torch.testing.assert_close(ours, coarse, rtol=0, atol=1e-12)


@each("output", ["noise", "data", "velocity"])
def test_skip__heun_with_every_second_call_and_two_points_is_a_written_loop(output):
    """The slope at the end of a step is a forecast from the two first slopes so far."""
    sampler = skip("heun", taylor=1, output=output, clock="log_snr")
    x = first = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    memory = []
    for cur, nxt in GRID.intervals():
        d = MIXTURE(x, cur)
        eps = (x - d) / cur
        memory = [(cur, {"noise": eps, "data": d, "velocity": eps - d}[output]), *memory][:2]
        if nxt == 0:
            x = d
            continue
        y, held = x + (nxt - cur) * eps, memory[0][1]
        if len(memory) == 2:
            (now, new), (before, old) = memory
            held = new + math.log(now / nxt) / math.log(before / now) * (new - old)
        image = {
            "noise": y - nxt * held,
            "data": held,
            "velocity": (y - nxt * held) / (1 + nxt),
        }[output]
        x = x + (nxt - cur) * (eps + (y - image) / nxt) / 2
    torch.testing.assert_close(sampler.sample(MIXTURE, first, GRID), x, rtol=0, atol=1e-11)


@each("spec", ["euler", "dpmpp_2m", "heun", "unipc_3", "dpm_solver_3"])
@each("pattern", ["every 3", "1000", "change 4"])
def test_skip__constant_noise_is_exact(spec, pattern):
    constant = Given(lambda _: 0.7)
    start = run("euler", constant, Grid((20.0, 19.0)), 3) + 0.7
    ends = run(skip(spec, pattern), constant, karras(9, 0.02, 20.0, to_zero=False), 3)
    torch.testing.assert_close(ends, start + (0.02 - 20) * 0.7, rtol=0, atol=1e-12)


@each("degree", [1, 2, 3])
@each("clock", ["step", "log_snr"])
def test_skip__noise_that_is_a_polynomial_in_the_clock_is_forecast_exactly(degree, clock):
    lams = [-math.log(level) for level in GRID.positive]

    def eps(sigma):
        lam = -math.log(sigma)
        place = lam if clock == "log_snr" else np.interp(lam, lams, range(len(lams)))
        return 0.3 - 0.1 * place + 0.02 * place**degree

    for spec in ("dpmpp_2m", "heun", "unipc_3"):
        taylor = skip(spec, "every 3", taylor=degree, clock=clock, first=2 * degree)
        torch.testing.assert_close(
            run(taylor, Given(eps)), run(spec, Given(eps)), rtol=0, atol=1e-9
        )
        low = skip(spec, "every 3", taylor=degree - 1, clock=clock, first=2 * degree)
        assert float((run(low, Given(eps)) - run(spec, Given(eps))).abs().max()) > 1e-5


@pytest.mark.parametrize(
    ("spec", "pattern", "options", "order"),
    [
        ("euler", "every 2", {"taylor": 1}, 1),
        ("dpmpp_2m", "every 3", {}, 1),
        ("dpmpp_2m", "every 2", {"taylor": 1}, 2),
        ("dpmpp_2m", "change 2", {"taylor": 1, "output": "velocity", "clock": "log_snr"}, 2),
        ("dpmpp_3m", "change 1.5", {"taylor": 2}, 2),
        ("heun", "every 2", {"taylor": 1}, 2),
        ("heun", "110", {}, 1),
        ("heun", "every 2", {"first": 2}, 2),
        ("dpm_solver_3", "every 2", {"taylor": 2, "first": 4}, 2),
        ("dpmpp_3m", "every 2", {"taylor": 2}, 2),
        ("dpmpp_3m", "every 2", {"taylor": 2, "first": 2}, 3),
        ("dpm_solver_3", "every 3", {"taylor": 2, "first": 4, "clock": "log_snr"}, 3),
    ],
)
def test_order__is_the_measured_one(spec, pattern, options, order):
    sampler = skip(spec, pattern, **options)
    assert sampler.order == (order if make(spec).nfe(GRID) == len(GRID) else None)
    errors, steps = [], (48, 96, 192)
    for n in steps:
        grid = GRIDS["karras"](n)
        start = ExactStartSampler(inner=sampler, problem=MIXTURE)
        end = integrate(start, MIXTURE, MIXTURE.start, grid, NoNoise())
        errors.append(rms(end, MIXTURE.truth(grid.sigma[-1])))
    assert slope(steps, errors) == pytest.approx(order, abs=0.25)


@each(
    ("pattern", "options"),
    [
        ("every 2", {"first": 40}),
        ("every 2", {"last": 40}),
        ("1" * 33 + "0", {}),
        ("1110", {"first": 40, "last": 40}),
        ("change 1.02", {}),
    ],
)
def test_order__is_lowered_by_skips_that_begin_late(pattern, options):
    assert skip("dpmpp_2m", pattern, **options).order == 1
    assert skip("dpmpp_3m", pattern, taylor=1, **options).order == 2
    assert skip("heun", pattern, **options).order is None


@each("pattern", ["every 1", "1", "111", "change 1.0"])
def test_order__is_the_samplers_without_skips(pattern):
    assert skip("dpmpp_2m", pattern, first=3, last=40).order == 2


def test_order__of_a_stochastic_sampler_is_that_of_the_forecasts():
    """The weak orders that ``samplerbench check`` measures are 0.85, 2.1 and, without one, 1.3."""
    options = {"taylor": 1, "output": "data"}
    names = ("ddpm", "dpmpp_2m_sde", "dpm_2_ancestral")
    assert [skip(name, **options).order for name in names] == [1, 2, None]


@each(
    ("pattern", "options", "made"),
    [
        ("every 2", {}, "101010101010"),
        ("every 4", {"first": 3, "last": 1}, "111000100011"),
        ("1100", {"last": 2}, "110011001111"),
        ("10000000000000", {}, "100000000000"),
    ],
)
def test_pattern__chooses_evaluations(pattern, options, made):
    assert pattern_of(skip("euler", pattern, **options)) == made


def test_change__is_a_threshold_on_the_angle_and_makes_one_in_k():
    """Of all patterns with this number it has the smallest largest distance after a skip."""
    for n, k in ((10, 2), (13, 3), (16, 1.5)):
        grid = karras(n, 0.02, 20.0)
        made = pattern_of(skip("euler", f"change {k}"), grid)
        assert made.count("1") == math.ceil(n / k)
        angles = [math.atan(level) for level in grid.sigma[:-1]]
        kept = [i for i, digit in enumerate(made) if digit == "1"]
        ends = [*(i - 1 for i in kept[1:]), n - 1]
        most = max(angles[a] - angles[b] for a, b in zip(kept, ends, strict=True))
        for a, b in pairwise(kept):
            assert angles[a] - angles[b] > most  # the threshold, which every call has passed


@pytest.mark.slow
@each("pattern", ["every 2", "every 5", "110", "change 2", "change 2.5"])
def test_most_steps_within__finds_more_steps_than_evaluations(pattern):
    for spec in ("euler", "heun"):
        sampler = skip(spec, pattern)
        for levels in (karras, uniform_lambda):
            costs = [0, *(sampler.nfe(levels(n, 0.02, 20.0)) for n in range(1, 33))]
            assert costs == sorted(costs)
            for budget in (1, 4, 6):
                n = most_steps_within(budget, lambda n, costs=costs: costs[min(n, 32)])
                assert costs[n] <= budget < costs[n + 1]


def test_most_steps_within__a_constant_cost_has_enough_steps():
    assert most_steps_within(7, lambda _: 5) == 8


@each("budget", [2, 4, 8])
def test_most_steps_within__a_slowly_growing_cost_is_no_constant_one(budget):
    assert most_steps_within(budget, lambda n: math.ceil(n / 100)) == 100 * budget


def test_most_steps_within__refuses_steps_without_end():
    with pytest.raises(ValueError, match="20 evaluations take over 10,752 steps; give --steps"):
        most_steps_within(20, int.bit_length)


def test_skip__is_a_table_of_numbers_with_a_row_an_evaluation():
    sampler = skip("dpmpp_2m", taylor=1)
    steps = tabulate_steps(sampler, GRID)
    assert [row.sigma for row in steps.rows] == list(GRID.sigma[:-1:2])


def test_skip__float32_is_close_to_float64_at_low_levels():
    grid = karras(20, 0.002, 80.0)
    x = 80 * torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    for output in ("noise", "data", "velocity"):
        sampler = skip("dpmpp_2m", taylor=1, output=output)
        low, high = (sampler.sample(MIXTURE, state, grid) for state in (x.float(), x))
        assert low.dtype == torch.float32
        assert float((low - high).abs().max()) < 1e-4


@each(
    ("options", "reason"),
    [
        ({"pattern": "every 0"}, "skip: pattern must be 'every N', 'change K'"),
        ({"pattern": "change 0.5"}, "number K >= 1, .* got 'change 0.5'"),
        ({"pattern": "0101"}, "'110' that begin with 1, got '0101'"),
        ({"output": "score"}, "skip: output is 'noise', 'data' or 'velocity'"),
        ({"clock": "time"}, "clock 'step' or 'log_snr'"),
        ({"taylor": 5}, "taylor 0 to 4"),
        ({"first": 0}, "first >= 1"),
        ({"sampler": "auto"}, "of auto: it has no steps along a fixed grid by images alone; give"),
        ({"sampler": "rk45"}, "of rk45: it has no steps along a fixed grid"),
        ({"sampler": "paradigms"}, "of paradigms: it has no steps along a fixed grid"),
        ({"sampler": "consistency"}, "of consistency: it has no steps .* by images alone"),
        ({"sampler": "dpm_solver_v3"}, "of dpm_solver_v3: it has no steps .* by images alone"),
        ({"sampler": "cfgpp"}, "of cfgpp: it reads two images of an evaluation; give a method"),
        ({"sampler": "ddpm"}, "of ddpm: it adds noise, which .*; give output='data'"),
        ({"sampler": "eulr"}, "unknown sampler 'eulr'"),
    ],
    ids=str,
)
def test_skip__refuses_in_one_sentence(options, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        make("skip", **options)
    assert "\n" not in str(caught.value)
