"""Programs of ``torch.export.save`` (``.pt2``), run operator by operator.

``torch.export.load`` is not used, because it executes the file
(:mod:`samplerbench.models.checkpoints.programs.archive`). A file states its inputs; its training is open.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ....adapters import Network
from ....checkpoints.opening import Opened
from ....checkpoints.programs.archive import read_archive
from ....checkpoints.programs.calling import called
from ....checkpoints.programs.graph import Program
from ....checkpoints.programs.signature import (
    Signature,
    classes_of,
    signature_of,
    specification,
)
from ....checkpoints.specification import Specification


def recognise(opened: Opened) -> Specification | None:
    """Recognise a program whose inputs are a noisy image, a time and perhaps labels.

    Raises:
        CheckpointError: it has other inputs, holds pickled objects or other operators than torch's, or
            is damaged.
    """
    if opened.container != "exported":
        return None
    return specification("exported", opened, _signature(_program(opened), opened), {})


def network(spec: Specification, opened: Opened) -> Network:
    """Make the network of the program.

    Raises:
        ValueError: it takes labels, and their number of classes is unknown.
    """
    program = _program(opened)
    found = _signature(program, opened)
    return ExportedNetwork(program, found, classes_of(spec, found)).eval()


class ExportedNetwork(nn.Module):
    """Network of a program.

    Args:
        program: to run.
        found: its inputs.
        classes: their number.
    """

    def __init__(self, program: Program, found: Signature, classes: int) -> None:
        super().__init__()
        self.program, self.found, self.classes = program, found, classes

    @torch.no_grad()
    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """See :class:`~samplerbench.models.adapters.Network`."""
        return called(lambda inputs: self.program(*inputs), self.found, self.classes, x, t, labels)


def _program(opened: Opened) -> Program:
    return Program(read_archive(opened.path))


def _signature(program: Program, opened: Opened) -> Signature:
    return signature_of(opened.path, program.ports, [program.output])
