"""Networks that are programs (ONNX or exported): roles of inputs, possible trainings, calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checkpoint_denoiser import one_hot
from .opening import CheckpointError, OpenedCheckpoint, error_in_words
from .processes import (
    ENDS,
    REVERSED,
    SCHEDULE_ENDS,
    STRAIGHT,
    VP_LINEAR,
    edm_fields,
    schedule_fields,
)
from .specification import FILE, SIDES, Answers, Specification

SCHEDULES = {
    name: schedule_fields(name, 1000, **SCHEDULE_ENDS.get(name, {}))
    for name in ("linear", "scaled_linear", "cosine")
}
VP_SCORE: dict[str, Any] = {**VP_LINEAR, "prediction": "score"}
FLOW = {**STRAIGHT, **ENDS}

FRACTIONAL = ("denoiser", "edm", "flow", "flow-reversed", "score", "vp-score", "vp-score-999")
"""Trainings with fractional times, which a network with an integer time input cannot have."""
PREFIX = "samplerbench."
"""Prefix of metadata that are settings, such as ``samplerbench.training``."""


def training_answers() -> Answers:
    """Return the answers to the question ``training``: a network's prediction and its time input.

    * ``SCHEDULE-PREDICTION``: eps, v or x0 on a schedule of 1000 betas; time input: number of the step;
    * ``edm``: EDM's F; time input ln(sigma) / 4;
    * ``denoiser``, ``score``: E[x0 | x] for x = x0 + sigma z, and grad log p(x); time input sigma;
    * ``flow``, ``flow-1000``: z - x0 on a path with noise at t = 1; time input t, 1000 t;
    * ``flow-reversed``: x0 - z on a path with data at t = 1; time input t;
    * ``vp-score``, ``vp-score-999``: score of the VP process with a linear rate; time input t in [0, 1], 999 t.
    """
    return {
        **{
            f"{schedule}-{prediction}": {**fields, "prediction": prediction}
            for (schedule, fields), prediction in product(SCHEDULES.items(), ("eps", "v", "x0"))
        },
        "edm": edm_fields(0.5),
        "denoiser": {"process": {"name": "ve"}, "prediction": "x0", "time": {"of": "level"}},
        "flow": FLOW,
        "flow-1000": {**FLOW, "time": {"of": "t", "scale": 1000.0}},
        "flow-reversed": {**FLOW, "factor": -1.0, "time": REVERSED},
        "score": {"process": {"name": "ve"}, "prediction": "score", "time": {"of": "level"}},
        "vp-score": VP_SCORE,
        "vp-score-999": {**VP_SCORE, "time": {"of": "t", "scale": 999.0}},
    }


@dataclass(frozen=True)
class Port:
    """Input or output of a program; a size in its ``shape`` is None if any size is accepted."""

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
        inputs: all inputs, in the program's order.
        state: noisy image, the floating-point input with the most dimensions.
        time: time, another input with at most one number per row; of several, by name, then by dtype.
        labels: labels, the remaining input; None if there is none.
        output: first output, the prediction.
    """

    inputs: tuple[Port, ...]
    state: Port
    time: Port
    labels: Port | None
    output: Port

    @property
    def fixed_batch_size(self) -> int | None:
        """Number of rows of a call if it is fixed; None if any number is accepted."""
        return self.state.shape[0]

    @property
    def has_single_time(self) -> bool:
        """True if all rows of a call share one time."""
        return not self.time.shape or (self.time.shape[0] == 1 and self.fixed_batch_size != 1)

    @property
    def has_one_hot_labels(self) -> bool:
        """True if labels are one-hot rows, False if they are numbers or there are none."""
        return self.labels is not None and len(self.labels.shape) == 2


