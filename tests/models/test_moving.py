"""``Denoiser.to`` has one meaning for every kind of model: a copy on the device, and the
original as it was.
"""

import copy
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from looping import each
from torch import Tensor, nn

from samplerbench.models import Denoiser, make_model, model_names
from samplerbench.models.adapters import NativeDenoiser
from samplerbench.models.guidance import (
    ClassifierFree,
)
from samplerbench.models.networks import copy_to_device, networks_in
from samplerbench.models.process import VE

OWN = """
import torch
from samplerbench.models import make_model

class Net(torch.nn.Module):
    event, sigma_min, sigma_max = (3,), 0.01, 10.0

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.full((3,), 0.5))

    def forward(self, x, sigma):
        return x * self.scale

class Holder:
    event, sigma_min, sigma_max = (3,), 0.01, 10.0

    def __init__(self):
        self.net, self.shift = Net(), torch.ones(3)

    def __call__(self, x, sigma):
        return self.net(x, sigma) + self.shift

    def to(self, device):
        self.net.to(device)  # in place, as users write it
        self.shift = self.shift.to(device)
        return self

def denoiser():
    return make_model("gaussian")
"""


class Holds:
    """A network behind an attribute that is a function."""

    def __init__(self, net: nn.Module) -> None:
        self.call = lambda x: net(x)

    def __call__(self, x: Tensor, _t: Tensor, _labels: Tensor | None) -> Tensor:
        return self.call(x)


def native(network: Any) -> NativeDenoiser:
    return NativeDenoiser(network, VE(), "x0", name="m", event=(3,), identity="m")


class Triple(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale, self.buffer = nn.Parameter(torch.full((3,), 0.5)), nn.Buffer(torch.ones(3))

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        return x * self.scale + self.buffer


def in_a_closure() -> NativeDenoiser:
    net = Triple()
    return native(lambda x, _t, _labels: net(x))


KINDS: dict[str, Callable[[], Denoiser]] = {
    **{
        name: functools.partial(make_model, name)
        for name in model_names()
        if not name.startswith("random")
    },
    "random-unet-32": lambda: make_model("random-unet-32", width=16),
    "perturbed exact": lambda: make_model("perturbed:gmm-2d"),
    "perturbed network": lambda: make_model("perturbed:digits"),
    "guided": lambda: ClassifierFree(make_model("digits"), 2.0),
    "adapted module": lambda: native(Triple()),
    "adapted function": in_a_closure,
    "adapted partial": lambda: native(
        functools.partial(lambda net, x, _t, _labels: net(x), Triple())
    ),
    "adapted object": lambda: native(Holds(Triple())),
    "adapted method": lambda: native(Triple().forward),
}


def tensors(value: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """Every tensor that a model is made of, but for those of its reference, which go where the
    samples are.
    """
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from (*value.parameters(), *value.buffers())
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors(part, seen)
    else:
        for network in networks_in(value):
            yield from tensors(network, seen)
        yield from tensors(
            {k: v for k, v in getattr(value, "__dict__", {}).items() if k != "_reference"}, seen
        )


def check(model: Denoiser) -> None:
    x = torch.ones(2, *model.event, dtype=model.dtype)
    labels = torch.zeros(2, dtype=torch.int64) if model.classes else None
    before = model.denoise(x, 1.0, labels)
    content = [tensor.clone() for tensor in tensors(model)]
    same, twin = model.to("cpu"), model.to("meta")
    assert same is not model
    assert twin is not model
    assert (same.name, same.identity) == (twin.name, twin.identity) == (model.name, model.identity)
    assert {tensor.device.type for tensor in tensors(twin)} <= {"meta"}
    assert all(torch.equal(old, new) for old, new in zip(content, tensors(model), strict=True))
    assert torch.equal(model.denoise(x, 1.0, labels), before), "the original moved"
    assert torch.equal(same.denoise(x, 1.0, labels), before), "the copy is another model"
    moved = twin.denoise(x.to("meta"), 1.0, None if labels is None else labels.to("meta"))
    assert (moved.device.type, moved.shape) == ("meta", x.shape)


@pytest.mark.slow
@each("kind", KINDS)
def test_model__moves_as_a_copy(kind):
    check(KINDS[kind]())


@pytest.mark.parametrize("factory", ["Net", "Holder", "denoiser"])
def test_a_model_of_one_s_own_moves_as_a_copy(factory, tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    check(make_model(f"{tmp_path / 'mine.py'}:{factory}"))


def test_a_copied_network_shares_no_weights():
    net = Triple()
    twin = native(net).to("cpu")
    with torch.no_grad():
        net.scale.zero_()
    assert torch.equal(twin.denoise(torch.ones(1, 3), 1.0, None), torch.full((1, 3), 1.5))


def test_two_users_of_one_network_share_its_copy():
    net = Triple()
    twin = native(functools.partial(lambda a, b, x, _t, _labels: a(b(x)), net, net)).to("cpu")
    first, second = twin.network.args
    assert first is second
    assert first is not net


def test_what_cannot_be_copied_is_left_to_its_own_to():
    class Locked:
        lock = None

        def __init__(self, net: nn.Module) -> None:
            self.net, self.lock = net, threading.Lock()

        def __call__(self, x: Tensor, _t: Tensor, _labels: Tensor | None) -> Tensor:
            return self.net(x)

        def to(self, device: str) -> "Locked":
            return Locked(copy.deepcopy(self.net).to(device))

    model = native(Locked(Triple()))
    assert (
        model.to("meta").denoise(torch.ones(1, 3, device="meta"), 1.0, None).device.type == "meta"
    )
    assert model.denoise(torch.ones(1, 3), 1.0, None).device.type == "cpu"


def test_copy_to_device__functions_that_call_themselves_and_share_a_network():
    net = Triple()

    def twice(x: Tensor, left: int = 1) -> Tensor:
        return twice(net(x), left - 1) if left else net(x)

    class Calls:
        def __init__(self) -> None:
            self.net, self.twice = net, twice

    twin = copy_to_device(Calls(), "cpu")
    (found,) = networks_in(twin.twice)
    assert found is twin.net
    assert found is not net
    assert torch.equal(twin.twice(torch.ones(1, 3)), twice(torch.ones(1, 3)))
