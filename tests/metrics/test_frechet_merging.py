"""Shards in any order, and samples that hardly vary: one distance, finite and flagged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from looping import each

from samplerbench.benchmarks.metrics import (
    FrechetReference,
    Moments,
    estimate,
    frechet_distance,
    population_estimate,
)

exact = settings(derandomize=True, deadline=None, max_examples=40)


@st.composite
def shards(draw) -> tuple[int, list[list[int]]]:
    """Sample numbers 0 … n - 1 dealt out to shards in any order, and the number of features."""
    n = draw(st.integers(6, 60))
    order = draw(st.permutations(range(n)))
    cuts = sorted(draw(st.sets(st.integers(1, n - 1), max_size=6)))
    return draw(st.integers(1, 5)), [
        order[i:j] for i, j in zip([0, *cuts], [*cuts, n], strict=True)
    ]


@exact
@given(shards(), st.floats(-1e3, 1e3), st.randoms(use_true_random=False))
def test_any_split_of_the_seeds_gives_one_distance(
    split: tuple[int, list[list[int]]], offset: float, random
) -> None:
    """To 1e-10 relative, for a distance that is not itself a rounding error of the offset."""
    d, parts = split
    x = (
        np.stack(
            [np.random.default_rng([7, i]).standard_normal(d) for i in range(sum(map(len, parts)))]
        )
        + offset
    )
    ref = FrechetReference(np.full(d, offset + 1.0), np.diag(np.linspace(0.5, 2, d)))
    random.shuffle(parts)
    pending = [Moments.of(x[part]) for part in parts]
    while len(pending) > 1:  # any tree, as workers that finish in any order make it
        pending.append(pending.pop(0).merge(pending.pop(random.randrange(len(pending)))))
    assert frechet_distance(ref, pending[0]) == pytest.approx(
        frechet_distance(ref, Moments.of(x)), rel=1e-10
    )


def of(kind: str, n: int, d: int = 6) -> np.ndarray:
    x = np.random.default_rng(8).standard_normal((n, d))
    x[:, 0] = {"one constant": 3.0}.get(kind, x[:, 0])
    return {
        "identical": np.ones((n, d)),
        "collapsed": x[:, :1] * np.ones(d),
        "one constant": x,
        "plain": x,
    }[kind]


DEGENERATE = [
    ("identical", 200),
    ("collapsed", 200),
    ("one constant", 200),
    ("identical", 2),
    *(("plain", n) for n in (2, 3, 4, 5, 6, 7)),
]


@each(("kind", "n"), DEGENERATE)
def test_frechet__degenerate_samples_give_finite_numbers_and_a_flag(kind: str, n: int) -> None:
    ref, x = FrechetReference(np.full(6, 0.5), np.diag(np.arange(1.0, 7))), of(kind, n)
    for e in (
        estimate(ref, x),
        population_estimate(x, of("plain", 300) + 0.5),
        population_estimate(of("plain", 300) + 0.5, x),
    ):
        assert np.isfinite([e.raw, e.value, e.bias, e.se]).all()
        assert np.isfinite(e.influence).all()
        assert e.raw > 0
        assert e.flag


@pytest.mark.parametrize("kind", ["one constant", "identical"])
def test_a_reference_that_hardly_varies_measures_too(kind: str) -> None:
    ref, x = FrechetReference.of(Moments.of(of(kind, 200))), of("plain", 200)
    e = estimate(ref, x)
    assert np.isfinite([e.raw, e.value, e.bias, e.se]).all()
    assert e.raw == pytest.approx(frechet_distance(ref, Moments.of(x)), rel=1e-10)


def test_two_samples_have_the_distance_of_their_line() -> None:
    """N = 2 in one dimension: mean 1, variance 2; no halves to extrapolate from."""
    e = estimate(FrechetReference(np.zeros(1), np.ones((1, 1))), np.array([[0.0], [2.0]]))
    assert e.raw == pytest.approx(1 + (np.sqrt(2) - 1) ** 2, rel=1e-12)
    assert e.flag


def test_the_order_of_the_samples_moves_the_value_by_less_than_its_error() -> None:
    rng = np.random.default_rng(9)
    ref, x = FrechetReference(np.full(6, 0.2), np.eye(6)), rng.standard_normal((300, 6))
    shuffled = [estimate(ref, x[rng.permutation(300)]) for _ in range(20)]
    assert {round(e.raw, 12) for e in shuffled} == {round(shuffled[0].raw, 12)}
    assert np.std([e.value for e in shuffled]) < 0.2 * shuffled[0].se
