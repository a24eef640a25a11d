"""Executors from options of the command line, with their limits, and their shutdown."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import NoReturn

import typer

from ...running.executors import Executor, InProcess, Pool, Worker, make_executor
from ...running.executors.process_state import cores
from ...running.executors.ray_executor import Ray
from .console import err, say
from .help_panels import EXECUTION
from .options import MOST, option_default

OFF = ("0", "false", "f", "no", "n", "off")
"""Values of ``SAMPLERBENCH_ISOLATION`` for in-process runs if no option names an executor."""
MOST_JOBS = 1024
SIGNALS = (signal.SIGINT, signal.SIGTERM)
_execution = partial(option_default, panel=EXECUTION)


@dataclass(frozen=True)
class ExecutorOptions:
    """Options on the executor of a command, in the order of their help."""

    executor: str | None = _execution(
        "--executor NAME",
        "Where samplers run: worker (a process of its own, which may crash), in-process, "
        "ray (a Ray cluster), or an installed package's.",
    )
    isolation: bool | None = _execution(
        "--isolation/--no-isolation", "Short for --executor worker (the default) or in-process."
    )
    memory_limit: float | None = _execution(
        "--memory-limit GIB",
        "Memory of the samplers' process, 0 for no limit (default: 80 % of the machine's).",
        min=0,
        max=MOST,
    )
    ray_address: str | None = _execution(
        "--ray-address HOST:PORT",
        "Ray only: head of the cluster, or auto (default: RAY_ADDRESS, else this machine).",
    )
    gpus_per_worker: float | None = _execution(
        "--gpus-per-worker N", "Ray only: GPUs of each worker, e.g. 1 or 0.5."
    )
    accelerator: str | None = _execution(
        "--accelerator NAME", "Ray only: type of GPU to time on, e.g. H100."
    )

    @property
    def is_ray(self) -> bool:
        """True if ``executor`` is "ray" or "ray:ADDRESS"."""
        return (self.executor or "").partition(":")[0] == "ray"

    @property
    def has_workers(self) -> bool:
        """True if samplers run in worker processes of this machine."""
        if self.executor is not None:
            return self.executor == "worker" and self.isolation is not False
        return not _is_isolation_off() if self.isolation is None else self.isolation

    @property
    def isolation_option(self) -> str:
        """Option shown in errors: "--isolation" if ``isolation`` is True, else "--no-isolation"."""
        return "--isolation" if self.isolation else "--no-isolation"

    @property
    def memory_limit_in_bytes(self) -> int | None:
        """Memory limit in bytes; None for the default, 0 for no limit."""
        return None if self.memory_limit is None else int(self.memory_limit * 2**30)


def pick_executor(
    options: ExecutorOptions, jobs: str | None, device: str, time_limit: float | None = None
) -> Executor:
    """Make the executor that a command's options describe.

    ``jobs`` is the number of worker processes: "auto" for one per GPU, or per core without a GPU.
    If it is None, there is no pool. GPUs are assigned to workers in turn. Raises a ValueError for
    an invalid value, contradictory options, or a limit that the executor cannot keep, such as
    ``time_limit``.
    """
    if options.is_ray:
        return make_ray_executor(options, jobs)
    for name in ("ray_address", "gpus_per_worker", "accelerator"):
        if getattr(options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} is of a Ray cluster; give --executor ray with it")
    if jobs is None:
        return make_named_executor(options, time_limit)
    if options.executor not in (None, "worker") or options.isolation is False:
        other = f"--executor {options.executor}" if options.executor else "--no-isolation"
        raise ValueError(
            f"--jobs is of worker processes, and {other} has none; leave one of them out"
        )
    gpus = [] if device == "cpu" else _visible_gpus()
    count = _number_of_jobs(jobs) or len(gpus) or cores()
    return Pool(count, options.memory_limit_in_bytes, gpus)


def make_named_executor(options: ExecutorOptions, time_limit: float | None) -> Executor:
    """Make the executor that ``executor`` or ``isolation`` names; without both, the default one.

    Pools and Ray are made elsewhere. Raises a ValueError for an unknown name, two different names,
    or a limit that the executor cannot keep.
    """
    name, memory_limit = options.executor, options.memory_limit
    short = {None: None, True: "worker", False: "in-process"}[options.isolation]
    if name and short and name != short:
        raise ValueError(
            f"{options.isolation_option} is short for --executor {short}, and --executor {name} "
            "was given too; leave one of them out"
        )
    given = f"--executor {name}"
    if name is None:
        name = short or ("in-process" if _is_isolation_off() else "worker")
        given = options.isolation_option if short else "SAMPLERBENCH_ISOLATION"
    if memory_limit is not None and name == "worker":
        return Worker(options.memory_limit_in_bytes)
    executor = make_executor(name)
    option = "--memory-limit" if memory_limit else ""
    if time_limit and not executor.keeps_limits:
        option = "--time-limit"
    if option:
        raise ValueError(
            f"{option} is kept by ending the samplers' process, which {given} "
            "does not do; leave one of them out"
        )
    return executor


def make_ray_executor(options: ExecutorOptions, jobs: str | None) -> Executor:
    """Make the executor "ray" or "ray:ADDRESS".

    Raises a ValueError as :func:`pick_executor` does, or if Ray is missing or no cluster answers.
    """
    name, address, gpus = str(options.executor), options.ray_address, options.gpus_per_worker
    given = name.partition(":")[2]
    if options.isolation is not None:
        raise ValueError(
            f"{options.isolation_option} names another executor than ray; leave one of them out"
        )
    if given and address not in (None, given):
        raise ValueError(
            f"--executor {name} and --ray-address {address} are two clusters; leave one of them out"
        )
    if gpus is not None and not (0 < gpus < 1 or gpus in range(1, 65)):
        raise ValueError(
            f"--gpus-per-worker {gpus:g}: give a part of one, such as 0.5, or a number of whole "
            "ones"
        )
    if name == "ray:":
        return make_executor(name)  # its error says that the address is missing
    executor = Ray(
        given or address or "",
        jobs=_number_of_jobs(jobs),
        gpus=gpus,
        memory=options.memory_limit_in_bytes,
        accelerator=options.accelerator or "",
    )
    executor.check()
    return executor


def _number_of_jobs(jobs: str | None) -> int | None:
    """Return ``jobs`` as a number; None for "auto" and for None. Raises a ValueError for others."""
    if jobs in (None, "auto"):
        return None
    if not jobs.isascii() or not jobs.isdecimal() or not 0 < int(jobs) <= MOST_JOBS:
        raise ValueError(
            f"--jobs {jobs}: give a number of processes from 1 to {MOST_JOBS}, or auto"
        )
    return int(jobs)


LOCAL = ("LOCAL_RANK", "SLURM_LOCALID")
"""Variables of ``torchrun`` and ``srun`` with the number of a process on its machine."""


def take_gpu_of_rank() -> None:
    """Restrict a process of torchrun or srun to its local rank's GPU, before CUDA is used."""
    local = next((os.environ[name] for name in LOCAL if name in os.environ), "")
    if local.isascii() and local.isdecimal() and (gpus := _visible_gpus()):
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(local) % len(gpus)]


