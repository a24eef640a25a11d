"""The executor that runs tasks on the machines of a Ray cluster."""

from __future__ import annotations

import logging
import os
import pickle
import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..executor import (
    Executor,
    Failure,
    InProcess,
    Task,
    TellOf,
    Wanted,
    always,
    each,
    result_of,
    silent,
)
from ..remote import packed
from .connection import Connection
from .crew import Crew, Said, machines
from .host import TYPE, Share

if TYPE_CHECKING:
    from ..world import WorkerConfig, WorkerContext

TRIES = 3
"""How often a task may be begun whose machine is lost."""

TICK = 0.2
"""Seconds between looks at whether the cluster has room for more."""

PATIENCE = 15.0
"""Seconds without any actor after which the user is told what is waited for."""

log = logging.getLogger("samplerbench")


class Ray(Executor):
    """Runs tasks in actors, each of which holds a worker process and loads the model once.

    A task whose machine is lost is tried elsewhere, :data:`TRIES` times in all. Each actor has its
    part of the threads of torch, one at least, and as many cores. What cannot be sent runs in the
    thread that iterates. The actors live until the executor is closed; one map at a time has them.

    Args:
        address: as in :class:`.Connection`.
        jobs: how many actors; None for one a GPU, or one a core where tasks run on processors, and
            for more as the cluster grows.
        gpus: of each actor; None for one where tasks run on CUDA, and for none elsewhere.
        memory: bytes that each worker may hold; None for its part of what one may on its machine,
            0 for no limit.
        accelerator: type of the device that times are of, as Ray calls it, such as "H100"; "" for
            the one type that the cluster has.
    """

    keeps_limits = True

    def __init__(
        self,
        address: str = "",
        *,
        jobs: int | None = None,
        gpus: float | None = None,
        memory: int | None = None,
        accelerator: str = "",
    ) -> None:
        self._connection = Connection(address)
        self._jobs, self._gpus, self._memory = jobs, gpus, memory
        self._accelerator, self._required = accelerator, ""
        self._crew: Crew | None = None
        self._asked: tuple[str, int] | None = None

    @property
    def size(self) -> int:
        """Actors that were asked for; where the cluster is to decide, those that there are by now."""
        return self._jobs or (self._crew.room() if self._crew else 1)

    def map(
        self,
        tasks: Sequence[Task],
        world: WorkerContext,
        *,
        tell: TellOf = silent,
        limits: Sequence[float | None] = (),
        wanted: Wanted = always,
    ) -> Generator[tuple[int, Any], None, None]:
        """See :meth:`.Executor.map`."""
        if not tasks:
            return
        crew = self._hired(world.setting)
        setting = replace(world.setting, threads=crew.share.cpus)
        todo, within = deque(range(len(tasks))), each(limits, tasks)
        runs, begun, idle_since = dict[Any, int](), Counter[int](), time.monotonic()
        try:
            while todo or runs:
                crew.fit(len(todo) + len(runs))
                for member in crew.idle():
                    while todo and member.stream is None:
                        number = todo.popleft()
                        if not begun[number] and not wanted(number):
                            continue
                        if (sent := packed(tasks[number], setting)) is None:
                            here = InProcess().run
                            run = partial(here, tasks[number], world, tell=partial(tell, number))
                            yield number, result_of(run)
                            continue
                        begun[number] += 1
                        runs[member] = number
                        crew.give(member, sent, within[number])
                for said in crew.said(TICK):
                    number = runs[said.member]
                    for news in said.news:
                        tell(number, news)
                    if said.kind:
                        del runs[said.member]
                    if said.kind == "lost" and begun[number] < TRIES:
                        todo.appendleft(number)
                    elif said.kind:
                        yield number, _result(said)
                idle_since = _told_of_waiting(crew, idle_since)
        finally:
            crew.dismiss(crew.busy())
            if not self._connection.local:  # else the cluster would grow for nothing
                crew.dismiss(crew.waiting())

    def check(self) -> None:
        """See early that a cluster can be joined; nothing is joined or started.

        Raises:
            ValueError: Ray is not installed, or nobody answers at the address.
        """
        self._connection.check()

    def alone(self, device: str) -> Executor | None:
        """An actor that holds a whole GPU of one type: a GPU of this process may be another's.

        See :meth:`.Executor.alone`. On processors this process takes the times, unless a type of
        accelerator is asked for.
        """
        if self._gpus is not None and self._gpus < 1:
            raise ValueError(
                f"--gpus-per-worker {self._gpus:g} shares GPUs, and times need a whole one; leave "
                "it out, or give --no-timing"
            )
        if not self._accelerator and not device.startswith("cuda"):
            return None
        found = machines(self._opened(self._gpus or 1.0, 1))
        types = {
            name.removeprefix(TYPE) for each in found for name in each if name.startswith(TYPE)
        }
        if not self._accelerator and len(types) > 1:
            raise ValueError(
                f"the Ray cluster has GPUs of types {', '.join(sorted(types))}; say which one times "
                "are of, as --accelerator TYPE, or give --no-timing"
            )
        wanted = self._accelerator or next(iter(types), "")
        if wanted and wanted not in types:
            log.warning(
                "no machine of the Ray cluster has a device of type %s now; times wait for one.",
                wanted,
            )
        timer = Ray(self._connection.address, jobs=1, gpus=1.0, memory=self._memory)
        timer._required = wanted
        return timer

    def close(self) -> None:
        """End the actors, at once, and leave the cluster."""
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.dismiss(list(crew.members))
        self._connection.close()

    def _hired(self, setting: WorkerConfig) -> Crew:
        """The crew for tasks of a setting."""
        asked = (setting.device, setting.threads)
        if self._crew is not None and self._asked != asked:
            self._crew.dismiss(list(self._crew.members))
            self._crew = None
        if self._crew is None:
            self._asked = asked
            self._crew = self._made(*asked)
        return self._crew

    def _made(self, device: str, threads: int) -> Crew:
        gpus = (1.0 if device.startswith("cuda") else 0.0) if self._gpus is None else self._gpus
        ray = self._opened(gpus, threads)
        share = Share(_part(machines(ray), gpus, self._jobs, threads), gpus, self._required)
        grows = not self._connection.local
        crew = Crew(ray, share, self._jobs, self._memory, grows=grows)
        if not grows and not crew.room():
            raise ValueError(f"this machine has no {share} for a worker; --device cpu needs no GPU")
        return crew

    def _opened(self, gpus: float, threads: int) -> Any:
        """The module ``ray``, connected."""
        return self._connection.open(max(_cores(), self._jobs or 1, threads), _gpus(gpus))


