"""``check-model``: description of a model, and the check that its output is E[x0 | x]."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common.console import err, print_json, print_rows, say
from .common.options import DEVICES, DeviceOption, Json, checked

if TYPE_CHECKING:
    from torch import Tensor

    from ...models import Denoiser
    from ...models.checkpoints.opening import Opened
    from ...models.checkpoints.specification import Specification
    from ..conformance.models import Checked
    from ..conformance.models.fit import Fit

EXIT_CODES = {"passed": 0, "failed": 1, "not decided": 3}
"""A script must take what is not decided neither for right nor for wrong; 2 is bad input."""
SHOWN = (
    "event",
    "process",
    "prediction",
    "factor",
    "half",
    "time",
    "snap",
    "sigma_min",
    "sigma_max",
)
SHOWN += ("limits", "classes", "labels", "embeddings", "scalars", "kind", "boundary")
SHOWN += ("network", "weights", "decoder", "decode")
"""Fields of a specification, in the order in which they are shown."""
WIDEST = 54
"""Characters of a value in text; ``--json`` has all of it."""
OF_ANY = ("event", "sigma_min", "sigma_max", "limits", "classes", "conditions", "kind", "passes")
"""Attributes of any model that are shown."""


def check_model(
    model: Annotated[
        str,
        typer.Argument(
            help="A model as `run --model` takes it: a name, file.py:factory, or a checkpoint: PATH, "
            "FAMILY:PATH, or either with ?setting=value&…."
        ),
    ],
    images: Annotated[
        str | None,
        typer.Option(
            "--images",
            help="Clean images that it was trained on, or like them: a folder, .npy, .npz, or a data set as "
            "for run --reference; of a model of latents also these. Without any, what the model says of "
            "its data, or its own samples, on which nothing can pass.",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            help="Of a few-step map: the model that it was distilled from, along whose paths its ends "
            "are compared.",
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=16, max=10_000, help="Images, or own samples, at most.")
    ] = 256,
    device: DeviceOption = "cpu",
    as_json: Json = False,
) -> None:
    """Say what a model is and how that is known, and check that its output becomes E[x0 | x].

    Exit code 1 if the mapping is wrong, or if several fit; 3 if it is not decided, as without data.
    """
    from ...models.registry import is_checkpoint
    from ..running.setup import pick_device
    from ..suites.spec import parse_spec

    where = pick_device(checked(device, "--device", DEVICES))
    if os.path.exists(model) or model.startswith("checkpoint:"):
        name, options = model, {}
    else:
        options = parse_spec(model)
        name = options.pop("name")
    of_file = not options and is_checkpoint(name)
    check = _check_checkpoint if of_file else partial(_check_other, options)
    found, content = check(name, images, teacher, samples, where, shown=not as_json)
    if as_json:
        print_json(_as_json(found, content))
    else:
        _print(found)
    if code := EXIT_CODES[found.verdict]:
        raise typer.Exit(code)


def _check_checkpoint(
    name: str,
    images: str | None,
    teacher: str | None,
    samples: int,
    device: str,
    *,
    shown: bool,
) -> tuple[Checked, str]:
    """Check a checkpoint and keep its answers; return the result and the hash of its content."""
    from ...models.checkpoints.answers import keep_answers
    from ...models.checkpoints.opening import open_checkpoint
    from ...models.loaders.checkpoint import split
    from ...models.loaders.checkpoint.families import family
    from ...models.loaders.checkpoint.loading import probe
    from ..conformance.models import check_checkpoint

    path, given, named = split(name.removeprefix("checkpoint:"))
    opened = open_checkpoint(path)
    spec = probe(opened, named).overridden(given)
    if shown:
        _show(spec)
    builds = family(spec.family).network
    clean, labels = (None, None)
    if images is not None:
        clean, labels, note = _read(images, spec, opened, samples)
        if note:
            err.print(note, markup=False, soft_wrap=True)
    kinds = {candidate.kind for _, candidate in spec.candidates()}
    events = {candidate.event for _, candidate in spec.candidates()}
    found = check_checkpoint(
        spec,
        builds(spec, opened),
        clean,
        labels,
        built=lambda of: builds(of, opened),
        teacher=None if teacher is None else _teacher(teacher, kinds, events, device),
        samples=samples,
        device=device,
    )
    if not spec.decoder and clean is not None:
        found = _with_range(found, spec.limits, clean)
    if found.passed and found.answers:
        keep_answers(spec, opened.content, found.answers)
    return found, opened.content


def _check_other(
    options: dict[str, Any],
    name: str,
    images: str | None,
    teacher: str | None,
    samples: int,
    device: str,
    *,
    shown: bool,
) -> tuple[Checked, str]:
    """Check a model by its name or of a Python file; return the result and its identity."""
    from ...models import make_model
    from ..conformance.models import check_denoiser, read_images
    from ..running.model_check import labels_of, samples_of_truth

    model = make_model(name, **options)
    if device != "cpu":
        model = model.to(device)
    if shown:
        say(f"{model.name}, {model.identity}:")
        rows = [{"field": key, "value": _short(getattr(model, key))} for key in OF_ANY]
        print_rows(
            [row for row in rows if row["value"] not in ("None", "0")],
            {"field": "field", "value": "value"},
        )
    labels, source = None, "images"
    if images is not None:
        limits = None if model.decoder is not None else model.limits
        clean, labels = read_images(images, model.event, limits, samples)
    else:
        clean, source = (
            samples_of_truth(model, model.reference(), device, samples),
            "samples of its own data",
        )
    if clean is not None and labels is None:
        labels, known = labels_of(model, clean.to(device, model.dtype))
        if not known and not model.null_label:
            clean = None
    found = check_denoiser(
        model,
        clean,
        labels,
        teacher=None if teacher is None else _teacher(teacher, {model.kind}, {model.event}, device),
        samples=samples,
        device=device,
    )
    if images is not None and clean is not None and model.decoder is None:
        found = _with_range(found, model.limits, clean)
    return replace(found, source=found.source and source), model.identity


def _with_range(found: Checked, limits: tuple[float, float] | None, clean: Tensor) -> Checked:
    """Return the result with a check of the range of images, where samples have one."""
    from ..conformance.models import check_range

    if limits is None:
        return found
    return replace(found, checks=(check_range(limits, clean), *found.checks))


def _teacher(name: str, kinds: set[str], events: set[tuple[int, ...]], device: str) -> Denoiser:
    """Load the denoiser that a map was distilled from.

    Raises:
        ValueError: the model is no map, or the teacher is one, or of other samples.
    """
    from ..planning.models import load_model

    if "map" not in kinds:
        raise ValueError("--teacher is for few-step maps, and the model is a denoiser")
    made = load_model(name, device).model
    if made.kind == "map" or made.event not in events:
        raise ValueError(
            f"--teacher {name} is "
            + ("a few-step map" if made.kind == "map" else f"of samples {made.event}")
            + f"; give a denoiser of samples {' or '.join(map(str, sorted(events)))}"
        )
    return made


def _read(
    images: str, spec: Specification, opened: Opened, most: int
) -> tuple[Tensor | None, Tensor | None, str]:
    """Read the images, of the first shape that fits them where the file leaves the size open, with their
    classes and a sentence on changes to them.

    Images of a model of latents are encoded by its autoencoder; where it has none there are none.
    """
    from ...models.loaders.checkpoint.decoding import decoder_of
    from ..conformance.models import read_images, read_latents

    *events, last = dict.fromkeys(candidate.event for _, candidate in spec.candidates())
    limits, note = spec.limits, ""
    if len(last) == 3 and last[0] in (1, 3) and limits is None and not spec.decoder:
        limits = (-1.0, 1.0)
        note = "Nothing says the range of its images: those of 8 bits are read into [-1, 1], and ?limits= says another."
    elif len(last) == 3 and (spec.decoder or limits is None):  # of latents
        return read_latents(Path(images), last, most, lambda: decoder_of(spec, opened))
    for event in events:
        try:
            return *read_images(images, event, limits, most), note
        except ValueError:
            continue
    return *read_images(images, last, limits, most), note


def _show(spec: Specification) -> None:
    from ...models.checkpoints.entries import FIT, weights_taken

    say(f"A checkpoint of the family {spec.family}:")
    for sentence in spec.evidence:
        if FIT not in sentence or weights_taken(spec):
            say(f"  {sentence}")
    plain = spec.as_json()
    rows = [
        {"field": name, "value": _short(plain[name]), "known from": spec.source(name)}
        for name in SHOWN
        if plain[name] not in ("", None, {}, [])
    ]
    rows += [
        {"field": name, "value": " or ".join(answers), "known from": "open"}
        for name, answers in spec.open.items()
    ]
    print_rows(rows, {"field": "field", "value": "value", "known from": "known from"})


def _short(value: Any) -> str:
    if isinstance(value, dict):
        value = " ".join(f"{k}={v}" for k, v in value.items())
    text = str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _print(found: Checked) -> None:
    where = f"{found.images} {found.source}" if found.images else "the model's own samples"
    say(f"Checked on {where}:" if found.source else "Checked without samples:")
    words = {True: "passed", False: "FAILED", None: "not decided"}
    for check in found.checks:
        say(f"  {words[check.passed]}  {check.name}: {check.said}")
    if found.fit is not None:
        rows = [
            {"sigma": f"{s:.3g}", "error": f"{e:.3g}", "defect": f"{d:+.3f}", "se": f"{q:.3f}"}
            for s, e, d, q in _levels(found.fit)
        ]
        print_rows(rows, {"sigma": "sigma", "error": "E|d-x0|²/D", "defect": "defect", "se": "±"})
    say(f"Verdict: {found.verdict}.")


def _levels(fit: Fit) -> Iterator[tuple[float, float, float, float]]:
    return zip(
        fit.levels.tolist(),
        fit.errors.mean(1).tolist(),
        fit.defect.tolist(),
        fit.defect_se.tolist(),
        strict=True,
    )


def _as_json(found: Checked, content: str) -> dict[str, Any]:
    fit = found.fit
    return {
        "verdict": found.verdict,
        "passed": found.passed,
        "content": content,
        "specification": None if found.spec is None else found.spec.as_json(),
        "answers": found.answers,
        "images": found.images,
        "checks": [vars(check) for check in found.checks],
        "candidates": list(found.candidates),
        "levels": []
        if fit is None
        else [{"sigma": s, "error": e, "defect": d, "defect_se": q} for s, e, d, q in _levels(fit)],
    }
