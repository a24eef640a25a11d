"""Denoiser of a checkpoint, made of its specification and its network."""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..adapters import Boundary, NativeDenoiser, Network, NetworkTime
from ..decoding import Decoder
from ..denoiser import OwnSampling, highest_finite_level
from ..label_draws import labels_for
from ..process import VE
from .opening import error_in_words
from .specification import USER, Specification, process_of


class Checkpoint(NativeDenoiser):
    """Denoiser of a checkpoint's network.

    Args:
        spec: specification without open questions.
        network: network in its native coordinates, called with class numbers as labels (:class:`Network`).
        name: name of the model in tables.
        content: hexadecimal hash of the checkpoint's files; its first 16 digits become a part of the identity.
        decoder: decoder that makes images of samples; None if the samples themselves are scored.
        scheduler: module of :mod:`.families` that has functions about the checkpoint's scheduler; None without one.

    Raises:
        ValueError: a question is open, a value of the specification is invalid, or the network needs labels but
            ``spec.labels`` is ``none``.
    """

    def __init__(
        self,
        spec: Specification,
        network: Network,
        name: str,
        content: str,
        decoder: Decoder | None = None,
        scheduler: ModuleType | None = None,
    ) -> None:
        if problem := _why_unusable(spec := with_range_of_process(spec)):
            raise ValueError(f"{name}: {problem}")
        process = process_of(spec)
        top = max(getattr(process, "levels", (math.inf,)))
        if spec.source("sigma_max") == USER and 1.001 * top < spec.sigma_max < math.inf:
            problem = f"{name}: sigma_max={spec.sigma_max:g} is above the last level of its table"
            raise ValueError(f"{problem}, {top:g}; leave out sigma_max")
        super().__init__(
            network,
            process,
            spec.prediction,  # type: ignore[arg-type]
            name=name,
            event=spec.event,
            identity=f"{name}-{content[:16]}-{digest_of_value(fields_affecting_output(spec))[:8]}",
            classes=spec.classes,
            times=np.arange(process.t_min, process.t_max + 1) if spec.snap else None,
            nearest="level" if spec.snap == "nearest_level" else "time",
            time=NetworkTime(**spec.time),
            factor=spec.factor,
            half=spec.half or None,  # type: ignore[arg-type]
            sigma_min=spec.sigma_min,
            sigma_max=spec.sigma_max,
            infinite=math.isinf(spec.sigma_max),
            limits=spec.limits,
            kind=spec.kind,
            boundary=Boundary(**spec.boundary) if spec.boundary and spec.kind == "map" else None,
            conditions=spec.embeddings.get("rows", 0),
            null_label=spec.null_label,
        )
        self.spec, self.decoder = spec, decoder
        self._scheduler = scheduler and scheduler.__name__  # a module cannot be pickled or copied

    def own_sampling(self, steps: int, scheduler: str = "") -> OwnSampling | None:
        """Return the steps of the checkpoint's scheduler, as :meth:`Denoiser.own_sampling` does."""
        return self._ask_scheduler("own_sampling", steps, scheduler)

    def native_levels(self, steps: int) -> tuple[float, ...] | None:
        """Return ``steps`` falling levels of the checkpoint's scheduler, or else of its process.

        Levels of the VE process are geometric, as in NCSN++ (Song et al. 2021, arXiv:2011.13456, appendix C). The
        EDM process has no levels of its own, so the result is None.
        """
        with suppress(ValueError):  # such as more steps than the table has times
            if levels := self._ask_scheduler("native_levels", steps):
                return levels
        if type(self.process) is VE:
            return tuple(np.geomspace(self.sigma_max, self.sigma_min, steps).tolist())
        return super().native_levels(steps)

    def own_shift(self) -> float | None:
        """Return the shift of flow times by the checkpoint's scheduler; None if unknown."""
        return self._ask_scheduler("own_shift")

    def _ask_scheduler(self, function: str, *arguments: Any) -> Any:
        """Return the result of the family's ``function`` about the scheduler; None without one."""
        if self._scheduler is None:
            return None
        try:
            return getattr(import_module(self._scheduler), function)(self.spec, *arguments)
        except (TypeError, LookupError, ArithmeticError) as error:
            problem = f"{self.name}: its scheduler has an invalid setting ({error_in_words(error)})"
            raise ValueError(f"{problem}; compare its file with the source's") from error

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor | None:
        """Return int64 labels ``(batch,)``; None if the specification's ``labels`` are ``none``.

        If they are ``random``, all classes or conditions are equally likely. If ``balanced``, a label is the id modulo
        the number of classes or conditions.
        """
        if self.spec.labels == "none":
            return None
        count = self.classes or self.conditions
        if self.spec.labels == "balanced":
            return ids % count
        return labels_for(ids, seed, [1.0] * count)


