"""Samplers on anybody's denoiser: a function, levels in a list, and no more words than it takes."""

import pytest
import torch
from looping import each

from samplerbench.models import make_model
from samplerbench.samplers import Grid, NoNoise, SampleNoise, get, karras, make, names

LEVELS = [10.0, 2.0, 0.5, 0.0]


def shrink(x, sigma):
    """The denoiser of standard normal data, one level for all rows or one a row."""
    level = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return x / (1 + level**2)


class Network(torch.nn.Module):
    """A network with parameters that want gradients."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x, sigma):
        return self.scale * shrink(x, sigma)


@pytest.fixture
def x():
    return LEVELS[0] * SampleNoise(0, torch.arange(3), (4,)).initial()


def is_quick(name):
    return make(name).stochastic is False


@each("name", [name for name in names() if is_quick(name)])
def test_sample__a_deterministic_sampler_takes_a_function_some_latents_and_levels(name, x):
    given = make(name).sample(shrink, x, LEVELS)
    assert torch.equal(given, make(name).sample(shrink, x, Grid(tuple(LEVELS)), NoNoise()))


@pytest.mark.parametrize(
    "levels",
    [
        LEVELS,
        tuple(LEVELS),
        torch.tensor(LEVELS),
        torch.tensor(LEVELS).double().numpy(),
        list(torch.tensor(LEVELS).numpy()),
        Grid(tuple(LEVELS)),
    ],
    ids=type,
)
def test_levels_come_as_people_have_them(levels, x):
    assert torch.equal(
        make("heun").sample(shrink, x, levels), make("heun").sample(shrink, x, Grid(tuple(LEVELS)))
    )


@each(
    ("levels", "sentence"),
    [
        (LEVELS[::-1], "noise levels must fall strictly"),
        ([80.0], "at least two noise levels"),
        (
            torch.ones(2, 2),
            r"a grid is a Grid, or a list or tensor of falling noise levels such as "
            r"\[80.0, 1.0, 0.0\]; got a tensor of shape \(2, 2\)",
        ),
        (torch.tensor(3.0), r"got a tensor of shape \(\)"),
        (18, "a grid is a Grid, or a list or tensor .* got 18"),
        ("karras", "a grid is a Grid, or a list or tensor .* got 'karras'"),
        (["80", "0"], "a grid is a Grid"),
    ],
    ids=str,
)
def test_sample__what_is_no_grid_is_refused_in_one_sentence(levels, sentence, x):
    with pytest.raises(ValueError, match=sentence):
        make("euler").sample(shrink, x, levels)


@pytest.mark.parametrize("noise", [(), (NoNoise(),)], ids=["none", "NoNoise"])
def test_a_sampler_that_draws_noise_says_what_to_pass(noise, x):
    with pytest.raises(
        ValueError,
        match=r"^sampler 'ddpm' draws noise; pass noise=0, .* or SampleNoise\(seed, ids, event, dtype\)",
    ):
        make("ddpm").sample(shrink, x, LEVELS, *noise)
    assert (
        make("ddpm")
        .sample(shrink, x, LEVELS, SampleNoise(0, torch.arange(len(x)), x.shape[1:], x.dtype))
        .isfinite()
        .all()
    )


def test_sample__an_integer_of_numpy_is_a_seed(x):
    seeds = (3, torch.tensor([3]).numpy()[0])
    assert torch.equal(*(make("ddpm").sample(shrink, x, LEVELS, seed) for seed in seeds))


def test_a_stochastic_sampler_that_is_told_to_draw_none_needs_none(x):
    assert torch.equal(
        make("ddim", eta=0.0).sample(shrink, x, LEVELS), make("ddim").sample(shrink, x, LEVELS)
    )
    assert make("edm_stochastic", churn=0.0).sample(shrink, x, LEVELS).isfinite().all()


@each(
    "name",
    ["euler", "heun", "dpmpp_2m", "ddpm", "auto", "paradigms", "torchdiffeq_heun2", "scipy_lsoda"],
)
def test_sample__a_network_with_parameters_needs_no_no_grad(name, x):
    noise = SampleNoise(0, torch.arange(len(x)), x.shape[1:], x.dtype)
    end = make(name).sample(Network(), x.requires_grad_(), karras(4, 0.1, 10.0), noise)
    assert not end.requires_grad
    assert torch.is_grad_enabled()
    with torch.no_grad():
        assert torch.equal(end, make(name).sample(Network(), x, karras(4, 0.1, 10.0), noise))


def test_a_denoiser_may_take_gradients_of_its_own(x):
    def guided(x, sigma):
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(shrink(leaf, sigma).square().sum(), leaf)
        return shrink(x, sigma) - 0.01 * slope

    assert make("heun").sample(guided, x, LEVELS).isfinite().all()


@each("name", ["heun", "dpmpp_2m", "pec_4", "dpm_2", "unipc_3"])
def test_sample__a_function_may_return_the_states_themselves(name, x):
    ends = [
        make(name).sample(lambda x, s, same=same: same(x) if s < 1 else shrink(x, s), x, LEVELS)
        for same in (lambda x: x, torch.clone)
    ]
    assert torch.equal(*ends)


UNCOUPLED = [
    name for name in names() if not get(name).batch_coupled and not name.startswith("scipy")
]
ROUNDING = 1e-6
"""Standard deviation of what is added to the network's output, whose values are of the order of
one, to see how far a sampler carries it: some hundred units in the last place.
"""
SPREAD = 3.0
"""How much more another batch may move a sample than that noise does; 1.2 was the most found."""
TOLERANCE = 1e-3
"""Of adaptive samplers, whose accepted steps may change with the last bit."""


class Rounded:
    """A denoiser with noise of :data:`ROUNDING` on its output."""

    def __init__(self, denoiser):
        self.denoiser, self.generator = denoiser, torch.Generator().manual_seed(0)

    def __call__(self, x, sigma):
        d = self.denoiser(x, sigma)
        return d + ROUNDING * torch.randn(d.shape, generator=self.generator, dtype=d.dtype)

    def __getattr__(self, name):
        return getattr(self.denoiser, name)


@pytest.mark.slow
def test_samples_alone_and_in_a_batch_agree():
    model = make_model("digits")
    moved, allowed = {}, {}
    for name in UNCOUPLED:
        sampler = make(name)
        low, steps = (0.5, 2) if sampler.adaptive else (model.sigma_min, 6)
        grid = karras(steps, low, model.sigma_max)

        def first(count, wrap=lambda bound: bound, sampler=sampler, grid=grid):
            ids = torch.arange(count)
            noise = SampleNoise(0, ids, model.event)
            start = model.sigma_max * noise.initial()
            noise = noise if sampler.stochastic else NoNoise()
            with torch.no_grad():
                return sampler.sample(wrap(model.bind(ids, 0)), start, grid, noise)[0]

        alone = first(1)
        moved[name] = float((first(2) - alone).abs().max())
        allowed[name] = (
            TOLERANCE
            if sampler.adaptive
            else ROUNDING + SPREAD * float((first(1, Rounded) - alone).abs().max())
        )
        assert allowed[name] <= TOLERANCE, "one that carries rounding so far would hide a coupling"
    assert {name: value for name, value in moved.items() if not value < allowed[name]} == {}
