"""Draws from generators that everybody shares are seen and named."""

import random
import subprocess
import sys

import new_processes
import numpy as np
import pytest
import torch

from samplerbench.benchmarks.sampling.shard import unseeded_draws
from samplerbench.samplers import SampleNoise


@pytest.mark.parametrize(
    ("draw", "source"),
    [
        (lambda: torch.randn(1), "torch's global generator"),
        (lambda: torch.randn_like(torch.ones(2, 3)), "torch's global generator"),
        (lambda: torch.ones(2).normal_(), "torch's global generator"),
        (lambda: torch.manual_seed(1), "torch's global generator"),
        (lambda: np.random.standard_normal(2), "numpy's global generator"),  # noqa: NPY002
        (random.random, "Python's global generator"),
    ],
)
def test_a_draw_is_named(draw, source):
    torch.manual_seed(0)
    with unseeded_draws() as draws:
        draw()
    assert draws.sources == [source]
    assert draws.sentence == f"draws from {source}; use the noise that it is handed, noise()"


def test_generators_of_ones_own_are_nobodys_business():
    with unseeded_draws() as draws:
        torch.randn(3, generator=torch.Generator().manual_seed(0))
        np.random.default_rng(0).normal()
        random.Random(0).random()
        SampleNoise(0, torch.arange(3), (4,)).initial()
    assert draws.sentence == ""


def test_two_are_named_together():
    with unseeded_draws() as draws:
        torch.rand(1), random.random()
    assert draws.sentence.startswith(
        "draws from torch's global generator and Python's global generator; "
    )


def test_it_wakes_no_device():
    code = """
import torch
from samplerbench.benchmarks.sampling.shard import unseeded_draws
with unseeded_draws() as draws:
    pass
print(draws.sources, torch.cuda.is_initialized())
"""
    words = [sys.executable, "-c", code]
    with new_processes.ready():
        found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[] False"
