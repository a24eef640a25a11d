"""Actor on a node of the cluster, with a :class:`.Worker`.

The worker keeps limits of time and memory, and dies in the place of the actor. So the death of a
sampler's process differs from the loss of a machine, after which a task is tried elsewhere.
"""

from __future__ import annotations

import os
import pickle
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, NamedTuple

from .executor import result_of
from .worker import Worker, memory_limit

PERIOD = 0.5
"""Seconds between reports of progress."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables that the processes of a node copy from this one, unset ones too: Ray sets
the first, and sums depend on it in their last digit.
"""
TYPE = "accelerator_type:"
"""Prefix of Ray's resource for the type of a machine's devices."""
OWN = "SAMPLERBENCH_"
"""Prefix of this package's environment variables."""


class Facts(NamedTuple):
    """Versions that all machines must share for equal samples.

    Attributes:
        samplerbench, torch: versions, without the part after a "+"; "" if missing. Ray itself
            compares its own version and Python's.
    """

    samplerbench: str
    torch: str

    @classmethod
    def here(cls) -> Facts:
        """Return the facts of this process."""
        return cls(_version("samplerbench"), _version("torch"))

    def differences(self, other: Facts) -> str:
        """Describe the differences of another machine from this one; "" for none."""
        return " and ".join(
            f"{name} {theirs or 'none'} where this process has {mine or 'none'}"
            for name, mine, theirs in zip(self._fields, self, other, strict=True)
            if mine != theirs
        )


class Place(NamedTuple):
    """Environment of the calling process.

    Attributes:
        folder: its working folder.
        path: search path of modules.
        environment: its relevant variables; None for an unset one.
    """

    folder: str
    path: Sequence[str]
    environment: Mapping[str, str | None]

    @classmethod
    def here(cls) -> Place:
        """Return the environment of this process."""
        own = {name: value for name, value in os.environ.items() if name.startswith(OWN)}
        return cls(
            os.getcwd(),
            tuple(sys.path),
            {**own, **{name: os.environ.get(name) for name in THREADS}},
        )

    def take(self) -> str:
        """Apply the environment, if this machine has the same folders; describe missing parts."""
        for name, value in self.environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        sys.path += [path for path in self.path if path not in sys.path and Path(path).exists()]
        if not Path(self.folder).is_dir():
            return f"it has no folder {self.folder}"
        os.chdir(self.folder)
        return ""


class Share(NamedTuple):
    """Share of a machine for one actor.

    Attributes:
        cpus: cores, >= 1.
        gpus: number, or part, of devices.
        accelerator: type of the device, as Ray calls it, such as "H100"; "" for any.
    """

    cpus: int
    gpus: float = 0.0
    accelerator: str = ""

    def room(self, resources: Mapping[str, float]) -> int:
        """Return the number of actors that fit into an empty machine.

        >>> Share(2, 0.5).room({"CPU": 16.0, "GPU": 2.0})
        4
        >>> Share(1, 1, "H100").room({"CPU": 16.0, "GPU": 2.0, "accelerator_type:A100": 1.0})
        0
        """
        if self.accelerator and f"{TYPE}{self.accelerator}" not in resources:
            return 0
        room = resources.get("CPU", 0.0) / self.cpus
        return int(min(room, resources.get("GPU", 0.0) / self.gpus) if self.gpus else room)

    def room_here(self) -> int:
        """Return :meth:`room` of the machine on which an actor runs."""
        import ray  # pyright: ignore[reportMissingImports]

        node_id = ray.get_runtime_context().get_node_id()
        return next(
            self.room(node["Resources"]) for node in ray.nodes() if node["NodeID"] == node_id
        )

    def __str__(self) -> str:
        """Format as ``1 CPU and 0.5 GPU of type H100``."""
        device = f" of type {self.accelerator}" if self.accelerator else ""
        return f"{self.cpus} CPU" + (f" and {self.gpus:g} GPU{device}" if self.gpus else "")


class About(NamedTuple):
    """First message of an actor.

    Attributes:
        node: name of its machine.
        facts: of its process.
        lacks: missing parts of the machine, in words; "" for none.
    """

    node: str
    facts: Facts
    lacks: str


class Host:
    """Actor that runs tasks in a worker.

    Args:
        place: of the calling process.
        memory: bytes that the worker may hold; None for its part of the default, 0 for no limit.
        share: of its machine.
        most: number of actors in all; None for as many as fit.
    """

    def __init__(self, place: Place, memory: int | None, share: Share, most: int | None) -> None:
        self._lacks = place.take()
        if memory is None:
            room = share.room_here()
            memory = memory_limit() // max(1, room if most is None else min(room, most))
        self._worker = Worker(memory)
        self._worker.start()

    def about(self) -> About:
        """Describe this machine."""
        return About(platform.node(), Facts.here(), self._lacks)

    def run(
        self, sent: tuple[bytes, bytes], limit: float | None
    ) -> Iterator[tuple[list[Any], str, Any]]:
        """Run a task that is :func:`.packed`.

        Yields:
            News, and the outcome: "" while it runs; "done" and the pickled result, or failure; or
                "unprepared" and the sentence.
        """
        messages: SimpleQueue[tuple[str, Any]] = SimpleQueue()

        def work() -> None:
            try:
                run = partial(
                    self._worker.run_packed, sent, lambda news: messages.put(("", news)), limit
                )
                messages.put(("done", pickle.dumps(result_of(run), pickle.HIGHEST_PROTOCOL)))
            except BaseException as error:
                words = str(error) if isinstance(error, ValueError) else repr(error)
                messages.put(("unprepared", words))

        Thread(target=work, daemon=True).start()
        while True:
            news, until = [], monotonic() + PERIOD
            while (seconds_left := until - monotonic()) > 0:
                try:
                    kind, value = messages.get(timeout=seconds_left)
                except Empty:
                    break
                if kind:
                    yield news, kind, value
                    return
                news.append(value)
            if news:
                yield news, "", None


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return ""
