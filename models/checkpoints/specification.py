"""Specification of a checkpoint as plain values that can be printed, compared and overridden, each with its
source.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from .conditions import read_conditions
from .processes import arguments_of_process

FILE, FAMILY, USER, CHECK = "file", "family", "user", "check"
"""Sources of a value: the file; its family; the user; or a check of the possible answers (``check-model``)."""

Value = Any
"""Plain JSON."""
Answers = dict[str, dict[str, Any]]
"""Possible answers to an open question, each with the fields that it sets."""

INFINITE = "inf"

_TWINS = {("map", "edm"): "consistency", ("denoiser", "consistency"): "edm"}
"""Predictions of a teacher and of its student in EDM: they differ in c_skip and c_out alone."""
FIXED = ("network.class", "weights.file")
"""Parts that the file and its path fix."""
TIMES = ("t", "level", "log_level")
_TABLES = ("network", "weights", "process", "time", "boundary", "scalars", "decoder")
DECODER_PARTS = ("class", "folder", "scale", "shift", "limits", "batch")
_PARTS = {
    "time": ("of", "scale", "offset"),
    "boundary": ("scale", "sigma_data"),
    "decoder": DECODER_PARTS,
}
"""Parts of tables that may have no others."""
_FLAGS = {"0": False, "false": False, "1": True, "true": True}
_CHOICES = {
    "prediction": ("x0", "eps", "v", "flow", "velocity", "score", "edm", "consistency"),
    "half": ("", "first", "second"),
    "snap": ("", "nearest", "nearest_level"),
    "labels": ("none", "random", "balanced"),
    "kind": ("denoiser", "map"),
}


SIDES = (4, 8, 16, 28, 32, 64, 128, 256, 512)
"""Sides of images to try if the file takes any."""


def size_answers(channels: int, sides: Iterable[int], levels: int) -> Answers:
    """Return the answers to ``size``: images of each side that this many levels, halved in turn, divide."""
    return {str(s): {"event": [channels, s, s]} for s in sides if s % 2 ** (levels - 1) == 0}


def heads_answers(network: str, arguments: Mapping[str, Any], counts: Iterable[int]) -> Answers:
    """Return the answers to ``heads``: a network of this class with each number of heads."""
    return {
        str(n): {"network": {"class": network, "arguments": {**arguments, "heads": n}}}
        for n in counts
    }


@dataclass(frozen=True, kw_only=True)
class Specification:
    """Description of a checkpoint and of the way from its network's output to E[x0 | x].

    Attributes:
        family: a name of :mod:`samplerbench.models.checkpoints.families`.
        network: ``class`` and ``arguments`` of the network.
        weights: ``file`` and, if a file holds several sets of weights, ``entry``, such as ``ema``.
        event: shape of one sample; empty if only the user can give it.
        process: ``name``, one of :data:`.mapping.PROCESSES`, and its arguments.
        prediction: one of ``x0``, ``eps``, ``v``, ``flow``, ``velocity``, ``score``, ``edm``,
            ``consistency``.
        factor: the network gives the prediction divided by this: -1 for the opposite sign.
        half: which half of the output's channels it is, ``first`` or ``second``; "" for all.
        time: ``of``, ``scale`` and ``offset`` of
            :class:`~samplerbench.models.adapters.NetworkTime`.
        snap: of a network for the times of a table only: ``nearest`` for the nearest time,
            ``nearest_level`` for the time of the nearest level; "" for any time.
        sigma_min, sigma_max: levels that it was trained for.
        limits: range of the values of the data; None if unknown.
        classes: number of classes; 0 without labels.
        null_label: True if label ``classes`` is "no label" to the network.
        labels: draw of labels in unconditional sampling: ``random``, ``balanced`` (number of
            the sample modulo classes, or rows of embeddings), or ``none``.
        kind: ``denoiser``, or ``map`` for a network that jumps to the end in few steps and is no
            posterior mean.
        boundary: of a map that adds x_t to the clean image that it predicts, ``scale`` and
            ``sigma_data`` of :class:`~samplerbench.models.adapters.Boundary`; empty for others.
        embeddings: of a network that takes embeddings, such as a prompt's: ``needs``, their names (none: all
            in the file), and, with a file of them, its :meth:`.Conditions.described`; else empty.
        scalars: further inputs of the network, the same for all samples, such as FLUX's ``guidance``
            and the ``time_ids`` of Stable Diffusion XL.
        decoder: of samples that are latents: its ``class``, ``folder``, ``scale`` and ``shift``, numbers
            or lists of one a channel, where the decoder takes x / scale + shift, ``limits`` of images, and
            ``batch``, latents that it takes at a time; empty if samples are the data themselves.
        decode: True to decode samples before they are scored.
        preset: settings of the checkpoint's own scheduler (:mod:`.diffusers.preset`); no part
            of the model, nor of its identity.
        evidence: sentences on the signs of the family.
        sources: of each field, one of ``file``, ``family``, ``user`` and ``check``.
        open: questions that the file does not answer: name to possible answers, each with the
            fields that it sets.
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
        """Return plain values; an infinite level is the text ``inf``."""
        plain = json.loads(json.dumps(asdict(self)))
        if math.isinf(self.sigma_max):
            plain["sigma_max"] = INFINITE
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Value]) -> Specification:
        """Make a specification from the values of :meth:`as_json`.

        Raises:
            ValueError: a field is missing, unknown or invalid.
        """
        try:
            spec = cls(**_typed_values(plain))
        except TypeError as error:
            raise ValueError(f"it is no specification ({error})") from None
        for name in _CHOICES:
            _check_value(spec, name, getattr(spec, name), str(getattr(spec, name)))
        return spec

    def source(self, name: str) -> str:
        """Return the source of a field; fields without one come from the family."""
        return self.sources.get(name, FAMILY)

    def answered(self, question: str, answer: str, source: str) -> Specification:
        """Return this specification with one open question answered.

        Raises:
            ValueError: there is no such question, or it has no such answer.
        """
        if question not in self.open:
            raise ValueError(
                f"{question!r} is no open question of this checkpoint ({self.family}); "
                f"open are: {', '.join(self.open) or 'none'}"
            )
        answers = self.open[question]
        if answer not in answers:
            raise ValueError(
                f"{question}={answer!r} is no answer for this checkpoint ({self.family}); "
                f"choose one of {', '.join(answers)}"
            )
        remaining = {name: options for name, options in self.open.items() if name != question}
        changes = _typed_values(answers[answer])
        sources = {**self.sources, **dict.fromkeys(changes, source)}
        return replace(self, **changes, sources=sources, open=remaining)

    def settled(self) -> Specification:
        """Return this specification with every question answered that has only one possible answer."""
        spec = self
        for question, answers in self.open.items():
            if len(answers) == 1:
                spec = spec.answered(question, next(iter(answers)), FAMILY)
        return spec

    def candidates(self) -> Iterator[tuple[dict[str, str], Specification]]:
        """Yield each combination of answers with the specification that it gives; without open questions, this one."""
        for answers in product(*self.open.values()):
            chosen, by_question = self, dict(zip(self.open, answers, strict=True))
            for question, answer in by_question.items():
                chosen = chosen.answered(question, answer, CHECK)
            yield by_question, chosen

    def overridden(self, settings: Mapping[str, str], source: str = USER) -> Specification:
        """Return this with a user's settings as written after ``?``: answers to open questions, and fields by name.

        Tables are set part by part, such as ``process.noise_scale=2``; ``sign=-1`` is short for ``factor=-1``;
        ``embeddings`` is the path of a file, which is read; ``event`` another size of the same number
        of channels. ``decoder.folder`` implies ``decode``, unless ``decode=0`` is given.

        Raises:
            ValueError: there is no such name, or the text is no value of it.
        """

        # answers first, in any order: a field that is given as well holds against its answer; and
        # a process before its parts
        def order(item: tuple[str, str]) -> tuple[bool, bool]:
            return item[0] not in self.open, item[0] != "process.name"

        spec = self
        for name, text in sorted(settings.items(), key=order):
            if name in spec.open:
                spec = spec.answered(name, text, source)
            else:
                spec = _with_field(spec, "factor" if name == "sign" else name, text, source)
        if "decoder.folder" in settings and "decode" not in settings:
            spec = _with_field(spec, "decode", "1", source)
        twin = _TWINS.get((spec.kind, spec.prediction))
        spec = replace(spec, prediction=twin) if twin and "prediction" not in settings else spec
        return spec._of_kind(spec.kind)

    def teacher(self) -> Specification | None:
        """Return the specification of a map's network as a denoiser (MeanFlow at intervals of length 0); None if it has none."""
        denoiser = replace(self, kind="denoiser")._of_kind("denoiser")
        return denoiser if self.kind == "map" and denoiser.network != self.network else None

    def _of_kind(self, kind: str) -> Specification:
        """Set the time interval that this kind of model needs, in a network that takes one."""
        if not self.network.get("arguments", {}).get("interval"):
            return self
        interval = "whole" if kind == "map" else "none"
        options = {
            question: {answer: _with_interval(changes, interval) for answer, changes in of.items()}
            for question, of in self.open.items()
        }
        return replace(self, **_with_interval({"network": self.network}, interval), open=options)


