"""Runs of a stranger's solver in a process that has no model: it sees tensors only.

The parent process holds the model and the answers. A fresh child process holds the solver's file, and asks
the parent for each evaluation, which the parent checks and counts. The child is a fork of a server that
has imported torch and the samplers, but no model. Its messages are JSON and tensors, never pickles. A child
that lies, dies, hangs or writes garbage gives a sentence in place of samples.

This is no sandbox of the machine. The child is a process of the same user: it can read files, use the
network, keep files outside its folder, stop other processes, or read the memory of the parent. So run
strangers' code in a container without a network. A file can also carry tables of known problems, and code to
recognise them. So problems that a solver must not know are drawn after its file was handed in.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, Timer
from time import monotonic
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ...results.board.submission import Line
from ..planning.budget import grid_for_counting, most_steps_within
from ..planning.schedules import Schedule, make_schedule
from ..running.executors.process_state import describe_exit
from ..sampling.failure import error_in_words
from .solver_process import READY, receive_tensor, send

MOST_SEARCH = 2_000_000  # evaluations in all while a solver tunes
LONGEST_HEAD = 2**16  # bytes of a message's head
LARGEST = 2**28  # bytes of a message's states
PATIENCE = 30.0  # seconds in which the server answers, unless a solver has stopped it
FLOATS = ("float32", "float64")
GARBAGE = "its process wrote garbage in place of a message"
Size = Annotated[int, Field(ge=0)]
RowDenoise = Callable[[Tensor, float | Tensor, Tensor], Tensor]
"""Function (states, a level or one per row, int64 indices of rows in the batch) that denoises."""


@dataclass(frozen=True)
class SolverFacts:
    """Facts that a file's sampler declares; ``tunes`` is True if the file defines ``tune()``."""

    label: Line
    stochastic: bool
    adaptive: bool
    order: int | None
    tunes: bool


@dataclass(frozen=True, eq=False)
class Job:
    """Run of a solver on one batch.

    Attributes:
        path: Python file of the solver, of which the child gets a copy.
        sampler: spec of a sampler in the file; "" for the only one.
        schedule: spec of a schedule by formula, which is not used if the file has ``tune``.
        budget: most evaluations a sample, without those of ``tune``.
        sigma_min, sigma_max: range of noise levels.
        x: states ``(batch, *event)`` at sigma_max, float32 or float64.
        noise_seed: seed of a stochastic solver's noise; not the seed of the latents.
        seconds: limit of the wall time.
        denoise: :data:`RowDenoise`, called in this process for each request of the solver.
        draw: returns n initial states at sigma_max for ``tune``, from latents that are not scored.
    """

    path: Path
    sampler: str
    schedule: str
    budget: int
    sigma_min: float
    sigma_max: float
    x: Tensor
    noise_seed: int
    seconds: float
    denoise: RowDenoise
    draw: Callable[[int], Tensor]


@dataclass(eq=False)
class Outcome:
    """Result of a job.

    Attributes:
        samples: ``(batch, *event)``, like the states; None after a failure.
        rows: evaluations that were served while sampling, as a total over the batch.
        search: evaluations that were served while ``tune`` ran.
        failure: sentence; "" without a failure.
    """

    samples: Tensor | None = None
    rows: int = 0
    search: int = 0
    failure: str = ""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    do: Literal["facts", "nfe", "tuned", "samples", "failed", "evaluate", "draw"]
    tensors: tuple[tuple[Line, tuple[Size, ...]], ...]
    facts: SolverFacts | None = None
    nfe: int | None = None
    n: Size = 0
    sigma: float | None = None
    why: str = ""


