"""Processes as seen by the operating system: cores, memory, signals, exit codes, stack traces."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sysconfig
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

MEMORY_SHARE = 0.8  # default memory limit, as a share of the machine's or container's memory

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_COUNTERS = Path("/proc/vmstat")
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<name>.+)$', re.MULTILINE)
_SIGNALS = {
    "SIGSEGV": "segmentation fault",
    "SIGBUS": "bus error",
    "SIGABRT": "it aborted",
    "SIGFPE": "arithmetic error",
    "SIGILL": "illegal instruction",
}
_PACKAGES = [
    Path(__file__).parents[3] / name for name in ("benchmarks", "models", "results", "samplers")
]


class ForkedProcess:
    """Forked child with the methods of :class:`subprocess.Popen` that a worker needs."""

    returncode: int | None = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal that ended the child; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = float("inf")) -> int:
        """Return the exit code, or raise ``TimeoutExpired`` after ``timeout`` seconds."""
        until = monotonic() + timeout
        while (code := self.poll()) is None:
            if monotonic() > until:
                raise subprocess.TimeoutExpired("worker", timeout)
            sleep(0.001)
        return code

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, signum)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_memory_limit() -> int:
    """Return the default memory limit of one worker: 80 % of the machine or container, in bytes."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # "max" is no number: no limit
            whole = min(whole, int(path.read_text(encoding="ascii")))
    return int(MEMORY_SHARE * whole)


def memory_of(pid: int) -> int:
    """Return the bytes of memory that a process holds; 0 if unknown."""
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def is_stopped(pid: int) -> bool:
    """Return True if a process was stopped by a signal; False if unknown."""
    with suppress(OSError, IndexError):
        # the state follows the name, which is in brackets and may contain brackets
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"T", b"t")
    return False


def count_kernel_kills() -> int | None:
    """Return the number of kills for lack of memory since boot; None if unknown."""
    with suppress(OSError, ValueError, StopIteration):
        lines = _COUNTERS.read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("oom_kill ")).split()[1])
    return None


def describe_exit(code: int, memory: bool | None = None) -> str:
    """Return a clause on how a process ended, by its exit code as :mod:`subprocess` gives it.

    ``memory`` is True if a killed process was killed because memory ran out; None if unknown.

    >>> describe_exit(-11)
    'ended with signal 11 (segmentation fault)'
    >>> describe_exit(3)
    'ended itself with exit code 3, before it had a result (os._exit or the like)'
    """
    if code >= 0:
        return f"ended itself with exit code {code}, before it had a result (os._exit or the like)"
    if code == -signal.SIGKILL:
        sure = ", perhaps" if memory is None else ","
        why = "" if memory is False else f"{sure} because the machine ran out of memory"
        return f"was killed (signal 9){why}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"ended with signal {-code}"
    return f"ended with signal {-code} ({_SIGNALS.get(name, name)})"


def place_in_code(traces: str) -> str:
    """Return the place in the code where a task was, such as ``, in step (mine.py, line 12)``.

    ``traces`` is a dump of ``faulthandler``. The place is the innermost frame; frames of Python,
    installed packages and this library are skipped if there are others. Without frames it is "".
    """
    threads = re.split(r"^(?=(?:Current thread|Thread) 0x)", traces, flags=re.MULTILINE)
    last = next((thread for thread in reversed(threads) if " in serve_tasks\n" in thread), "")
    inner = last.partition(" in serve_tasks\n")[0]  # a fork has frames of its parent outside
    frames = [match.groupdict() for match in _FRAME.finditer(inner)]
    if not frames:
        return ""
    frame = next((frame for frame in frames if not _is_installed(frame["file"])), frames[0])
    return f", in {frame['name']} ({Path(frame['file']).name}, line {frame['line']})"


def _is_installed(file: str) -> bool:
    folders = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]
    inside = any(Path(file).is_relative_to(folder) for folder in [*folders, *_PACKAGES])
    return inside or file.startswith("<")
