"""Actors on a Ray cluster, each of which runs tasks in a :class:`.Worker`.

A sampler that crashes or exceeds a limit ends the worker process, and the actor lives on. A lost
actor therefore means a lost machine, and its task is tried elsewhere.
"""

from __future__ import annotations

import os
import pickle
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from .executor import result_or_failure
from .process_state import default_memory_limit
from .worker import Worker

PERIOD = 0.5  # seconds between reports of progress

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables that actors copy from the caller; Ray's values would change rounding."""

TYPE = "accelerator_type:"  # prefix of Ray's resource for the type of a machine's devices
LONGEST = 300  # most characters of Ray's message about a lost actor
STILLBORN = 3  # error after so many consecutive actors fail to start on a running machine
UNLUCKY = 100  # error after so many consecutive actors lose their machine before they start
QUERY = 2.0  # seconds between queries of the cluster's resources


def shared_versions() -> dict[str, str]:
    """Return the versions that all machines must share, by package; "" for one not installed."""
    found = {}
    for package in ("samplerbench", "torch"):
        try:
            found[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            found[package] = ""
    return found


class Environment(NamedTuple):
    """Working folder, ``sys.path`` and some variables (None if unset) of the calling process."""

    folder: str
    path: Sequence[str]
    variables: Mapping[str, str | None]

    @classmethod
    def of_this_process(cls) -> Environment:
        """Return this process's folder, path, and variables SAMPLERBENCH_* and :data:`THREADS`."""
        own = {
            name: value for name, value in os.environ.items() if name.startswith("SAMPLERBENCH_")
        }
        threads = {name: os.environ.get(name) for name in THREADS}
        return cls(os.getcwd(), tuple(sys.path), {**own, **threads})

    def apply(self) -> str:
        """Apply the environment; return "", or a clause if this machine lacks the folder."""
        for name, value in self.variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        sys.path += [path for path in self.path if path not in sys.path and Path(path).exists()]
        if not Path(self.folder).is_dir():
            return f"it has no folder {self.folder}"
        os.chdir(self.folder)
        return ""


class ActorResources(NamedTuple):
    """Cores and GPUs of a machine that one actor takes."""

    cpus: int  # number of cores, >= 1
    gpus: float = 0.0  # number of GPUs, >= 0, possibly a fraction
    accelerator: str = ""  # type of the GPU, as Ray calls it, such as "H100"; "" for any

    def count_actors(self, resources: Mapping[str, float]) -> int:
        """Return the number of actors that fit into an empty machine with these Ray resources.

        >>> ActorResources(2, 0.5).count_actors({"CPU": 16.0, "GPU": 2.0})
        4
        >>> ActorResources(1, 1, "H100").count_actors({"CPU": 16.0, "GPU": 2.0, "accelerator_type:A100": 1.0})
        0
        """
        if self.accelerator and f"{TYPE}{self.accelerator}" not in resources:
            return 0
        room = resources.get("CPU", 0.0) / self.cpus
        return int(min(room, resources.get("GPU", 0.0) / self.gpus) if self.gpus else room)

    def __str__(self) -> str:
        """Format as ``1 CPU and 0.5 GPU of type H100``."""
        device = f" of type {self.accelerator}" if self.accelerator else ""
        return f"{self.cpus} CPU" + (f" and {self.gpus:g} GPU{device}" if self.gpus else "")


class HostInfo(NamedTuple):
    """First message of an actor: machine, versions; ``lacks`` names a missing folder, or ""."""

    node: str
    versions: Mapping[str, str]
    lacks: str


class TaskActor:
    """Ray actor that runs tasks in a :class:`.Worker`.

    ``memory`` is the bytes that its tasks may hold. None divides the default limit by the number of
    actors that fit into the machine, or by ``most`` if that is smaller.
    """

    def __init__(
        self, environment: Environment, memory: int | None, share: ActorResources, most: int | None
    ) -> None:
        self._lacks = environment.apply()
        if memory is None:
            import ray  # pyright: ignore[reportMissingImports]

            here = ray.get_runtime_context().get_node_id()
            machine = next(node for node in ray.nodes() if node["NodeID"] == here)
            room = share.count_actors(machine["Resources"])
            memory = default_memory_limit() // max(1, room if most is None else min(room, most))
        self._worker = Worker(memory)
        self._worker.start()

    def describe_machine(self) -> HostInfo:
        """Return the :class:`HostInfo` of this machine."""
        return HostInfo(platform.node(), shared_versions(), self._lacks)

    def run(
        self, sent: tuple[bytes, bytes], limit: float | None
    ) -> Iterator[tuple[list[Any], str, Any]]:
        """Run a :func:`.packed` task; yield (news, kind, value) as in :class:`Message`."""
        news, answer = list[Any](), list[Any]()

        def work() -> None:
            try:
                result = result_or_failure(self._worker.run_packed, sent, news.append, limit)
                answer[:] = "done", pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
            except BaseException as error:
                words = str(error) if isinstance(error, ValueError) else repr(error)
                answer[:] = "unprepared", words

        thread = Thread(target=work, daemon=True)
        thread.start()
        thread.join(PERIOD)
        while thread.is_alive():
            if latest := news[:]:
                del news[: len(latest)]
                yield latest, "", None
            thread.join(PERIOD)
        yield news, *answer


@dataclass(eq=False)
class GroupActor:
    """Actor of a group, as the calling process sees it.

    ``starting`` is Ray's future of the :class:`HostInfo`, or None once the actor has started.
    ``stream`` yields Ray's futures of the present task's messages; it is None without a task.
    ``node`` and ``lacks`` are as in :class:`HostInfo`, and "" before the start.
    """

    actor: Any
    starting: Any
    stream: Any = None
    node: str = ""
    lacks: str = ""


class Message(NamedTuple):
    """Message about the task of ``member``; ``news`` has the progress since the last message.

    While the task runs, ``kind`` is "" and ``value`` None. For "done" the value is the pickled
    result. For "unprepared" (the task failed to load) and "lost" (the actor) it is the reason.
    """

    member: GroupActor
    news: list[Any]
    kind: str
    value: Any


class WorkerGroup:
    """Ray actors with equal numbers of cores and GPUs, started as the cluster has room for them.

    ``jobs`` is the largest number of actors, None for as many as fit. ``memory`` is each worker's
    limit as in :class:`.Ray`. ``grows`` is True if the cluster may get more machines.
    """

    def __init__(
        self, ray: Any, share: ActorResources, jobs: int | None, memory: int | None, *, grows: bool
    ) -> None:
        self.share, self.members = share, list[GroupActor]()
        self._ray, self._jobs, self._memory, self._grows = ray, jobs, memory, grows
        self._stillborn, self._unlucky, self._environment = 0, 0, Environment.of_this_process()
        self._queried, self._room = float("-inf"), 0

    def count_actors(self) -> int:
        """Return the number of actors that fit into the empty cluster."""
        if time.monotonic() - self._queried > QUERY:
            self._room = sum(map(self.share.count_actors, machine_resources(self._ray)))
            self._queried = time.monotonic()
        return self._room

    def start_actors(self, wanted: int) -> None:
        """Request more actors, up to ``wanted`` in all, but at most ``jobs``.

        Without ``jobs``, the limit is the number that fits into the cluster, or twice that if the
        cluster can grow: its autoscaler adds machines for waiting requests.
        """
        most = self._jobs
        if most is None:
            most = max(1, self.count_actors()) * (2 if self._grows else 1)
        for _ in range(min(wanted, most) - len(self.members)):
            self._start_actor()

    def idle(self) -> list[GroupActor]:
        """Return the actors that wait for a task."""
        return [m for m in self.members if m.starting is None and m.stream is None]

    def busy(self) -> list[GroupActor]:
        """Return the actors with a task."""
        return [m for m in self.members if m.stream is not None]

    def requested(self) -> list[GroupActor]:
        """Return the requested actors that have not started yet."""
        return [m for m in self.members if m.starting is not None]

    def start_task(
        self, member: GroupActor, sent: tuple[bytes, bytes], limit: float | None
    ) -> None:
        """Start a :func:`.packed` task on an idle actor; ``limit`` in seconds, None for none."""
        member.stream = member.actor.run.options(num_returns="streaming").remote(sent, limit)

    def messages(self, seconds: float) -> Iterator[Message]:
        """Wait for at most ``seconds``, and yield the messages about tasks that have arrived.

        Raises a ValueError if a machine has other versions, or no actor can start.
        """
        members = {m.starting if m.stream is None else m.stream: m for m in self.members}
        members.pop(None, None)
        if not members:
            return
        ready, _ = self._ray.wait(list(members), timeout=seconds)
        if ready:  # ask for all that are ready, not only the first
            ready, _ = self._ray.wait(list(members), num_returns=len(members), timeout=0)
        for ref in ready:
            if (message := self._read_message(members[ref])) is not None:
                yield message

    def dismiss(self, members: list[GroupActor]) -> None:
        """End actors at once, and remove them from the group."""
        for member in members:
            self.members.remove(member)
            with suppress(Exception):  # the cluster may be gone
                self._ray.kill(member.actor)

    def _start_actor(self) -> None:
        options = {
            "num_cpus": self.share.cpus,
            "num_gpus": self.share.gpus,
            "accelerator_type": self.share.accelerator or None,
            "scheduling_strategy": "SPREAD",
            "max_restarts": 0,  # this process retries lost tasks, a bounded number of times
        }
        host = self._ray.remote(TaskActor).options(**options)
        actor = host.remote(self._environment, self._memory, self.share, self._jobs)
        self.members.append(GroupActor(actor, actor.describe_machine.remote()))

    def _read_message(self, member: GroupActor) -> Message | None:
        """Read the next message of an actor; return None unless it is about a task."""
        started = member.starting is None
        try:
            if not started:
                self._register(member, self._ray.get(member.starting))
                return None
            message = Message(member, *self._ray.get(next(member.stream)))
        except (self._ray.exceptions.RayError, StopIteration) as error:
            self.dismiss([member])
            if started:
                return Message(member, [], "lost", loss_in_words(error))
            # Ray takes a while to notice a lost machine, and starts actors there meanwhile
            exceptions = self._ray.exceptions
            is_lost = isinstance(error, exceptions.RayActorError | exceptions.NodeDiedError)
            by_itself = getattr(error, "actor_init_failed", not is_lost)
            self._stillborn += by_itself
            self._unlucky += not by_itself
            if self._stillborn < STILLBORN and self._unlucky < UNLUCKY:
                return None
            raise ValueError(
                f"no Ray actor starts ({loss_in_words(error)}); samplerbench[cluster] must be "
                "installed on every machine of the cluster, where `ray start` is called"
            ) from error
        if message.kind:
            member.stream = None
        return message

    def _register(self, member: GroupActor, info: HostInfo) -> None:
        """Note that an actor has started; raises a ValueError if its machine has other versions."""
        self._stillborn, self._unlucky, member.starting = 0, 0, None
        member.node, member.lacks = info.node, info.lacks
        differences = " and ".join(
            f"{name} {info.versions[name] or 'none'} where this process has {mine or 'none'}"
            for name, mine in shared_versions().items()
            if mine != info.versions[name]
        )
        if differences:
            raise ValueError(
                f"machine {info.node} of the Ray cluster has {differences}; install the same versions "
                "on all machines, or numbers would depend on where they were made"
            )


def machine_resources(ray: Any) -> list[dict[str, float]]:
    """Return Ray's resources of each running machine, such as ``{"CPU": 16.0, "GPU": 2.0}``."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def loss_in_words(error: BaseException) -> str:
    """Return Ray's reason why an actor was lost, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if "because" in line or "Error: " in line]
    return (reasons[-1:] or lines[:1] or [type(error).__name__])[0][:LONGEST].rstrip(". ")