def _result(said: Said) -> Any:
    """What became of a task that is not tried again.

    Raises:
        ValueError: it could not be prepared.
    """
    if said.kind == "done":
        return pickle.loads(said.value)
    if said.kind == "lost":
        return Failure(
            "crashed", f"its machine or its Ray actor was lost {TRIES} times: {said.value}"
        )
    node, lacks = said.member.node, said.member.lacks
    raise ValueError(
        f"{said.value} (on machine {node} of the Ray cluster"
        + (
            f"; {lacks}: files that the command names must be there at the same path, as on a shared"
            " file system"
            if lacks
            else ""
        )
        + ")"
    )


def _told_of_waiting(crew: Crew, since: float) -> float:
    """Since when no actor is there, or infinity where that was told already."""
    if len(crew.waiting()) < len(crew.members) or not crew.members:
        return time.monotonic() if since < float("inf") else since
    if time.monotonic() - since > PATIENCE:
        log.warning(
            "no machine of the Ray cluster has %s free; waiting for one. `ray status` says what "
            "there is.",
            crew.share,
        )
        return float("inf")
    return since


def _part(found: Sequence[dict[str, float]], gpus: float, jobs: int | None, threads: int) -> int:
    """Threads of each actor: its part of those that there are for all, and no more than cores that
    its machine has for it.

    Args:
        found: the resources of each machine.
        gpus: of each actor.
        jobs: how many actors; None for as many as there is room for.
        threads: for all.
    """
    alone = Share(1, gpus)
    count = jobs or sum(map(alone.room, found))
    most = (
        int(each.get("CPU", 0.0) // max(1, alone.room(each) if gpus else 1))
        for each in found
        if alone.room(each)
    )
    return max(1, min(threads // max(1, count), max(most, default=1)))


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus(each: float) -> int:
    """GPUs that torch sees here, where any are asked for."""
    if not each:
        return 0
    import torch

    return torch.cuda.device_count()
