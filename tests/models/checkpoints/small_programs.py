"""Networks that are exported as programs in tests, an exact one in EDM's convention and one of
convolutions with labels; and how.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import trained_mixture as mixture
from torch import Tensor, nn

from samplerbench.models.checkpoints.checkpoint_denoiser import one_hot
from samplerbench.models.checkpoints.processes import betas_of
from samplerbench.models.process import Discrete

CLASSES, SIDE, DATA = 3, 8, 0.5


class Exact(nn.Module):
    """The mixture in somebody's convention."""

    def denoised(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[x0 | x], with a level ``(batch, 1, 1, 1)`` for each row."""
        centre = mixture.mean(SIDE)
        off = x - centre
        square = off.square().flatten(1).sum(1)[:, None, None, None]
        log, parts = [], []
        for width in mixture.WIDTHS:
            total = width**2 + sigma**2
            log.append(-square / (2 * total) - SIDE * SIDE / 2 * total.log())
            parts.append(width**2 / total)
        share = (log[0] - log[1]).sigmoid()
        return centre + (share * parts[0] + (1 - share) * parts[1]) * off


class ExactEDM(Exact):
    """EDM's F, told ln sigma / 4."""

    def forward(self, x_t: Tensor, told: Tensor) -> Tensor:
        sigma = (4 * told[:, None, None, None]).exp()
        total = (sigma**2 + DATA**2).sqrt()
        x = x_t * total
        d = self.denoised(x, sigma)
        return (d - DATA**2 / total**2 * x) * total / (sigma * DATA)


class ExactDDPM(Exact):
    """The noise, told the number of one of 1000 steps of linear betas."""

    def __init__(self) -> None:
        super().__init__()
        levels = Discrete.of_betas(np.asarray(betas_of("linear", 1000))).levels
        self.register_buffer("levels", torch.tensor(levels))

    def forward(self, x_t: Tensor, told: Tensor) -> Tensor:
        sigma = self.levels[told.round().long().clamp(0, 999)].float()[:, None, None, None]
        x = x_t * (1 + sigma**2).sqrt()
        return (x - self.denoised(x, sigma)) / sigma


class ExactFlow(Exact):
    """The velocity to noise, told t."""

    def forward(self, x_t: Tensor, told: Tensor) -> Tensor:
        t = told[:, None, None, None]
        x, sigma = x_t / (1 - t), t / (1 - t)
        d = self.denoised(x, sigma)
        return (x - d) / sigma - d


class Small(nn.Module):
    """Convolutions, a time and, with ``classes``, labels: numbers, or rows if ``hot``."""

    def __init__(self, classes: int = 0, *, hot: bool = False, doubled: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 2 if doubled else 1, 3, padding=1)
        self.time = nn.Linear(1, 8)
        self.label = nn.Embedding(classes + 1, 8) if classes else None
        self.hot = nn.Linear(classes, 8) if hot else None

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        told = self.time(t.reshape(-1, 1).to(x.dtype) / 1000)
        if y is not None and self.hot is not None:
            told = told + self.hot(y)
        elif y is not None and self.label is not None:
            told = told + self.label(y)
        return self.last(nn.functional.silu(self.first(x) + told[:, :, None, None]))

    def as_network(self, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        """As an adapter calls it."""
        return self(x, t, one_hot(y, CLASSES, x) if self.hot is not None else y)


def to_onnx(
    network: nn.Module,
    path: Path,
    *inputs: torch.Tensor,
    fixed: bool = False,
    any_side: bool = False,
) -> Path:
    """A network's ONNX file, for any number of rows unless ``fixed``, and of any side if so."""
    names = ["x", "t", "y"][: len(inputs)]
    free = [name for name, given in zip(names, inputs, strict=True) if given.ndim]
    sides = {2: "height", 3: "width"} if any_side else {}
    rows = {} if fixed else {name: {0: "rows"} for name in [*free, "out"]}
    rows |= {name: {0: "rows", **sides} for name in ("x", "out") if sides}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            inputs,
            str(path),
            input_names=names,
            output_names=["out"],
            dynamic_axes=rows,
            dynamo=False,
        )
    return path


def to_exported(network: nn.Module, path: Path, *inputs: torch.Tensor, fixed: bool = False) -> Path:
    """A network's program, for any number of rows unless ``fixed``."""
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 8):
        pytest.skip(f"torch {torch.__version__} writes another format")
    rows = torch.export.Dim("rows", min=1, max=1024)
    shapes = None if fixed else tuple({0: rows} for _ in inputs)
    program = torch.export.export(network.eval(), inputs, dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path
