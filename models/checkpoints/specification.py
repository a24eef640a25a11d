"""Specification of a checkpoint: settings of its model, their sources, and open questions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from ..process import Process
from .conditions import read_conditions
from .processes import PROCESSES, arguments_of_process

FILE, FAMILY, USER, CHECK = "file", "family", "user", "check"
"""Sources of a value: the file, its family, the user, or ``check-model``."""

Value = Any
"""Any value that JSON can hold."""
Answers = dict[str, dict[str, Any]]
"""Possible answers to a question that a file leaves open: the fields to set, by answer."""

INFINITE = "inf"

_TWINS = {("map", "edm"): "consistency", ("denoiser", "consistency"): "edm"}
"""Prediction after a change of ``kind``, by the new kind and the old prediction."""
FIXED = ("network.class", "weights.file")
"""Parts that the file or its path determine, so that users cannot set them."""
_TABLES = ("network", "weights", "process", "time", "boundary", "scalars", "decoder")
DECODER_PARTS = ("class", "folder", "scale", "shift", "limits", "batch")
_PARTS = {
    "time": ("of", "scale", "offset"),
    "boundary": ("scale", "sigma_data"),
    "decoder": DECODER_PARTS,
}
"""Permitted parts of the fields that are mappings with fixed keys."""
_FLAGS = {"0": False, "false": False, "1": True, "true": True}
_CHOICES = {
    "prediction": ("x0", "eps", "v", "flow", "velocity", "score", "edm", "consistency"),
    "half": ("", "first", "second"),
    "snap": ("", "nearest", "nearest_level"),
    "labels": ("none", "random", "balanced"),
    "kind": ("denoiser", "map"),
    "time.of": ("t", "level", "log_level"),
}
_NUMBERS = ("time.scale", "time.offset", "factor", "sigma_min", "sigma_max")


MOST_STEPS = 1_000_000
"""Most times in a process's table, since each takes memory."""
SIDES = (4, 8, 16, 28, 32, 64, 128, 256, 512)
"""Sides of images to try if the file does not determine the side."""


def size_answers(channels: int, sides: Iterable[int], levels: int) -> Answers:
    """Return answers to ``size``: [channels, s, s] for each side s that 2^(levels - 1) divides."""
    return {str(s): {"event": [channels, s, s]} for s in sides if s % 2 ** (levels - 1) == 0}