def _why_unusable(spec: Specification) -> str:
    """Return why a specification cannot make a model, with a remedy; "" if it can."""
    must_draw = spec.labels == "none" and not spec.null_label
    if spec.open:
        questions = "; ".join(f"{q}={'|'.join(a)}" for q, a in spec.open.items())
        said = [source for source in spec.sources.values() if "=" in source]
        said += [f"{question}={next(iter(answers))}" for question, answers in spec.open.items()]
        example = f"{spec.weights.get('file') or 'PATH'}?{'&'.join(dict.fromkeys(said))}"
        return (
            f"the checkpoint ({spec.family}) does not say everything: {questions}. Say it behind "
            f"the path, as in {shlex.quote(example)}, or let samplerbench check-model find out"
        )
    if not spec.event:
        problem = "the checkpoint does not say of which shape its samples are"
        return f"{problem}; say it behind the path, as in 'PATH?event=[4,64,64]'"
    choice = "choose labels=random or labels=balanced"
    if spec.embeddings and must_draw:
        what = f"{spec.embeddings['file']} has nothing for no condition"
        return f"labels=none, but {what}; give negative_prompt_embeds in it, or {choice}"
    if spec.classes and must_draw:
        return f"labels=none, but the network was trained with labels alone; {choice}"
    if spec.labels != "none" and not (spec.classes or spec.embeddings):
        return f"labels={spec.labels}, but the network takes no classes; leave labels out"
    if not spec.sigma_min < spec.sigma_max:
        ends = f"sigma_min={spec.sigma_min:g} is not below sigma_max={spec.sigma_max:g}"
        return f"{ends}; give levels that rise"
    return ""


def with_range_of_process(spec: Specification) -> Specification:
    """Return ``spec`` with the levels of its process, if the user changed this and gave no levels.

    The scales ``sigma_data`` and ``noise_scale`` change no level that a network knows.
    """
    parts = {n for n, by in spec.sources.items() if by == USER and n.startswith("process.")}
    parts -= {"process.sigma_data", "process.noise_scale"}
    if not parts or spec.open:
        return spec
    process, levels = process_of(spec), {}
    # an end does not follow from the other end alone
    if spec.source("sigma_min") != USER and parts - {"process.t_max"}:
        levels["sigma_min"] = process.level(process.t_min)
    if spec.source("sigma_max") != USER and parts - {"process.t_min"}:
        levels["sigma_max"] = highest_finite_level(process, process.level(process.t_max))
    return replace(spec, **levels)


def fields_affecting_output(spec: Specification) -> dict[str, Any]:
    """Return, as values of JSON, the fields of ``spec`` that affect the model's output."""
    plain = spec.as_json()
    for name in ("preset", "evidence", "sources", "open"):
        del plain[name]
    del plain["weights"]["file"]
    plain["embeddings"].pop("file", None)  # the hash identifies the file
    for name in ("embeddings", "scalars", "boundary", "decode"):
        if not plain[name]:  # identities made before these fields existed lack them
            del plain[name]
    plain["decoder"].pop("batch", None)
    if spec.source("decoder.folder") == USER:  # the identity contains the decoder's hash instead
        plain["decoder"].pop("folder", None)
    return plain


def digest_of_value(value: Any) -> str:
    """Return the SHA-256 of a JSON value, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def one_hot(labels: Tensor | None, classes: int, like: Tensor) -> Tensor | None:
    """Return one-hot ``(batch, classes)``, zeros for "no label"; None without labels or classes.

    The result has the dtype and device of ``like``.
    """
    if labels is None or not classes:
        return None
    return torch.eye(classes + 1, classes, dtype=like.dtype, device=like.device)[labels]


class OneHot(nn.Module):
    """Network that takes class numbers, and gives them as one-hot rows to an inner network."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return the inner network's output for states, times and class numbers ``(batch,)``."""
        return self.network(x, t, one_hot(labels, self.classes, x))
