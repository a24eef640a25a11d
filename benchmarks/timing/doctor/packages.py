"""Packages: requirements of samplerbench and its extras, and the installed versions."""

from __future__ import annotations

import importlib.metadata
import re
from typing import NamedTuple

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