@dataclass(frozen=True, kw_only=True)
class Specification:
    """Description of a checkpoint, and of how its network's output becomes E[x0 | x].

    Attributes:
        family: name of a module of :mod:`samplerbench.models.checkpoints.families`.
        network: ``class`` of the network, and its ``arguments``. For diffusers, in place of arguments: its ``folder``;
            ``call`` if its pipeline has to call it; ``pixels`` per latent along a side if it gets sizes of images.
        weights: ``file``, and for most families the ``entry`` of the file with the set of weights, such as ``ema``; for
            diffusers ``variant``.
        event: shape of one sample. It is empty if only the user can give it; sides are 0 while ``size`` is open.
        process: ``name``, a key of :data:`.processes.PROCESSES` ("" while it is open), and the process's arguments.
        prediction: ``x0``, ``eps``, ``v``, ``flow``, ``velocity``, ``score``, ``edm``, ``consistency``; "" while open.
        factor: multiplier of the network's output that gives the prediction, such as -1 for the opposite sign.
        half: half of the output's channels that is the prediction, ``first`` or ``second``; "" for all channels.
        time: ``of``, ``scale`` and ``offset`` of :class:`~samplerbench.models.adapters.NetworkTime`.
        snap: choice of the time for a network that takes times of a table only: ``nearest`` for the nearest time,
            ``nearest_level`` for the time of the nearest level; "" if it takes any time.
        sigma_min, sigma_max: range of noise levels that the network was trained for.
        limits: range of the data's values; None if unknown.
        classes: number of classes; 0 without labels.
        null_label: True if a label equal to the number of classes or embeddings means "no label".
        labels: draw of labels in unconditional sampling: ``random``; ``balanced``, the sample's id modulo the number
            of classes or embeddings; or ``none``.
        kind: ``denoiser``, or ``map`` for a few-step map: its output is the end of the path, not a posterior mean.
        boundary: ``scale`` and ``sigma_data`` of :class:`~samplerbench.models.adapters.Boundary`, for a map that adds
            x_t to its predicted clean image; else empty.
        embeddings: empty if the network takes none. Else ``needs``, the names of the embeddings (if empty, all in the
            file), and, once a file is given, the entries of ``Conditions.description``.
        scalars: further inputs, the same for all samples, such as FLUX's ``guidance`` and Stable Diffusion XL's
            ``time_ids``.
        decoder: settings of the decoder of latents; empty if samples are the data. Settings are ``class``, ``folder``,
            ``limits`` of the images, ``batch`` (latents decoded at a time), ``scale`` and ``shift`` (numbers or one per
            channel). The decoder takes x / scale + shift. LightningDiT has ``mean`` and ``std`` in place of these two.
        decode: True to decode samples before they are scored.
        preset: sampling of the checkpoint's own scheduler (:mod:`.diffusers.preset`). A preset is no part of the model
            or its identity.
        evidence: sentences that say from what the family and other fields were inferred.
        sources: source of a value, by field or part: ``file``, ``family`` (also if the field is missing here),
            ``user``, ``check`` for check-model, or the user's answer to a question, such as ``training=straight``.
        open: questions that the file leaves open, by name; each with its possible answers, and the fields they set.
    """

    family: str
    network: Mapping[str, Value]
    weights: Mapping[str, Value]
    event: tuple[int, ...]
    process: Mapping[str, Value]
    prediction: str
    factor: float = 1.0
    half: str = ""
    time: Mapping[str, Value] = field(default_factory=lambda: {"of": "t"})
    snap: str = ""
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    limits: tuple[float, float] | None = (-1.0, 1.0)
    classes: int = 0
    null_label: bool = False
    labels: Literal["none", "random", "balanced"] = "none"
    kind: Literal["denoiser", "map"] = "denoiser"
    boundary: Mapping[str, Value] = field(default_factory=dict)
    embeddings: Mapping[str, Value] = field(default_factory=dict)
    scalars: Mapping[str, Value] = field(default_factory=dict)
    decoder: Mapping[str, Value] = field(default_factory=dict)
    decode: bool = False
    preset: Mapping[str, Value] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    open: Mapping[str, Mapping[str, Mapping[str, Value]]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Value]:
        """Return all fields as values of JSON; an infinite ``sigma_max`` becomes "inf"."""
        plain = json.loads(json.dumps(asdict(self)))
        if math.isinf(self.sigma_max):
            plain["sigma_max"] = INFINITE
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Value]) -> Specification:
        """Return the specification with the fields ``plain``, as :meth:`as_json` returns them.

        Raises a ValueError if a field is missing or unknown, or a choice or number is invalid.
        """
        try:
            spec = cls(**_typed_values(plain))
        except TypeError as error:
            raise ValueError(f"it is no specification ({error})") from None
        for name in (rule for rule in (*_CHOICES, *_RULES) if "." not in rule):
            _check_value(spec, name, getattr(spec, name), str(getattr(spec, name)))
        return spec

    def source(self, name: str) -> str:
        """Return the source of the field ``name``, such as ``user``; by default ``family``."""
        return self.sources.get(name, FAMILY)

    def with_answer(self, question: str, answer: str, source: str) -> Specification:
        """Return a copy in which ``question`` has the ``answer``, and is no longer open.

        The changed fields get the source ``source``; if that is ``user``, they get ``QUESTION=ANSWER`` instead. Fields
        and parts that the user set stay. An unknown question or answer raises a ValueError.
        """
        if question not in self.open:
            problem = f"{question!r} is no open question of this checkpoint ({self.family})"
            raise ValueError(f"{problem}; open are: {', '.join(self.open) or 'none'}")
        answers = self.open[question]
        if answer not in answers:
            problem = f"{question}={answer!r} is no answer for this checkpoint ({self.family})"
            raise ValueError(f"{problem}; choose one of {', '.join(answers)}")
        remaining = {name: options for name, options in self.open.items() if name != question}
        changes = _typed_values(answers[answer])
        by = f"{question}={answer}" if source == USER else source
        sources = {**self.sources, **dict.fromkeys(changes, by)}
        for name in (name for name, of in self.sources.items() if of == USER):
            top, dot, part = name.partition(".")
            if top in changes:
                own = getattr(self, top)
                changes[top] = {**changes[top], part: own[part]} if dot else own
                sources[name] = USER
        return replace(self, **changes, sources=sources, open=remaining)._fitted_to_kind()

    def with_forced_answers(self) -> Specification:
        """Return a copy in which each question with a single possible answer is answered."""
        spec = self
        for question, answers in self.open.items():
            if len(answers) == 1:
                spec = spec.with_answer(question, next(iter(answers)), FAMILY)
        return spec

    def candidates(self) -> Iterator[tuple[dict[str, str], Specification]]:
        """Yield each combination of answers, by question, with the specification that it gives."""
        for answers in product(*self.open.values()):
            chosen, by_question = self, dict(zip(self.open, answers, strict=True))
            for question, answer in by_question.items():
                chosen = chosen.with_answer(question, answer, CHECK)
            yield by_question, chosen

    def with_settings(self, settings: Mapping[str, str], source: str = USER) -> Specification:
        """Return a copy changed by ``settings``, texts as in ``PATH?KEY=VALUE`` of this ``source``.

        Keys are open questions and fields. Mappings are set by part, such as ``process.noise_scale=2``. ``sign=-1`` is
        short for ``factor=-1``. ``embeddings`` is the path of a file, which is read. ``event`` may change the size of
        samples, but not their channels. ``decoder.folder`` implies ``decode=1`` if ``decode`` is not among the keys.
        ``kind`` also changes EDM's ``prediction`` and MeanFlow's interval.

        Raises:
            ValueError: a key is unknown, or its value is invalid. Only :func:`.process_of` checks ``process.name``.
        """

        # answers before fields, so that a given field overrides an answer; a process before its parts
        def order(item: tuple[str, str]) -> tuple[bool, bool]:
            return item[0] not in self.open, item[0] != "process.name"

        spec = self
        for name, text in sorted(settings.items(), key=order):
            if name in spec.open:
                spec = spec.with_answer(name, text, source)
            else:
                spec = _with_field(spec, "factor" if name == "sign" else name, text, source)
        if "decoder.folder" in settings and "decode" not in settings:
            spec = _with_field(spec, "decode", "1", source)
        return spec._fitted_to_kind(settings)

    def teacher(self) -> Specification | None:
        """Return a MeanFlow map's specification as an ordinary flow; None for other networks."""
        denoiser = replace(self, kind="denoiser")._fitted_to_kind()
        return denoiser if self.kind == "map" and denoiser.network != self.network else None

    def _fitted_to_kind(self, given: Container[str] = ()) -> Specification:
        """Return a copy whose ``prediction``, unless ``given``, and MeanFlow ``interval`` fit ``kind``."""
        twin = _TWINS.get((self.kind, self.prediction))
        stays = "prediction" in given or self.source("prediction") == USER
        spec = replace(self, prediction=twin) if twin and not stays else self
        arguments = spec.network.get("arguments", {})
        if not arguments.get("interval"):
            return spec
        arguments = {**arguments, "interval": "whole" if self.kind == "map" else "none"}
        return replace(spec, network={**spec.network, "arguments": arguments})


