"""The shipped rectified flow: its velocity, its times, its classes and its guidance."""

import math

import pytest
import torch

from samplerbench.models import make_model
from samplerbench.models.cards.network import NetworkFlow
from samplerbench.models.nets import EDMPrecond, FlowPrecond
from samplerbench.models.process import RectifiedFlow
from samplerbench.samplers import Grid, NoNoise, make

CLASSES = 9


@pytest.fixture(scope="module")
def model():
    return make_model("emoji-flow")


def noise(n, dtype=torch.float32):
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(5), dtype=dtype)


def four_steps(model, z, labels):
    levels = model.native_levels(4)
    denoise = model.bind(torch.arange(len(z)), 0, labels)
    return make("dpmpp_2m").sample(denoise, levels[0] * z, Grid((*levels, 0.0)), NoNoise())


class TimeFree(torch.nn.Module):
    """Raw network that ignores its time, and so means the same in both preconditionings."""

    def __init__(self, sign):
        super().__init__()
        self.sign = torch.nn.Parameter(torch.tensor(sign, dtype=torch.float64))

    def forward(self, x, t, labels):
        return self.sign * torch.sin(x + labels[:, None, None, None])


def test_flow_precond__is_edm_s_denoiser_as_a_velocity():
    """v = (x_t - d) / t, with d at the canonical state x_t / (1 - t) and level t / (1 - t)."""
    t = torch.tensor([0.01, 0.3, 0.5, 0.99], dtype=torch.float64)
    x_t, labels = noise(4, torch.float64), torch.tensor([0, 1, 2, 3])
    own, edm = FlowPrecond(TimeFree(1.0), 0.6), EDMPrecond(TimeFree(-1.0), 0.6)
    keep = 1 - t[:, None, None, None]
    expected = (x_t - edm(x_t / keep, t / (1 - t), labels)) / (1 - keep)
    torch.testing.assert_close(own(x_t, t, labels), expected, rtol=1e-10, atol=1e-10)
    ends = own(x_t, torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64), labels)
    assert ends.isfinite().all()


def test_emoji_flow__denoises_by_its_velocity(model):
    """x0 = x_t - t v of the network at t = sigma / (1 + sigma), up to the level of t = 0.9999."""
    assert isinstance(model, NetworkFlow)
    assert isinstance(model.process, RectifiedFlow)
    assert model.sigma_min < 2e-3
    assert model.process.t_of(model.sigma_max) == pytest.approx(0.9999, abs=1e-6)
    labels = torch.arange(4)
    for sigma in (model.sigma_min, 0.5, 3.0, model.sigma_max):
        x = noise(4) * math.hypot(sigma, 0.6)
        t = sigma / (1 + sigma)
        x_t = (1 - t) * x
        velocity = model.network(x_t, torch.full((4,), t), labels)
        torch.testing.assert_close(
            model.denoise(x, sigma, labels), x_t - t * velocity, rtol=0, atol=2e-5
        )


def test_emoji_flow__its_own_levels_are_even_in_time(model):
    times = torch.tensor([level / (1 + level) for level in model.native_levels(4)])
    torch.testing.assert_close(times, 0.9999 * torch.tensor([1.0, 0.75, 0.5, 0.25]))


def test_emoji_flow__guidance_of_one_is_none_and_of_zero_the_null_label(model):
    x, labels = noise(4), torch.arange(4)
    for scale, given in ((1, labels), (0, None)):
        guided = make_model("emoji-flow", guidance=scale)
        torch.testing.assert_close(
            guided.denoise(x, 1.0, labels), model.denoise(x, 1.0, given), rtol=0, atol=1e-5
        )
    assert make_model("emoji-flow", guidance=3).passes == 2


def test_emoji_flow__four_steps_depend_on_the_class_and_more_so_when_guided(model):
    """From equal noise, the means of two classes are further apart under guidance."""
    z, apart = noise(6).repeat(2, 1, 1, 1), {}
    labels = torch.tensor([0, CLASSES - 1]).repeat_interleave(6)  # smileys and flags
    for scale in (1, 3):
        samples = four_steps(make_model("emoji-flow", guidance=scale), z, labels)
        assert samples.abs().max() < 4
        smiley, flag = samples[:6].mean(0), samples[6:].mean(0)
        apart[scale] = float((smiley - flag).square().mean().sqrt())
    assert 0.15 < apart[1] < apart[3]
