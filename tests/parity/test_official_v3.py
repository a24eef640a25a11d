"""DPM-Solver-v3 beside the authors' class, on equal statistics (``DPM-Solver-v3`` under ``--peers-path``)."""

import importlib.util

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import make
from samplerbench.samplers.auto.statistics import Statistics
from samplerbench.samplers.peers.locate import find_clone

pytestmark = pytest.mark.parity

FINE = 1 << 14
"""Steps of the statistics for the authors' trapezoids, whose errors fall with its square."""


@pytest.fixture
def authors(monkeypatch):
    """The authors' modules, in float64 on a CPU."""
    clone = find_clone("DPM-Solver-v3")
    if clone is None:
        pytest.skip(
            "no clone of DPM-Solver-v3; name the folder that holds it with $SAMPLERBENCH_PEERS"
        )
    folder = clone / "codebases" / "edm" / "samplers"
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    monkeypatch.setattr(torch, "FloatTensor", torch.DoubleTensor)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    modules = []
    for name in ("dpm_solver_v3", "utils"):
        spec = importlib.util.spec_from_file_location(f"authors_{name}", folder / f"{name}.py")
        modules.append(importlib.util.module_from_spec(spec))
        spec.loader.exec_module(modules[-1])
    yield modules
    torch.set_default_dtype(before)


def smooth_statistics(count: int):
    """Levels, l, s, the mean of f with its slope, and the mean path x' = -l x - f, in closed form or summed."""
    lam = np.linspace(-np.log(8.0), -np.log(0.05), count + 1)
    column = lam[:, None] + np.array([0.0, 0.3])
    linear = 1 / (1 + np.exp(2 * column))
    slope = -1 + 0.6 * np.tanh(column)
    f, change = 0.2 * np.sin(column), 0.2 * np.cos(column)
    return lam, linear, slope, f, change - slope * f


def mean_path(lam, linear, f):
    """The mean state by many small steps of the classical Runge-Kutta method on every second level."""
    x, rows = np.zeros(2), [np.zeros(2)]
    h = 2 * (lam[1] - lam[0])
    for i in range(0, len(lam) - 2, 2):
        slopes = [lambda x, i=i + j: -linear[i] * x - f[i] for j in (0, 1, 2)]
        k1 = slopes[0](x)
        k2 = slopes[1](x + h / 2 * k1)
        k3 = slopes[1](x + h / 2 * k2)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + slopes[2](x + h * k3))
        rows.append(x)
    return np.array(rows)


@pytest.mark.parametrize(("pseudo", "corrector"), [(False, ""), (True, "plain"), (False, "pseudo")])
@pytest.mark.parametrize("last", [(), (2, 1)])
@pytest.mark.parametrize("points", [2, 3])
def test_samples_are_those_of_the_authors_class(authors, tmp_path, points, last, pseudo, corrector):
    solver, utils = authors
    lam, linear, slope, f, constant = smooth_statistics(FINE)
    shaped = [part.reshape(FINE + 1, 2, 1, 1) for part in (linear, slope, constant)]
    np.savez(tmp_path / "l.npz", l=shaped[0])
    np.savez(tmp_path / "sb.npz", s=shaped[1], b=shaped[2])
    steps, problem = 8, ThreeModes()
    theirs = solver.DPM_Solver_v3(
        str(tmp_path), utils.NoiseScheduleEDM(), steps, 8.0, 0.05, "logSNR", device="cpu"
    )

    def noise_of(x, t):
        flat = x.reshape(len(x), 2)
        return (flat - problem(flat, float(t[0]))).reshape(x.shape) / float(t[0])

    x = 8.0 * torch.from_numpy(np.random.default_rng(0).standard_normal((20, 2)))
    expected = theirs.sample(
        noise_of,
        x.reshape(20, 2, 1, 1),
        points,
        pseudo,
        bool(corrector),
        corrector == "pseudo",
        bool(last),
    )
    state = mean_path(lam, linear, f)
    rows = slice(None, None, 64)
    image = (state[::32] * (1 - linear[rows]) - f[rows])[:, None]
    found = Statistics(np.exp(-lam[rows]), state[:1], image, linear[rows], slope[rows], (2,))
    made = make("dpm_solver_v3", points=points, last=last, pseudo=pseudo, corrector=corrector)
    grid = np.exp(-lam[:: FINE // steps]).tolist()
    ours = made.fitted(found).sample(problem, x, grid)
    print(float((ours - expected.reshape(20, 2)).abs().max()))
    assert float((ours - expected.reshape(20, 2)).abs().max()) < 1e-7
