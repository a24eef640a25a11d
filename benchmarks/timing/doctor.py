"""Diagnosis of a machine for the command ``doctor``: steady times, counters, packages, models."""

from __future__ import annotations

import importlib.metadata
import math
import os
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ...models.cards.network import NETWORKS
from ...models.registry import make_model
from ...results.comparison.times import median_interval
from .clock import DeviceTimer
from .disturbances import LoadCounters, cpu_doubts
from .gpu_state import Gpu
from .machine import describe_device, describe_host, load_averages, package_version

SIDE = {"cpu": 384, "cuda": 4096}
"""Side of the square matrices to multiply, which takes milliseconds on one core or a GPU."""
STEADY_SPREAD, USABLE_SPREAD = 0.02, 0.10
"""Largest relative interquartile range to trust single times, and to trust medians of many."""


@dataclass(frozen=True)
class Steadiness:
    """Steadiness of repeated times of the same work, with reasons (``doubts``) to distrust them.

    ``ms`` is the median of ``runs`` times. ``spread`` is their interquartile range, ``half_width``
    half of the median's 95 % interval and ``slowest`` the largest time, all as shares of ``ms``.
    """

    ms: float
    spread: float
    half_width: float
    slowest: float
    runs: int
    doubts: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Sentence that says how far this machine's times can be trusted."""
        if self.doubts or self.spread > USABLE_SPREAD:
            why = "; ".join(self.doubts) or (
                f"the same work took times that spread by {self.spread:.0%}"
            )
            return f"Times taken here now are not to be trusted: {why}."
        if self.spread > STEADY_SPREAD:
            return (
                "Medians of many times can be trusted, single ones cannot: the same "
                f"work took times that spread by {self.spread:.0%}."
            )
        return (
            "Times taken here can be trusted: the same work took times that spread by "
            f"{self.spread:.1%}."
        )


def measure_steadiness(device: str, seconds: float = 1.5) -> Steadiness:
    """Time a matrix product for ``seconds`` after a warm-up of a fifth; return the steadiness."""
    a = torch.linspace(-1, 1, SIDE[device] ** 2, device=device).reshape(SIDE[device], -1)
    clock, times, before = DeviceTimer(device), [], LoadCounters()
    for phase in (seconds / 5, seconds):
        times, before, begin = [], LoadCounters.of_this_moment(), time.perf_counter()
        while not times or time.perf_counter() - begin < phase:
            times.append(clock.time(lambda: a @ a).ms)
    load = LoadCounters.of_this_moment().since(before)
    return _summarise_times(times, cpu_doubts(load, os.cpu_count() or 1, torch.get_num_threads()))


def _summarise_times(times: list[float], doubts: Sequence[str]) -> Steadiness:
    median, (low, high) = statistics.median(times), median_interval(times)
    quarter, three = np.percentile(times, [25, 75])
    return Steadiness(
        ms=median,
        spread=float(three - quarter) / median,
        half_width=(high - low) / 2 / median,
        slowest=max(times) / median,
        runs=len(times),
        doubts=tuple(doubts),
    )


def available_counters() -> dict[str, bool]:
    """Return the available sources of times, load and energy, each True if available.

    ``run_queue`` is the kernel's report of the wait for a core, ``machine_load`` of the load of all
    cores.
    """
    load, gpu = LoadCounters.of_this_moment(), Gpu.of_current_device()
    return {
        "run_queue": load.waited is not None,
        "machine_load": load.busy is not None,
        "cuda_events": torch.cuda.is_available(),
        "nvml": gpu is not None,
        "gpu_energy": gpu is not None and gpu.joules() is not None,
    }


NAME = "samplerbench"
PURPOSE = {
    "diffusers": "folders of diffusers as models, and lines to paste for it",
    "peers": "samplers of other libraries, for parity tests and for frontier",
    "onnx": "ONNX files as models",
    "inception": "features of Inception, as published FIDs have them",
    "clip": "features of CLIP",
    "dinov2": "features of DINOv2",
    "lpips": "LPIPS to converged images",
    "efficientnet": "features of EfficientNet",
    "torchvision": "data sets of torchvision as references",
    "tune": "levels and options tuned by Optuna",
    "gpu": "throttling, other processes and energy of an NVIDIA GPU in timings",
    "cluster": "runs on a Ray cluster",
    "docs": "the site of the documentation",
    "dev": "tests, linters and the build",
}


