"""A machine with a GPU that is none: every line that only CUDA reaches runs on the CPU, in virtual time.

Tensors that are asked for on "cuda" are made on the CPU and say that they are on the GPU. Time is what
the calls of torch are worth, so that what is measured is the same on every machine. NVML, the profiler,
recordings and the counters of a multiprocessor are substitutes that keep to the interface of the real
ones. No number of it means anything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from replaying import Rerun
from torch.overrides import TorchFunctionMode

from samplerbench.benchmarks.timing import cells, clock
from samplerbench.benchmarks.timing.disturbances import LoadCounters

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
GIB = 2**30
CARD = "Stand-in GPU"


class OnCuda(TorchFunctionMode):
    """Tensors of the CPU pass for tensors of the GPU.

    Attributes:
        ms: virtual milliseconds so far.
    """

    def __init__(self, call_ms: float) -> None:
        super().__init__()
        self.ms, self._call_ms = 0.0, call_ms

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ms += self._call_ms
        if func is torch.device:
            return func(*args, **(kwargs or {}))
        if func == torch.Tensor.device.__get__:  # pyright: ignore[reportAttributeAccessIssue]
            return CUDA
        kwargs = {name: _here(value) for name, value in (kwargs or {}).items()}
        return func(*map(_here, args), **kwargs)


def _here(value: Any) -> Any:
    is_device = isinstance(value, torch.device) or (
        isinstance(value, str) and value.startswith("cuda")
    )
    return CPU if is_device else value


class Nvml:
    """What ``pynvml`` would be."""

    NVML_TEMPERATURE_GPU, NVML_CLOCK_SM = 0, 1

    def __init__(self, mode: OnCuda) -> None:
        self._mode = mode

    def nvmlInit(self) -> None:  # noqa: N802
        """Nothing to do."""

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        return uuid

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:  # noqa: N802
        return 55

    def nvmlDeviceGetClockInfo(self, handle: str, kind: int) -> int:  # noqa: N802
        return 1500

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802
        return 300_000

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=os.getpid())]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> float:  # noqa: N802
        return 300 * self._mode.ms  # mJ, at 300 W

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "0.0"

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: str) -> int:  # noqa: N802
        return 700_000


class _Profile:
    """A profiler that has seen a launch of one kernel."""

    def __init__(self, **_options: Any) -> None:
        pass

    def __enter__(self) -> _Profile:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def events(self) -> list[Any]:
        host = SimpleNamespace(name="cudaLaunchKernel", device_type="DeviceType.CPU")
        kernel = SimpleNamespace(name="gemm", device_type="DeviceType.CUDA")
        return [host, kernel]


@contextmanager
def stand_in(*, counters: bool = True, call_ms: float = 0.01) -> Iterator[OnCuda]:
    """Within, this machine has the GPU; where samplers run must be this process.

    Args:
        counters: whether a kernel can read the counters of a multiprocessor.
        call_ms: virtual milliseconds of a call of torch.
    """
    mode = OnCuda(call_ms)

    def read_counters(out: torch.Tensor) -> None:
        out.copy_(torch.tensor([int(1.5e6 * mode.ms), int(1e6 * mode.ms)]))

    def event(**_options: Any) -> Any:
        made = SimpleNamespace(ms=0.0)
        made.record = lambda: setattr(made, "ms", mode.ms)
        made.elapsed_time = lambda stop: stop.ms - made.ms
        return made

    properties = SimpleNamespace(
        name=CARD, uuid="1", total_memory=80 * GIB, L2_cache_size=2**20, multi_processor_count=1
    )
    cuda = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "get_rng_state": lambda _: torch.zeros(16, dtype=torch.uint8),
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_properties": lambda *_: properties,
        "get_device_name": lambda *_: CARD,
        "get_device_capability": lambda *_: (9, 0),
        "mem_get_info": lambda *_: (80 * GIB, 80 * GIB),
        "synchronize": lambda *_: None,
        "reset_peak_memory_stats": lambda *_: None,
        "max_memory_allocated": lambda *_: GIB,
        "memory_stats": lambda *_: {"segment.all.allocated": 3},
        "Event": event,
    }
    virtual = SimpleNamespace(
        perf_counter=lambda: mode.ms / 1e3,
        perf_counter_ns=lambda: int(1e6 * mode.ms),
        monotonic=lambda: mode.ms / 1e3,
        process_time_ns=lambda: int(1e6 * mode.ms),
    )
    modules = {
        "pynvml": Nvml(mode),
        "samplerbench.benchmarks.timing.sm_counters": SimpleNamespace(
            **({"read_counters": read_counters} if counters else {})
        ),
    }
    patches = [
        mock.patch.multiple(torch.cuda, **cuda),
        mock.patch("torch.profiler.profile", _Profile),
        mock.patch.object(LoadCounters, "of_this_moment", LoadCounters),
        mock.patch.object(clock, "time", virtual),
        mock.patch.object(cells, "time", virtual),
        mock.patch("samplerbench.samplers.cuda_graphs.CudaGraph", Rerun),
    ]
    # mock.patch.dict would forget the modules that are imported within
    before = {name: sys.modules.get(name) for name in modules}
    with mode, ExitStack() as patched:
        for each in patches:
            patched.enter_context(each)
        sys.modules.update(modules)
        try:
            yield mode
        finally:
            for name, module in before.items():
                del sys.modules[name]
                if module is not None:
                    sys.modules[name] = module
