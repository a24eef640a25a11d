"""Published tables against their authors' own solvers, where $SAMPLERBENCH_PEERS names the folder of the clones.

Everything is in float64 on an exact Gaussian denoiser. Their levels, and weights in files, are rounded to float32.
"""

from __future__ import annotations

import contextlib
import importlib
import sys

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.planning.published_tables import dyweight_table, read_tables
from samplerbench.models.checkpoints.opening import open_checkpoint
from samplerbench.models.checkpoints.pickles import tensors_of
from samplerbench.models.process import VPLinear
from samplerbench.samplers import karras
from samplerbench.samplers.families.tabulated import FromSchedule, Tabulated
from samplerbench.samplers.peers.locate import find_clone

pytestmark = pytest.mark.parity
DATA = 0.5  # standard deviation of each pixel, around MEAN
MEAN = 0.3


def denoise(x, sigma):
    """The exact denoiser of independent normal pixels."""
    keep = DATA**2 / (DATA**2 + torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1, 1, 1) ** 2)
    return MEAN + keep * (x - MEAN)


@contextlib.contextmanager
def imported_from(folder, monkeypatch):
    """Import from a clone by bare names, and forget its modules afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield importlib.import_module
    finally:
        torch.set_default_dtype(default)
        for name in set(sys.modules) - before:
            where = str(getattr(sys.modules[name], "__file__", None) or "")
            if where.startswith(str(folder)) or name.split(".")[0] in ("src", "torch_utils"):
                del sys.modules[name]


def clone(name):
    folder = find_clone(name)
    if folder is None:
        pytest.skip(f"there is no clone of {name} in $SAMPLERBENCH_PEERS")
    return folder


def noise():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 1, 4, 4, generator=generator, dtype=torch.float64)


def run_table(table, grid, x):
    return Tabulated(stands_for=FromSchedule(), table=table).sample(denoise, x, grid)


@pytest.mark.parametrize("afs", [False, True])
def test_dyweight__random_weights(monkeypatch, afs):
    n, folder = 6, clone("DyWeight")
    random = np.random.default_rng(3)
    weights = np.tril(0.15 * random.normal(size=(n, n))) + np.eye(n)
    weights[np.arange(n), np.arange(n)] += 0.9 - weights.sum(axis=1)
    scales = random.uniform(0.85, 1.0, n - afs)
    with imported_from(folder, monkeypatch) as load:
        theirs = load("solvers").dyweight_sampler(
            lambda x, t, class_labels: denoise(x, t), noise(), num_steps=n + 1, afs=afs,
            hybrid_weights=torch.tensor(weights), t_scale=torch.tensor(scales),
        )  # fmt: skip
    levels = np.array(karras(n, 0.002, 80.0, to_zero=False).sigma)
    grid, table = dyweight_table(levels, weights, scales, analytic_first=afs)
    found = run_table(table, grid, 80 * noise())
    print("difference", float((found - theirs).abs().max()))
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-6)


def test_dyweight__trained_weights(monkeypatch):
    folder, largest = clone("DyWeight"), {}
    for path in sorted(folder.glob("exps/*/*.pkl")):
        (own,) = read_tables(path, "", 80.0)
        if own.sigma_max != 80:  # levels of latent models, which the clone takes from their network
            continue
        predictor = open_checkpoint(path).value["predictor"]
        found = {name: tensor.detach().double() for name, tensor in tensors_of(predictor).items()}
        with imported_from(folder, monkeypatch) as load:
            theirs = load("solvers").dyweight_sampler(
                lambda x, t, class_labels: denoise(x, t), noise(),
                num_steps=predictor.state["num_steps"], afs=predictor.state["afs"],
                hybrid_weights=found["hybrid_weights"] * found["mask"], t_scale=found["t_scale"],
            )  # fmt: skip
        found = run_table(own.table, own.grid, 80 * noise())
        largest[path.parent.name] = float((found - theirs).detach().abs().max())
    print(len(largest), max(largest.items(), key=lambda pair: pair[1]))
    assert len(largest) == 29
    assert max(largest.values()) < 1e-6


def guide(out, _guidance):
    return out.chunk(2)[1]


def test_neural_solver__flows(monkeypatch):
    folder = clone("NeuralSolver")
    tables = read_tables(folder / "src/diffusion/flow_matching/ns_sampling.py", "", 1e9)
    assert [len(own.grid) for own in tables] == [5, 6, 7, 8, 9, 10, 15]

    def velocity(y, t, _labels):
        t = t.reshape(-1, 1, 1, 1)
        # at t = 0 the denoised image is the mean
        image = torch.where(
            t > 0, denoise(y / t.clamp(min=1e-9), (1 - t) / t.clamp(min=1e-9)), MEAN
        )
        return (image - y) / (1 - t)

    for own in tables:
        with imported_from(folder, monkeypatch) as load:
            solver = load("src.diffusion.flow_matching.ns_sampling").NeuralSolverSampler(
                null_class=0, guidance_fn=guide, num_steps=len(own.grid), scheduler=object(),
                w_scheduler=object(),
            )  # fmt: skip
            theirs = solver(velocity, noise(), torch.zeros(4, dtype=torch.long))
        start = noise() * own.grid.sigma[0]
        found = run_table(own.table, own.grid, start)
        print("difference", len(own.grid), float((found - theirs).abs().max()))
        torch.testing.assert_close(found, theirs, rtol=0, atol=1e-6)


def test_neural_solver__vp(monkeypatch):
    """The scheduler beside their notebooks; their sampler of DiT makes each step twice."""
    pytest.importorskip("diffusers", reason="diffusers is not installed")
    folder = clone("NeuralSolver")
    process = VPLinear()
    for own in read_tables(folder / "src/diffusion/ddpm/ns_sampling.py", "", 150.0):
        n = len(own.grid)
        with imported_from(folder / "t2i_vis", monkeypatch) as load:
            solver = load("vp_scheduling").NeuralSolver()
            solver.set_timesteps(n, "cpu")
            solver._timedeltas, solver._coeffs = (
                solver._timedeltas.double(),
                solver._coeffs.double(),
            )
            times = solver._contiguous_timestep.double()
            solver._contiguous_timestep = times
            y = noise() * process.sigma(0.999) + 0.0
            for i, time in enumerate(solver.timesteps):
                t = float(times[i])
                alpha, sigma = process.alpha(t), process.sigma(t)
                eps = (y - alpha * denoise(y / alpha, sigma / alpha)) / sigma
                y = solver.step(eps, int(time), y).prev_sample
        end = max(0.999 - float(solver._timedeltas.sum()), 1e-3)
        found = run_table(own.table, own.grid, own.sigma_max * noise())
        difference = (found - y / process.alpha(end)).abs().max()
        print("difference", n, float(difference))
        assert float(difference) < 1e-5
