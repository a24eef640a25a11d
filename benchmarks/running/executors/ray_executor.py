"""Executor on the machines of a Ray cluster."""

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

from .executor import (
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
from .ray_connection import Connection
from .ray_host import TYPE, Share
from .ray_workers import Said, WorkerGroup, machines
from .transport import packed

if TYPE_CHECKING:
    from .worker_context import WorkerConfig, WorkerContext

TRIES = 3
"""Most tries of a task whose machine is lost."""

TICK = 0.2
"""Seconds between checks for more room in the cluster."""

PATIENCE = 15.0
"""Seconds without any actor after which the user gets the reason for the wait."""

log = logging.getLogger("samplerbench")


class Ray(Executor):
    """Executor with actors, each of which holds a worker process and loads the model once.

    A task whose machine is lost is tried elsewhere, :data:`TRIES` times in all. Each actor has its
    part of the threads of torch, one at least, and as many cores. Tasks that cannot be sent run in
    the iterating thread. The actors serve one map at a time, and live until the executor is closed.

    Args:
        address: as in :class:`.Connection`.
        jobs: number of actors; None for one a GPU, or one a core for tasks on processors, and for
            more as the cluster grows.
        gpus: of each actor; None for one on CUDA, and for none elsewhere.
        memory: bytes that each worker may hold; None for its part of the machine's default, 0 for
            no limit.
        accelerator: type of the timed device, as Ray calls it, such as "H100"; "" for the only type
            of the cluster.
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
        self._crew: WorkerGroup | None = None
        self._asked: tuple[str, int] | None = None

    @property
    def size(self) -> int:
        """Number of requested actors; if the cluster decides, the number that fits by now."""
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
        crew = self._crew_for(world.setting)
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
                            local = InProcess().run
                            run = partial(local, tasks[number], world, tell=partial(tell, number))
                            yield number, result_of(run)
                            continue
                        begun[number] += 1
                        runs[member] = number
                        crew.give(member, sent, within[number])
                for message in crew.said(TICK):
                    number = runs[message.member]
                    for news in message.news:
                        tell(number, news)
                    if message.kind:
                        del runs[message.member]
                    if message.kind == "lost" and begun[number] < TRIES:
                        todo.appendleft(number)
                    elif message.kind:
                        yield number, _result(message)
                idle_since = _waiting_since(crew, idle_since)
        finally:
            crew.dismiss(crew.busy())
            if not self._connection.local:  # else the cluster would grow for nothing
                crew.dismiss(crew.waiting())

    def check(self) -> None:
        """Check early that a cluster can be joined, without joining or starting one.

        Raises:
            ValueError: Ray is not installed, or no cluster answers at the address.
        """
        self._connection.check()

    def alone(self, device: str) -> Executor | None:
        """Return an executor with an actor that holds a whole GPU of one type.

        See :meth:`.Executor.alone`. On processors this process takes the times, unless a type of
        accelerator is given.
        """
        if self._gpus is not None and self._gpus < 1:
            raise ValueError(
                f"--gpus-per-worker {self._gpus:g} shares GPUs, and times need a whole one; leave "
                "it out, or give --no-timing"
            )
        if not self._accelerator and not device.startswith("cuda"):
            return None
        nodes = machines(self._connected_ray(self._gpus or 1.0, 1))
        types = {
            name.removeprefix(TYPE)
            for machine in nodes
            for name in machine
            if name.startswith(TYPE)
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

    def _crew_for(self, setting: WorkerConfig) -> WorkerGroup:
        """Return the crew for tasks of a setting."""
        needs = (setting.device, setting.threads)
        if self._crew is not None and self._asked != needs:
            self._crew.dismiss(list(self._crew.members))
            self._crew = None
        if self._crew is None:
            self._asked = needs
            self._crew = self._make_crew(*needs)
        return self._crew

    def _make_crew(self, device: str, threads: int) -> WorkerGroup:
        gpus = (1.0 if device.startswith("cuda") else 0.0) if self._gpus is None else self._gpus
        ray = self._connected_ray(gpus, threads)
        share = Share(_part(machines(ray), gpus, self._jobs, threads), gpus, self._required)
        grows = not self._connection.local
        crew = WorkerGroup(ray, share, self._jobs, self._memory, grows=grows)
        if not grows and not crew.room():
            raise ValueError(f"this machine has no {share} for a worker; --device cpu needs no GPU")
        return crew

    def _connected_ray(self, gpus: float, threads: int) -> Any:
        """Return the module ``ray``, connected."""
        return self._connection.open(max(_cores(), self._jobs or 1, threads), _gpus(gpus))


def _result(message: Said) -> Any:
    """Return the outcome of a task that is not tried again.

    Raises:
        ValueError: it could not be prepared.
    """
    if message.kind == "done":
        return pickle.loads(message.value)
    if message.kind == "lost":
        return Failure(
            "crashed", f"its machine or its Ray actor was lost {TRIES} times: {message.value}"
        )
    node, lacks = message.member.node, message.member.lacks
    raise ValueError(
        f"{message.value} (on machine {node} of the Ray cluster"
        + (
            f"; {lacks}: files that the command names must be there at the same path, as on a shared"
            " file system"
            if lacks
            else ""
        )
        + ")"
    )


def _waiting_since(crew: WorkerGroup, since: float) -> float:
    """Return when the wait for an actor began; infinity once it is reported."""
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


def _part(nodes: Sequence[dict[str, float]], gpus: float, jobs: int | None, threads: int) -> int:
    """Return the threads of each actor: its part of the total, at most the machine's cores for it.

    Args:
        nodes: the resources of each machine.
        gpus: of each actor.
        jobs: number of actors; None for as many as fit.
        threads: for all.
    """
    alone = Share(1, gpus)
    count = jobs or sum(map(alone.room, nodes))
    most = (
        int(machine.get("CPU", 0.0) // max(1, alone.room(machine) if gpus else 1))
        for machine in nodes
        if alone.room(machine)
    )
    return max(1, min(threads // max(1, count), max(most, default=1)))


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus(per_actor: float) -> int:
    """Return the number of GPUs that torch sees in this process; 0 if none is requested."""
    if not per_actor:
        return 0
    import torch

    return torch.cuda.device_count()
