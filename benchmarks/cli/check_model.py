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
    from ...samplers.spec import parse_spec
    from ..running.setup import pick_device

    where = pick_device(checked(device, "--device", DEVICES))
    if os.path.exists(model) or model.startswith("checkpoint:"):
        name, options = model, {}
    else:
        options = parse_spec(model)
        name = options.pop("name")
    of_file = not options and is_checkpoint(name)
    check = _check_checkpoint if of_file else partial(_check_other, options)
    result, content = check(name, images, teacher, samples, where, shown=not as_json)
    if as_json:
        print_json(_as_json(result, content))
    else:
        _print(result)
    if code := EXIT_CODES[result.verdict]:
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
    from ...models.checkpoints.families import family
    from ...models.checkpoints.opening import open_checkpoint
    from ...models.checkpoints.specification import keep_answers
    from ...models.loaders.checkpoint import probe, split
    from ..conformance.models import check_checkpoint

    path, settings, named = split(name.removeprefix("checkpoint:"))
    opened = open_checkpoint(path)
    spec = probe(opened, named).overridden(settings)
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
    result = check_checkpoint(
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
        result = _with_range(result, spec.limits, clean)
    if result.passed and result.answers:
        keep_answers(spec, opened.content, result.answers)
    return result, opened.content


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
        labels, is_known = labels_of(model, clean.to(device, model.dtype))
        if not is_known and not model.null_label:
            clean = None
    result = check_denoiser(
        model,
        clean,
        labels,
        teacher=None if teacher is None else _teacher(teacher, {model.kind}, {model.event}, device),
        samples=samples,
        device=device,
    )
    if images is not None and clean is not None and model.decoder is None:
        result = _with_range(result, model.limits, clean)
    return replace(result, source=result.source and source), model.identity


def _with_range(result: Checked, limits: tuple[float, float] | None, clean: Tensor) -> Checked:
    """Return the result with a check of the range of images, where samples have one."""
    from ..conformance.models import check_range

    if limits is None:
        return result
    return replace(result, checks=(check_range(limits, clean), *result.checks))


def _teacher(name: str, kinds: set[str], events: set[tuple[int, ...]], device: str) -> Denoiser:
    """Load the denoiser that a map was distilled from.

    Raises:
        ValueError: the model is no map, or the teacher is one, or of other samples.
    """
    from ..planning.models import load_model

    if "map" not in kinds:
        raise ValueError("--teacher is for few-step maps, and the model is a denoiser")
    denoiser = load_model(name, device).model
    if denoiser.kind == "map" or denoiser.event not in events:
        raise ValueError(
            f"--teacher {name} is "
            + ("a few-step map" if denoiser.kind == "map" else f"of samples {denoiser.event}")
            + f"; give a denoiser of samples {' or '.join(map(str, sorted(events)))}"
        )
    return denoiser


def _read(
    images: str, spec: Specification, opened: Opened, most: int
) -> tuple[Tensor | None, Tensor | None, str]:
    """Read the images with their classes and a sentence on changes to them. Where the file leaves the
    size open, they have the first shape that fits.

    Images of a model of latents are encoded by its autoencoder; where it has none there are none.
    """
    from ...models.checkpoints.diffusers.library import decoder_of
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
    from ...models.checkpoints.weights import FIT, weights_taken

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


def _print(result: Checked) -> None:
    where = f"{result.images} {result.source}" if result.images else "the model's own samples"
    say(f"Checked on {where}:" if result.source else "Checked without samples:")
    words = {True: "passed", False: "FAILED", None: "not decided"}
    for check in result.checks:
        say(f"  {words[check.passed]}  {check.name}: {check.said}")
    if result.fit is not None:
        rows = [
            {"sigma": f"{s:.3g}", "error": f"{e:.3g}", "defect": f"{d:+.3f}", "se": f"{q:.3f}"}
            for s, e, d, q in _levels(result.fit)
        ]
        print_rows(rows, {"sigma": "sigma", "error": "E|d-x0|²/D", "defect": "defect", "se": "±"})
    say(f"Verdict: {result.verdict}.")


def _levels(fit: Fit) -> Iterator[tuple[float, float, float, float]]:
    return zip(
        fit.levels.tolist(),
        fit.errors.mean(1).tolist(),
        fit.defect.tolist(),
        fit.defect_se.tolist(),
        strict=True,
    )


def _as_json(result: Checked, content: str) -> dict[str, Any]:
    fit = result.fit
    return {
        "verdict": result.verdict,
        "passed": result.passed,
        "content": content,
        "specification": None if result.spec is None else result.spec.as_json(),
        "answers": result.answers,
        "images": result.images,
        "checks": [vars(check) for check in result.checks],
        "candidates": list(result.candidates),
        "levels": []
        if fit is None
        else [{"sigma": s, "error": e, "defect": d, "defect_se": q} for s, e, d, q in _levels(fit)],
    }
