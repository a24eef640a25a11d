"""The order of calls that stream capture asks for, on a stand-in for torch.cuda that writes
down what is asked of it.
"""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from samplerbench.samplers import cuda_graphs as graph
from samplerbench.samplers.cuda_graphs import WARM_UPS, CudaGraph

DEVICE = torch.device("cuda", 0)


class Cuda:
    """Streams are names; what happens is a line of the log."""

    def __init__(self):
        self.log, self.current, self.mode, self.fails = [], "main", 0, False

    def is_available(self):
        return True

    def CUDAGraph(self):  # noqa: N802 - torch's name
        return SimpleNamespace(
            replay=lambda: self.log.append(f"replay on {self.current}"), pool=lambda: "pool"
        )

    def Stream(self):  # noqa: N802 - torch's name
        return SimpleNamespace(
            name="side", wait_stream=lambda other: self.log.append(f"side waits for {other.name}")
        )

    def current_stream(self):
        name = self.current
        return SimpleNamespace(
            name=name, wait_stream=lambda other: self.log.append(f"{name} waits for {other.name}")
        )

    @contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream.name
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def device(self, device):
        assert device == DEVICE
        yield

    @contextmanager
    def graph(self, graph, pool=None):
        self.log.append(f"begin in {pool}")
        self.current = "capture"  # as torch does, and goes back only if ending the capture succeeds
        yield
        if self.fails:
            raise RuntimeError("capture failed\ndetails")
        self.current = "main"
        self.log.append("end")

    def get_sync_debug_mode(self):
        return self.mode

    def set_sync_debug_mode(self, mode):
        self.mode = mode


@pytest.fixture
def cuda(monkeypatch):
    stand_in = Cuda()
    monkeypatch.setattr(torch, "cuda", stand_in)
    monkeypatch.setattr(
        torch, "zeros", lambda *shape, device: stand_in.log.append(f"zeros on {stand_in.current}")
    )
    graph._pool_owner.cache_clear()
    yield stand_in
    graph._pool_owner.cache_clear()


def test_it_warms_up_on_a_side_stream_between_two_waits_and_the_last_time_under_guard(cuda):
    CudaGraph(DEVICE).warm_up(lambda: cuda.log.append(f"work on {cuda.current}, guard {cuda.mode}"))
    plain = ["work on side, guard 0"] * WARM_UPS
    assert cuda.log == [
        "side waits for main",
        *plain,
        "work on side, guard error",
        "main waits for side",
    ]
    assert (cuda.current, cuda.mode) == ("main", 0)


def test_it_captures_into_the_pool_of_a_graph_that_stays(cuda):
    for _ in range(2):
        graph = CudaGraph(DEVICE)
        assert graph.capture(lambda: f"out on {cuda.current}") == "out on capture"
        graph.replay()
    once = ["begin in pool", "end", "replay on main"]
    assert cuda.log == ["begin in None", "zeros on capture", "end", *once, *once]


def test_waiting_is_a_sentence_and_the_guard_is_lifted(cuda):
    def work():
        if cuda.mode == "error":
            raise RuntimeError("called a synchronizing CUDA operation")

    sentence = (
        r"cannot become a CUDA graph: it waits for the device \(called a "
        r"synchronizing CUDA operation\); run it eagerly"
    )
    with pytest.raises(ValueError, match=sentence):
        CudaGraph(DEVICE).warm_up(work)
    assert (cuda.current, cuda.mode) == ("main", 0)


def test_other_errors_of_the_work_are_its_own(cuda):
    def work():
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match=r"^shapes do not match$"):
        CudaGraph(DEVICE).warm_up(work)


def test_a_capture_that_fails_is_a_sentence_and_leaves_the_stream_as_it_was(cuda):
    graph = CudaGraph(DEVICE)
    graph.capture(lambda: None)
    cuda.fails = True
    with pytest.raises(ValueError, match=r"recording failed \(capture failed\); run it eagerly"):
        graph.capture(lambda: None)
    assert cuda.current == "main"