def process_of(spec: Specification) -> Process:
    """Return the process of a specification.

    Raises a ValueError if there is no such process, or it does not take an argument or its value.
    """
    arguments = dict(spec.process)
    name = arguments.pop("name")
    if math.isinf(spec.sigma_max) and arguments.get("zero_snr"):
        arguments["cap"] = math.inf
    if name not in PROCESSES:
        raise ValueError(
            f"there is no process {name!r}; choose one of {', '.join(PROCESSES)} as process.name"
        )
    takes = arguments_of_process(name)
    # drop arguments of the replaced process, unless the user gave them
    if spec.source("process.name") == USER:
        arguments = {
            k: v for k, v in arguments.items() if k in takes or spec.source(f"process.{k}") == USER
        }
    if more := [key for key in arguments if key not in takes]:
        raise ValueError(f"process {name}: it takes {', '.join(takes)}, and no {' or '.join(more)}")
    try:
        if not 1 <= int(arguments.get("steps", 1)) <= MOST_STEPS:
            raise ValueError(f"process.steps is {arguments['steps']}; it is 1 to {MOST_STEPS:,}")
        return PROCESSES[name](**arguments)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"process {name}: {error}") from None


_SETTABLE = tuple(
    f.name
    for f in fields(Specification)
    if f.name not in ("family", "evidence", "sources", "open", "preset")
)


def _with_field(spec: Specification, name: str, text: str, source: str) -> Specification:
    top, dot, part = name.partition(".")
    if top not in _SETTABLE or bool(dot) != (top in _TABLES) or name in FIXED:
        plain = [n for n in _SETTABLE if n not in _TABLES]
        parts = [f"{t}.{p}" for t in _TABLES for p in getattr(spec, t) if f"{t}.{p}" not in FIXED]
        names = ", ".join([*spec.open, "sign", *plain, *parts])
        raise ValueError(f"{name!r} is no setting of {spec.family} checkpoints; there are: {names}")
    if name == "embeddings":
        return _with_embeddings(spec, text)
    value = _FLAGS.get(text, text) if name == "decode" else read_value(text)
    any_name = "call" in spec.network  # the pipeline itself checks its arguments
    if top == "scalars" and part not in spec.scalars and not any_name:
        problem = f"{name!r} is no setting of this network"
        raise ValueError(f"{problem}; its scalars are: {', '.join(spec.scalars) or 'none'}")
    if dot:
        _check_value(spec, name, value, text)
        value = {**getattr(spec, top), part: value}
    if name == "process.name" and text != spec.process["name"]:
        takes = arguments_of_process(text)
        shared = {part: of for part, of in spec.process.items() if part in takes}
        spec, value = replace(spec, snap=""), {**shared, "name": text}
    changes = _typed_values({top: value})
    if not dot:
        _check_value(spec, name, changes[top], text)
    return replace(spec, **changes, sources={**spec.sources, name: source})


