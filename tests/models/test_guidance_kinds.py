"""Guidance in an interval, of some channels, by a worse model, and in other scales; and what it costs."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from looping import each

from samplerbench.benchmarks.identity.model import runs_users_code
from samplerbench.benchmarks.planning.budget import evaluations_by_steps, levels_called
from samplerbench.benchmarks.planning.planner import plan
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.sampling.counting import Meter
from samplerbench.benchmarks.sampling.execution import why_not_executable
from samplerbench.benchmarks.sampling.shard import sample_shard
from samplerbench.benchmarks.suites.suite import Suite
from samplerbench.models import make_model
from samplerbench.models.denoiser import Denoiser, level_column
from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.models.guidance import Autoguided, ClassifierFree
from samplerbench.models.guidance_formulas import (
    ProjectedGuidance,
    RescaledGuidance,
    ZeroStarGuidance,
)
from samplerbench.models.loaders.perturbed import Perturbed
from samplerbench.models.objects import as_model
from samplerbench.samplers import Grid, karras, make

LOW, HIGH = 0.3, 2.0
LEVELS = torch.tensor([0.1, 0.5, 2.0, 3.0, 0.3], dtype=torch.float64)
INSIDE = torch.tensor([False, True, True, False, False])
X = torch.randn(5, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 1, 0, 2])


def mixture() -> GaussianMixture:
    """Of images of four channels and two numbers each, in two classes."""
    rng = torch.Generator().manual_seed(0)
    means = torch.randn(3, 8, generator=rng, dtype=torch.float64)
    factors = 0.3 * torch.randn(3, 8, 2, generator=rng, dtype=torch.float64)
    weights, noise = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.2, 0.3, 0.4])
    classes = torch.tensor([0, 1, 1])
    return GaussianMixture("mixture", (4, 2), weights, means, factors, noise, classes)


MODEL = mixture()


class Wide(Denoiser):
    """The exact denoiser of data N(0, std²)."""

    classes = 2

    def __init__(self, std: float, name: str = "wide") -> None:
        self.std, self.name, self.identity, self.event = std, name, f"{name}-1", (4, 2)

    def denoise(self, x, sigma, labels):
        s = level_column(sigma, x)
        return x * self.std**2 / (self.std**2 + s * s)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_the_guided_score_is_that_of_the_tilted_density(scale):
    """Tweedie's formula for p(x | label)^w p(x)^(1 - w), whose logarithm is known exactly."""
    for sigma in (0.2, 1.0, 5.0):
        x = X.clone().requires_grad_()
        log = scale * MODEL.log_density(x, sigma, LABELS) + (1 - scale) * MODEL.log_density(
            x, sigma
        )
        (score,) = torch.autograd.grad(log.sum(), x)
        d = ClassifierFree(MODEL, scale).denoise(X, sigma, LABELS)
        torch.testing.assert_close(d, X + sigma**2 * score, rtol=0, atol=1e-10)


def test_outside_the_interval_it_is_the_conditional_model_to_the_last_bit():
    guided = ClassifierFree(MODEL, 3.0, interval=(LOW, HIGH))
    whole, label = ClassifierFree(MODEL, 3.0), MODEL.denoise(X, LEVELS, LABELS)
    d = guided.denoise(X, LEVELS, LABELS)
    assert torch.equal(d[~INSIDE], label[~INSIDE])
    assert torch.equal(d[INSIDE], whole.denoise(X, LEVELS, LABELS)[INSIDE])
    for level, inside in zip(LEVELS.tolist(), INSIDE.tolist(), strict=True):
        expected = (whole if inside else MODEL).denoise(X, level, LABELS)
        assert torch.equal(guided.denoise(X, level, LABELS), expected)
        assert guided.passes_at(level) == (2 if inside else 1)
    assert torch.equal(
        guided.denoise(X[~INSIDE], LEVELS[~INSIDE], None),
        MODEL.denoise(X[~INSIDE], LEVELS[~INSIDE], None),
    )


def test_three_of_four_channels_are_guided():
    label, whole = MODEL.denoise(X, 1.0, LABELS), ClassifierFree(MODEL, 4.0)
    d = ClassifierFree(MODEL, 4.0, channels=3).denoise(X, 1.0, LABELS)
    assert torch.equal(d[:, 3], label[:, 3])
    assert torch.equal(d[:, :3], whole.denoise(X, 1.0, LABELS)[:, :3])
    part = ClassifierFree(MODEL, 4.0, channels=3, interval=(LOW, HIGH))
    d = part.denoise(X, LEVELS, LABELS)
    both = ClassifierFree(MODEL, 4.0).denoise(X, LEVELS, LABELS)
    plain = MODEL.denoise(X, LEVELS, LABELS)
    assert torch.equal(d[INSIDE][:, :3], both[INSIDE][:, :3])
    assert torch.equal(d[INSIDE][:, 3], plain[INSIDE][:, 3])
    assert torch.equal(d[~INSIDE], plain[~INSIDE])


