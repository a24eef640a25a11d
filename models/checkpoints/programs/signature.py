"""Signature of a program: its inputs for the noisy image, the time and the labels, and its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..opening import CheckpointError, Opened
from ..specification import FILE, Specification
from .usual import trainings

SIDES = (4, 8, 16, 28, 32, 64, 128, 256, 512)
"""Sides of images to try if the program takes any."""
WHOLE = ("denoiser", "edm", "flow", "flow-reversed", "score", "vp-score", "vp-score-999")
"""Trainings with fractional times."""
PREFIX = "samplerbench."
"""Prefix of the metadata that answer questions, such as ``samplerbench.training``."""


@dataclass(frozen=True)
class Port:
    """Input or output of a program.

    Attributes:
        name: in the program.
        shape: sizes; None for any size.
        dtype: of its numbers.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.name} ({sizes}) {str(self.dtype).removeprefix('torch.')}"


@dataclass(frozen=True)
class Signature:
    """Inputs of a program by role, and its output.

    Attributes:
        inputs: in the order of the program.
        state: the noisy image, the floating-point input of most dimensions.
        time: another of at most one number a row.
        labels: the remaining input, or None.
        output: the prediction.
    """

    inputs: tuple[Port, ...]
    state: Port
    time: Port
    labels: Port | None
    output: Port

    @property
    def batch(self) -> int | None:
        """Fixed number of rows of a call; None for any."""
        return self.state.shape[0]

    @property
    def one_time(self) -> bool:
        """True if all rows of a call have one time."""
        return not self.time.shape or (self.time.shape[0] == 1 and self.batch != 1)

    @property
    def one_hot(self) -> bool:
        """True if labels are rows of an identity matrix, and not numbers."""
        return self.labels is not None and len(self.labels.shape) == 2


def signature_of(path: Path, inputs: Sequence[Port], outputs: Sequence[Port]) -> Signature:
    """Assign the inputs to their roles.

    Raises:
        CheckpointError: the inputs are not a noisy image, a time and at most labels.
    """
    ports = "; ".join(map(str, inputs))
    wanted = (
        "it must take a noisy image (batch, …), a time (batch,) and, if it has any, labels, and give "
        "a prediction (batch, …); export it so"
    )
    floats = [port for port in inputs if port.dtype.is_floating_point and len(port.shape) > 1]
    if not 2 <= len(inputs) <= 3 or not floats or not outputs:
        raise CheckpointError(f"{path}: its inputs are {ports or 'none'}; {wanted}")
    state = max(floats, key=lambda port: len(port.shape))
    others = [port for port in inputs if port is not state]
    flat = [port for port in others if len(port.shape) < 2 or port.shape[1:] == (1,)]
    # whole numbers are labels, if something else can be the time
    time = min(flat, key=lambda port: not port.dtype.is_floating_point, default=None)
    labels = next((port for port in others if port is not time), None)
    output = outputs[0]
    if time is None or len(output.shape) != len(state.shape):
        raise CheckpointError(f"{path}: its inputs are {ports} and its output {output}; {wanted}")
    return Signature(tuple(inputs), state, time, labels, output)


def specification(
    family: str, opened: Opened, found: Signature, metadata: Mapping[str, str]
) -> Specification:
    """Return the specification of a program, with open questions for what its file leaves out.

    Args:
        family: of the program.
        opened: the program.
        found: its inputs.
        metadata: of the file; names that begin with :data:`PREFIX` are read as settings.

    Raises:
        CheckpointError: the channels may be any, or the output's are neither as many nor twice.
        ValueError: metadata that are no settings.
    """
    channels, *sides = found.state.shape[1:]
    doubled = found.output.shape[1]
    if channels is None or doubled not in (None, channels, 2 * channels):
        raise CheckpointError(
            f"{opened.path}: its input is {found.state} and its output {found.output}; it must say the "
            "channels of its images, and give as many or, with a learned variance, twice as many"
        )
    whole = not found.time.dtype.is_floating_point
    questions: dict[str, Any] = {
        "training": {k: v for k, v in trainings().items() if not (whole and k in WHOLE)}
    }
    if doubled == 2 * channels:
        questions["half"] = {name: {"half": name} for name in ("first", "second")}
    if None in sides:
        questions["size"] = {str(s): {"event": [channels, *(s for _ in sides)]} for s in SIDES}
    classes = found.labels.shape[1] if found.one_hot and found.labels else 0
    spec = Specification(
        family=family,
        network={"class": family, "arguments": {}},
        weights={"file": str(opened.path)},
        event=(channels, *(side or 0 for side in sides)),
        process={"name": ""},
        prediction="",
        limits=None,
        classes=classes or 0,
        labels="none" if found.labels is None else "random",
        evidence=_evidence(found),
        sources=dict.fromkeys(("network", "weights", "event", "classes"), FILE),
        open=questions,
    )
    answers = {k.removeprefix(PREFIX): v for k, v in metadata.items() if k.startswith(PREFIX)}
    return spec.overridden(answers, FILE)


def _evidence(found: Signature) -> tuple[str, ...]:
    roles = {"noisy image": found.state, "time": found.time, "labels": found.labels}
    descriptions = ", ".join(f"{port} is the {role}" for role, port in roles.items() if port)
    return (
        f"of its inputs {descriptions}",
        f"its output is {found.output}",
        *([f"it takes {found.batch} rows at a time"] if found.batch else []),
    )


def classes_of(spec: Specification, found: Signature) -> int:
    """Return the number of classes of a program's labels; 0 without labels.

    Raises:
        ValueError: it takes labels, and their number of classes is unknown.
    """
    if found.labels is not None and not spec.classes:
        raise ValueError(
            f"{spec.weights['file']}: its input {found.labels} are labels, and the file does not say "
            "how many classes there are; say it, as in ?classes=10"
        )
    return spec.classes
