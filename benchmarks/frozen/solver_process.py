"""Process of a stranger's solver, the server that forks it, and the messages of both.

This module imports no model, so that a solver finds none in its process. A message is a head in JSON with
the dtypes and shapes of tensors, followed by the bytes of each tensor. Neither side unpickles anything.
"""

from __future__ import annotations

import ctypes
import gc
import json
import math
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...samplers import Grid, PluginError, SampleNoise, get, load_file, make, names
from ...samplers.base import non_default
from ...samplers.grid import as_grid
from ...samplers.spec import format_spec, parse_spec
from ..sampling.failure import error_in_words

READY = b"+"


def send(pipe: Connection, head: dict[str, Any], *tensors: Tensor) -> None:
    """Send a message: ``head`` in JSON with the tensors' dtypes and shapes, then the tensors."""
    arrays = [tensor.detach().cpu().contiguous().numpy() for tensor in tensors]
    specs = [(str(array.dtype), array.shape) for array in arrays]
    for part in (json.dumps({**head, "tensors": specs}).encode(), *(a.tobytes() for a in arrays)):
        pipe.send_bytes(part)


def receive_tensor(pipe: Connection, dtype: str, shape: Sequence[int]) -> Tensor:
    """Return the next tensor of a message; raise an OSError if its size is wrong."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if len(data := pipe.recv_bytes(size)) < size:
        raise OSError("a message is too short")
    return torch.from_numpy(np.ndarray(tuple(shape), dtype, bytearray(data)))


def _receive(pipe: Connection) -> tuple[dict[str, Any], list[Tensor]]:
    head = json.loads(pipe.recv_bytes())
    return head, [receive_tensor(pipe, *spec) for spec in head.pop("tensors")]


@dataclass(frozen=True)
class RemoteDenoiser:
    """Denoiser (:class:`~samplerbench.samplers.Denoise`) that is evaluated in the parent process.

    ``rows`` are the states' indices in the batch. If ``rows`` is None, as while tuning, state k has the
    conditions of sample k of the batch, modulo the size of the batch.
    """

    pipe: Connection
    rows: Tensor | None = None

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the denoised states ``(n, *event)`` of ``x`` at one level, or a level per row."""
        rows = torch.arange(len(x)) if self.rows is None else self.rows
        levels = [sigma] if isinstance(sigma, Tensor) else []
        head = {"do": "evaluate", "sigma": None if levels else float(sigma)}
        send(self.pipe, head, x, rows, *levels)
        return _receive(self.pipe)[1][0]

    def take(self, rows: Tensor) -> RemoteDenoiser:
        """Return the denoiser for the states with indices ``rows``, which may repeat."""
        return RemoteDenoiser(self.pipe, rows if self.rows is None else self.rows[rows])


class _Solver:
    """Solver in a file. The parent calls its methods by name; they return a reply and tensors."""

    _sampler: Any
    _tune: Any
    _tuned: Grid

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def load(self, file: str, sampler: str) -> tuple[Any, ...]:
        names = load_file(Path(file))
        listed = ", ".join(names)
        if not sampler and len(names) > 1:
            raise PluginError(f"{file} has several samplers; choose one of {listed}")
        options = parse_spec(sampler or names[0])
        if options["name"] not in names:
            raise PluginError(f"{file} has no sampler {options['name']!r}; it has {listed}")
        made = self._sampler = make(options)
        self._tune = getattr(sys.modules[get(names[0]).__module__], "tune", None)
        label = format_spec({"name": made.name, **non_default(made)})
        facts = {name: getattr(made, name) for name in ("stochastic", "adaptive", "order")}
        facts |= {"label": label, "tunes": self._tune is not None}
        return ({"do": "facts", "facts": facts},)

    def nfe(self, levels: list[float]) -> tuple[Any, ...]:
        return ({"do": "nfe", "nfe": self._sampler.nfe(Grid(tuple(levels)))},)

    def tune(self, nfe: int, sigma_min: float, sigma_max: float) -> tuple[Any, ...]:
        def draw(n: int) -> Tensor:
            send(self._pipe, {"do": "draw", "n": n})
            return _receive(self._pipe)[1][0]

        denoise = RemoteDenoiser(self._pipe)
        self._sampler, levels = self._tune(denoise, draw, nfe, sigma_min, sigma_max)
        self._tuned = as_grid(levels)
        if not (self._tuned.to_zero and math.isclose(self._tuned.sigma[0], sigma_max)):
            raise PluginError(f"the levels of tune() must begin at {sigma_max:g} and end at 0")
        return ({"do": "tuned"},)

    def sample(self, x: Tensor, levels: list[float] | None, noise_seed: int) -> tuple[Any, ...]:
        grid = self._tuned if levels is None else Grid(tuple(levels))
        ids, sampler = torch.arange(len(x)), self._sampler
        white = SampleNoise(noise_seed, ids, tuple(x.shape[1:]), x.dtype)
        noise = white if sampler.stochastic else None
        return {"do": "samples"}, sampler.sample(RemoteDenoiser(self._pipe, ids), x, grid, noise)


def _run_commands(pipe: Connection) -> None:
    solver = _Solver(pipe)
    while True:
        command, tensors = _receive(pipe)
        name = command.pop("do")
        try:
            send(pipe, *getattr(solver, name)(*tensors, **command))
        except BaseException as error:  # also SystemExit of the file
            plain = isinstance(error, PluginError) or (name, type(error)) == ("load", ValueError)
            why = str(error) if plain else f"{name}() raised {error_in_words(error)}"
            send(pipe, {"do": "failed", "why": why[:500]})


def serve(control: int) -> None:
    """Fork a process for each job, one at a time, until the parent closes socket number ``control``.

    A request is the name of a folder, with the job's socket. The server answers with a byte when the process
    runs. At the parent's next byte, it kills the process and all that this started, and sends the exit code.
    """
    torch.set_num_threads(1)
    os.dup2(1, 2)  # standard output is the null device
    if sys.platform == "linux":
        # PR_SET_CHILD_SUBREAPER: orphans of a job are children of the server
        ctypes.CDLL(None).prctl(36, ctypes.c_ulong(1), 0, 0, 0)
    names()  # imports all samplers: not in each child
    for name in ("heun", "ddpm"):  # first operations of torch are slow: not in each child
        make(name).sample(lambda x, sigma: x / sigma, torch.ones(1, 1), Grid((1.0, 0.5, 0.0)), 0)
    gc.collect()
    gc.freeze()  # else a collection in a child copies every page
    parent = socket.socket(fileno=control)
    parent.sendall(READY)
    while True:
        folder, ends, *_ = socket.recv_fds(parent, 4096, 1)
        if not folder:
            return
        child = os.fork()
        if not child:
            try:
                parent.close()
                os.setsid()
                os.chdir(folder)
                os.environ["TMPDIR"] = tempfile.tempdir = os.fsdecode(folder)
                _run_commands(Connection(ends[0]))
            finally:
                os._exit(0)
        os.close(ends[0])
        parent.sendall(READY)
        parent.recv(1)  # returns also when the parent has ended
        parent.sendall(_kill(child).to_bytes(4, "little", signed=True))


def _kill(child: int) -> int:
    """Kill a child and all that it started; return its exit code, or minus the signal's number."""
    os.kill(child, signal.SIGKILL)  # a child that has ended keeps its exit code
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    orphans = Path(f"/proc/self/task/{os.getpid()}/children")
    with suppress(OSError):  # no child is left
        while True:
            for process in orphans.read_text(encoding="ascii").split():
                os.kill(int(process), signal.SIGKILL)
            os.waitpid(-1, 0)
    return code