class _Server:
    """Server that forks solvers' processes. Its environment variables say nothing of problems."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair()
        module = f"{__package__}.solver_process"
        code = f"import sys; sys.path[:] = {sys.path!r}; from {module} import serve; serve"
        env = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        env |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        env |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", f"{code}({theirs.fileno()})"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=env,
                start_new_session=True,
            )
        atexit.register(self.close)
        if self.control.recv(1) != READY:
            raise RuntimeError("the server of solvers' processes did not start: see its error")
        self.control.settimeout(PATIENCE)

    def close(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()
        atexit.unregister(self.close)

    def end_job(self) -> str:
        """Kill the running process, and return a clause on how it ended."""
        with suppress(OSError):
            self.control.sendall(READY)
            if len(code := self.control.recv(4)) == 4:
                number = int.from_bytes(code, "little", signed=True)
                killed = number == -signal.SIGKILL
                return "was killed, or closed its connection" if killed else describe_exit(number)
        self.close()
        return "stopped the server that started it"


_SERVERS: dict[int, _Server] = {}  # by process id: a fork cannot use its parent's server
_ONE = Lock()


@contextmanager
def _solver_process(path: Path, seconds: float) -> Iterator[Connection]:
    """Connect to a process on a copied file; raise ValueError if late, dead or writing garbage."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    with _ONE, TemporaryDirectory(prefix="solver-", ignore_cleanup_errors=True) as folder:
        Path(folder, path.name).write_bytes(path.read_bytes())
        server = _SERVERS.get(os.getpid())
        if server is None or server.process.poll() is not None:
            server = _SERVERS[os.getpid()] = _Server()
        ours, theirs = socket.socketpair()
        why, begun = "", monotonic()
        # all waiting for the solver ends when its socket is shut
        timer = Timer(seconds, ours.shutdown, [socket.SHUT_RDWR])
        timer.start()
        with ours, Connection(os.dup(ours.fileno())) as pipe:
            try:
                with theirs:
                    socket.send_fds(server.control, [os.fsencode(folder)], [theirs.fileno()])
                server.control.recv(1)
                yield pipe
            except (EOFError, ConnectionError):
                why = "its process {}"
            except OSError:
                why = GARBAGE
            finally:
                late = monotonic() - begun >= seconds
                timer.cancel()
                timer.join()
                ending = server.end_job()
        if why:
            raise ValueError(f"it took more than {seconds:g} s" if late else why.format(ending))


def _ask(
    pipe: Connection,
    command: dict[str, Any],
    answer: str,
    *tensors: Tensor,
    serve: Callable[[_Message], None] | None = None,
) -> _Message:
    """Send a command, serve requests until ``answer`` comes, return it; else raise ValueError."""
    send(pipe, command, *tensors)
    while True:
        try:
            message = _Message.model_validate_json(pipe.recv_bytes(LONGEST_HEAD))
        except ValueError:
            raise ValueError(GARBAGE) from None
        if message.do == "failed":
            words = "".join(c if c.isprintable() else " " for c in message.why).split()
            raise ValueError(" ".join(words)[:300])
        if message.do == answer:
            return message
        if serve is None or message.do not in ("evaluate", "draw"):
            raise ValueError(f"it sent {message.do!r} where {answer!r} was due")
        serve(message)


@dataclass
class _Network:
    """Network of a job, whose requests are checked, counted and served."""

    job: Job
    pipe: Connection
    outcome: Outcome
    tuning: bool = True

    def serve(self, message: _Message) -> None:
        """Answer a request, or raise a ValueError that refuses it."""
        specs, event = message.tensors, tuple(self.job.x.shape[1:])
        n = next((shape[0] for _, shape in specs if shape), message.n)
        if n * math.prod(event) * 8 > LARGEST:
            raise ValueError(f"it asked for more than {LARGEST >> 20} MiB of states at once")
        if message.do == "draw" and self.tuning:
            return send(self.pipe, {}, _call(self.job.draw, n))
        levels = [((dtype, shape),) for dtype in FLOATS for shape in ((), (n,))]
        ends = levels if message.sigma is None else [()]
        if specs not in [((t, (n, *event)), ("int64", (n,)), *end) for t in FLOATS for end in ends]:
            asked = ", ".join(f"{dtype} {shape}" for dtype, shape in specs)
            raise ValueError(
                f"it asked for an evaluation of {asked[:200] or 'nothing'} on a batch of {event}"
            )
        self._count(n)
        x, rows, *tensors = [receive_tensor(self.pipe, *spec) for spec in specs]
        sigma = tensors[0] if tensors else message.sigma
        level, batch = torch.as_tensor(sigma, dtype=torch.float64), len(self.job.x)
        if not bool(((level > 0) & (level <= self.job.sigma_max * 1.001)).all()):
            raise ValueError("it asked for an evaluation at a level outside the range")
        rows = rows.remainder(batch) if self.tuning else rows
        if not bool(((rows >= 0) & (rows < batch)).all()):
            raise ValueError("it asked for a row that is not in the batch")
        return send(self.pipe, {}, _call(self.job.denoise, x, sigma, rows))

    def _count(self, n: int) -> None:
        outcome, allowed = self.outcome, self.job.budget
        if self.tuning:
            if outcome.search + n > MOST_SEARCH:
                raise ValueError(f"it made more than {MOST_SEARCH:,} evaluations in tune()")
            outcome.search += n
            return
        if (rows := outcome.rows + n) > allowed * len(self.job.x):
            made = rows / len(self.job.x)
            raise ValueError(f"it made {made:g} evaluations a sample, {allowed} were allowed")
        outcome.rows = rows


