"""Our samplers against the peers' own code, on the same latents, levels and noise."""

import os
import re
from pathlib import Path

import pytest
import torch

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import Grid, SampleNoise, karras, make, names
from samplerbench.samplers.peers.pairs import NEAR, PAIRS, SINGLE, NamePair, translate
from samplerbench.samplers.spec import parse_spec

# a peer's warnings are its own
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

RANGE = (0.05, 10.0)
SAMPLES = 10
PROBLEM = ThreeModes()
LATENTS = PROBLEM.start * 3


def grids(pair: NamePair) -> list[Grid]:
    """The grids of 1 to 20 steps on which a pair is one method."""
    ends = [end for end in ("zero", "sigma_min") if pair.end in ("", end)]
    counts = [n for n in (1, 2, 3, 9, 14, 15, 20) if pair.fewest <= n <= pair.most]
    return [karras(n, *RANGE, to_zero=end == "zero") for end in ends for n in counts]


def theirs(pair: NamePair):
    """The peer, or the reason that it is not here."""
    try:
        return make(parse_spec(pair.theirs))
    except ValueError as error:
        if "needs the" in str(error) or "runs from a clone" in str(error):
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize(
    "pair", [p for p in PAIRS if p.within < NEAR], ids=lambda p: f"{p.ours}|{p.theirs}"
)
def test_ours_is_theirs(pair):
    ours_spec = parse_spec(pair.ours)
    if ours_spec["name"] not in names():
        pytest.skip(f"no sampler {ours_spec['name']} here")
    ours, peer = make(ours_spec), theirs(pair)
    noise = SampleNoise(1, torch.arange(SAMPLES), (2,), torch.float64)
    assert ours.stochastic == peer.stochastic
    for grid in grids(pair):
        a = ours.sample(PROBLEM, LATENTS.clone(), grid, noise)
        b = peer.sample(PROBLEM, LATENTS.clone(), grid, noise)
        assert (a - b).abs().max() <= pair.within * a.abs().max(), f"{len(grid)} steps"
        assert ours.nfe(grid) == peer.nfe(grid)


@pytest.mark.parametrize(
    "pair",
    [p for p in PAIRS if p.within == NEAR and not make(parse_spec(p.ours)).stochastic],
    ids=lambda p: f"{p.ours}|{p.theirs}",
)
def test_relatives_run_and_agree_in_the_limit(pair):
    peer = theirs(pair)
    noise = SampleNoise(1, torch.arange(SAMPLES), (2,), torch.float64)
    grid = karras(300, 0.15, 3.0, to_zero=False)
    a, b = (
        s.sample(PROBLEM, PROBLEM.start.clone(), grid, noise)
        for s in (make(parse_spec(pair.ours)), peer)
    )
    assert (a - b).abs().max() < 0.05 * a.abs().max()


def test_every_translation_reads():
    for pair in PAIRS:
        assert {"name"} <= parse_spec(pair.ours).keys()
        assert ":" in parse_spec(pair.theirs)["name"]


def test_a_peers_path_in_the_environment_is_a_folder():
    folder = os.environ.get("SAMPLERBENCH_PEERS")
    assert folder is None or os.path.isdir(folder)


def test_flow_schedulers__the_shift_is_a_factor_of_sigma():
    """Peers have no option for it: levels of a schedule such as ``flow_shift`` have it already."""
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    times = [0.9, 0.5, 0.1]
    for name in ("FlowMatchEulerDiscreteScheduler", "FlowMapEulerDiscreteScheduler"):
        if not hasattr(diffusers, name):
            continue
        scheduler = getattr(diffusers, name)(shift=3.0)
        scheduler.set_timesteps(sigmas=times)
        shifted = scheduler.sigmas[:-1].double()
        expected = 3.0 * torch.tensor([t / (1 - t) for t in times], dtype=torch.float64)
        torch.testing.assert_close(shifted / (1 - shifted), expected, rtol=1e-5, atol=0)


def test_euler_discrete__churn_is_the_librarys_on_a_network_of_the_noise(monkeypatch):
    """Its pipelines evaluate before the noise is added; with ``epsilon`` the step then keeps it."""
    euler = pytest.importorskip("diffusers.schedulers.scheduling_euler_discrete")
    grid = karras(6, *RANGE)
    noise = SampleNoise(1, torch.arange(SAMPLES), (2,), torch.float64)
    peer = make("diffusers:EulerDiscreteScheduler(s_churn=3.0)")
    found = peer.sample(PROBLEM, LATENTS, grid, noise)
    scheduler = euler.EulerDiscreteScheduler()
    scheduler.set_timesteps(len(grid))
    scheduler.sigmas = torch.tensor(grid.sigma, dtype=torch.float64)
    scheduler.timesteps = scheduler.sigmas[:-1]
    x = LATENTS
    for i, (cur, nxt) in enumerate(grid.intervals()):
        drawn = noise.at(i, cur, nxt)()
        monkeypatch.setattr(euler, "randn_tensor", lambda *_, z=drawn, **__: z)
        scheduler.scale_model_input(x, scheduler.timesteps[i])
        output = (x - PROBLEM(x, cur)) / cur
        x = scheduler.step(output, scheduler.timesteps[i], x, s_churn=3.0).prev_sample
    assert (found - x).abs().max() <= SINGLE * x.abs().max()


def test_translate__no_scheduler_of_diffusers_is_left_unsaid():
    library = pytest.importorskip("diffusers.schedulers")

    every = {
        name
        for module in Path(library.__file__).parent.glob("scheduling_*.py")
        for name in re.findall(r"^class (\w+Scheduler)\(", module.read_text(), re.M)
    }
    said = {
        row["theirs"].removeprefix("diffusers:").partition("(")[0] for row in translate("diffusers")
    }
    assert not every - said, sorted(every - said)
