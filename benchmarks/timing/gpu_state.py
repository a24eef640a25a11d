"""State of the GPU as NVML reports it: clocks, temperature, throttling, other processes, energy.

NVML is the library of nvidia-smi; its Python binding is the optional package nvidia-ml-py.
Values that a card or a driver does not offer are None. No setting of the GPU is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import torch

T = TypeVar("T")

REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "heat (driver)",
    0x40: "heat (hardware)",
    0x80: "power brake",
}
"""Descriptions of reasons for lowered clocks under load, by bit (nvml.h, nvmlClocksEventReason)."""
LARGEST_CLOCK_CHANGE = 0.05  # relative, of the SM clock while one cell is timed


class GpuState(NamedTuple):
    """State of a GPU at one moment, with None for unknown values.

    ``reasons`` are bits, some of them in :data:`REASONS`. ``temperature`` is in degrees Celsius,
    ``sm_clock`` in MHz, ``power`` in W. ``others`` counts other computing processes on the GPU.
    """

    reasons: int | None
    temperature: float | None
    sm_clock: float | None
    power: float | None
    others: int | None


@dataclass(frozen=True)
class Gpu:
    """Access to torch's GPU by NVML: the module ``pynvml``, and its handle of the device."""

    nvml: Any
    handle: Any

    @classmethod
    def of_current_device(cls) -> Gpu | None:
        """Return access to torch's current GPU; None without a GPU, nvidia-ml-py or its driver."""
        if not torch.cuda.is_available():
            return None
        try:
            nvml = import_module("pynvml")
            nvml.nvmlInit()
            uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
            return cls(nvml, nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}"))
        except Exception:  # NVML has many error classes; after any of them there are no counters
            return None

    def state(self) -> GpuState:
        """Return the present state of the device."""
        nvml, handle = self.nvml, self.handle
        return GpuState(
            _query_nvml(lambda: int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))),
            _query_nvml(
                lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
            ),
            _query_nvml(lambda: float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))),
            _query_nvml(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3),
            # one of the processes is this one, whose id in a container differs
            _query_nvml(lambda: max(0, len(nvml.nvmlDeviceGetComputeRunningProcesses(handle)) - 1)),
        )

    def joules(self) -> float | None:
        """Return the energy in J since the driver was loaded; None if unknown."""
        return _query_nvml(lambda: self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle) / 1e3)

    def describe(self) -> dict[str, Any]:
        """Return ``driver``, its version, and ``power_limit_w``, in W; None for unknown values."""
        driver = _query_nvml(self.nvml.nvmlSystemGetDriverVersion)
        return {
            "driver": driver.decode() if isinstance(driver, bytes) else driver,
            "power_limit_w": _query_nvml(
                lambda: self.nvml.nvmlDeviceGetEnforcedPowerLimit(self.handle) / 1e3
            ),
        }


def gpu_doubts(states: list[GpuState]) -> list[str]:
    """Return the reasons to distrust times during which a GPU had these states; empty for none."""
    bits = 0
    for state in states:
        bits |= state.reasons or 0
    doubts = [f"clocks lowered: {name}" for bit, name in REASONS.items() if bits & bit]
    clocks = [state.sm_clock for state in states if state.sm_clock]
    if clocks and max(clocks) - min(clocks) > LARGEST_CLOCK_CHANGE * max(clocks):
        doubts.append(f"SM clock between {min(clocks):.0f} and {max(clocks):.0f} MHz")
    others = max((state.others or 0 for state in states), default=0)
    return doubts + ([f"{others} other processes on the GPU"] if others else [])


def _query_nvml(question: Callable[[], T]) -> T | None:
    with suppress(Exception):  # NVML_ERROR_NOT_SUPPORTED and its kin
        return question()
    return None