def _with_embeddings(spec: Specification, path: str) -> Specification:
    """Return a copy with the embeddings in ``path``, and balanced labels unless a user set them."""
    if not spec.embeddings:
        raise ValueError(f"embeddings={path}: this network ({spec.family}) takes no embeddings")
    needs = spec.embeddings["needs"]
    description = read_conditions(Path(path), needs).description
    return replace(
        spec,
        embeddings={"needs": needs, **description},
        labels=spec.labels if spec.source("labels") == USER else "balanced",
        null_label=description["null"],
        sources={**spec.sources, "embeddings": USER},
    )


def read_value(text: str) -> Value:
    """Return the JSON value in ``text``, such as a number or list; if it is no JSON, ``text``."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _typed_values(changes: Mapping[str, Value]) -> dict[str, Value]:
    """Return ``changes``, values of JSON, with lists of some fields as tuples and "inf" as inf."""
    typed = dict(changes)
    for name in ("event", "limits", "evidence"):
        if isinstance(typed.get(name), list):
            typed[name] = tuple(typed[name])
    for name in ("sigma_min", "sigma_max"):
        if typed.get(name) == INFINITE:
            typed[name] = math.inf
    return typed


def is_number(value: Value) -> bool:
    """Return True for an int or float, but not for a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_range(value: Value) -> bool:
    """Return True for a list or tuple of two finite numbers, the lower one first."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return is_pair and all(map(is_number, value)) and -math.inf < value[0] < value[1] < math.inf


_RULES: dict[str, tuple[Callable[[Value], bool], str]] = {
    "sigma_min": (lambda value: value > 0, "be above 0"),
    "sigma_max": (lambda value: value > 0, "be above 0"),
    "factor": (lambda value: value != 0 and math.isfinite(value), "be finite and not 0"),
    "decode": (lambda value: isinstance(value, bool), "be 0 or 1"),
    "classes": (lambda value: type(value) is int and value >= 0, "be a whole number, 0 for none"),
    "null_label": (lambda value: value in (False, True), "be true or false"),
    "limits": (lambda v: v is None or is_range(v), "be two numbers that rise, such as [-1,1]"),
    "process.steps": (lambda value: type(value) is int, "be a whole number"),
    "network.arguments": (lambda v: isinstance(v, dict), "be a JSON object of arguments by name"),
}
"""Conditions on values of fields and parts: a test, and words for the message."""


def _check_value(spec: Specification, name: str, value: Value, text: str) -> None:
    """Raise a ValueError with ``text`` if the field or part ``name`` cannot be ``value``."""
    top, _, part = name.partition(".")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise ValueError(f"{name}={text} is none of {', '.join(map(repr, _CHOICES[name]))}")
    if part and top in _PARTS and part not in _PARTS[top]:
        raise ValueError(f"a {top} has no {part!r}; there are: {', '.join(_PARTS[top])}")
    if name == "event" and not _is_image_shape(value, spec.event):
        raise ValueError(
            f"event={text}: it must be the shape of a sample, such as {list(spec.event or (4, 64, 64))}"
            + (", with as many channels" if spec.event else "")
        )
    # a table of positions of its tokens fixes the sides of a transformer's samples
    if name == "event" and "side" in spec.network.get("arguments", {}) and value != spec.event:
        raise ValueError(f"event={text}: this network takes {list(spec.event)} only")
    types = arguments_of_process(spec.process["name"]) if top == "process" else {}
    is_float = top == "boundary" or name in _NUMBERS
    if (is_float or types.get(part) in ("float", "int")) and not is_number(value):
        raise ValueError(f"{name}={text}: it must be a number")
    if name in _RULES and not _RULES[name][0](value):
        raise ValueError(f"{name}={text}: it must {_RULES[name][1]}")


def _is_image_shape(value: Value, event: tuple[int, ...]) -> bool:
    """Return True for a tuple of sizes > 0 with the rank and channels of ``event``, if known."""
    if not isinstance(value, tuple) or not value:
        return False
    sides = all(isinstance(side, int) and side > 0 for side in value)
    return sides and (not event or (len(value) == len(event) and value[0] == event[0]))
