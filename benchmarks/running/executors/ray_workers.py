"""Actors of a map: hired as the cluster has room, and replaced when their machine is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from .ray_host import About, Facts, Host, Place, Share

LONGEST = 300
"""Longest part of Ray's message about a loss, in letters."""

STILLBORN = 3
"""Consecutive actors that fail to start on a running machine, until an error."""

UNLUCKY = 100
"""Consecutive actors whose machines are lost before they start, until an error."""

LOOK = 2.0
"""Seconds between queries of the cluster's resources."""


@dataclass(eq=False)
class Member:
    """Actor of the crew.

    Attributes:
        actor: Ray's handle.
        starting: becomes its :class:`.About` when it has started; None afterwards.
        stream: of the task that it runs, or None.
        node: name of its machine, once it has started.
        lacks: missing parts of its machine, in words.
    """

    actor: Any
    starting: Any
    stream: Any = None
    node: str = ""
    lacks: str = ""


class Said(NamedTuple):
    """Message of an actor about its task.

    Attributes:
        member: the actor.
        news: progress of the task.
        kind: "" while it runs; "done", "unprepared", or "lost" with the actor.
        value: the pickled result, or a sentence.
    """

    member: Member
    news: list[Any]
    kind: str
    value: Any


class WorkerGroup:
    """Actors that each have the same share of a machine.

    Args:
        ray: the module, connected.
        share: of each.
        jobs: largest number; None for as many as fit.
        memory: bytes that each may hold, as in :class:`.Host`.
        grows: True if the cluster may get more machines.
    """

    def __init__(
        self, ray: Any, share: Share, jobs: int | None, memory: int | None, *, grows: bool
    ) -> None:
        self.share, self.members = share, list[Member]()
        self._ray, self._jobs, self._memory, self._grows = ray, jobs, memory, grows
        self._stillborn, self._unlucky, self._place = 0, 0, Place.here()
        self._looked, self._room = float("-inf"), 0

    def room(self) -> int:
        """Return the number of actors that fit into the empty cluster, queried every
        :data:`LOOK`.
        """
        if time.monotonic() - self._looked > LOOK:
            self._room = sum(self.share.room(resources) for resources in machines(self._ray))
            self._looked = time.monotonic()
        return self._room

    def fit(self, wanted: int) -> None:
        """Hire actors up to the wanted number and the cluster's room.

        A cluster that may grow gets twice the requests: they wait, and an autoscaler sees them.
        """
        most = self._jobs
        if most is None:
            most = max(1, self.room()) * (2 if self._grows else 1)
        for _ in range(min(wanted, most) - len(self.members)):
            self._hire()

    def idle(self) -> list[Member]:
        """Return the actors that wait for a task."""
        return [m for m in self.members if m.starting is None and m.stream is None]

    def busy(self) -> list[Member]:
        """Return the actors with a task."""
        return [m for m in self.members if m.stream is not None]

    def waiting(self) -> list[Member]:
        """Return the actors that have not started yet."""
        return [m for m in self.members if m.starting is not None]

    def give(self, member: Member, sent: tuple[bytes, bytes], limit: float | None) -> None:
        """Run a task on an actor."""
        member.stream = member.actor.run.options(num_returns="streaming").remote(sent, limit)

    def said(self, seconds: float) -> Iterator[Said]:
        """Yield the messages about tasks, after a wait of at most this many seconds.

        Raises:
            ValueError: machines have other versions, or no actor can start.
        """
        members = {m.starting if m.stream is None else m.stream: m for m in self.members}
        members.pop(None, None)
        if not members:
            return
        ready, _ = self._ray.wait(list(members), timeout=seconds)
        if ready:  # of the others, those that are ready too
            ready, _ = self._ray.wait(list(members), num_returns=len(members), timeout=0)
        for ref in ready:
            if (message := self._read_message(members[ref])) is not None:
                yield message

    def dismiss(self, members: list[Member]) -> None:
        """End actors, at once."""
        for member in members:
            self.members.remove(member)
            with suppress(Exception):  # the cluster may be gone
                self._ray.kill(member.actor)

    def _hire(self) -> None:
        options = {
            "num_cpus": self.share.cpus,
            "num_gpus": self.share.gpus,
            "accelerator_type": self.share.accelerator or None,
            "scheduling_strategy": "SPREAD",
            "max_restarts": 0,  # this process retries lost tasks, a bounded number of times
        }
        host = self._ray.remote(Host).options(**options)
        actor = host.remote(self._place, self._memory, self.share, self._jobs)
        self.members.append(Member(actor, actor.about.remote()))

    def _read_message(self, member: Member) -> Said | None:
        """Read a message of an actor; None if it is not about a task."""
        started = member.starting is None
        try:
            if not started:
                self._register(member, self._ray.get(member.starting))
                return None
            message = Said(member, *self._ray.get(next(member.stream)))
        except (self._ray.exceptions.RayError, StopIteration) as error:
            self.dismiss([member])
            if started:
                return Said(member, [], "lost", in_words(error))
            # of a machine that is gone it takes Ray a while to know
            by_itself = getattr(error, "actor_init_failed", not _is_actor_loss(self._ray, error))
            self._stillborn += by_itself
            self._unlucky += not by_itself
            if self._stillborn < STILLBORN and self._unlucky < UNLUCKY:
                return None
            raise ValueError(
                f"no Ray actor starts ({in_words(error)}); samplerbench[cluster] must be "
                "installed on every machine of the cluster, where `ray start` is called"
            ) from error
        if message.kind:
            member.stream = None
        return message

    def _register(self, member: Member, about: About) -> None:
        """Register an actor that has started."""
        self._stillborn, self._unlucky, member.starting = 0, 0, None
        member.node, member.lacks = about.node, about.lacks
        if differences := Facts.here().differences(about.facts):
            raise ValueError(
                f"machine {about.node} of the Ray cluster has {differences}; install the same versions "
                "on all machines, or numbers would depend on where they were made"
            )


def _is_actor_loss(ray: Any, error: BaseException) -> bool:
    """Return True if an actor was lost, rather than its code or its environment at fault."""
    return isinstance(error, ray.exceptions.RayActorError | ray.exceptions.NodeDiedError)


def machines(ray: Any) -> list[dict[str, float]]:
    """Return the resources of each machine of the cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def in_words(error: BaseException) -> str:
    """Return Ray's reason for a loss, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if "because" in line or "Error: " in line]
    return (reasons[-1:] or lines[:1] or [type(error).__name__])[0][:LONGEST].rstrip(". ")
