"""Binomial diffusion against enumeration: ten binary pixels, 1024 states."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from looping import each

from samplerbench_studies.models.discrete.binomial import (
    bernoulli_kl,
    constant_fraction,
    diffuse,
    flips,
    reverse_flip,
    signals,
)
from samplerbench_studies.models.discrete.bound import bound
from samplerbench_studies.models.discrete.hamming import hamming, majority, pack, unpack
from samplerbench_studies.models.discrete.network import ReverseNetwork
from samplerbench_studies.models.discrete.sampling import ancestral

PIXELS = 10
STATES = torch.tensor(
    [[(state >> pixel) & 1 for pixel in range(PIXELS)] for state in range(2**PIXELS)],
    dtype=torch.float64,
)
APART = torch.cdist(STATES, STATES, p=1).long()
NUMBERS = torch.arange(2**PIXELS)


def channel(keep: float) -> torch.Tensor:
    """q(later | earlier), ``(1024, 1024)``, pixel by pixel from the definition."""
    differ = torch.arange(PIXELS + 1, dtype=torch.float64)
    return (((1 + keep) / 2) ** (PIXELS - differ) * ((1 - keep) / 2) ** differ)[APART]


def numbers(x: torch.Tensor) -> torch.Tensor:
    """Which of the states they are."""
    return (x.double() @ (2.0 ** torch.arange(PIXELS, dtype=torch.float64))).long()


def transition(flip: torch.Tensor) -> torch.Tensor:
    """The matrix of a step that flips pixel i of state x with probability ``flip[x, i]``."""
    masks = torch.ones(len(flip), 1, dtype=torch.float64)
    for pixel in flip.T:
        masks = torch.cat([masks * (1 - pixel)[:, None], masks * pixel[:, None]], 1)
    return masks.gather(1, NUMBERS[:, None] ^ NUMBERS)


class Table:
    """A law on the 1024 states, whose posterior is a sum over all of them."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.law = torch.from_numpy(rng.dirichlet(np.full(2**PIXELS, 0.02)))
        self.known: dict[float, torch.Tensor] = {}

    def __call__(self, x, signal):
        found = torch.empty(len(x), PIXELS, dtype=torch.float64)
        for level in signal.unique().tolist():
            if level not in self.known:
                joint = self.law[:, None] * channel(level)
                self.known[level] = (STATES.T @ joint / joint.sum(0)).T  # p(x0 = 1 | x)
            rows = signal == level
            found[rows] = self.known[level][numbers(x[rows])]
        return torch.where(x > 0.5, 1 - found, found)


@pytest.fixture(scope="module")
def table():
    return Table()


def chain_law(table, at):
    """The law of the sampler's result, by multiplying its transition matrices."""
    law = torch.full((2**PIXELS,), 2.0**-PIXELS, dtype=torch.float64)
    for b, a in pairwise(reversed(at)):
        other = table(STATES, torch.full((len(STATES),), b, dtype=torch.float64))
        law = law @ transition(reverse_flip(other, a, b))
    return law


def divergence(p, q):
    return float((torch.xlogy(p, p) - torch.xlogy(p, q)).sum())


@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
def test_every_step_erases_the_same_share(steps):
    left = np.cumprod([1 - beta for beta in constant_fraction(steps)])
    assert left == pytest.approx(signals(steps)[1:], abs=1e-12)
    assert np.diff(signals(steps)) == pytest.approx(-1 / steps)
    assert signals(steps)[-1] == 0


def test_steps_of_the_chain_make_up_its_marginals():
    some = [0, 37, 1023]
    law = torch.eye(2**PIXELS, dtype=torch.float64)[some]
    for t, beta in enumerate(constant_fraction(5), 1):
        law = law @ channel(1 - beta)
        torch.testing.assert_close(law, channel(signals(5)[t])[some], rtol=0, atol=1e-14)


def test_drawn_states_have_the_probabilities():
    x = torch.arange(2.0).repeat(50_000)
    later = diffuse(x, 0.6, torch.rand(len(x), generator=torch.Generator().manual_seed(0)))
    for value in (0.0, 1.0):
        share = (later[x == value] == value).double().mean().item()
        assert share == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / 50_000))


@each("t", [1, 2, 4, 5])
@each("first", [0, 37, 1023])
def test_binomial__reverse_conditionals_are_those_of_bayes(t, first):
    """q(x_{t-1} | x_t, x_0) of all 1024² pairs of states, from the forward probabilities alone."""
    a, b = signals(5)[t - 1], signals(5)[t]
    before = channel(a)[first] if t > 1 else torch.eye(2**PIXELS, dtype=torch.float64)[first]
    joint = before[:, None] * channel(1 - constant_fraction(5)[t - 1])
    true = joint / joint.sum(0)  # (x_{t-1}, x_t)
    flip = reverse_flip((STATES[first] != STATES).double(), a, b)
    torch.testing.assert_close(transition(flip), true.T, rtol=1e-12, atol=1e-15)


def test_the_mixture_over_first_states_is_exact_pixel_by_pixel(table):
    """p(x_{t-1} pixel | x_t) by enumerating x_0 and x_{t-1}."""
    a, b = 0.7, 0.4
    joint = (table.law[:, None] * channel(a)).sum(0)[:, None] * channel(b / a)
    one = (STATES.T @ joint / joint.sum(0)).T
    flip = reverse_flip(table(STATES, torch.full((1024,), b, dtype=torch.float64)), a, b)
    torch.testing.assert_close(torch.where(STATES > 0, 1 - flip, flip), one, rtol=0, atol=1e-12)