def _with_interval(changes: Mapping[str, Value], interval: str) -> Mapping[str, Value]:
    """Set this interval in the network of these fields, if it is among them."""
    if "network" not in changes:
        return changes
    network = changes["network"]
    arguments = {**network["arguments"], "interval": interval}
    return {**changes, "network": {**network, "arguments": arguments}}


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
        raise ValueError(
            f"{name!r} is no setting of this network; its scalars are: "
            f"{', '.join(spec.scalars) or 'none'}"
        )
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
    """Add a file of embeddings: samples take its rows in turn, unless the user sets ``labels``."""
    if not spec.embeddings:
        raise ValueError(f"embeddings={path}: this network ({spec.family}) takes no embeddings")
    needs = spec.embeddings["needs"]
    description = read_conditions(Path(path), needs).described()
    return replace(
        spec,
        embeddings={"needs": needs, **description},
        labels=spec.labels if spec.source("labels") == USER else "balanced",
        null_label=description["null"],
        sources={**spec.sources, "embeddings": USER},
    )


def read_value(text: str) -> Value:
    """Return a number, flag or list as JSON writes it, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _typed_values(changes: Mapping[str, Value]) -> dict[str, Value]:
    """Convert values of JSON to the types of a :class:`Specification`."""
    typed = dict(changes)
    for name in ("event", "limits", "evidence"):
        if isinstance(typed.get(name), list):
            typed[name] = tuple(typed[name])
    for name in ("sigma_min", "sigma_max"):
        if typed.get(name) == INFINITE:
            typed[name] = math.inf
    return typed


def is_number(value: Value) -> bool:
    """Return True for a number that is no flag."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_range(value: Value) -> bool:
    pair = list(value) if isinstance(value, tuple) else []
    return len(pair) == 2 and all(map(is_number, pair)) and pair[0] < pair[1]


