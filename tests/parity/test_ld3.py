"""Soft teacher against LD3's own trainer, where $SAMPLERBENCH_PEERS names the folder of a clone of LD3.

The trainer is made without its constructor, which needs CUDA. Its loss, the slope of it by the
noise, and its move of the noise are compared, with its own DPM-Solver++ and levels for the network.
"""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.tuning import TRAIN_IDS, tuning_problem
from samplerbench.models import make_model
from samplerbench.samplers import Grid, make
from samplerbench.samplers.families.tabulated import Tabulated, tabulate
from samplerbench_studies.fitted.relaxed import SoftTeacher, authors_radius
from samplerbench_studies.gradient import slopes_by_noise

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]
COUNT, RADIUS = 24, 0.05
LEVELS = (80.0, 14.0, 3.0, 0.7, 0.1)
NETWORK_LEVELS = (80.0, 15.0, 2.8, 0.75, 0.09)
NAMES = ("trainer", "utils", "dataset", "noise_schedulers")


@pytest.fixture(scope="module")
def peer():
    folder = Path(os.environ.get("SAMPLERBENCH_PEERS", "")) / "LD3"
    if not (folder / "trainer.py").is_file():
        pytest.skip("there is no clone of LD3 in $SAMPLERBENCH_PEERS")
    stubs = {name: ModuleType(name) for name in ("lpips", "imageio", "samplers")}
    stubs["samplers"].__path__ = [str(folder / "samplers")]  # theirs has no __init__.py
    before = dict(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        for name in set(sys.modules) & set(NAMES):
            patch.delitem(sys.modules, name)
        for name, stub in stubs.items():  # of losses and pictures that are not compared
            patch.setitem(sys.modules, name, stub)
        patch.syspath_prepend(str(folder))
        made = [
            importlib.import_module(name)
            for name in ("trainer", "utils", "noise_schedulers", "samplers.dpm_solverpp")
        ]
    for name in set(sys.modules) - set(before):
        if name.split(".")[0] in (*NAMES, "samplers"):
            del sys.modules[name]
    trainer, utils, schedules, solver = made
    return SimpleNamespace(
        trainer=trainer, utils=utils, schedule=schedules.NoiseScheduleVE, solver=solver.DPM_SolverPP
    )


@pytest.fixture(scope="module")
def problem():
    return tuning_problem(make_model("gmm-64d"), TRAIN_IDS, COUNT, 0)


def trainer_of(peer, problem, folder):
    """LD3's trainer on samples (1, 8, 8) of the model, with levels that it does not train."""
    schedule = peer.schedule("edm")
    solver = peer.solver(schedule)
    first, second = (torch.tensor([*levels, 1e-9]).double() for levels in (LEVELS, NETWORK_LEVELS))

    def sample_simple(*args, timesteps2, **options):
        """Their run on both lists of levels, of which the trainer takes the second from training."""
        return solver.sample_simple(*args, timesteps2=second, **options)

    def net(x, t, _condition, _uncondition):
        flat = x.flatten(1)
        image = problem.model.denoise(flat, t.to(flat.dtype).clamp(min=1e-9), None)
        return ((flat - image) / t[:, None]).reshape(x.shape)

    trainer = object.__new__(peer.trainer.LD3Trainer)
    vars(trainer).update(
        net=net, decoding_fn=lambda x: x, noise_schedule=schedule,
        solver=SimpleNamespace(sample_simple=sample_simple), order=2, steps=len(LEVELS),
        channels=1, resolution=8, time_mode="time", win_rate=0.5, solver_extra_params={},
        snapshot_path=str(folder), cur_round=0, training_rounds_v1=1,
        lambda_min=schedule.lambda_min, lambda_max=schedule.lambda_max, loss_type="L2",
        params1=torch.ones(len(LEVELS) + 1), params2=torch.zeros(len(LEVELS) + 1), device="cpu",
    )  # fmt: skip
    trainer.loss_fn = trainer._initialize_loss_fn()
    own = trainer._solve_ode
    trainer._solve_ode = lambda img, latent, **_: own(timesteps=first, img=img, latent=latent)
    return trainer


def ours():
    sampler, grid = make("dpmpp_2m"), Grid((*LEVELS, 0.0))
    rows = zip(tabulate(sampler, grid), NETWORK_LEVELS, strict=True)
    table = tuple(row._replace(level=level) for row, level in rows)
    return Tabulated(stands_for=sampler, table=table), grid


def test_the_same_loss_slopes_and_moves(peer, problem, tmp_path):
    sampler, grid = ours()
    teacher, trainer = SoftTeacher(problem, RADIUS), trainer_of(peer, problem, tmp_path)
    sigma, images = problem.model.sigma_max, problem.endpoints.reshape(-1, 1, 8, 8)
    drawn = problem.batches[0][1] / sigma
    generator = torch.Generator().manual_seed(0)
    moved = drawn + 1e-3 * torch.randn(drawn.shape, dtype=drawn.dtype, generator=generator)

    parameter = torch.nn.Parameter(moved.clone())
    loss, _, _ = trainer._solve_ode(img=images, latent=parameter)
    loss.backward()
    before = trainer.loss_vector.detach().clone()
    teacher._place(moved * sigma)
    squares, slopes = slopes_by_noise(teacher.moved, sampler, grid)
    # their loss is in float32, and a mean over latents
    np.testing.assert_allclose(before, squares, rtol=2e-4, atol=1e-9)
    theirs = COUNT * parameter.grad / sigma
    assert float((theirs - slopes).norm() / slopes.norm()) < 1e-5

    length = RADIUS / slopes.norm(dim=1).median()  # so that half of the moves leave the ball
    trial = moved - length * slopes
    held = teacher._into_ball(trial * sigma)
    lengths = (held / sigma - drawn).norm(dim=1)
    assert 0 < int((lengths < 0.999 * RADIUS).sum()) < COUNT
    with torch.no_grad():
        found, gained = trainer._update_latents(
            moved.clone().reshape(-1, 1, 8, 8), None, None, drawn, images, torch.nn.Parameter(trial),
            before, RADIUS,
        )  # fmt: skip
    teacher._place(held)
    now = np.square(teacher.moved.distances(sampler, grid))
    better = torch.from_numpy(now < squares.numpy())
    assert bool((better == gained).all())
    expected = torch.where(better[:, None], held / sigma, moved)
    apart = (found.flatten(1) - expected).norm() / expected.norm()
    assert float(apart) < 1e-12
    print(
        f"largest relative difference of a loss: {float((before / squares - 1).abs().max()):.1e}, of all slopes: "
        f"{float((theirs - slopes).norm() / slopes.norm()):.1e}, of moved noise: {float(apart):.1e}"
    )


@pytest.mark.parametrize("steps", [4, 5, 10])
def test_the_same_radius(peer, steps):
    given = SimpleNamespace(
        gits_ts=None, use_gits=False, shift_lr=None, fix_bound=False, steps=steps, lr_time_2=0.1
    )
    theirs = peer.utils.adjust_hyper(given, 32, 3).prior_bound
    assert authors_radius(3 * 32 * 32, steps) == pytest.approx(theirs, abs=1e-8)
