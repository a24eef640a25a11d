"""CFG++ against formulas written out from the paper, the authors' code and ComfyUI."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from looping import each

from samplerbench.benchmarks.identity.sampler import sampler_fingerprint
from samplerbench.benchmarks.planning.planner import plan
from samplerbench.benchmarks.sampling.batch import first_states_and_noise, sample_batch, solve_cell
from samplerbench.benchmarks.sampling.counting import Meter, ObservedDenoiser
from samplerbench.benchmarks.sampling.engine import RecordedCalls
from samplerbench.benchmarks.sampling.trajectories import record_trajectories
from samplerbench.benchmarks.suites.suite import Suite
from samplerbench.models import ClassifierFree
from samplerbench.models.exact import GaussianMixture
from samplerbench.samplers import (
    Grid,
    SampleNoise,
    karras,
    make,
    tabulate,
    uniform_lambda,
)
from samplerbench.samplers.cuda_graphs import TensorLevelDenoiser
from samplerbench.samplers.types import FunctionDenoiser

GRID = karras(7, 0.05, 12.0)
IDS = torch.arange(6)
LABELS = torch.tensor([0, 1, 2, 1, 0, 2])
LAMBDA = 0.6


def mixture() -> GaussianMixture:
    rng = torch.Generator().manual_seed(3)
    means = 2 * torch.randn(5, 4, generator=rng, dtype=torch.float64)
    factors = 0.4 * torch.randn(5, 4, 2, generator=rng, dtype=torch.float64)
    weights, noise = torch.ones(5), torch.full((5,), 0.3)
    return GaussianMixture("m", (4,), weights, means, factors, noise, torch.tensor([0, 1, 1, 2, 2]))


MODEL = mixture()
GUIDED = ClassifierFree(MODEL, LAMBDA)
START = SampleNoise(0, IDS, (4,), torch.float64).initial()


def images(x, sigma):
    """The guided and the unguided image, from the exact model itself."""
    label, free = MODEL.denoise(x, sigma, LABELS), MODEL.denoise(x, sigma, None)
    return free + LAMBDA * (label - free), free


def ours(name, grid=GRID, **options):
    spec = f"{name}({', '.join(f'{k}={v!r}' for k, v in options.items())})" if options else name
    sampler = make("cfgpp", sampler=spec)
    noise = SampleNoise(5, IDS, (4,), torch.float64) if sampler.stochastic else None
    bound = GUIDED.bind(IDS, 0, LABELS)
    return sampler.sample(bound, START * grid.sigma[0], grid, noise)


def written_out(step, grid=GRID):
    """The samples of ``step(i, x, cur, nxt, memory)``, which returns a state."""
    x, memory = START * grid.sigma[0], {}
    noise = SampleNoise(5, IDS, (4,), torch.float64)
    for i, (cur, nxt) in enumerate(grid.intervals()):
        memory["z"] = noise.at(i, cur, nxt)
        x = step(i, x, cur, nxt, memory)
    return x


def assert_same(a, b, most=1e-12):
    assert float((a - b).abs().max()) < most


def euler(i, x, cur, nxt, memory):
    """Alg. 2 of arXiv:2406.08070 in x0 + sigma z; ComfyUI's sample_euler_cfg_pp."""
    d, f = images(x, cur)
    return d + nxt * (x - f) / cur


def test_cfgpp__euler_is_the_papers_step():
    assert_same(ours("euler"), written_out(euler))
    assert_same(ours("ddim"), written_out(euler))


def test_cfgpp__euler_is_guidance_at_a_scale_that_depends_on_the_step():
    x = START * GRID.sigma[0]
    for cur, nxt in GRID.intervals():
        bound = ClassifierFree(MODEL, LAMBDA / (1 - nxt / cur)).bind(IDS, 0, LABELS)
        x = make("euler").sample(bound, x, Grid((cur, nxt)))
    assert_same(ours("euler"), x)


@each("eta", [0.5, 1.0])
def test_cfgpp__ancestral_euler_is_comfyuis(eta):
    def step(i, x, cur, nxt, memory):
        """sample_euler_ancestral_cfg_pp: DDIM's down-step with the unguided noise, then noise."""
        d, f = images(x, cur)
        up = min(nxt, eta * math.sqrt(nxt**2 * (cur**2 - nxt**2) / cur**2))
        down = math.sqrt(nxt**2 - up**2)
        return d + down * (x - f) / cur + (up * memory["z"]() if up else 0)

    assert_same(ours("euler_ancestral", eta=eta), written_out(step))
    assert_same(ours("ddim", eta=eta), written_out(step))


