"""Training loop of all shipped networks: resumable, seeded step by step, with averaged weights.

All randomness of step k is a function of (seed, k), so a resumed run equals an uninterrupted one.
The learning rate warms up, stays constant, and falls linearly to 0 over the last ``decay`` steps.
In its constant part, a run can be lengthened or shortened by resuming with another ``steps``.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """Settings of the optimisation by Adam; recipes extend it with settings of network and data.

    Attributes:
        batch: samples per step.
        steps: total number of steps.
        decay: number of last steps, over which the learning rate falls to 0.
        warmup: number of first steps, over which it rises.
        lr: learning rate between the two.
        betas: betas of Adam.
        ema: decay of the average of the weights, which warms up too.
        clip: largest norm of a gradient.
        seed: seed of initial weights, order of the data and noise.
    """

    batch: int = 64
    steps: int = 30_000
    decay: int = 9_000
    warmup: int = 500
    lr: float = 1.5e-3
    betas: tuple[float, float] = (0.9, 0.99)
    ema: float = 0.9995
    clip: float = 1.0
    seed: int = 0


def learning_rate(how: Optimisation, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, plateau, linear decay to 0."""
    return how.lr * min(1.0, (step + 1) / how.warmup, max(0.0, (how.steps - step) / how.decay))


def epoch_rows(n: int, batch: int, seed: int, step: int) -> Tensor:
    """Return the rows of ``n`` images in the mini-batch of a step, ``(batch,)`` int64.

    Each epoch has a new permutation.
    """
    epoch, k = divmod(step, n // batch)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
    return order[k * batch : (k + 1) * batch]


def step_generator(how: Optimisation, step: int) -> torch.Generator:
    """Return the generator of all noise of a step, on the CPU, where torch uses 32 bits of a
    seed.
    """
    return torch.Generator().manual_seed(how.seed * 1_000_003 + step)


def fit(
    net: Net,
    loss: Callable[[Net, int], Tensor],
    how: Optimisation,
    out: Path,
    *,
    checkpoint_every: int = 500,
    dtype: torch.dtype = torch.bfloat16,
) -> Net:
    """Train ``net``, or resume from ``out/checkpoint.pt``; return the averaged network in eval
    mode.

    Args:
        net: network, freshly initialised from ``how.seed``; changed in place.
        loss: function of the network and the step to the scalar loss, which runs under autocast to
            ``dtype``.
        how: settings. The checkpoint stores them as ``recipe``, with all fields of a subclass, and
            ``seconds_a_step`` of processor time.
        out: folder of the checkpoint, created if need be.
        checkpoint_every: steps between checkpoints.
        dtype: dtype of autocast. float32 turns it off, which is faster on a CPU for networks
            narrower than 64 channels.
    """
    out.mkdir(parents=True, exist_ok=True)
    ema = copy.deepcopy(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=how.lr, betas=how.betas)
    path, start = out / "checkpoint.pt", 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        net.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    running, tick, clock = 0.0, time.perf_counter(), time.process_time()
    for step in range(start, how.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(how, step)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            value = loss(net, step)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), how.clip)
        optimizer.step()
        update_ema(ema, net, min(how.ema, (1 + step) / (10 + step)))
        running += (value.item() - running) / min(step - start + 1, 500)
        done = step + 1
        if done % checkpoint_every == 0 or done == how.steps:
            save(
                path,
                model=net.state_dict(),
                ema=ema.state_dict(),
                optimizer=optimizer.state_dict(),
                step=done,
                recipe=asdict(how),
                seconds_a_step=(time.process_time() - clock) / (done - start),
            )
            rate = (done - start) * how.batch / (time.perf_counter() - tick)
            print(f"step {done}/{how.steps}  loss {running:.4f}  {rate:.0f} images/s", flush=True)
    return ema.eval()


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move each averaged parameter towards the current one."""
    for average, current in zip(ema.parameters(), model.parameters(), strict=True):
        average.lerp_(current, 1 - decay)


def save(path: Path, **content: object) -> None:
    """Write a checkpoint atomically."""
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)