def _visible_gpus() -> list[str]:
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    words = takewhile("-1".__ne__, map(str.strip, named.split(",")))  # where CUDA stops
    return list(filter(None, words)) or list(map(str, range(torch.cuda.device_count())))


def workers(jobs: int) -> Executor:
    """Return a pool of ``jobs`` workers, or InProcess if SAMPLERBENCH_ISOLATION is off."""
    return InProcess() if _is_isolation_off() else Pool(jobs)


def _is_isolation_off() -> bool:
    return os.environ.get("SAMPLERBENCH_ISOLATION", "").lower() in OFF


def start_early(executor: Executor) -> None:
    """Start an executor while this process has computed nothing, so that it may fork workers."""
    if isinstance(executor, Pool | Worker):
        executor.start(fork=True)
    else:
        executor.start()


def has_no_run(suite: str, folder: Path | None) -> bool:
    """Return True if ``folder`` has no run; for None, if no default folder of the suite has one."""
    if folder is not None:
        return not (folder / "run.json").exists()
    return not any(Path("results", "runs").glob(f"{Path(suite).stem}-*/run.json"))


@contextmanager
def graceful_shutdown(folder: Path, executor: Executor, kept: str | None = None) -> Iterator[None]:
    """Stop the block cleanly on SIGINT or SIGTERM, and print how to resume.

    A second signal ends the process at once.

    Args:
        folder: run directory.
        executor: executor of the block, which is closed at its end.
        kept: clause on the finished work, for the message; None states how many cells are complete.

    Raises:
        typer.Exit: a signal stopped the block; the exit code is 128 plus the signal's number.
    """
    signals_received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        signals_received.append(number)
        for signum in SIGNALS:
            signal.signal(signum, stop_at_once)
        raise KeyboardInterrupt

    def stop_at_once(number: int, _frame: FrameType | None) -> NoReturn:
        with suppress(Exception):
            executor.close()
        if sys.stderr.isatty():
            sys.stderr.write("\x1b[?25h")  # the bar hid the cursor
            sys.stderr.flush()
        os._exit(128 + number)

    handled = SIGNALS if threading.current_thread() is threading.main_thread() else ()
    before = {signum: signal.signal(signum, stop) for signum in handled}
    try:
        yield
    except KeyboardInterrupt:
        if not signals_received:
            raise
        command = shlex.join(["samplerbench", *sys.argv[1:]])
        done = _progress_in_words(folder) if kept is None else kept
        name = signal.Signals(signals_received[0]).name
        say(f"stopped by {name}{done}; go on with: {command}", to=err)
        raise typer.Exit(128 + signals_received[0]) from None
    finally:
        executor.close()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _progress_in_words(folder: Path) -> str:
    from ....results.result_table import load

    with suppress(ValueError, OSError):
        counts = Counter(load(folder).frame["status"])
        return f" with {counts['ok']} of {counts.total()} cells complete, and what is done is kept"
    return " before anything was sampled"
