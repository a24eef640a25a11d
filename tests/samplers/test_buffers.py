"""A run asks for memory once, and never for memory that somebody still reads."""

import gc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from looping import each
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from samplerbench.benchmarks.conformance.purity import HistoryWatcher
from samplerbench.samplers import GridSampler, NoNoise, get, integrate, karras, make, names
from samplerbench.samplers.buffers import SMALL, reuse_buffers, take_buffer

STATE = torch.randn(2, SMALL // 4, generator=torch.Generator().manual_seed(0))
ROW = STATE.nbytes // 2


class Still:
    """Costs no memory: the same image, whatever it is asked."""

    image = torch.zeros_like(STATE)

    def __call__(self, x, sigma):
        return self.image

    def take(self, rows):
        raise NotImplementedError


class Moving(Still):
    def __call__(self, x, sigma):
        return torch.tanh(x) / (1 + sigma)


class NewMemory(TorchDispatchMode):
    """Counts the tensors of the size of the state that have memory which no argument has."""

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        places = {
            leaf.untyped_storage().data_ptr()
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, torch.Tensor)
        }
        self.count[str(func)] += sum(
            leaf.nbytes >= ROW and leaf.untyped_storage().data_ptr() not in places
            for leaf in tree_leaves(out)
            if isinstance(leaf, torch.Tensor)
        )
        return out


def new_memory(sampler, steps):
    """Tensors of the size of the state that a run makes."""
    x = STATE.clone() * 80
    with NewMemory() as mode:
        integrate(sampler, Still(), x, karras(steps, 0.002, 80.0), NoNoise())
    return sum(mode.count.values())


FIXED = [
    name for name in names() if isinstance(make(name), GridSampler) and not make(name).stochastic
]


@each("name", FIXED)
def test_sample__more_steps_take_no_more_memory(name):
    sampler = make(name)
    few = new_memory(sampler, 10)
    assert new_memory(sampler, 20) == few
    if name in ("heun", "dpm_solver_3", "deis_tab_3"):  # the state, and what is kept beside it
        assert few <= 1 + {"heun": 1, "dpm_solver_3": 2, "deis_tab_3": 3}[name]


def test_without_kept_memory_they_do():
    """What the test above would see."""
    x, row = STATE.clone(), get("heun")().plan(karras(10, 0.002, 80.0))[3]
    with torch.no_grad(), NewMemory() as mode:
        for _ in range(5):
            x, _ = get("heun")().step(x, row, (), Still(), None)
    assert sum(mode.count.values()) == 5


@each(
    "hold",
    [
        lambda t: t, lambda t: t[:1], lambda t: t.detach(), lambda t: (t.view(-1), 0),
        lambda t: t.numpy(), lambda t: t.untyped_storage(), torch.from_dlpack,
    ],
)  # fmt: skip
@each("mode", [torch.no_grad, torch.inference_mode])
def test_buffers__memory_is_given_again_when_nothing_is_on_it(hold, mode):
    with mode(), reuse_buffers():
        first = take_buffer(STATE)
        place, held = first.data_ptr(), hold(first)
        del first
        assert take_buffer(STATE).data_ptr() != place
        del held
        assert take_buffer(STATE).data_ptr() == place


def test_kept_memory_ends_with_the_run_and_what_is_held_stays():
    with reuse_buffers():
        held = take_buffer(STATE).fill_(3)
    assert take_buffer(STATE) is None
    gc.collect()
    assert (held == 3).all()


def test_runs_inside_and_in_other_threads_have_their_own():
    with reuse_buffers():
        place = take_buffer(STATE).data_ptr()
        with reuse_buffers():
            assert take_buffer(STATE).data_ptr() != place
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(take_buffer, STATE).result() is None
        assert take_buffer(STATE).data_ptr() == place


@pytest.mark.parametrize(
    "like",
    [STATE.double(), STATE.half(), STATE.t(), STATE.reshape(2, 4, 64, -1).to(memory_format=torch.channels_last)],
)  # fmt: skip
def test_layout_and_dtype_are_those_asked_for(like):
    with reuse_buffers():
        for _ in range(2):
            given = take_buffer(like)
            assert (given.shape, given.dtype) == (like.shape, like.dtype)
            assert given.stride() == like.stride()


@pytest.mark.parametrize(
    "like",
    [
        STATE[:, :8], STATE.to(torch.bfloat16).repeat(4, 1), torch.empty(2, SMALL, device="meta"),
        torch.nn.Parameter(STATE),
    ],
)  # fmt: skip
def test_elsewhere_there_is_none(like):
    with reuse_buffers():
        assert take_buffer(like) is None


@pytest.mark.parametrize("name", ["deis_tab_3", "ipndm", "unipc_2", "zab_3"])
def test_entries_that_somebody_keeps_are_not_overwritten(name):
    watched = HistoryWatcher(inner=make(name))
    integrate(watched, Moving(), STATE * 80, karras(8, 0.002, 80.0), NoNoise())
    assert len(watched.entries) == 8
    assert all(torch.equal(entry, copy) for entry, copy in watched.entries)


@pytest.mark.parametrize("name", ["heun", "deis_tab_3", "dpmpp_3s", "pndm"])
def test_a_large_state_ends_where_its_parts_do(name):
    """The parts are too small for kept memory."""
    grid, sampler = karras(6, 0.002, 80.0), make(name)
    whole = sampler.sample(Moving(), STATE * 80, grid)
    parts = [sampler.sample(Moving(), part * 80, grid) for part in STATE.split(SMALL // 16, 1)]
    assert np.array_equal(whole.numpy(), torch.cat(parts, 1).numpy())