class RequiredPackage(NamedTuple):
    """Package that samplerbench requires, in versions ``needs`` such as ``>=2.6``.

    ``extra`` is the pip extra that requires it, or "". ``version`` is the installed one, or None.
    """

    name: str
    needs: str
    extra: str
    version: str | None

    @property
    def fits(self) -> bool:
        """True if the installed version is one that samplerbench asks for."""
        return self.version is not None and SpecifierSet(self.needs).contains(
            self.version, prereleases=True
        )


def required_packages(requirements: list[str] | None = None) -> list[RequiredPackage]:
    """Return the packages in ``requirements``, sorted by extra; None takes samplerbench's own."""
    if requirements is None:
        try:
            requirements = importlib.metadata.requires(NAME) or []
        except importlib.metadata.PackageNotFoundError:
            requirements = []
    required = map(_parse_requirement, requirements)
    return sorted(required, key=lambda package: (package.extra != "", package.extra))


def _parse_requirement(text: str) -> RequiredPackage:
    """Return the package of one line of the metadata, such as ``x>=1; extra == "dev"``."""
    found = Requirement(text)
    try:
        version = importlib.metadata.version(found.name)
    except importlib.metadata.PackageNotFoundError:
        version = None
    extra = re.search(r'extra == "(.+)"', str(found.marker))
    return RequiredPackage(found.name, str(found.specifier), extra[1] if extra else "", version)


@dataclass(frozen=True)
class Diagnosis:
    """Diagnosis of a machine: facts, steadiness by device; ``broken`` has a sentence per defect."""

    version: str
    machine: dict[str, Any]
    conditions: dict[str, Any]  # load averages
    device: dict[str, Any]  # the GPU if torch sees one, else the CPU
    counters: dict[str, bool]
    threads: int
    packages: list[RequiredPackage]
    steadiness: dict[str, Steadiness]
    broken: list[str]

    @property
    def extras(self) -> dict[str, list[str]]:
        """Names of missing or unsuitable packages, by extra; [] for an extra that is complete."""
        return {
            extra: [p.name for p in self.packages if p.extra == extra and not p.fits]
            for extra in dict.fromkeys(p.extra for p in self.packages if p.extra)
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the diagnosis as plain data for JSON."""
        return asdict(self) | {
            "steadiness": {
                name: {**asdict(result), "verdict": result.verdict}
                for name, result in self.steadiness.items()
            },
            "packages": {
                p.name: {"version": p.version, "needs": p.needs, "extra": p.extra, "fits": p.fits}
                for p in self.packages
            },
            "extras": {
                extra: {"for": PURPOSE[extra], "missing": missing}
                for extra, missing in self.extras.items()
            },
        }


def diagnose_machine(seconds: float = 1.5) -> Diagnosis:
    """Return the diagnosis of this machine; times are measured for ``seconds`` on each device."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    required = required_packages()
    return Diagnosis(
        version=package_version(),
        machine=describe_host(),
        conditions=load_averages(),
        device=describe_device(devices[-1]),
        counters=available_counters(),
        threads=torch.get_num_threads(),
        packages=required,
        steadiness={device: measure_steadiness(device, seconds) for device in devices},
        broken=[*_missing_packages(required), *_broken_models()],
    )


def _missing_packages(required: list[RequiredPackage]) -> list[str]:
    if not required:
        return [f"{NAME} is not installed: pip install -e . in its folder"]
    return [
        f"{p.name} {p.version or 'is missing'}; {NAME} needs {p.name}{p.needs}: pip "
        f"install '{p.name}{p.needs}'"
        for p in required
        if not p.extra and not p.fits
    ]


def _broken_models() -> list[str]:
    broken = []
    for name in NETWORKS:
        try:
            model = make_model(name)
            x, ids = torch.full((1, *model.event), 0.5), torch.zeros(1, dtype=torch.int64)
            if not math.isfinite(float(model.bind(ids, 0)(x, 1.0).sum())):
                broken.append(f"model {name} gives numbers that are not finite")
        except Exception as error:
            broken.append(f"model {name} cannot be loaded: {' '.join(str(error).split())}")
    return broken
