"""Numbers that other code, weights or options left in a run directory, by ways that are easily
overlooked.
"""

import json
import subprocess
import sys

import new_processes
import pandas as pd
import pytest
import torch

from samplerbench import samplers

SAMPLER = """
from dataclasses import dataclass
import stale_helper
from samplerbench.samplers import GridSampler, Source

@dataclass(frozen=True)
class ImagesOnly(GridSampler):
    name = "images_only"
    source = Source("none", "nowhere", "https://example.org")
    order = 1

    def plan(self, grid):
        return list(zip(grid.sigma[:-1], grid.sigma[1:]))

    def step(self, x, row, past, denoise, noise):
        if x[0].numel() < 64:
            raise ValueError("images only")
        cur, nxt = row
        d = denoise(x, cur)
        return d + stale_helper.FACTOR * nxt / cur * (x - d), None
"""

RUNS = """
import sys
from samplerbench.benchmarks.cli import main

at = sys.argv.index("--")
outs, asked = sys.argv[1:at], sys.argv[at + 1 :]
for out in outs:
    sys.argv[1:] = [*asked, out]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, stop.code
"""
"""Runs into some directories, in one process."""

EXTRACTOR = """
from pathlib import Path
import torch

def factory():
    loaded = []
    def features(x):
        if not loaded:
            loaded.append(torch.load(Path(__file__).with_name("weights.pt")))
        return x.flatten(1) * loaded[0]
    return features
"""

MODEL = """
from pathlib import Path
import torch

class Gaussian:
    event, sigma_min, sigma_max = (2,), 0.002, 80.0
    def __init__(self, std):
        self.std = std
    def __call__(self, x, sigma):
        return x * self.std**2 / (self.std**2 + sigma**2)
    def sample(self, n, seed):
        return self.std * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))

def factory():
    return Gaussian(float(torch.load(Path(__file__).with_name("weights.pt"))))
"""


@pytest.fixture
def measure(samplerbench):
    """Run euler in 5 steps on gmm-2d unless told otherwise, and return the table."""

    def run(out, *options, model="gmm-2d", sampler="euler"):
        asked = (
            "--model",
            model,
            "--sampler",
            sampler,
            "--steps",
            5,
            "--no-timing",
            "--no-isolation",
            "--out",
            out,
        )
        code, text, error = samplerbench("run", "smoke", *asked, *options)
        assert code in (0, 1), text + error  # 1 where no cell is ok
        return pd.read_csv(f"{out}/table.csv")

    return run


@pytest.mark.slow
def test_converged_features_are_those_of_the_present_extractor(measure, tmp_path):
    (tmp_path / "extractor.py").write_text(EXTRACTOR)
    asked = ("--extractor", "extractor.py:factory")
    torch.save(1.0, tmp_path / "weights.pt")
    measure("D", *asked)
    torch.save(3.0, tmp_path / "weights.pt")
    after, fresh = measure("D", *asked), measure("fresh", *asked)
    assert list(after.fd_conv) == list(fresh.fd_conv)
    assert list(after.estimator) == list(fresh.estimator)


@pytest.mark.slow
def test_features_of_two_sets_of_weights_are_not_compared(measure, samplerbench, tmp_path):
    (tmp_path / "extractor.py").write_text(EXTRACTOR)
    for out, weight in (("A", 1.0), ("B", 3.0)):
        torch.save(weight, tmp_path / "weights.pt")
        measure(out, "--extractor", "extractor.py:factory")
    code, _, error = samplerbench("compare", "A", "B")
    assert code == 2
    assert "estimator" in error


@pytest.mark.slow
def test_rows_of_another_feature_space_are_set_aside_with_their_model(measure, tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "extractor.py").write_text("def factory():\n    return lambda x: x * x\n")
    torch.save(torch.tensor(1.0), tmp_path / "weights.pt")
    measure("D", "--extractor", "extractor.py:factory", model="model.py:factory")
    torch.save(torch.tensor(2.0), tmp_path / "weights.pt")
    assert list(measure("D", model="model.py:factory", sampler="heun").sampler) == ["heun"]


@pytest.mark.slow
def test_more_endpoints_than_a_shard_keeps(measure):
    measure("D", "--reference-samples", 4)
    more, fresh = (
        measure("D", "--reference-samples", 64),
        measure("fresh", "--reference-samples", 64),
    )
    assert list(more.reference_count) == [64]
    assert list(more.rmse) == list(fresh.rmse)


@pytest.mark.slow
def test_a_helper_of_a_sampler_that_fails_when_it_is_looked_at(measure, tmp_path, monkeypatch):
    """In processes of their own, since a module is imported once."""
    (tmp_path / "mine.py").write_text(SAMPLER)

    def run(factor, *outs):
        (tmp_path / "stale_helper.py").write_text(f"FACTOR = {factor}\n")
        asked = [
            "--model",
            "digits",
            "--sampler",
            "images_only",
            "--plugin",
            "mine.py",
            "--steps",
            "5",
            "--samples",
            "32",
            "--reference-samples",
            "4",
            "--no-timing",
            "--no-isolation",
            "--out",
        ]
        words = [sys.executable, "-B", "-c", RUNS, *outs, "--", "run", "smoke", *asked]
        with new_processes.ready():
            subprocess.run(words, check=True, capture_output=True)
        return [list(pd.read_csv(f"{out}/table.csv").rmse) for out in outs]

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    before = run(1.0, "D")
    after, fresh = run(0.5, "D", "fresh")
    assert [after] != before
    assert after == fresh


def test_a_built_in_sampler_that_failed_and_was_mended(measure, monkeypatch):
    with monkeypatch.context() as broken:

        def fails(*_):
            raise NotImplementedError("to do")

        broken.setattr(type(samplers.make("heun")), "step", fails)
        assert list(measure("D", sampler="heun").status) == ["failed"]
    assert list(measure("D", sampler="heun").status) == ["ok"]


@pytest.mark.slow
def test_a_flipped_bit_in_the_name_of_the_seal_of_run_json_sets_nothing_aside(measure, tmp_path):
    measure("D")
    path = tmp_path / "D" / "run.json"
    path.write_text(path.read_text().replace('"seal"', '"sebl"', 1))
    assert "sebl" in json.loads(path.read_text())
    measure("D")
    assert not (tmp_path / "D" / "set-aside").exists()
