"""Where numbers come from: everything about the machine and the software that a reader would ask for, once per run."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from .. import samplers
from .machine import conditions, device_of, machine

NOISE = "philox4x32-10, Box-Muller in float64"


def provenance(device: str) -> dict[str, Any]:
    """A JSON-ready record of versions, machine, settings and command line."""
    return {
        "samplerbench": version(),
        "git": _git(),
        "command": ["samplerbench", *sys.argv[1:]],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "noise": NOISE,
        "plugins": {name: samplers.origin(name) for name in samplers.names() if samplers.origin(name)},
        "machine": machine(),
        "conditions": conditions(),
        "torch": {
            "version": torch.__version__,
            "threads": torch.get_num_threads(),
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "cudnn": torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
        },
        "device": device_of(device),
        "packages": packages(),
    }


def version() -> str:
    """Version of the installed package."""
    try:
        return importlib.metadata.version("samplerbench")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def packages() -> dict[str, str]:
    """Versions of the installed distributions by name, from the names of their folders: to read the metadata of all takes 0.1 s."""
    found = {}
    for place in reversed([Path(entry or ".") for entry in sys.path]):  # the first that has a name is the one that is imported
        for folder in place.glob("*.dist-info") if place.is_dir() else ():
            name, _, version = folder.stem.partition("-")
            found[name] = version
    return dict(sorted(found.items()))


def _git() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that the code runs from; None for an installed wheel."""
    folder = Path(__file__).parent.parent
    if not (folder / ".git").exists():
        return None
    commit, status = (_run(folder, *args) for args in (("rev-parse", "HEAD"), ("status", "--porcelain")))
    return {"commit": commit, "dirty": bool(status)} if commit else None


def _run(folder: Path, *args: str) -> str | None:
    try:
        return subprocess.run(["git", *args], cwd=folder, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