def test_cfgpp__on_a_flow_it_is_comfyuis_in_the_flows_coordinates():
    """x_t = (1 - t) x0 + t z; renoise with (x_t - (1 - t) f) / t, and the data have the scale 1 - t."""
    x = START * GRID.sigma[0] / (1 + GRID.sigma[0])
    times = [s / (1 + s) for s in GRID.sigma]
    for t, to in pairwise(times):
        d, f = images(x / (1 - t), t / (1 - t))
        x = (1 - to) * d + to * (x - (1 - t) * f) / t
    assert_same(ours("euler"), x)


def test_cfgpp__dpmpp_2s_ancestral_is_the_form_that_adds_the_guidance_vector():
    """ComfyUI at 02159d81, off flows: the unguided 2S step and noise, plus d - f of the first evaluation."""

    def step(i, x, cur, nxt, memory):
        d, f = images(x, cur)
        up = min(nxt, math.sqrt(nxt**2 * (cur**2 - nxt**2) / cur**2))
        down = math.sqrt(nxt**2 - up**2)
        if down == 0:
            return x + (down - cur) * (x - f) / cur + (d - f)
        h = math.log(cur / down)
        middle = math.exp(-h / 2) * x - math.expm1(-h / 2) * f
        _, f2 = images(middle, math.sqrt(cur * down))
        return math.exp(-h) * x - math.expm1(-h) * f2 + up * memory["z"]() + (d - f)

    assert_same(ours("dpmpp_2s_ancestral"), written_out(step))


def test_cfgpp__dpmpp_2s_on_a_flow_is_comfyuis_without_noise():
    """sample_dpmpp_2s_ancestral_RF_cfg_pp at eta = 0, in t, from a first time below 1."""
    grid = uniform_lambda(6, 0.05, 9.0)
    times = [s / (1 + s) for s in grid.sigma]
    x = START * grid.sigma[0] / (1 + grid.sigma[0])
    for t, to in pairwise(times):
        d, f = images(x / (1 - t), t / (1 - t))
        if to == 0:
            x = f + (d - f)
            continue
        half = (math.log((1 - t) / t) + math.log((1 - to) / to)) / 2
        s = 1 / (math.exp(half) + 1)
        middle = s / t * x + (1 - s / t) * f
        _, f2 = images(middle / (1 - s), s / (1 - s))
        x = to / t * x + (1 - to / t) * f2 + (1 - to) * (d - f)
    assert_same(ours("dpmpp_2s", grid), x)


def test_cfgpp__gradient_estimation_is_comfyuis():
    def step(i, x, cur, nxt, memory):
        """sample_gradient_estimation_cfg_pp with ge_gamma = 2, off flows."""
        d, f = images(x, cur)
        eps, before = (x - f) / cur, memory.get("eps")
        memory["eps"] = eps
        if nxt == 0:
            return d
        return d + eps * nxt + (0 if before is None else (eps - before) * (nxt - cur))

    assert_same(ours("gradient_estimation"), written_out(step))


def dpmpp_2m(mixed):
    """sample_dpmpp_2m_cfg_pp and the authors' dpm++_2m_cfg++ with ``mixed``, else with the unguided slope."""

    def step(i, x, cur, nxt, memory):
        d, f = images(x, cur)
        r = nxt / cur
        out = d - r * f + r * x
        if i and nxt:
            slope = (d if mixed else f) - memory["f"]
            out = (
                out + (1 - r) * slope * math.log(cur / nxt) / math.log(GRID.sigma[i - 1] / cur) / 2
            )
        memory["f"] = f
        return out

    return step


def res_multistep(mixed):
    """sample_res_multistep_cfg_pp at eta = 0 with ``mixed``: the guidance before the step, not after."""

    def step(i, x, cur, nxt, memory):
        d, f = images(x, cur)
        before, memory["f"] = memory.get("f"), f
        if before is None or nxt == 0:
            return d + nxt * (x - f) / cur
        h, back = math.log(cur / nxt), math.log(GRID.sigma[i - 1] / cur)
        first = -math.expm1(-h) / h
        second = (first - 1) / -h
        images_part = h * ((first + second * h / back) * f - second * h / back * before)
        return math.exp(-h) * (x + (d - f if mixed else 0)) + images_part + (0 if mixed else d - f)

    return step


@each(("name", "steps"), [("dpmpp_2m", dpmpp_2m), ("res_2m", res_multistep)])
def test_cfgpp__other_libraries_multistep_forms_differ_in_the_weight_of_the_guidance(name, steps):
    """The general rule gives it the weight 1; theirs another one, after the first step."""
    assert_same(ours(name), written_out(steps(False)))
    assert float((ours(name) - written_out(steps(True))).abs().max()) > 1e-2


