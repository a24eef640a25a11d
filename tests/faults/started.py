"""Runs as a user starts them, what there is of their processes, and what they leave behind."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import new_processes

from samplerbench.results.run_directory.layout import SHARD, STRAY
from samplerbench.results.run_directory.sharing import FOLDER, PLAN

TESTS = Path(new_processes.__file__).parent
RUN = """
import new_processes, sys
new_processes.fork_from_here()  # its workers have the libraries too
sys.argv[0] = "samplerbench"
from samplerbench.benchmarks.cli import main
FIRST
main()
"""
SUITE = """
models = ["gmm-2d"]
samplers = ["euler", "heun", "ddpm"]
steps = [3]
samples = 2100
batch_size = 128
reference_samples = 8
converged_samples = 64
timing = { enabled = false }
"""
"""Three cells of five shards: seconds, of which sampling takes a part."""

_NUMBERS = count()

PATIENCE = 120.0
"""Seconds for what happens at once on a machine that has nothing else to do."""


@dataclass(frozen=True)
class Run:
    """A run that was started.

    Attributes:
        process: of the command.
        said: file with what it wrote to stderr.
    """

    process: subprocess.Popen[bytes]
    said: Path

    @property
    def workers(self) -> list[int]:
        """Its worker processes, which lead a group each."""
        return [pid for pid in children(self.process.pid) if _group(pid) == pid]

    @property
    def stoppable(self) -> bool:
        """Whether it does something about signals; before, while it imports, it ends as any program."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return False
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    def kill(self) -> list[int]:
        """End it by ``kill -9``; the processes that it had, which are to follow."""
        self.process.send_signal(signal.SIGSTOP)  # so that none is begun meanwhile
        theirs = descendants(self.process.pid)
        self.process.kill()
        self.process.wait(PATIENCE)
        return theirs

    def ended(self) -> str:
        """Wait for its end; what it said, which is no traceback."""
        self.process.wait(PATIENCE)
        said = self.said.read_text(errors="replace")
        assert "Traceback" not in said, said
        return said


def start(suite: Path, out: Path, *options: str, first: str = "") -> Run:
    """``samplerbench run SUITE --out OUT OPTIONS``, in a process of its own.

    Args:
        suite: file of the suite.
        out: run directory.
        options: words of the command line.
        first: code that the process runs before.
    """
    said = out.with_name(f"{out.name}.{next(_NUMBERS)}.said")
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    environment.pop("SAMPLERBENCH_ISOLATION", None)
    words = [
        sys.executable,
        "-c",
        RUN.replace("FIRST", first),
        "run",
        str(suite),
        "--out",
        str(out),
        *options,
    ]
    with said.open("wb") as file:
        process = new_processes.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file
        )
    return Run(process, said)


def children(pid: int) -> list[int]:
    """Processes that a process has begun, or adopted."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text(encoding="ascii").split()]
        except OSError:  # the thread ended
            continue
    return found


def descendants(pid: int) -> list[int]:
    """Its children, theirs, and so on."""
    mine = children(pid)
    return mine + [each for child in mine for each in descendants(child)]


def alive(pid: int) -> bool:
    """Whether a process runs; one whose end nobody has asked for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_until(there, what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def shards(out: Path) -> dict[str, tuple[int, str]]:
    """The finished shards: when each was written, and the digest of it."""
    return {
        str(path.relative_to(out)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in out.glob("parts/*/*.npz")
        if SHARD.fullmatch(path.name)
    }


def strays(out: Path) -> list[Path]:
    """Files that somebody was writing."""
    return [path for path in out.rglob(".*.part") if STRAY.fullmatch(path.name)]


def left_behind(out: Path) -> list[str]:
    """What a finished run leaves that it should not: half files, claims, a lock that is held."""
    import fcntl

    found = [str(path) for path in strays(out)]
    found += [FOLDER] * (out / FOLDER).exists()
    with (out / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found.append("the lock is held")
    return found


def phase(out: Path) -> str:
    """What a run is about, as its directory tells."""
    if not (out / FOLDER / PLAN).exists() and not list(out.glob("parts/*/quality.json")):
        return "sampling" if shards(out) else "planning"
    if strays(out):
        return "writing"
    cells = [path.parent for path in out.glob("parts/*/cell.json")]
    lacking = [cell for cell in cells if not list(cell.glob("*-00002100.npz"))]
    if lacking:
        return "sampling"
    return "scoring" if any(not (cell / "quality.json").exists() for cell in cells) else "table"


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1
