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
from pathlib import Path
from types import FrameType
from typing import NoReturn

import typer

from ...running.executors import Executor, InProcess, Pool, Worker, make_executor
from ...running.executors.ray_executor import Ray
from .console import err

OFF = ("0", "false", "f", "no", "n", "off")
"""Values of ``SAMPLERBENCH_ISOLATION`` for in-process runs if no option names an executor."""
MOST_JOBS = 1024
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(KeyboardInterrupt):
    """Interrupt of a command by SIGINT or SIGTERM."""


def make_named_executor(
    name: str | None,
    isolation: bool | None,
    time_limit: float | None,
    memory_limit: float | None,
) -> Executor:
    """Make the executor ``name``; ``isolation`` True is short for "worker", False for "in-process".

    Raises:
        ValueError: the name is unknown or contradicts ``isolation``, or a limit would not be kept.
    """
    short = {None: None, True: "worker", False: "in-process"}[isolation]
    if name and short and name != short:
        option = "--isolation" if isolation else "--no-isolation"
        raise ValueError(
            f"{option} is short for --executor {short}, and --executor {name} was given too; "
            "leave one of them out"
        )
    name = name or short or ("in-process" if _is_isolation_off() else "worker")
    if memory_limit is not None and name == "worker":
        return Worker(_memory_limit_in_bytes(memory_limit))
    result = make_executor(name)
    limits = {
        "--time-limit": (time_limit, result.keeps_limits),
        "--memory-limit": (memory_limit, False),
    }
    for option, (value, keeps) in limits.items():
        if value and not keeps:
            raise ValueError(
                f"{option} is kept by ending the samplers' process, which --executor {name} "
                "does not do; leave one of them out"
            )
    return result


def pick_executor(
    name: str | None,
    isolation: bool | None,
    jobs: str | None,
    device: str,
    ray: RayOptions,
    *,
    time_limit: float | None = None,
    memory_limit: float | None = None,
) -> Executor:
    """Make the executor that a command's options describe.

    Raises:
        ValueError: the options contradict each other, or a value is invalid.
    """
    on_ray = ray.make_ray_executor(name, isolation, jobs, memory_limit)
    if on_ray is not None:
        return on_ray
    if jobs is None:
        return make_named_executor(name, isolation, time_limit, memory_limit)
    return worker_pool(jobs, device, name, isolation, memory_limit)


def worker_pool(
    jobs: str, device: str, executor: str | None, isolation: bool | None, memory_limit: float | None
) -> Executor:
    """Make a pool of ``jobs`` workers, "auto" for one per GPU or core; they get the GPUs in turn.

    Raises:
        ValueError: ``jobs`` is no number and not "auto", or an option names another executor.
    """
    if executor not in (None, "worker") or isolation is False:
        other = f"--executor {executor}" if executor else "--no-isolation"
        raise ValueError(
            f"--jobs is of worker processes, and {other} has none; leave one of them out"
        )
    gpus = [] if device == "cpu" else _visible_gpus()
    count = _number_of_jobs(jobs) or len(gpus) or cores()
    return Pool(count, _memory_limit_in_bytes(memory_limit), gpus)


@dataclass(frozen=True)
class RayOptions:
    """Options for a Ray cluster: its address, the GPUs of each worker, and their type."""

    address: str | None = None
    gpus: float | None = None
    accelerator: str | None = None

    def make_ray_executor(
        self,
        name: str | None,
        isolation: bool | None,
        jobs: str | None,
        memory_limit: float | None,
    ) -> Executor | None:
        """Make the executor "ray" or "ray:ADDRESS"; return None if ``name`` is another executor.

        Raises:
            ValueError: the options contradict each other, a value is invalid, or the cluster cannot
                be joined.
        """
        kind, _, rest = (name or "").partition(":")
        if kind != "ray":
            options = {
                "--ray-address": self.address,
                "--gpus-per-worker": self.gpus,
                "--accelerator": self.accelerator,
            }
            if option := next((key for key, value in options.items() if value is not None), None):
                raise ValueError(f"{option} is of a Ray cluster; give --executor ray with it")
            return None
        if isolation is not None:
            option = "--isolation" if isolation else "--no-isolation"
            raise ValueError(f"{option} names another executor than ray; leave one of them out")
        if rest and self.address not in (None, rest):
            raise ValueError(
                f"--executor {name} and --ray-address {self.address} are two clusters; leave one "
                "of them out"
            )
        if self.gpus is not None and not (0 < self.gpus < 1 or self.gpus in range(1, 65)):
            raise ValueError(
                f"--gpus-per-worker {self.gpus:g}: give a part of one, such as 0.5, or a number "
                "of whole ones"
            )
        if name == "ray:":
            return make_executor(name)  # its error says that the address is missing
        result = Ray(
            rest or self.address or "",
            jobs=_number_of_jobs(jobs) if jobs is not None else None,
            gpus=self.gpus,
            memory=_memory_limit_in_bytes(memory_limit),
            accelerator=self.accelerator or "",
        )
        result.check()
        return result