_RULES: dict[str, tuple[Callable[[Value], bool], str]] = {
    "sigma_min": (lambda value: value > 0, "be above 0"),
    "sigma_max": (lambda value: value > 0, "be above 0"),
    "factor": (lambda value: value != 0, "not be 0"),
    "decode": (lambda value: isinstance(value, bool), "be 0 or 1"),
    "classes": (lambda value: type(value) is int and value >= 0, "be a whole number, 0 for none"),
    "null_label": (lambda value: value in (False, True), "be true or false"),
    "limits": (
        lambda value: value is None or _is_range(value),
        "be two numbers that rise, such as [-1,1]",
    ),
    "process.steps": (lambda value: type(value) is int, "be a whole number"),
    "network.arguments": (
        lambda value: isinstance(value, dict),
        "be a JSON object of arguments by name",
    ),
}
"""Conditions on values of fields and parts, and their words."""


def _check_value(spec: Specification, name: str, value: Value, text: str) -> None:
    """Refuse an invalid value of a field, or of a part of a table."""
    top, _, part = name.partition(".")
    if name in _CHOICES and value not in _CHOICES[name]:
        choices = ", ".join(map(repr, _CHOICES[name]))
        raise ValueError(f"{name}={text} is none of {choices}")
    if part and top in _PARTS and part not in _PARTS[top]:
        raise ValueError(f"a {top} has no {part!r}; there are: {', '.join(_PARTS[top])}")
    if name == "event" and not _is_image_shape(value, spec.event):
        raise ValueError(
            f"event={text}: it must be the shape of a sample, such as {list(spec.event or (4, 64, 64))}"
            + (", with as many channels" if spec.event else "")
        )
    types = arguments_of_process(spec.process["name"])
    numeric = name in ("time.scale", "time.offset")
    numeric = numeric or (top == "process" and types.get(part) in ("float", "int"))
    if (numeric or isinstance(getattr(spec, name, None), float)) and not is_number(value):
        raise ValueError(f"{name}={text}: it must be a number")
    if name == "time.of" and value not in TIMES:
        raise ValueError(f"time.of={text} is none of {', '.join(TIMES)}")
    if name in _RULES and not _RULES[name][0](value):
        raise ValueError(f"{name}={text}: it must {_RULES[name][1]}")


def _is_image_shape(value: Value, event: tuple[int, ...]) -> bool:
    """Return True if a value is the shape of a sample with the channels of another."""
    if not isinstance(value, tuple) or not value:
        return False
    sides = all(isinstance(side, int) and side > 0 for side in value)
    return sides and (not event or (len(value) == len(event) and value[0] == event[0]))


def cache_folder() -> Path:
    """Return the cache folder: $SAMPLERBENCH_CACHE, else ``~/.cache/samplerbench``."""
    return Path(os.environ.get("SAMPLERBENCH_CACHE") or Path.home() / ".cache" / "samplerbench")


def with_cached_answers(spec: Specification, content: str) -> Specification:
    """Return a specification with the cached answers for this content to its open questions."""
    try:
        answers = json.loads(_answers_file(spec, content).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return spec
    for question, answer in answers.items() if isinstance(answers, dict) else ():
        if answer in spec.open.get(question, {}):
            spec = spec.answered(question, answer, CHECK)
    return spec


def cache_answers(spec: Specification, content: str, answers: Mapping[str, str]) -> None:
    """Cache the answers for this content."""
    path = _answers_file(spec, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(answers)), encoding="utf-8")


def _answers_file(spec: Specification, content: str) -> Path:
    return cache_folder() / f"checkpoint-{spec.family}-{content[:32]}.json"
