"""What the tests of strangers' solvers share: files, and jobs on an exact problem of eight samples."""

import functools
from pathlib import Path

import pytest
import torch

from samplerbench.benchmarks.frozen import definition, submitting
from samplerbench.benchmarks.frozen.isolation import Job, run_isolated
from samplerbench.models.registry import make_model
from samplerbench.samplers import SampleNoise


@pytest.fixture(scope="session", autouse=True)
def checked_once():
    """Submissions and runs ask whether the suite is the frozen one, half a second of work: here once.

    test_instances.py asks :func:`definition.check_frozen` itself.
    """
    with pytest.MonkeyPatch.context() as patched:
        check = functools.cache(definition.check_frozen)
        patched.setattr(submitting, "check_frozen", check)
        patched.setattr(definition, "check_frozen", check)
        yield


HEAD = """
import gc, os, socket, stat, struct, subprocess, sys, tempfile, time, torch
from dataclasses import dataclass
from samplerbench.samplers import Declared, Source, get

def euler(denoise, x, grid):
    x = x.clone()
    for cur, nxt in grid.intervals():
        x = x + (nxt - cur) * (x - denoise(x, cur)) / cur
    return x

def pipe():  # descriptor of the connection to the parent
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                return fd
        except OSError:
            pass

solve = euler
nfe = len

@dataclass(frozen=True, kw_only=True)
class Stranger(Declared):
    name, order = "stranger", 1
    source = Source("karras2022edm", "eq. (3)", "https://arxiv.org/abs/2206.00364v2")
    scale: float = 1.0

    def nfe(self, grid):
        return nfe(grid)

    def solve(self, denoise, x, grid, noise):
        return solve(denoise, x, grid)
"""
"""Start of a solver's file; the rest replaces ``solve``, ``nfe``, or adds ``tune``."""


class Problem:
    """Eight samples of an exact problem, and jobs on them."""

    def __init__(self, folder: Path, **options: int) -> None:
        self.model, self.folder = make_model("family:modes", dim=4, seed=3, **options), folder
        self.ids = torch.arange(8)
        self.drawn: list[torch.Tensor] = []
        self.x = self.latents(0)

    def latents(self, seed: int, n: int = 8) -> torch.Tensor:
        z = SampleNoise(seed, torch.arange(n), self.model.event, torch.float64).initial()
        return self.model.sigma_max * self.model.place_noise(z)

    def draw(self, n: int) -> torch.Tensor:
        """Latents of another seed than the scored ones."""
        self.drawn.append(self.latents(10**6 + len(self.drawn), n))
        return self.drawn[-1]

    def denoise(self, x, sigma, rows):
        return self.model.bind(self.ids, 0).take(rows)(x, sigma)

    def write(self, text: str, head: str = HEAD) -> Path:
        path = self.folder / "stranger.py"
        path.write_text(head + text, encoding="utf-8")
        return path

    def run(self, text, budget=4, *, denoise=None, x=None, head=HEAD, **changes):
        own = {"sampler": "", "schedule": "karras", "noise_seed": 77, "seconds": 30.0} | changes
        job = Job(
            path=self.write(text, head),
            budget=budget,
            sigma_min=self.model.sigma_min,
            sigma_max=self.model.sigma_max,
            x=self.x if x is None else x,
            denoise=denoise or self.denoise,
            draw=self.draw,
            **own,
        )
        return run_isolated(job)


@pytest.fixture
def problem(tmp_path):
    return Problem(tmp_path)


@pytest.fixture
def moved(tmp_path):
    return Problem(tmp_path, moved=1)