def test_the_chain_tends_to_the_law_and_its_bound_holds(table):
    """What is lost falls as one over the steps; the bound, all states and noises enumerated, lies
    above the loss.
    """
    lost, bounds = {}, {}
    for steps in (1, 8, 16, 32):
        at = signals(steps)
        lost[steps] = divergence(table.law, chain_law(table, at))
        total = torch.zeros(1024, dtype=torch.float64)
        for a, b in pairwise(at):
            guess = reverse_flip(table(STATES, torch.full((1024,), b, dtype=torch.float64)), a, b)
            same, other = (  # where the pixel of x_t is that of x_0, and where it is not
                bernoulli_kl(reverse_flip(torch.full_like(guess, one), a, b), guess)
                for one in (0, 1)
            )
            as_one = torch.where(STATES > 0, same, other)  # where the pixel of x_0 is 1
            as_zero = torch.where(STATES > 0, other, same)
            kl = STATES @ as_one.T + (1 - STATES) @ as_zero.T  # (x_0, x_t)
            total += (channel(b) * kl).sum(1)
        bounds[steps] = total
        entropy = divergence(table.law, torch.ones(1024, dtype=torch.float64))
        assert float(table.law @ total) + entropy >= lost[steps] - 1e-12
    assert lost[8] > 1.7 * lost[16] > 1.7 * 1.7 * lost[32]
    assert lost[32] < 0.04 * lost[1]
    found = bound(table, STATES[:200].repeat(20, 1).float(), signals(32), draws=8, seed=1).reshape(
        20, 200
    )
    error = found.mean() - bounds[32][:200].mean().item()
    assert abs(error) < 4 * found.mean(1).std(ddof=1) / math.sqrt(20)
    every = bound(table, STATES[5:6].repeat(2000, 1).float(), signals(8), seed=2)
    off = every.mean() - bounds[8][5].item()
    assert abs(off) < 4 * every.std(ddof=1) / math.sqrt(len(every))


@pytest.mark.parametrize("at", [signals(1), signals(6), [1.0, 0.9, 0.35, 0.0]])
def test_samples_have_the_law_of_the_composed_steps(table, at):
    """On any subset of times; by chi squared over all states that are expected five times."""
    n = 20_000
    x = ancestral(table, at, n, (PIXELS,), seed=3)
    expected = n * chain_law(table, at).numpy()
    counts = np.bincount(numbers(x).numpy(), minlength=1024)
    often = expected >= 5
    seen = np.append(counts[often], counts[~often].sum())
    wanted = np.append(expected[often], expected[~often].sum())
    square, freedom = float(((seen - wanted) ** 2 / wanted).sum()), len(seen) - 1
    assert abs(square - freedom) < 4 * math.sqrt(2 * freedom)


def test_independent_pixels_need_one_step():
    class Independent:
        ones = torch.linspace(0.1, 0.9, PIXELS, dtype=torch.float64)

        def __call__(self, x, signal):
            odds = (self.ones / (1 - self.ones)).log() + (2 * x - 1) * (
                (1 + signal) / (1 - signal)
            ).log()[:, None]
            return torch.sigmoid(-(2 * x - 1) * odds)

    law = (STATES * Independent.ones + (1 - STATES) * (1 - Independent.ones)).prod(1)
    for steps in (1, 5):
        assert divergence(law, chain_law(Independent(), signals(steps))) < 1e-12


def test_samples_do_not_depend_on_their_number(table):
    few, many = (ancestral(table, signals(3), n, (PIXELS,)) for n in (5, 120))
    assert torch.equal(few, many[:5])


@pytest.mark.parametrize("at", [[1.0, 0.5], [0.9, 0.0], [1.0, 0.3, 0.4, 0.0]])
def test_signals_that_do_not_fall_from_one_to_zero_are_named(table, at):
    with pytest.raises(ValueError, match="signals must fall from 1 to 0"):
        ancestral(table, at, 1, (PIXELS,))


def test_flips_are_small_for_short_steps_and_certain_at_the_end():
    same, other = flips(1.0, 0.999)
    assert float(same) == 0
    assert float(other) == pytest.approx(1, abs=1e-12)
    assert max(float(flip) for flip in flips(0.5, 0.499)) < 0.01


def test_a_network_that_learned_nothing_knows_the_pixel_itself():
    net = ReverseNetwork((8, 8), 8)
    x = (torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    found = net(x, torch.tensor([0.0, 0.5, 0.9], dtype=torch.float64))
    wanted = torch.tensor([0.5, 0.25, 0.05], dtype=torch.float64)
    assert (found - wanted[:, None, None, None]).abs().max() < 1e-7


def test_hamming_features_and_bits():
    x = torch.zeros(2, 1, 3, 4)
    x[1, 0, 1, 1:3] = 1
    assert unpack(pack(x), (1, 3, 4)).equal(x)
    assert hamming(x, x[1:]).tolist() == [[2, 0, 0], [0, 2, 4]]
    assert majority(torch.stack([*x, x[1]]), torch.tensor([0, 1, 1])).equal(x)