def signature_of(path: Path, inputs: Sequence[Port], outputs: Sequence[Port]) -> Signature:
    """Return the signature of a program: which input is the noisy image, the time, the labels.

    Raises a CheckpointError for other inputs than a noisy image, a time and perhaps labels. Raises
    it also if the first output has another number of dimensions than the noisy image.
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
    time = min(flat, key=_unlikeness_to_time, default=None)
    labels = next((port for port in others if port is not time), None)
    output = outputs[0]
    if time is None or len(output.shape) != len(state.shape):
        raise CheckpointError(f"{path}: its inputs are {ports} and its output {output}; {wanted}")
    return Signature(tuple(inputs), state, time, labels, output)


TIME_WORDS = {"t", "time", "times", "timestep", "timesteps", "step", "sigma", "sigmas", "noise"}
"""Words in names of a network's time input, such as timesteps, c_noise, or EDM's noise_labels."""


def _unlikeness_to_time(port: Port) -> tuple[bool, bool, bool]:
    """Return a key that sorts inputs by their names, then by dtype, since integers are likely labels."""
    words = set(re.split(r"[\W_]+", port.name.lower()))
    is_label = bool(words & {"y", "label", "labels", "class", "classes"})
    return is_label, words.isdisjoint(TIME_WORDS), not port.dtype.is_floating_point


def program_specification(
    family: str, opened: OpenedCheckpoint, signature: Signature, metadata: Mapping[str, str]
) -> Specification:
    """Return the specification of a program; settings that its file lacks are open questions.

    Entries of the file's ``metadata`` whose names begin with :data:`PREFIX` are settings. Raises a
    ValueError if a setting is invalid. Raises a CheckpointError if the input's channels are not
    fixed, or the output has neither the same number of channels nor twice as many.
    """
    channels, *sides = signature.state.shape[1:]
    doubled = signature.output.shape[1]
    if channels is None or doubled not in (None, channels, 2 * channels):
        raise CheckpointError(
            f"{opened.path}: its input is {signature.state} and its output {signature.output}; it must say the "
            "channels of its images, and give as many or, with a learned variance, twice as many"
        )
    whole = not signature.time.dtype.is_floating_point
    questions: dict[str, Any] = {
        "training": {k: v for k, v in training_answers().items() if not (whole and k in FRACTIONAL)}
    }
    if doubled == 2 * channels:
        questions["half"] = {name: {"half": name} for name in ("first", "second")}
    if None in sides:
        questions["size"] = {str(s): {"event": [channels, *(s for _ in sides)]} for s in SIDES}
    classes = signature.labels.shape[1] if signature.has_one_hot_labels and signature.labels else 0
    roles = {"noisy image": signature.state, "time": signature.time, "labels": signature.labels}
    descriptions = ", ".join(f"{port} is the {role}" for role, port in roles.items() if port)
    evidence = [f"of its inputs {descriptions}", f"its output is {signature.output}"]
    if signature.fixed_batch_size:
        evidence.append(f"it takes {signature.fixed_batch_size} rows at a time")
    spec = Specification(
        family=family,
        network={"class": family, "arguments": {}},
        weights={"file": str(opened.path)},
        event=(channels, *(side or 0 for side in sides)),
        process={"name": ""},
        prediction="",
        limits=None,
        classes=classes or 0,
        labels="none" if signature.labels is None else "random",
        evidence=tuple(evidence),
        sources=dict.fromkeys(("network", "weights", "event", "classes"), FILE),
        open=questions,
    )
    answers = {k.removeprefix(PREFIX): v for k, v in metadata.items() if k.startswith(PREFIX)}
    return spec.with_settings(answers, FILE)


class ProgramNetwork:
    """Network that calls a program; its output has the dtype of the program's output.

    A program with a fixed number of rows gets batches of this size. The last batch is filled up with copies of a row.
    A program with one time for all rows is called separately for each distinct time.

    Args:
        run: function that takes the program's inputs in their order and returns its first output.
        signature: signature of the program.
        spec: specification. A ValueError is raised if the program takes labels and ``spec.classes`` is 0.
    """

    def __init__(
        self, run: Callable[..., Tensor], signature: Signature, spec: Specification
    ) -> None:
        if signature.labels is not None and not spec.classes:
            raise ValueError(
                f"{spec.weights['file']}: its input {signature.labels} are labels, and the file does not say "
                "how many classes there are; say it, as in ?classes=10"
            )
        self.run, self.signature, self.classes = run, signature, spec.classes

    @torch.no_grad()
    def __call__(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return the prediction for noisy states ``x``, times ``(batch,)`` and class numbers.

        Without ``labels``, each row gets the number of classes as label. For an empty batch, the
        program is not called. Raises a ValueError if the program fails on inputs of these sizes.
        """
        if not len(x):
            output = self.signature.output
            return x.new_empty(0, output.shape[1] or x.shape[1], *x.shape[2:], dtype=output.dtype)
        if not self.signature.has_single_time:
            return self._call_in_batches(x, t, labels)
        order, parts = [], []
        for time in t.unique():
            (rows,) = (t == time).nonzero(as_tuple=True)
            own = None if labels is None else labels[rows]
            parts.append(self._call_in_batches(x[rows], t[rows], own))
            order.append(rows)
        return torch.cat(parts)[torch.cat(order).argsort()]

    def _call_in_batches(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        size = self.signature.fixed_batch_size or len(x)
        parts = []
        for start in range(0, len(x), size):
            rows = torch.arange(start, start + size, device=x.device).clamp_(max=len(x) - 1)
            own = None if labels is None else labels[rows]
            inputs = self._inputs(x[rows], t[rows], own)
            try:
                parts.append(self.run(*inputs))
            except torch.OutOfMemoryError:  # callers report it under a status of its own
                raise
            except Exception as error:  # torch's operators and onnxruntime raise many kinds
                named = zip(self.signature.inputs, inputs, strict=True)
                sizes = ", ".join(f"{port.name} {tuple(value.shape)}" for port, value in named)
                what = error_in_words(error, 160)
                problem = f"the program fails on inputs of the sizes {sizes} ({what})"
                raise ValueError(f"{problem}; give the sizes that it was exported for") from error
        return torch.cat(parts)[: len(x)]

    def _inputs(self, x: Tensor, t: Tensor, labels: Tensor | None) -> tuple[Tensor, ...]:
        """Return the program's inputs in its order; times are rounded if it takes whole numbers."""
        of = self.signature
        times = t[:1] if of.has_single_time else t
        times = times.reshape(-1, *[1] * (len(of.time.shape) - 1)) if of.time.shape else times[0]
        values = {
            of.state.name: x,
            of.time.name: times if of.time.dtype.is_floating_point else times.round(),
        }
        if of.labels is not None:
            if labels is None:
                labels = torch.full((len(x),), self.classes, device=x.device)
            rows = one_hot(labels, self.classes, x) if of.has_one_hot_labels else labels
            assert rows is not None
            values[of.labels.name] = rows
        return tuple(values[port.name].to(port.dtype) for port in of.inputs)