@pytest.mark.parametrize("interval", [None, (LOW, HIGH)])
def test_autoguidance_ends_where_two_gaussians_take_it(interval):
    """dx/dsigma = (x - d) / sigma is linear with the exact denoisers of N(0, a²) and N(0, b²): guided by
    w it multiplies x by h(a)^w h(b)^(1 - w), h(c) = sqrt((c² + s²) / (c² + S²)) from S to s, and by h(a)
    where it is not guided.
    """
    a, b, w, top = 0.5, 0.9, 2.0, 10.0
    model = Autoguided(Wide(a), Wide(b, "worse"), w, interval=interval)
    ends = [top, 0.0] if interval is None else [top, HIGH, LOW, 0.0]

    def shrunk(c: float, upper: float, lower: float) -> float:
        return math.sqrt((c * c + lower * lower) / (c * c + upper * upper))

    expected = 1.0
    for i, (upper, lower) in enumerate(pairwise(ends)):
        share = w if interval is None or i == 1 else 1.0
        expected *= shrunk(a, upper, lower) ** share * shrunk(b, upper, lower) ** (1 - share)
    x, bound = X[:2] * top, model.bind(torch.arange(2), 0, torch.zeros(2, dtype=torch.int64))
    state = x
    for upper, lower in pairwise(ends):
        # no step crosses an end of the interval, and none evaluates at one from the wrong side
        high, low = upper * (1 - 1e-9) if upper == LOW else upper, max(lower * (1 + 1e-9), 1e-4)
        levels = torch.logspace(math.log10(high), math.log10(low), 400, dtype=torch.float64)
        state = make("dpmpp_2m").sample(bound, state, Grid(tuple(levels.tolist())))
    torch.testing.assert_close(state, expected * x, rtol=2e-4, atol=0)


def test_autoguided__channels_that_the_model_lacks_are_refused():
    for channels in (0, 5):
        with pytest.raises(ValueError, match="has 4 channels"):
            Autoguided(MODEL, Wide(2.0), 1.5, channels=channels)
    assert Autoguided(MODEL, Wide(2.0), 1.5, channels=4).channels == 4


@each(("guide", "interval", "infinite"), [
    (True, None, True), (False, None, False), (False, (0.1, 5.0), True), (False, (0.1, math.inf), False),
])  # fmt: skip
def test_autoguided__begins_at_infinity_only_with_a_guide_that_does(guide, interval, infinite):
    model, worse = Wide(1.0), Wide(2.0)
    model.infinite, worse.infinite = True, guide
    assert Autoguided(model, worse, 1.5, interval=interval).infinite is infinite


def test_infinite__is_claimed_only_where_the_change_is_defined_there():
    model = Wide(1.0)
    model.infinite = True
    rescaled = RescaledGuidance(formula=ZeroStarGuidance(scale=2.0), prediction="x0")
    zero = ZeroStarGuidance(scale=2.0, prediction="x0", zero_above=50.0)
    assert not any(ClassifierFree(model, formula).infinite for formula in (rescaled, zero))
    assert not Perturbed(model, 0.1, 0.5).infinite
    assert ClassifierFree(
        model, RescaledGuidance(formula=ProjectedGuidance(scale=2.0), prediction="x0")
    ).infinite


def test_a_guide_is_told_the_labels_and_counted():
    guide, meter = ClassifierFree(MODEL, 0.5), Meter()
    guided = Autoguided(MODEL, guide, 2.0)
    d = guided.denoise(X, 1.0, LABELS)
    own, worse = MODEL.denoise(X, 1.0, LABELS), guide.denoise(X, 1.0, LABELS)
    torch.testing.assert_close(d, worse + 2 * (own - worse), rtol=0, atol=1e-12)
    meter.attach(guided).denoise(X, 1.0, LABELS)
    assert (meter.rows, meter.calls, guided.passes) == (3 * len(X), 2, 3)
    assert torch.equal(guided.to("cpu").denoise(X, 1.0, LABELS), d)
    assert guided.identity == f"{MODEL.identity}(guidance=2,guide={guide.identity})"
    with pytest.raises(ValueError, match="trained on the same data"):
        Autoguided(MODEL, make_model("gmm-2d"), 2.0)


@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_2m", "dpm_solver_2", "ddpm"])
def test_rows_are_counted_and_a_budget_buys_what_they_leave(name):
    guided = ClassifierFree(MODEL, 2.0, interval=(0.5, 5.0))
    sampler, schedule = make(name), make_schedule("karras")
    for steps in (3, 8):
        grid = karras(steps, guided.sigma_min, guided.sigma_max)
        levels = levels_called(sampler, grid)
        assert len(levels) == sampler.nfe(grid)
        cost = evaluations_by_steps(guided, sampler, schedule, "zero")(steps)
        inside = sum(0.5 < level <= 5.0 for level in levels)
        assert cost == len(levels) + inside < 2 * len(levels)
    suite = Suite(name="g", models=("m",), samplers=(name,), nfe=(20,), samples=4)
    (cell,) = plan(suite, {"m": guided}, {"m": None})
    assert cell.grid is not None
    arrays = sample_shard(guided, None, cell, 0, 4, "cpu", 0, 0, lambda _: None)
    assert arrays["nfe"].tolist() == [
        evaluations_by_steps(guided, sampler, schedule, "zero")(cell.steps)
    ]
    assert 10 < arrays["nfe"][0] <= 20


