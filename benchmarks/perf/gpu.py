"""Everything that needs an NVIDIA card, in one command and a few minutes: ``make gpu``.

The script runs the tests that need a card. Then it times the suite ``gpu``, the best known samplers
first. It writes one small folder, which ``samplerbench report`` reads and which can be committed. It
runs from a checkout without a network or an installation, and names missing packages. Another call
resumes the run.

The script imports this package only after it has made the package importable.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "gpu"
"""Folder with the run directory, and with links that make the package importable."""
WHEELS = ROOT / "build" / "gpu-wheels"
"""Folder with wheels of missing packages, which ``make gpu-wheels`` fills on another machine."""

NEEDS = (
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "torchdiffeq",
    "safetensors",
    "typer",
    "rich",
    "jinja2",
)
NEEDS += ("markupsafe", "pydantic", "pyarrow", "matplotlib", "plotly")
FIRST = ("euler", "heun", "ddim", "dpmpp_2m", "dpmpp_3m", "unipc_2", "dpm_solver_3m", "ddpm")
TURNS = (FIRST, ())  # samplers of the first and of the second run; none means all

TESTS_SHARE, TIMING_SHARE = 0.25, 0.7  # most of all time for tests, of a run's time for timing
MOST_BYTES = 16 * 2**20  # largest size of the archive
KEPT = ("run.json", "table.csv", "timing.csv", "throughput.csv")
ARCHIVE, TESTS, MACHINE = "run.tar.gz", "cuda-tests.txt", "machine.json"

Call = Callable[[Sequence[str], Path | None, float], int]
"""Function that runs ``python ARGUMENTS`` with its output in a file, for a number of seconds at most.

It returns the exit code. Without a file, the output goes to the terminal.
"""


def main(arguments: Sequence[str] | None = None, call: Call | None = None) -> int:
    """Run the command, and return its exit code.

    ``arguments`` replace the command line's. ``call`` replaces :func:`_call_python`.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])  # pyright: ignore[reportOptionalMemberAccess]
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything")
    parser.add_argument("--out", type=Path, help="default: results/reference/gpu-CARD")
    asked = parser.parse_args(arguments)
    end = time.monotonic() + 60 * asked.minutes
    if fault := _make_importable():
        print(f"error: {fault}", file=sys.stderr)
        return 2
    import torch

    if not torch.cuda.is_available():
        print(
            "error: torch sees no NVIDIA card here; run this on a machine with one", file=sys.stderr
        )
        return 2
    card = torch.cuda.get_device_name(0)
    out = asked.out or ROOT / "results" / "reference" / f"gpu-{_slug(card)}"
    out.mkdir(parents=True, exist_ok=True)
    run = WORK / f"run-{_slug(card)}"
    _unpack(out / ARCHIVE, run)
    call = call or _call_python
    print(f"{card}: {asked.minutes:g} minutes, into {out}", flush=True)
    _run_cuda_tests(out, TESTS_SHARE * (end - time.monotonic()), call)
    for samplers in TURNS:
        left = end - time.monotonic()
        if left < 30:
            break
        _run_suite(run, samplers, left, call)
    _collect(run, out)
    print(f"written: {', '.join(sorted(path.name for path in out.iterdir()))}")
    return 0


def _make_importable() -> str:
    """Make the package and the wheels importable here and in child processes.

    Returns "", or a sentence on why that fails.
    """
    added = []
    if find_spec("samplerbench") is None:
        package = WORK / "path" / "samplerbench"
        package.mkdir(parents=True, exist_ok=True)
        for name in ("samplers", "models", "benchmarks", "results", "samplerbench/__init__.py"):
            if not (link := package / Path(name).name).exists():
                link.symlink_to(ROOT / name)
        added.append(str(package.parent))
    if _missing() and WHEELS.is_dir():
        site = WORK / "site"
        install = ["-m", "pip", "install", "-q", "--no-index", "--no-deps", "--upgrade", "--target"]
        wheels = sorted(map(str, WHEELS.glob("*.whl")))
        if not site.is_dir() and subprocess.call([sys.executable, *install, str(site), *wheels]):
            shutil.rmtree(site, ignore_errors=True)
            return f"the wheels in {WHEELS} are not for this machine; make them anew"
        added.append(str(site))
    sys.path[:0] = added
    paths = [*added, *filter(None, [os.environ.get("PYTHONPATH")])]
    if paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    missing = _missing()
    return missing and (
        f"{missing} cannot be imported here; install what is missing, or run make gpu-wheels on a "
        f"machine with a network and bring {WHEELS.relative_to(ROOT)} along"
    )


def _missing() -> str:
    return ", ".join(name for name in NEEDS if find_spec(name) is None)


def _run_cuda_tests(out: Path, seconds: float, call: Call) -> None:
    """Run the tests that need a card, for at most ``seconds``, and keep their output in ``out``."""
    if find_spec("pytest") is None or find_spec("hypothesis") is None:
        (out / TESTS).write_text(
            "not run: pytest or hypothesis is not installed\n", encoding="utf-8"
        )
        return
    tests = ("samplers", "sampling", "timing")
    command = ["-m", "pytest", "-m", "cuda", "-q", "-p", "no:cacheprovider", "-W", "default"]
    code = call([*command, *(str(ROOT / "tests" / name) for name in tests)], out / TESTS, seconds)
    print(f"tests that need a card: exit code {code}, in {out / TESTS}", flush=True)


def _run_suite(run: Path, samplers: Sequence[str], seconds: float, call: Call) -> None:
    """Run the suite ``gpu`` with these samplers (none: all), for at most ``seconds``."""
    chosen = [word for name in samplers for word in ("--sampler", name)]
    minutes = str(round(TIMING_SHARE * seconds / 60, 2))
    command = ["-m", "samplerbench", "run", "gpu", "--out", str(run), "--device", "cuda"]
    call([*command, "--timing-minutes", minutes, *chosen], None, seconds)


def _call_python(arguments: Sequence[str], output: Path | None, seconds: float) -> int:
    """Run Python as described at :data:`Call`, in a process interrupted after ``seconds``."""
    sink = output.open("w", encoding="utf-8") if output else None
    try:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            stdout=sink,
            stderr=subprocess.STDOUT if sink else None,
        )
        try:
            return process.wait(max(1.0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
    finally:
        if sink:
            sink.close()


def _collect(run: Path, out: Path) -> None:
    """Copy the tables to ``out``, and archive the JSON files, from which a later run resumes."""
    from samplerbench.benchmarks.timing.machine import describe_device, describe_host  # pyright: ignore[reportMissingImports]

    about = {"machine": describe_host(), "device": describe_device("cuda")}
    (out / MACHINE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    for name in KEPT:
        if (run / name).is_file():
            shutil.copyfile(run / name, out / name)
    archive = WORK / ARCHIVE
    with tarfile.open(archive, "w:gz") as file:
        for path in sorted(run.rglob("*.json")):
            file.add(path, path.relative_to(run))
    if archive.stat().st_size <= MOST_BYTES:
        shutil.copyfile(archive, out / ARCHIVE)
    else:
        print(
            f"{ARCHIVE} is larger than {MOST_BYTES >> 20} MiB, and left out: raw times stay in {run}"
        )


def _unpack(archive: Path, run: Path) -> None:
    """Unpack an earlier run to resume, unless this machine has a run directory already."""
    if archive.is_file() and not run.exists():
        with tarfile.open(archive) as file:
            file.extractall(run, filter="data")


def _slug(card: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main())
