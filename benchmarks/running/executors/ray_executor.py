"""Executor on the machines of a Ray cluster."""

from __future__ import annotations

import logging
import os
import pickle
import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from .executor import (
    Executor,
    Failure,
    Task,
    TellOf,
    Wanted,
    ignore_progress,
    one_limit_per_task,
    run_in_process,
    want_every_task,
)
from .ray_actors import TYPE, Message, Share, WorkerGroup, machine_resources
from .ray_connection import Connection
from .transport import packed

if TYPE_CHECKING:
    from .worker_context import WorkerConfig, WorkerContext

TRIES = 3  # most tries of a task whose machine is lost
TICK = 0.2  # seconds between checks for more room in the cluster
PATIENCE = 15.0  # seconds without any actor after which the user gets the reason for the wait

log = logging.getLogger("samplerbench")


class Ray(Executor):
    """Executor with actors, each of which holds a worker process and loads the model once.

    A task whose machine is lost is tried elsewhere, :data:`TRIES` times in all. Each actor has its
    part of the threads of torch, and as many cores. Tasks that cannot be sent run in the iterating
    thread. The actors serve one map at a time, and live until the executor is closed.

    Args:
        address: as in :class:`.Connection`.
        jobs: number of actors; None for one a GPU or core, and for more as the cluster grows.
        gpus: of each actor; None for one on CUDA, and for none elsewhere.
        memory: bytes that each worker may hold; None for its part of the default, 0 for no limit.
        accelerator: type of the timed device for Ray, such as "H100"; "" for the cluster's only one.
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
        self._group: WorkerGroup | None = None
        self._needs: tuple[str, int] | None = None

    @property
    def size(self) -> int:
        """Number of requested actors; if the cluster decides, the number that fits by now."""
        return self._jobs or (self._group.room() if self._group else 1)

    def map(
        self,
        tasks: Sequence[Task],
        world: WorkerContext,
        *,
        tell: TellOf = ignore_progress,
        limits: Sequence[float | None] = (),
        wanted: Wanted = want_every_task,
    ) -> Generator[tuple[int, Any], None, None]:
        """See :meth:`.Executor.map`."""
        if not tasks:
            return
        group = self._group_of_setting(world.setting)
        setting = replace(world.setting, threads=group.share.cpus)
        todo, within = deque(range(len(tasks))), one_limit_per_task(limits, tasks)
        runs, begun, idle_since = dict[Any, int](), Counter[int](), time.monotonic()
        try:
            while todo or runs:
                group.fit(len(todo) + len(runs))
                for member in group.idle():
                    while todo and member.stream is None:
                        number = todo.popleft()
                        if not begun[number] and not wanted(number):
                            continue
                        if (sent := packed(tasks[number], setting)) is None:
                            yield number, run_in_process(tasks[number], number, world, tell)
                            continue
                        begun[number] += 1
                        runs[member] = number
                        group.give(member, sent, within[number])
                for message in group.messages(TICK):
                    number = runs[message.member]
                    for news in message.news:
                        tell(number, news)
                    if message.kind:
                        del runs[message.member]
                    if message.kind == "lost" and begun[number] < TRIES:
                        todo.appendleft(number)
                    elif message.kind:
                        yield number, _result_or_raise(message)
                idle_since = _waiting_since(group, idle_since)
        finally:
            group.dismiss(group.busy())
            if not self._connection.local:  # else the cluster would grow for nothing
                group.dismiss(group.waiting())

    def check(self) -> None:
        """Check early that a cluster can be joined, without joining or starting one."""
        self._connection.check()

    def alone(self, device: str) -> Executor | None:
        """See :meth:`.Executor.alone`: the executor has an actor with a whole GPU of one type.

        On processors this process takes the times, unless a type of accelerator is requested.
        """
        if self._gpus is not None and self._gpus < 1:
            raise ValueError(
                f"--gpus-per-worker {self._gpus:g} shares GPUs, and times need a whole one; leave "
                "it out, or give --no-timing"
            )
        if not self._accelerator and not device.startswith("cuda"):
            return None
        names = chain(*machine_resources(self._connected_ray(self._gpus or 1.0, 1)))
        types = {name.removeprefix(TYPE) for name in names if name.startswith(TYPE)}
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
        group, self._group = self._group, None
        if group is not None:
            group.dismiss(list(group.members))
        self._connection.close()

    def _group_of_setting(self, setting: WorkerConfig) -> WorkerGroup:
        """Return the group for tasks of a setting, a new one if it needs another share."""
        needs = (setting.device, setting.threads)
        if self._group is not None and self._needs != needs:
            self._group.dismiss(list(self._group.members))
            self._group = None
        if self._group is None:
            self._needs = needs
            self._group = self._make_group(*needs)
        return self._group

    def _make_group(self, device: str, threads: int) -> WorkerGroup:
        gpus = float(device.startswith("cuda")) if self._gpus is None else self._gpus
        ray = self._connected_ray(gpus, threads)
        share = Share(
            _threads_per_actor(machine_resources(ray), gpus, self._jobs, threads),
            gpus,
            self._required,
        )
        grows = not self._connection.local
        group = WorkerGroup(ray, share, self._jobs, self._memory, grows=grows)
        if not grows and not group.room():
            raise ValueError(f"this machine has no {share} for a worker; --device cpu needs no GPU")
        return group

    def _connected_ray(self, gpus_per_actor: float, threads: int) -> Any:
        """Return the module ``ray``, connected."""
        cores = os.cpu_count() or 1
        if hasattr(os, "sched_getaffinity"):
            cores = len(os.sched_getaffinity(0))
        gpus = 0
        if gpus_per_actor:
            import torch

            gpus = torch.cuda.device_count()
        return self._connection.open(max(cores, self._jobs or 1, threads), gpus)


def _result_or_raise(message: Message) -> Any:
    """Return the outcome of a task that is not tried again, or raise why it was not prepared."""
    if message.kind == "done":
        return pickle.loads(message.value)
    if message.kind == "lost":
        return Failure(
            "crashed", f"its machine or its Ray actor was lost {TRIES} times: {message.value}"
        )
    place = f"on machine {message.member.node} of the Ray cluster"
    if lacks := message.member.lacks:
        place += (
            f"; {lacks}: files that the command names must be there at the same path, as on a "
            "shared file system"
        )
    raise ValueError(f"{message.value} ({place})")


def _waiting_since(group: WorkerGroup, since: float) -> float:
    """Return when the wait for an actor began; infinity once it is reported."""
    if len(group.waiting()) < len(group.members) or not group.members:
        return time.monotonic() if since < float("inf") else since
    if time.monotonic() - since > PATIENCE:
        log.warning(
            "no machine of the Ray cluster has %s free; waiting for one. `ray status` says what "
            "there is.",
            group.share,
        )
        return float("inf")
    return since


def _threads_per_actor(
    nodes: Sequence[dict[str, float]], gpus: float, jobs: int | None, threads: int
) -> int:
    """Return the threads of each actor: its part of all, at most its part of a machine's cores."""
    alone = Share(1, gpus)
    count = jobs or sum(map(alone.room, nodes))
    most = (
        int(machine.get("CPU", 0.0) // max(1, alone.room(machine) if gpus else 1))
        for machine in nodes
        if alone.room(machine)
    )
    return max(1, min(threads // max(1, count), max(most, default=1)))