def _number_of_jobs(jobs: str) -> int | None:
    """Return the number in ``--jobs``, None for "auto"; raises a ValueError for anything else."""
    if jobs == "auto":
        return None
    if not jobs.isascii() or not jobs.isdecimal() or not 0 < int(jobs) <= MOST_JOBS:
        raise ValueError(
            f"--jobs {jobs}: give a number of processes from 1 to {MOST_JOBS}, or auto"
        )
    return int(jobs)


def _memory_limit_in_bytes(memory_limit: float | None) -> int | None:
    return None if memory_limit is None else int(memory_limit * 2**30)


LOCAL = ("LOCAL_RANK", "SLURM_LOCALID")
"""Variables of ``torchrun`` and ``srun`` with the number of a process on its machine."""


def take_gpu_of_rank() -> None:
    """Restrict a launcher's process to the GPU of its local rank, if any, before CUDA is used."""
    local = next((os.environ[name] for name in LOCAL if name in os.environ), "")
    if local.isascii() and local.isdecimal() and (gpus := _visible_gpus()):
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(local) % len(gpus)]


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _visible_gpus() -> list[str]:
    """Return the GPUs that this process sees, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in named.split(",") if name.strip()]
    return names or list(map(str, range(torch.cuda.device_count())))


def workers(jobs: int) -> Executor:
    """Return a pool of ``jobs`` workers; in-process if SAMPLERBENCH_ISOLATION is in :data:`OFF`."""
    return InProcess() if _is_isolation_off() else Pool(jobs)


def _is_isolation_off() -> bool:
    return os.environ.get("SAMPLERBENCH_ISOLATION", "").lower() in OFF


def start_early(where: Executor) -> None:
    """Start an executor early: workers can be forks until this process computes something."""
    if isinstance(where, Pool | Worker):
        where.start(fork=True)
    else:
        where.start()


def looks_new(suite: str, folder: Path | None) -> bool:
    """Return True if ``folder`` (None: any default folder of the suite) has no run yet."""
    if folder is not None:
        return not (folder / "run.json").exists()
    return not any(Path("results", "runs").glob(f"{Path(suite).stem}-*/run.json"))


@contextmanager
def graceful_shutdown(folder: Path, where: Executor, kept: str | None = None) -> Iterator[None]:
    """Stop the block cleanly on SIGINT or SIGTERM, and print how to resume.

    A second signal ends the process at once.

    Args:
        folder: run directory.
        where: executor, which is closed at the end of the block.
        kept: clause on the finished work; None for the number of complete cells in the folder.

    Raises:
        typer.Exit: a signal stopped the block; the exit code is 128 plus the signal's number.
    """
    by: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        by.append(number)
        for signum in SIGNALS:
            signal.signal(signum, stop_at_once)
        raise StoppedError

    def stop_at_once(number: int, _frame: FrameType | None) -> NoReturn:
        with suppress(Exception):
            where.close()
        if sys.stderr.isatty():
            sys.stderr.write("\x1b[?25h")  # the bar hid the cursor
            sys.stderr.flush()
        os._exit(128 + number)

    handled = SIGNALS if threading.current_thread() is threading.main_thread() else ()
    before = {signum: signal.signal(signum, stop) for signum in handled}
    try:
        yield
    except KeyboardInterrupt:
        if not by:
            raise
        # not StoppedError: a library that waits in C may replace it by a plain KeyboardInterrupt
        command = shlex.join(["samplerbench", *sys.argv[1:]])
        err.print(
            f"stopped by {signal.Signals(by[0]).name}{_progress_in_words(folder) if kept is None else kept}; go on with: {command}",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(128 + by[0]) from None
    finally:
        where.close()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _progress_in_words(folder: Path) -> str:
    """Return a clause on how many cells of a run are complete."""
    from ....results.result_table import load

    with suppress(ValueError, OSError):
        counts = Counter(load(folder).frame["status"])
        return f" with {counts['ok']} of {counts.total()} cells complete, and what is done is kept"
    return " before anything was sampled"
