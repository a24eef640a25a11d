"""Noise by counter: the published generator, normal numbers, no dependence on the batch."""

import itertools

import numpy as np
import pytest
import torch
from looping import each
from scipy.stats import kstest

from samplerbench.samplers import NoNoise, SampleNoise, noise
from samplerbench.samplers.noise import normal, philox

ONES = 0xFFFFFFFF
# (counter, key, result) of philox4x32-10 in Random123's kat_vectors
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers(counter, key, result):
    out = philox(tuple(torch.tensor(word) for word in counter), key[0] | key[1] << 32)
    assert tuple(int(word) for word in out) == result


def test_the_generator_against_plain_integers():
    """Ten rounds in Python's unbounded integers, on many counters."""

    def rounds(c, seed):
        k = [seed & ONES, seed >> 32]
        for _ in range(10):
            p, q = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
            c = [(q >> 32) ^ c[1] ^ k[0], q & ONES, (p >> 32) ^ c[3] ^ k[1], p & ONES]
            k = [(k[0] + 0x9E3779B9) & ONES, (k[1] + 0xBB67AE85) & ONES]
        return c

    counters = np.random.default_rng(0).integers(0, 2**32, (50, 4))
    seed = 2**64 - 12345
    out = torch.stack(philox(tuple(torch.from_numpy(counters).T), seed), 1)
    assert out.tolist() == [rounds([int(v) for v in c], seed) for c in counters]


@each("word", [9, torch.arange(5)[:, None]])
def test_normal__small_batches_have_the_bits_of_large_ones(word, monkeypatch):
    small = normal(2**64 - 12345, torch.arange(3, 8), word, 2, 7)
    monkeypatch.setattr(noise, "_SMALL", 0)
    assert torch.equal(normal(2**64 - 12345, torch.arange(3, 8), word, 2, 7), small)


def test_moments_and_shape_of_a_normal():
    z = normal(1, torch.arange(2000), 0, 0, 64).numpy().ravel()
    n = z.size
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 4 * np.sqrt(variance / n)
    assert kstest(z, "norm").pvalue > 1e-3


def test_ids_steps_draws_seeds_and_elements_are_independent():
    ids = torch.arange(1000)
    keys = [(1, 0, 0, 0), (2, 0, 0, 0), (1, 1000, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1)]
    streams = [normal(seed, ids + first, word, draw, 8) for seed, first, word, draw in keys]
    for a, b in itertools.combinations(streams, 2):
        assert abs(float((a * b).mean())) < 4 / np.sqrt(a.numel())
    z = streams[0]
    correlation = (z.T @ z / len(z)).fill_diagonal_(0)
    assert float(correlation.abs().max()) < 5 / np.sqrt(len(z))
    assert len(torch.cat(streams).unique()) == 5 * z.numel()


@each("event", [(1,), (2,), (3,), (5,), (1, 28, 28)])
@each("dtype", [torch.float32, torch.float64])
def test_sample_noise__bits_do_not_depend_on_the_batch(event, dtype):
    every = SampleNoise(7, torch.arange(256), event, dtype).at(3, 1.0, 0.5)(1)
    scattered = torch.tensor([200, 3, 77, 31, 255, 0, 128])
    assert torch.equal(SampleNoise(7, scattered, event, dtype).at(3, 1.0, 0.5)(1), every[scattered])
    strided = torch.arange(256)[1::5]
    assert torch.equal(SampleNoise(7, strided, event, dtype).at(3, 9.0, 8.0)(1), every[1::5])
    for one in (0, 31, 255):
        assert torch.equal(
            SampleNoise(7, torch.tensor([one]), event, dtype).at(3, 1.0, 0.5)(1)[0], every[one]
        )


def test_shape_dtype_and_repetition():
    noise = SampleNoise(0, torch.arange(3), (2, 5))
    assert noise.initial().shape == (3, 2, 5)
    assert noise.initial().dtype == torch.float32
    assert torch.equal(noise.at(0, 1.0, 0.5)(), noise.at(0, 1.0, 0.5)(0))
    assert not torch.equal(noise.initial(), noise.at(0, 1.0, 0.5)())
    assert torch.equal(noise.take(torch.tensor([2, 2])).initial(), noise.initial()[[2, 2]])


def test_a_larger_sample_starts_with_the_smaller_ones_numbers():
    ids = torch.arange(4)
    assert torch.equal(normal(3, ids, 0, 0, 7), normal(3, ids, 0, 0, 50)[:, :7])


def test_no_noise_refuses():
    with pytest.raises(RuntimeError, match="step 4 of a sampler that declares stochastic = False"):
        NoNoise().at(4, 1.0, 0.5)()
