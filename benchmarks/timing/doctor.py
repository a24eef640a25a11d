"""Diagnosis of a machine for ``doctor``."""

from __future__ import annotations

import importlib.metadata
import math
import re
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch

from ...models import make_model
from .counters import counters
from .machine import conditions, device_of, machine, version
from .steadiness import Steadiness, steadiness

NAME = "samplerbench"
PURPOSE = {
    "diffusers": "folders of diffusers as models, and lines to paste for it",
    "peers": "samplers of other libraries, for parity tests and for frontier",
    "onnx": "ONNX files as models",
    "inception": "features of Inception, as published FIDs have them",
    "clip": "features of CLIP",
    "dinov2": "features of DINOv2",
    "efficientnet": "features of EfficientNet",
    "torchvision": "data sets of torchvision as references",
    "tune": "levels and options tuned by Optuna",
    "gpu": "throttling, other processes and energy of an NVIDIA GPU in timings",
    "cluster": "runs on a Ray cluster",
    "docs": "the site of the documentation",
    "dev": "tests, linters and the build",
}
_REQUIREMENT = re.compile(
    r"""^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*(?P<versions>[^;]*)(?:;.*extra\s*==\s*["'](?P<extra>[^"']+)["'])?"""
)


class Package(NamedTuple):
    """Requirement of samplerbench.

    Attributes:
        name: of the distribution.
        needs: required versions, such as ``>=2.6``.
        extra: the extra that needs it; "" if everyone does.
        version: installed; None if missing.
    """

    name: str
    needs: str
    extra: str
    version: str | None

    @property
    def fits(self) -> bool:
        """True if it is installed in no older version than required."""
        if self.version is None:
            return False
        least = re.search(r">=\s*([\d.]+)", self.needs)
        return least is None or _numbers(self.version) >= _numbers(least[1])


def packages(requirements: list[str] | None = None) -> list[Package]:
    """Return every requirement, those without an extra first.

    Args:
        requirements: as in a distribution's metadata; by default of the installed samplerbench.
    """
    texts = requirements if requirements is not None else _of_this_package()
    required = [_package(match) for text in texts if (match := _REQUIREMENT.match(text))]
    return sorted(required, key=lambda package: (package.extra != "", package.extra))


def _of_this_package() -> list[str]:
    try:
        return importlib.metadata.requires(NAME) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _package(match: re.Match[str]) -> Package:
    try:
        version = importlib.metadata.version(match["name"])
    except importlib.metadata.PackageNotFoundError:
        version = None
    return Package(match["name"], match["versions"].strip(" ()"), match["extra"] or "", version)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the release of a version: 2.13.0+cpu is (2, 13, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", re.match(r"[\d.]*", version)[0]))  # type: ignore[index]


SHIPPED = ("fashion", "digits", "emoji", "fashion-map")


@dataclass(frozen=True)
class Diagnosis:
    """Diagnosis of a machine.

    Attributes:
        version: of samplerbench.
        machine, conditions, device, counters: facts by name.
        threads: that torch uses.
        packages: requirements and installed versions.
        steadiness: of each device's reference work, by device.
        broken: defects, a sentence each.
    """

    version: str
    machine: dict[str, Any]
    conditions: dict[str, Any]
    device: dict[str, Any]
    counters: dict[str, Any]
    threads: int
    packages: list[Package]
    steadiness: dict[str, Steadiness]
    broken: list[str]

    @property
    def extras(self) -> dict[str, list[str]]:
        """Missing packages of each extra, by extra."""
        return {
            extra: [p.name for p in self.packages if p.extra == extra and not p.fits]
            for extra in _extras(self.packages)
        }

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return {
            **{
                name: getattr(self, name)
                for name in ("version", "machine", "conditions", "device", "threads", "counters")
            },
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
            "broken": self.broken,
        }


def examine(seconds: float = 1.5) -> Diagnosis:
    """Examine this machine.

    Args:
        seconds: how long each device's reference work is timed.
    """
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    required = packages()
    return Diagnosis(
        version=version(),
        machine=machine(),
        conditions=conditions(),
        device=device_of(devices[-1]),
        counters=counters(),
        threads=torch.get_num_threads(),
        packages=required,
        steadiness={device: steadiness(device, seconds) for device in devices},
        broken=[*_missing(required), *_silent_models()],
    )


def _extras(required: list[Package]) -> list[str]:
    return list(dict.fromkeys(package.extra for package in required if package.extra))


def _missing(required: list[Package]) -> list[str]:
    """Return the missing packages that everyone needs, a sentence each."""
    if not required:
        return [f"{NAME} is not installed: pip install -e . in its folder"]
    return [
        f"{p.name} {p.version or 'is missing'}; {NAME} needs {p.name}{p.needs}: pip "
        f"install '{p.name}{p.needs}'"
        for p in required
        if not p.extra and not p.fits
    ]


def _silent_models() -> list[str]:
    """Return the shipped networks that cannot be loaded, or give values that are not finite."""
    broken = []
    for name in SHIPPED:
        try:
            model = make_model(name)
            x = torch.full((1, *model.event), 0.5)
            if not math.isfinite(
                float(model.bind(torch.zeros(1, dtype=torch.int64), 0)(x, 1.0).sum())
            ):
                broken.append(f"model {name} gives numbers that are not finite")
        except Exception as error:
            broken.append(f"model {name} cannot be loaded: {' '.join(str(error).split())}")
    return broken
