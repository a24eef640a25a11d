"""Provenance of a run's results: the machine, the software and the samplers' papers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ...samplers.registry import plugin_origins
from ...samplers.types import references
from ..timing.machine import describe_device, describe_host, load_averages, package_version


def installed_versions() -> dict[str, str]:
    """Return the versions of the installed distributions by name."""
    versions = {}  # from the names of folders, since reading all metadata takes 0.1 s
    # reversed: of several versions, Python imports the one that is first in sys.path
    for place in reversed([Path(entry or ".") for entry in sys.path]):
        for folder in place.glob("*.dist-info") if place.is_dir() else ():
            name, _, version = folder.stem.partition("-")
            versions[name] = version
    return dict(sorted(versions.items()))


NOISE = "philox4x32-10, Box-Muller in float64"


def provenance(device: str) -> dict[str, Any]:
    """Return a JSON-ready record of versions, machine, settings and command line."""
    cudnn = torch.backends.cudnn
    return {
        "samplerbench": package_version(),
        "git": _git_state(),
        "command": _command_line(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "noise": NOISE,
        "plugins": plugin_origins(),
        "machine": describe_host(),
        "conditions": load_averages(),
        "torch": {
            "version": torch.__version__,
            "threads": torch.get_num_threads(),
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "cudnn": cudnn.version() if cudnn.is_available() else None,
            "cudnn_benchmark": cudnn.benchmark,
            "cudnn_allow_tf32": cudnn.allow_tf32,
        },
        "device": describe_device(device),
        "packages": installed_versions(),
    }


def _command_line() -> list[str]:
    """Return ``samplerbench`` and its arguments; for another program ``python`` and its arguments."""
    program = Path(sys.argv[0])
    module = program.parent.name if program.name == "__main__.py" else ""
    is_ours = program.stem == "samplerbench" or module in ("samplerbench", "benchmarks")
    return ["samplerbench", *sys.argv[1:]] if is_ours else ["python", *sys.argv]


def citations(samplers: Iterable[Any]) -> dict[str, dict[str, str]]:
    """Return ``key``, ``where`` in the paper, ``url`` and ``bibtex`` of each sampler, by name."""
    entries = references()
    return {
        sampler.name: {
            "key": sampler.source.key,
            "where": sampler.source.where,
            "url": sampler.source.url,
            "bibtex": entries.get(sampler.source.key, ""),
        }
        for sampler in sorted(samplers, key=lambda sampler: sampler.name)
    }


def _git_state() -> dict[str, Any] | None:
    """Return ``commit`` and ``dirty`` of the running checkout; None if unknown, as for a wheel."""
    # resolved, since the package of a checkout is a folder of links
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    command = ["git", "status", "--porcelain=v2", "--branch"]
    try:
        status = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    commit = re.search(r"^# branch\.oid ([0-9a-f]+)$", status, re.MULTILINE)
    dirty = any(not line.startswith("#") for line in status.splitlines())
    return {"commit": commit[1], "dirty": dirty} if commit else None
