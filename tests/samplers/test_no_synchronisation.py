"""On a GPU the host runs ahead of the device: nothing in a run of known cost waits for a result.

Without a GPU the same is seen on the meta device, whose tensors have no values: to want one is an
error. A copy from the host, which waits too, is caught on its way.
"""

import pytest
import torch
from looping import each
from on_cuda import cuda
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from samplerbench.models import make_model
from samplerbench.samplers import NoNoise, SampleNoise, karras, make, names
from samplerbench.samplers.brownian import BrownianNoise
from samplerbench.samplers.cuda_graphs import as_level_tensor, why_not_capturable

EVENT, GRID = (8,), karras(4, 0.02, 80.0)
WAITS = "torchdiffeq"  # the library keeps its times on the device, and compares them there
FIXED = [
    name
    for name in names()
    if not why_not_capturable(make(name), GRID) and not name.startswith(WAITS)
]


class Halves:
    def __call__(self, x, sigma):
        return x / 2

    def take(self, rows):
        return self


class NoCopies(TorchDispatchMode):
    """Refuses an operation that takes a tensor of the host along with, or to, the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        places = {
            leaf.device.type
            for leaf in tree_leaves((args, kwargs, out))
            if isinstance(leaf, torch.Tensor)
        }
        assert "cpu" not in places, f"{func} copies from the host"
        return out


class NoValues(TorchFunctionMode):
    """Refuses to make a tensor of the device from numbers of the host."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        made = func in (torch.tensor, torch.as_tensor, torch.asarray) and not isinstance(
            args[0], torch.Tensor
        )
        assert not made, f"{func.__name__} copies from the host"
        return func(*args, **(kwargs or {}))


def run_on(device, name, brownian=False):
    """A run as a function; its inputs are made here."""
    sampler, ids = make(name), torch.arange(4, device=device)
    white = SampleNoise(0, ids, EVENT)
    x = 80.0 * white.initial()

    def run():
        noise = BrownianNoise(0, ids, EVENT, 80.0, 0.02) if brownian else white
        return sampler.sample(Halves(), x, GRID, noise if sampler.stochastic else NoNoise())

    return run


def without_values(run):
    with NoCopies(), NoValues():
        return run()


@pytest.mark.slow
@each("name", FIXED)
def test_sample__a_run_asks_for_no_value_and_copies_none(name):
    assert without_values(run_on("meta", name)).shape == (4, *EVENT)


def test_neither_does_brownian_noise():
    assert without_values(run_on("meta", "euler_maruyama", brownian=True)).shape == (4, *EVENT)


@pytest.mark.parametrize(
    ("name", "options"),
    [("gmm-2d", {}), ("wavelet", {}), ("digits", {}), ("digits", {"guidance": 2.0})],
    ids=lambda value: str(value),
)
def test_a_model_that_is_given_levels_as_tensors_does_not_wait_either(name, options):
    """Which is what a recorded run gives it."""
    model = make_model(name, **options).to("meta")
    x = torch.empty(3, *model.event, dtype=model.dtype, device="meta")
    labels = torch.empty(3, dtype=torch.int64, device="meta") if model.classes else None
    level = as_level_tensor(1.0, x)
    with torch.no_grad():
        assert without_values(lambda: model.denoise(x, level, labels)).shape == x.shape


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x * float(x.sum()), lambda x: x[x > 0], lambda x: x if (x > 0).any() else -x, lambda x: x + torch.ones(8).to(x.device),
        lambda x: x * torch.tensor([2.0], device=x.device), lambda x: x * torch.as_tensor(2.0, device=x.device),
    ],
)  # fmt: skip
def test_what_waits_is_seen(wait):
    x = torch.ones(4, 8, device="meta")
    with pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        without_values(lambda: wait(x))


@cuda
@pytest.mark.parametrize("name", FIXED)
def test_the_loop_never_waits_for_the_device(name):
    run = run_on("cuda", name)
    run()  # the first call may set up the device
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