def test_programs_of_one_cost_are_refused_where_the_cost_varies():
    grid, sampler = karras(5, 0.002, 80.0), make("euler")
    part = ClassifierFree(MODEL, 2.0, interval=(LOW, HIGH))
    assert "guided at some levels only" in why_not_executable("compile", sampler, part, grid)
    assert why_not_executable("compile", sampler, ClassifierFree(MODEL, 2.0), grid) == ""


def test_options_of_every_model():
    name = "digits"
    plain = make_model(name)
    x = torch.randn(3, *plain.event)
    labels = torch.tensor([3, 1, 4])

    def d(**options):
        return make_model(name, **options).denoise(x, 1.0, labels)

    assert torch.equal(d(guidance=2.5), d(guidance=1.5, guidance_is="w-1"))
    assert torch.equal(d(guidance=2, guidance_interval=[2, 9]), plain.denoise(x, 1.0, labels))
    assert torch.equal(d(guidance=2, guidance_channels=1), d(guidance=2))
    self_guided = make_model(name, guidance=3, guide=name)
    torch.testing.assert_close(self_guided.denoise(x, 1.0, labels), plain.denoise(x, 1.0, labels))
    assert self_guided.passes == 2
    assert self_guided.name == "digits(guidance=3,guide=digits)"
    told = make_model(name, guidance=2, guidance_interval=[0.2, 5], guidance_channels=1).name
    assert told == "digits(guidance=2,channels=1,0.2<sigma<=5)"


def test_foreign_denoiser__gives_both_images_of_a_guided_model():
    given = ClassifierFree(MODEL, 3.0)
    wanted, both = (m.denoise_both(X, 1.0, LABELS) for m in (given, as_model("mine", given)))
    assert all(map(torch.equal, wanted, both))
    assert not torch.equal(*both)


def test_autoguided__refuses_a_map_as_guide_and_a_guide_that_ends_below_the_guided_levels():
    for attribute, value, words in (("kind", "map", "same kind"), ("sigma_max", 2.0, "up to 2")):
        guide = Wide(1.0)
        setattr(guide, attribute, value)
        with pytest.raises(ValueError, match=words):
            Autoguided(Wide(0.5), guide, 2.0)
    assert Autoguided(Wide(0.5), guide, 2.0, interval=(0.0, 2.0)).interval == (0.0, 2.0)


@each(
    ("options", "said"),
    [
        ({"guide": "digits"}, "guidance without a scale"),
        ({"guidance_is": "w-1"}, "guidance without a scale"),
        ({"guidance": True}, "guidance is a number"),
        ({"guidance": math.nan}, "guidance is a number, not nan"),
        ({"guidance": -math.inf}, "guidance is a number, not -inf"),
        ({"guidance": 2, "guidance_is": "s"}, "guidance_is is 'w' or 'w-1'"),
        ({"guidance": 2, "guidance_channels": 1.5}, "a whole number"),
        ({"guidance": 2, "guidance_channels": 2}, "has 1 channels"),
        ({"guidance": 2, "guidance_interval": 3}, "two levels"),
        ({"guidance": 2, "guidance_interval": [3, 1]}, "0 <= low < high"),
        ({"guidance": 2, "guide": 3}, "name or path of a model"),
        ({"guidance": 2, "guide": "gmm-2d"}, "trained on the same data"),
    ],
)
def test_guidance__options_that_cannot_be(options, said):
    with pytest.raises(ValueError, match=said):
        make_model("digits", **options)


def test_autoguided__the_code_and_files_of_a_guide_are_those_of_the_model(tmp_path):
    """A guide from a user's file, around a built-in model that reads no such file."""
    text = "import torch\nfrom samplerbench.models.exact.problems import gmm_2d\n"
    (tmp_path / "own.py").write_text(f"{text}def guide():\n    return gmm_2d()\n")
    plain = make_model("gmm-2d")
    guided = make_model("gmm-2d", guidance=2.0, guide=f"{tmp_path}/own.py:guide")
    assert (runs_users_code(plain), plain.read) == (False, None)
    assert runs_users_code(guided)
    assert any(path.endswith("own.py") for path in guided.read.paths)
    grid = karras(4, 0.002, 80.0)
    assert why_not_executable("cuda-graph", make("euler"), guided, grid) == ""
    guided.guide.inner.capturable = False
    assert "cannot be captured" in why_not_executable("cuda-graph", make("euler"), guided, grid)