@each(
    ("steps", "weight"),
    [
        (dpmpp_2m(True), lambda r, last: 1 + (1 - r) * math.log(1 / r) / math.log(1 / last) / 2),
        (res_multistep(True), lambda r, last: r),
        (dpmpp_2m(False), lambda r, last: 1.0),
    ],
)
def test_cfgpp__the_weights_of_the_guidance(steps, weight, monkeypatch):
    """With f = 0 and g = v at every state, a step is x <- (nxt / cur) x + weight v."""
    v = torch.ones_like(START)
    monkeypatch.setitem(globals(), "images", lambda x, sigma: (v, 0 * v))
    cur, nxt = GRID.sigma[3:5]
    out = steps(3, 0 * v, cur, nxt, {"f": 0 * v})
    assert_same(out, weight(nxt / cur, cur / GRID.sigma[2]) * v)


NAMES = (
    "euler heun dpm_solver_2 dpmpp_2m dpmpp_3m unipc_2 ipndm res_3s seeds_2 deis_tab_3 warped_ab_3"
)


@each("name", NAMES.split())
def test_cfgpp__a_step_is_the_unguided_step_plus_the_guidance(name):
    """Guidance by a constant v is added once a step, and every consistent method scales it down as x."""
    v = torch.full_like(START, 0.3)
    rng = SampleNoise(5, IDS, (4,), torch.float64)
    zero = FunctionDenoiser(lambda x, sigma: v, lambda x, sigma: (v, 0 * v))
    x = make("cfgpp", sampler=name).sample(zero, START, GRID, rng)
    plain = make(name).sample(FunctionDenoiser(lambda x, sigma: 0 * v), START, GRID, rng)
    assert_same(x - plain, v)  # the step to 0 forgets all before it
    unguided = FunctionDenoiser(MODEL.bind(IDS, 0, LABELS))
    a, b = (
        sampler.sample(unguided, START * 12.0, GRID, rng)
        for sampler in (make("cfgpp", sampler=name), make(name))
    )
    assert torch.equal(a, b)


def test_cfgpp__runs_that_count_time_or_draw_trajectories_see_both_images():
    for name, interval in (("dpmpp_2m", None), ("heun", (0.5, 5.0))):
        meter, guided = Meter(), ClassifierFree(MODEL, LAMBDA, interval=interval)
        sampler = f"cfgpp(sampler={name!r})"
        suite = Suite(name="g", models=("m",), samplers=(sampler,), nfe=(20,), samples=4)
        (cell,) = plan(suite, {"m": guided}, {"m": None})
        metered = meter.attach(guided)
        batch = sample_batch(metered, meter, metered.bind(IDS, cell.seed), cell, IDS)
        assert 10 < batch.nfe <= 20
        x, noise = first_states_and_noise(guided, cell, IDS)
        bound = guided.bind(IDS, cell.seed)
        assert not torch.equal(batch.x, make(name).sample(bound, x, cell.grid, noise))
        for denoise in (
            bound,
            TensorLevelDenoiser(bound),
            ObservedDenoiser(bound, RecordedCalls(1e9).add),
        ):
            assert_same(batch.x, solve_cell(cell, denoise, x, noise))
        assert_same(batch.x, torch.from_numpy(record_trajectories(guided, cell, len(IDS))[1]))


def test_cfgpp__a_denoiser_with_both_images_needs_no_take():
    class Pair:
        def __call__(self, x, sigma):
            return images(x, sigma)[0]

        def both(self, x, sigma):
            return images(x, sigma)

    given = make("cfgpp").sample(Pair(), START * 12.0, GRID)
    assert_same(given, make("cfgpp").sample(GUIDED.bind(IDS, 0, LABELS), START * 12.0, GRID))


def test_cfgpp__refuses_what_it_cannot_step_and_has_no_table():
    for name in ("consistency", "rk45", "auto", "restart", "predictor_corrector"):
        with pytest.raises(ValueError, match=f"cfgpp has no steps of {name}"):
            make("cfgpp", sampler=name)
    with pytest.raises(ValueError, match="two images"):
        tabulate(make("cfgpp", sampler="dpmpp_2m"), GRID)


def test_cfgpp__its_rule_is_part_of_the_fingerprint():
    names = ("dpmpp_2m", "cfgpp(sampler='dpmpp_2m')")
    suite = Suite(name="g", models=("m",), samplers=names, nfe=(8,), samples=4)
    plain, plus = (sampler_fingerprint(cell) for cell in plan(suite, {"m": MODEL}, {"m": None}))
    assert plain.values != plus.values
