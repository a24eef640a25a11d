"""Executor on the machines of a Ray cluster."""

from __future__ import annotations

import logging
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
    run_in_this_process,
    want_every_task,
)
from .process_state import cores
from .ray_actors import TYPE, ActorResources, Message, WorkerGroup, machine_resources
from .ray_connection import Connection
from .transport import packed

if TYPE_CHECKING:
    from .worker_context import WorkerConfig, WorkerContext

TRIES = 3  # most tries of a task whose machines are lost
TICK = 0.2  # seconds between checks for more room in the cluster
PATIENCE = 15.0  # seconds without any actor after which a warning gives the reason

log = logging.getLogger("samplerbench")


class Ray(Executor):
    """Executor on a Ray cluster, with actors that each have a worker process and load models once.

    A task whose machine is lost is tried elsewhere, :data:`TRIES` times in all. The actors share
    torch's threads equally, and each has a core per thread. Tasks that cannot be pickled run in the
    thread that iterates :meth:`map`. Only one map runs at a time. Actors live until :meth:`close`.

    Args:
        address: as in :class:`.Connection`.
        jobs: number of actors; None for one per GPU or core, and more as the cluster grows.
        gpus: GPUs of each actor, possibly a fraction; None for 1 on CUDA and 0 elsewhere.
        memory: bytes each worker may hold, 0 for no limit; None shares 80 % of the memory equally.
        accelerator: Ray's type of the GPU for timing, such as "H100"; "" if there is only one type.
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
        self._accelerator, self._required_type = accelerator, ""
        self._group: WorkerGroup | None = None
        self._needs: tuple[str, int] | None = None

    @property
    def size(self) -> int:
        """Number of actors: ``jobs``, or the number that fits into the cluster; 1 before a task."""
        return self._jobs or (self._group.count_actors() if self._group else 1)

    def map(
        self,
        tasks: Sequence[Task],
        context: WorkerContext,
        *,
        tell: TellOf = ignore_progress,
        limits: Sequence[float | None] = (),
        wanted: Wanted = want_every_task,
    ) -> Generator[tuple[int, Any], None, None]:
        """Yield (index, result) of tasks as they finish; see :meth:`.Executor.map`."""
        if not tasks:
            return
        group = self._group_of_setting(context.setting)
        setting = replace(context.setting, threads=group.share.cpus)
        todo, within = deque(range(len(tasks))), limits or [None] * len(tasks)
        runs, begun, idle_since = dict[Any, int](), Counter[int](), time.monotonic()
        try:
            while todo or runs:
                group.start_actors(len(todo) + len(runs))
                for member in group.idle():
                    while todo and member.stream is None:
                        number = todo.popleft()
                        if not begun[number] and not wanted(number):
                            continue
                        if (sent := packed(tasks[number], setting)) is None:
                            yield number, run_in_this_process(tasks[number], number, context, tell)
                            continue
                        begun[number] += 1
                        runs[member] = number
                        group.start_task(member, sent, within[number])
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
            if not self._connection.is_private:  # else the cluster would grow for nothing
                group.dismiss(group.requested())

    def check(self) -> None:
        """Check that a cluster can be reached (:meth:`.Connection.check`), without joining it."""
        self._connection.check()

    def alone(self, device: str) -> Executor | None:
        """Return an executor with one actor, which has a whole GPU of one type.

        The result is None on "cpu" without an ``accelerator``: this process then takes the times.
        Raises a ValueError if actors share GPUs, or the cluster has GPUs of several types.
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
        timer._required_type = wanted
        return timer

    def close(self) -> None:
        """End the actors at once, and leave the cluster."""
        group, self._group = self._group, None
        if group is not None:
            group.dismiss(list(group.members))
        self._connection.close()

    def _group_of_setting(self, setting: WorkerConfig) -> WorkerGroup:
        """Return the actors for a setting, new ones if device or number of threads changed."""
        device, threads = needs = setting.device, setting.threads
        if self._group is not None:
            if self._needs == needs:
                return self._group
            self._group.dismiss(list(self._group.members))
            self._group = None
        self._needs = needs
        gpus = float(device.startswith("cuda")) if self._gpus is None else self._gpus
        ray = self._connected_ray(gpus, threads)
        cpus = _threads_per_actor(machine_resources(ray), gpus, self._jobs, threads)
        share = ActorResources(cpus, gpus, self._required_type)
        grows = not self._connection.is_private
        group = WorkerGroup(ray, share, self._jobs, self._memory, grows=grows)
        if not grows and not group.count_actors():
            raise ValueError(f"this machine has no {share} for a worker; --device cpu needs no GPU")
        self._group = group
        return group

    def _connected_ray(self, gpus_per_actor: float, threads: int) -> Any:
        """Connect to the cluster, or start a private one, and return the module ``ray``."""
        gpus = 0
        if gpus_per_actor:
            import torch

            gpus = torch.cuda.device_count()
        return self._connection.open(max(cores(), self._jobs or 1, threads), gpus)


def _result_or_raise(message: Message) -> Any:
    """Return the result or Failure in a task's last message; raise a ValueError if "unprepared"."""
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
    """Return the start of the wait for an actor: now if one runs, infinity after a warning."""
    if len(group.requested()) < len(group.members) or not group.members:
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
    """Return each actor's equal share of ``threads``, at most its share of a machine's cores."""
    alone = ActorResources(1, gpus)
    count = jobs or sum(map(alone.count_actors, nodes))
    most = (
        int(machine.get("CPU", 0.0) // max(1, alone.count_actors(machine) if gpus else 1))
        for machine in nodes
        if alone.count_actors(machine)
    )
    return max(1, min(threads // max(1, count), max(most, default=1)))
