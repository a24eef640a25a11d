"""Networks that are exported as programs in tests, an exact one in EDM's convention and one of
convolutions with labels; and how.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
import trained_mixture as mixture
from torch import Tensor, nn

from samplerbench.models.checkpoints.mapping import one_hot

CLASSES, SIDE, DATA = 3, 8, 0.5


class ExactEDM(nn.Module):
    """EDM's F of the mixture, told ln sigma / 4, one level for all rows."""

    def forward(self, x_t: Tensor, told: Tensor) -> Tensor:
        sigma = (4 * told[:, None, None, None]).exp()
        total = (sigma**2 + DATA**2).sqrt()
        x = x_t * total
        d = self._denoised(x, sigma)
        return (d - DATA**2 / total**2 * x) * total / (sigma * DATA)

    def _denoised(self, x: Tensor, sigma: Tensor) -> Tensor:
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


def to_onnx(network: nn.Module, path: Path, *inputs: torch.Tensor, fixed: bool = False) -> Path:
    """A network's ONNX file, for any number of rows unless ``fixed``."""
    names = ["x", "t", "y"][: len(inputs)]
    free = [name for name, given in zip(names, inputs, strict=True) if given.ndim]
    rows = {} if fixed else {name: {0: "rows"} for name in [*free, "out"]}
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
    rows = torch.export.Dim("rows", min=1, max=1024)
    shapes = None if fixed else tuple({0: rows} for _ in inputs)
    program = torch.export.export(network.eval(), inputs, dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path
