"""Schedule ``dmn`` against the authors' optimiser, where $SAMPLERBENCH_PEERS names the folder of a
clone of DM-NonUniform.
"""

import importlib.util
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.planning.dmn import bound_terms, image_error
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.models.process import VPLinear

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]
FIRST = 1e-3


@pytest.fixture(scope="module")
def peer():
    file = Path(os.environ.get("SAMPLERBENCH_PEERS", "")) / "DM-NonUniform" / "step_optim.py"
    if not file.is_file():
        pytest.skip("there is no clone of DM-NonUniform in $SAMPLERBENCH_PEERS")
    spec = importlib.util.spec_from_file_location("step_optim", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.StepOptim(module.NoiseScheduleVP("linear", dtype=torch.float64))


def bound(lam):
    errors = partial(image_error, process=VPLinear(), power=2.0)
    return np.abs(bound_terms(np.asarray(lam)[None], errors, 3)).sum()


def ends(peer):
    return peer.lambda_func(1.0).item(), peer.lambda_func(FIRST).item()


@pytest.mark.parametrize("steps", [4, 7, 10, 20])
def test_the_same_bound_at_the_same_levels(peer, steps):
    low, high = ends(peer)
    for seed in range(5):
        inner = np.sort(np.random.default_rng(seed).uniform(low, high, steps - 1))
        theirs = peer.sel_lambdas_lof_obj(inner, FIRST)
        assert bound([low, *inner, high]) == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize("steps", [4, 5, 6, 10])
@pytest.mark.parametrize(("start", "theirs"), [("lambda", "unif"), ("time", "unif_t")])
def test_the_same_levels_or_a_smaller_bound(peer, steps, start, theirs):
    """Their method stops before the minimum from 7 steps on."""
    low, high = ends(peer)
    _, expected = peer.get_ts_lambdas(steps, FIRST, theirs)
    grid = make_schedule(f"dmn(power=2.0, start='{start}')")(
        steps, np.exp(-high), np.exp(-low), to_zero=False
    )
    found = -np.log(grid.sigma)
    assert bound(found) <= bound(expected.numpy()) * (1 + 1e-8)
    if steps < 7:
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-3)
        print(f"largest difference in lam: {np.abs(found - expected.numpy()).max():.1e}")
