"""Schedule ``hso`` against the authors' search, where $SAMPLERBENCH_PEERS names the folder of a
clone of chappy0/HSO.
"""

import contextlib
import importlib.util
import io
import os
from pathlib import Path

import numpy as np
import pytest

from samplerbench.benchmarks.planning.hso import PENALTY, midpoint_proxy, spacing_penalty
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.models.process import VPLinear

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]
RHO, PROCESS = 7.0, VPLinear()


@pytest.fixture(scope="module")
def peer():
    folder = Path(os.environ.get("SAMPLERBENCH_PEERS", "")) / "HSO"
    file = folder / "ldm" / "models" / "diffusion" / "stages_step_optim.py"
    if not file.is_file():
        pytest.skip("there is no clone of HSO in $SAMPLERBENCH_PEERS")
    spec = importlib.util.spec_from_file_location("stages_step_optim", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def noise(peer):
    return peer.NoiseScheduleVP("linear_vp")


def levels_of(times):
    return PROCESS.level(np.asarray(times))


@pytest.mark.parametrize("steps", [3, 5, 10, 20])
def test_the_same_proxy_at_the_same_levels(peer, noise, steps):
    search = peer.StepOptim(noise)
    low, high = (search.lambda_func(t).item() for t in (1.0, 0.02))
    for seed in range(5):
        inner = np.sort(np.random.default_rng(seed).uniform(low, high, steps - 1))
        theirs = search._sel_lambdas_obj_calculator(inner, steps, 0.02, 0)
        assert midpoint_proxy(np.array([low, *inner, high]), PROCESS) == pytest.approx(
            theirs, rel=1e-12
        )


@pytest.mark.parametrize("last", [0.01, 0.02, 0.03])
@pytest.mark.parametrize("steps", [3, 4, 7, 10])
def test_the_same_levels_and_fitness_for_one_end(peer, noise, steps, last):
    """Of their search for DDIM, whose last evaluation predicts the image as our step to 0 does."""
    times, fitness = peer.find_optimal_schedule_ddim(steps + 1, noise, RHO, last, 1.0, True)
    low, high = levels_of([last, 1.0]).tolist()
    ours = make_schedule("hso")(steps, low, high, to_zero=False).sigma
    np.testing.assert_allclose(np.log(ours), np.log(levels_of(times)), rtol=0, atol=1e-4)
    proxy = midpoint_proxy(-np.log(np.array(ours)), PROCESS)
    found = proxy + PENALTY * spacing_penalty(ours, steps + 1, PROCESS)
    assert found == pytest.approx(fitness, rel=1e-4)


@pytest.mark.parametrize("evaluations", [4, 5, 6, 8])
def test_the_same_levels_as_their_whole_search_from_its_first_level(peer, noise, evaluations):
    with contextlib.redirect_stdout(io.StringIO()):
        rho, last, first = peer.run_ddim_search(evaluations, noise, seed=66)
    times = peer.find_optimal_schedule_ddim(evaluations, noise, rho, last, first, False)
    high = float(levels_of(first))
    *ours, end = make_schedule("hso")(evaluations, 0.002, high).sigma
    assert end == 0.0
    np.testing.assert_allclose(np.log(ours), np.log(levels_of(times)), rtol=0, atol=5e-3)
    print(f"{evaluations} evaluations: the authors begin at t = {first:.4f}")
