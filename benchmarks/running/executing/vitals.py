"""Facts of the operating system about a process: its memory, its place in the code, and its end, in
plain words.
"""

from __future__ import annotations

import os
import re
import signal
import sysconfig
from contextlib import suppress
from pathlib import Path

MEMORY_SHARE = 0.8
"""Default limit of a worker, as a share of the machine's or the container's memory."""

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_COUNTERS = Path("/proc/vmstat")
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<name>.+)$', re.MULTILINE)
_PLAIN = {
    "SIGSEGV": "segmentation fault",
    "SIGBUS": "bus error",
    "SIGABRT": "it aborted",
    "SIGFPE": "arithmetic error",
    "SIGILL": "illegal instruction",
}
_PACKAGES = [
    Path(__file__).parents[3] / name for name in ("benchmarks", "models", "results", "samplers")
]


def memory_limit() -> int:
    """Return the default limit of a worker in bytes: :data:`MEMORY_SHARE` of the machine's or
    container's memory.
    """
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # "max" is no number: no limit
            whole = min(whole, int(path.read_text(encoding="ascii")))
    return int(MEMORY_SHARE * whole)


def memory_of(pid: int) -> int:
    """Return the bytes of memory that a process holds; 0 if unknown."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    return 0


def is_stopped(pid: int) -> bool:
    """Return True if a process was stopped by a signal; False if unknown."""
    with suppress(OSError, IndexError):
        # the name before it is in brackets, and may hold any
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"T", b"t")
    return False


def kernel_kills() -> int | None:
    """Return the number of processes that the kernel has killed for memory since boot; None if
    unknown.
    """
    with suppress(OSError, ValueError, StopIteration):
        lines = _COUNTERS.read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("oom_kill ")).split()[1])
    return None


def offer_to_the_killer() -> None:
    """Ask the kernel to end this process first when memory runs out, rather than its parent."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def gibibytes(count: int) -> str:
    """Format as ``1.5 GiB``."""
    return f"{count / 2**30:.3g} GiB"


def how_it_ended(code: int, memory: bool | None = None) -> str:
    """Describe an exit code, as the end of a sentence about the process.

    Args:
        code: as subprocess has it, minus the number of a signal.
        memory: True if a killed process was killed because memory ran out; None for unknown.

    >>> how_it_ended(-11)
    'ended with signal 11 (segmentation fault)'
    >>> how_it_ended(3)
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
    return f"ended with signal {-code} ({_PLAIN.get(name, name)})"


def place_in(traces: str) -> str:
    """Return the place of a process from a dump of ``faulthandler``: ``, in step (mine.py, line
    12)``; "" if unknown.

    It is the innermost frame outside Python, installed packages and this library, else the
    innermost of all.
    """
    frames = [match.groupdict() for match in _FRAME.finditer(_main_thread(traces))]
    own = [frame for frame in frames if not _foreign(frame["file"])]
    if not frames:
        return ""
    frame = (own or frames)[0]
    return f", in {frame['name']} ({Path(frame['file']).name}, line {frame['line']})"


def _main_thread(traces: str) -> str:
    """Return the last dump of the thread that runs tasks: the thread of the child's main
    function.
    """
    threads = re.split(r"^(?=(?:Current thread|Thread) 0x)", traces, flags=re.MULTILINE)
    return next((thread for thread in reversed(threads) if " in serve\n" in thread), "")


def _foreign(file: str) -> bool:
    inside = [
        *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")),
        *_PACKAGES,
    ]
    return file.startswith("<") or any(Path(file).is_relative_to(folder) for folder in inside)
