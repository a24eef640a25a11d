"""Samples a block at a time: the same rows, and the same numbers but for rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.metrics import (
    FrechetReference,
    Moments,
    estimate,
    fd_infinity,
    floor,
    memorisation,
    population_estimate,
)
from samplerbench.benchmarks.metrics.estimators.frechet import standard_error
from samplerbench.benchmarks.metrics.estimators.rows import InMemoryRows, Pieces, Rows, block_size

exact = settings(derandomize=True, deadline=None, max_examples=60)


@st.composite
def cut(draw) -> tuple[np.ndarray, list[Rows]]:
    """An array of rows, and the same in blocks: held, in pieces of any lengths, half precision."""
    n, size = draw(st.integers(1, 40)), draw(st.integers(1, 45))
    x = np.random.default_rng(n).standard_normal((n, 3)).astype(np.float16).astype(np.float64)
    ends = sorted(draw(st.lists(st.integers(0, n), max_size=5)))
    pieces = np.split(np.concatenate([x, x[:2]]).astype(np.float16), ends)  # the last has too many
    return x, [InMemoryRows(x, size), Pieces(x.shape, lambda: iter(pieces), size)]


@exact
@given(cut(), st.data())
def test_however_rows_are_cut_they_are_the_same(found: tuple[np.ndarray, list[Rows]], data) -> None:
    x, cuts = found
    a, b = (data.draw(st.integers(0, len(x))) for _ in range(2))
    numbers = np.array(data.draw(st.permutations(range(len(x)))), np.int64)[: max(a, 1)]
    for rows in cuts:
        assert rows.shape == x.shape
        wheres, blocks = zip(*rows.blocks(), strict=True)
        assert [len(block) for block in blocks] == [where.stop - where.start for where in wheres]
        np.testing.assert_array_equal(np.concatenate(blocks), x)
        np.testing.assert_array_equal(rows[a:b], x[a:b])
        np.testing.assert_array_equal(np.asarray(rows), x)
        taken = np.asarray(rows.take(numbers))
        if rows.size >= len(x):
            np.testing.assert_array_equal(taken, x[numbers])
        np.testing.assert_array_equal(np.sort(taken, axis=0), np.sort(x[numbers], axis=0))
        np.testing.assert_array_equal(
            np.asarray(rows.map_blocks(lambda y: -y[:, :2], (2,))), -x[:, :2]
        )


@exact
@given(cut())
def test_moments_of_blocks_are_those_of_the_whole(found: tuple[np.ndarray, list[Rows]]) -> None:
    x, cuts = found
    whole, halves = Moments.of(x), np.array_split(np.random.default_rng(0).permutation(len(x)), 2)
    for rows in cuts:
        assert rows.moments.n == whole.n
        np.testing.assert_allclose(rows.moments.mean, whole.mean, atol=1e-13)
        np.testing.assert_allclose(rows.moments.m2, whole.m2, atol=1e-12)
        if len(x) > 1:
            for part, of_part in zip(halves, rows.moments_of(halves), strict=True):
                np.testing.assert_allclose(of_part.m2, Moments.of(x[part]).m2, atol=1e-12)


def numbers(x: np.ndarray | Rows, y: np.ndarray | Rows) -> list[np.ndarray]:
    """All that is measured of whole sets, with their influence values."""
    d = x.shape[1]
    ref = FrechetReference(np.full(d, 0.3), np.diag(np.linspace(0.5, 2, d)))
    found = []
    for e in (estimate(ref, x), population_estimate(x, y)):
        found += [np.array([e.raw, e.value, e.se, e.low, e.high, e.bias]), e.influence]
    assert e.reference_influence is not None
    near = memorisation(x, np.asarray(y)[:50], 0.5)
    rest = [fd_infinity(ref, x), floor(ref, y, len(y)), floor(ref, y, 2 * len(y)), near.share]
    rest.append(standard_error(ref, x))
    return [*found, e.reference_influence, np.array(rest), near.ratio]


@pytest.mark.parametrize("size", [3, 64, 299, 300, 10_000])
def test_numbers_do_not_depend_on_the_size_of_blocks(size: int) -> None:
    """Bit for bit where one block holds all, as an array; else to rounding."""
    x, y = (np.random.default_rng(k).standard_t(6, (n, 5)) for k, n in ((1, 300), (2, 200)))
    whole, blocked = numbers(x, y), numbers(InMemoryRows(x, size), InMemoryRows(y, size))
    for a, b in zip(whole, blocked, strict=True):
        if size >= 300:
            np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


KNOWN = {
    "estimate": [
        *(0.8494886410371834, 0.7823389016430871, 0.13200849505885986, 0.5274028057838862),
        *(1.053543987707677, 0.06714973939409632),
    ],
    "its influence": [0.34954597060838233, 2.6570583281053706, -0.7958120248144316],
    "population": [
        *(0.1911791874555675, -0.02975432691497787, 0.08893794313586671, 0.0),
        *(0.17357774198513298, 0.22093351437054537),
    ],
    "infinity, floors, share": [0.7950305386635819, 1.0540336250582296, 0.9962618425536323, 0.01],
}
"""What whole arrays gave before there were blocks (the same bits on one machine)."""


@pytest.mark.parametrize("size", [50, 300])
def test_numbers_are_those_of_before_there_were_blocks(size: int) -> None:
    x, y = (np.random.default_rng(k).standard_t(6, (n, 5)) for k, n in ((1, 300), (2, 200)))
    one, influence, two, _, _, rest, _ = numbers(InMemoryRows(x, size), InMemoryRows(y, size))
    for found, known in zip((one, influence[:3], two, rest[:4]), KNOWN.values(), strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-10, atol=1e-13)


def test_fewer_samples_than_features_are_measured_in_blocks_too() -> None:
    x, y = (np.random.default_rng(k).standard_normal((n, 12)) for k, n in ((1, 9), (2, 30)))
    whole, blocked = (
        population_estimate(x, y),
        population_estimate(InMemoryRows(x, 4), InMemoryRows(y, 4)),
    )
    assert blocked.value == pytest.approx(whole.value, rel=1e-9)
    np.testing.assert_allclose(blocked.influence, whole.influence, rtol=1e-8, atol=1e-9)


def test_samples_that_diverged_are_counted_over_all_blocks() -> None:
    x = np.zeros((30, 2))
    x[[11, 12, 29], 0] = np.nan, np.inf, 1e80
    ref = FrechetReference(np.zeros(2), np.eye(2))
    for rows in (x, InMemoryRows(x, 5), Pieces(x.shape, lambda: iter(np.split(x, 3)), 5)):
        with pytest.raises(ValueError, match=r"^3 of 30 samples are not finite"):
            estimate(ref, rows)


def test_a_block_is_a_multiple_of_the_tiles_of_metrics() -> None:
    assert block_size((10**6, 64)) == 131_072
    assert block_size((10**6, 784)) == 10_240
    assert block_size((10**6, 3, 64, 64)) == 682  # fewer than a tile
    assert block_size((5, 10**9)) == 1