def _call(function: Callable[..., Tensor], *args: Any) -> Tensor:
    try:
        with torch.no_grad():
            return function(*args)
    except Exception as error:
        raise ValueError(f"a request could not be served: {error_in_words(error)}") from error


def describe_file(path: Path, sampler: str = "", seconds: float = 60.0) -> SolverFacts:
    """Return the facts about a file, which a process of its own imports in ``seconds`` at most.

    Raises a ValueError if the import fails or is late, or ``sampler`` does not choose one sampler.
    """
    with _solver_process(path, seconds) as pipe:
        return _load(pipe, path, sampler)


def run_isolated(job: Job) -> Outcome:
    """Return the samples of a stranger's solver, or the reason why there are none.

    Raises:
        ValueError: there is no such schedule.
    """
    schedule, outcome = make_schedule(job.schedule), Outcome()
    ends = {"sigma_min": job.sigma_min, "sigma_max": job.sigma_max}
    try:
        with _solver_process(job.path, job.seconds) as pipe:
            facts = _load(pipe, job.path, job.sampler)
            network = _Network(job, pipe, outcome)
            levels = None
            if facts.tunes:
                _ask(pipe, {"do": "tune", "nfe": job.budget, **ends}, "tuned", serve=network.serve)
            else:
                levels = _levels_within(job, schedule, facts, pipe)
            network.tuning = False
            command = {"do": "sample", "levels": levels, "noise_seed": job.noise_seed}
            specs = _ask(pipe, command, "samples", job.x, serve=network.serve).tensors
            expected = (str(job.x.dtype).removeprefix("torch."), tuple(job.x.shape))
            if specs != (expected,):
                got = ", ".join(f"{dtype} {shape}" for dtype, shape in specs)[:200]
                raise ValueError(f"sample() returned {got}, expected {expected[0]} {expected[1]}")
            outcome.samples = receive_tensor(pipe, *expected)
    except ValueError as error:
        outcome.failure = str(error)
    return outcome


def _load(pipe: Connection, path: Path, sampler: str) -> SolverFacts:
    command = {"do": "load", "file": path.name, "sampler": sampler}
    if (facts := _ask(pipe, command, "facts").facts) is None:
        raise ValueError(GARBAGE)
    return facts


def _levels_within(
    job: Job, schedule: Schedule, facts: SolverFacts, pipe: Connection
) -> list[float]:
    """Return levels with as many steps as the budget allows; [max, min, 0] if steps are adaptive."""
    if facts.adaptive:
        return [job.sigma_max, job.sigma_min, 0.0]

    def cost(n: int) -> int:
        levels = grid_for_counting(schedule, n, job.sigma_min, job.sigma_max).sigma
        says = _ask(pipe, {"do": "nfe", "levels": list(levels)}, "nfe").nfe
        if says is None:
            raise ValueError(f"sampler {facts.label} does not declare its evaluations (nfe)")
        return says

    if (n := most_steps_within(job.budget, cost)) is None:
        raise ValueError(f"one step costs more than the budget of {job.budget}")
    return list(schedule(n, job.sigma_min, job.sigma_max).sigma)
