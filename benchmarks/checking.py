"""Checks of a user's samplers and models, given by name or as objects."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.checkpoints.check_cache import cache_answers, note_passed_check
from ..models.checkpoints.checkpoint_denoiser import with_range_of_process
from ..models.checkpoints.diffusers.library import decoder_of
from ..models.checkpoints.families import family
from ..models.checkpoints.opening import open_checkpoint
from ..models.denoiser import Denoiser
from ..models.loaders.checkpoint import build_model, specify_checkpoint, split_settings
from ..models.registry import is_checkpoint, make_model
from ..samplers.spec import parse_spec
from .arguments import Device, make_sampler, model_spec, resolve_device_argument
from .conformance import Conformance, check_sampler
from .conformance.models import (
    ModelCheck,
    check_checkpoint,
    check_denoiser,
    check_range,
    read_images,
    read_latents,
)
from .planning.model_loading import load_model
from .running.model_check import data_samples, labels_if_known

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.checkpoints.opening import OpenedCheckpoint
    from ..models.checkpoints.specification import Specification

Opening = Callable[[Any, str], None]
"""Callback before a check, with (specification, checksum) of a checkpoint or (model, identity)."""
LARGE = 1 << 30  # bytes; larger checkpoints take too much memory to try other settings as well


def check(sampler: Any, *, fast: bool = False) -> Conformance:
    """Run the checks that apply to a sampler, such as order of convergence and repeatability.

    Args:
        sampler: a spec, an object or a class.
        fast: True to measure the order on two instead of four pairs (test problem, grid).

    Returns:
        All checks, with ``passed``, ``failures``, and ``why``, the likely causes of failures.

    Raises:
        ValueError: unknown sampler or option, or a sampler that stands for a model's own scheduler.

    >>> check("euler", fast=True).passed
    True
    """
    return check_sampler(sampler_to_check(sampler), fast=fast)


def sampler_to_check(sampler: Any) -> Any:
    """Return the sampler for a spec, object or class. Raises a ValueError as :func:`check` does."""
    subject: Any = make_sampler(sampler)
    if getattr(subject, "of_checkpoint", False):
        raise ValueError(
            f"{subject.name} has no steps of its own: it is whichever sampler the scheduler beside a checkpoint is; "
            "samplerbench check-model CHECKPOINT says which, and that one can be checked, such as "
            "samplerbench check dpmpp_2m"
        )
    return subject


def check_model(
    model: Any,
    *,
    images: Path | str | None = None,
    teacher: Any = None,
    samples: int = 256,
    device: Device = "cpu",
    progress: Callable[[str], None] | None = None,
    opened: Opening | None = None,
) -> ModelCheck:
    """Check that a model's output is E[x0 | x] or, for a few-step map, the end of the flow's path.

    Args:
        model: a spec, such as a name or the path of a checkpoint, or an object.
        images: clean images that the model was trained on: a folder, .npy, .npz, or a data set;
            latents, if the model works on latents. None stands for the model's own data or, without
            any, for samples that it generates. A check on generated samples alone never passes.
        teacher: model that a few-step map was distilled from.
        samples: largest number of images or samples to use, >= 2.
        device: where to run; "auto" takes a CUDA GPU if there is one.
        progress: called with sentences on assumptions about the images, and on a long check.
        opened: called before the check with two arguments: the specification and checksum of a
            checkpoint. For a model that is no checkpoint, they are the model and its identity.

    Returns:
        The checks, with a ``verdict``: "passed", "failed" or "not decided".

    Raises:
        ValueError: there is no such model, or the images or the teacher do not fit it.
    """
    if samples < 2:
        raise ValueError(f"samples={samples}: give 2 or more, such as 256")
    where, spec = resolve_device_argument(device), model_spec(model)
    if isinstance(spec, str) and (os.path.exists(spec) or spec.startswith("checkpoint:")):
        spec = {"name": spec}
    options = parse_spec(spec)
    name = options.pop("name")
    described = opened or (lambda _subject, _identity: None)
    found = None if images is None else str(images)
    mentor = None if teacher is None else model_spec(teacher)
    if options or not is_checkpoint(name):
        subject = make_model(name, **options)
        return _check_loaded_model(subject, found, mentor, samples, where, described)
    say = progress or (lambda _sentence: None)
    return _check_checkpoint(name, found, mentor, samples, where, described, say)


def _check_checkpoint(
    name: str,
    images: str | None,
    teacher: str | None,
    samples: int,
    device: str,
    described: Opening,
    say: Callable[[str], None],
) -> ModelCheck:
    """Check a checkpoint. If all checks pass, cache the settings that its files do not state."""
    path, settings, named = split_settings(name.removeprefix("checkpoint:"))
    opened = open_checkpoint(path)
    recognised = specify_checkpoint(opened, named)
    spec = with_range_of_process(recognised.with_settings(settings))
    stated = [
        (f"{question}={other}", recognised.with_settings({**settings, question: other}))
        for question, answers in recognised.open.items()
        for other in answers
        if settings.get(question, other) != other and path.stat().st_size < LARGE
    ]
    described(spec, opened.sha256)
    builds = family(spec.family).network
    clean, labels = None, None
    if images is not None:
        clean, labels, note = _read_images(images, spec, opened, samples)
        if note:
            say(note)
        if labels is not None and not (spec.classes or spec.embeddings):
            say("The labels of the images are not used, since the network takes no classes.")
    kinds = {candidate.kind for _, candidate in spec.candidates()}
    events = {candidate.event for _, candidate in spec.candidates()}
    result = check_checkpoint(
        spec,
        builds(spec, opened),
        clean,
        labels,
        built=lambda of: builds(of, opened),
        teacher=_load_teacher(teacher, kinds, events, device),
        samples=samples,
        device=device,
        stated=stated,
        progress=say,
    )
    if clean is not None and spec.limits is not None and not spec.decoder:
        result = replace(result, checks=(check_range(spec.limits, clean), *result.checks))
    if result.passed and result.answers:
        cache_answers(spec, opened.sha256, result.answers)
    if result.passed and result.spec is not None:
        with suppress(ValueError):  # a decoder may be missing
            note_passed_check(build_model(result.spec, opened))
    return result


def _check_loaded_model(
    model: Denoiser,
    images: str | None,
    teacher: str | None,
    samples: int,
    device: str,
    described: Opening,
) -> ModelCheck:
    """Check a model that is not a checkpoint, such as a built-in one or one of a Python file."""
    if device != "cpu":
        model = model.to(device)
    described(model, model.identity)
    labels, source = None, "images"
    limits = None if model.decoder is not None else model.limits
    if images is not None:
        clean, labels = read_images(images, model.event, limits, samples)
    else:
        clean = data_samples(model, model.reference(), device, samples)
        source = "samples of its own data"
    if clean is not None and labels is None:
        labels, is_known = labels_if_known(model, clean.to(device, model.dtype))
        takes_numbers = images is not None and (model.classes or model.conditions)
        if not is_known and not model.null_label and not takes_numbers:  # else they are asked for
            clean = None
    result = check_denoiser(
        model,
        clean,
        labels,
        teacher=_load_teacher(teacher, {model.kind}, {model.event}, device),
        samples=samples,
        device=device,
    )
    if images is not None and clean is not None and limits is not None:
        result = replace(result, checks=(check_range(limits, clean), *result.checks))
    if result.passed:
        note_passed_check(model)
    return replace(result, source=result.source and source)


def _load_teacher(
    name: str | None, kinds: set[str], events: set[tuple[int, ...]], device: str
) -> Denoiser | None:
    """Return the denoiser that a map was distilled from; None for no name.

    ``kinds`` and ``events`` are the kinds and sample shapes that the checked model may have. Raises a ValueError if
    no kind is "map", or if the teacher is a map or has a shape outside ``events``.
    """
    if name is None:
        return None
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


def _read_images(
    images: str, spec: Specification, opened: OpenedCheckpoint, most: int
) -> tuple[Tensor | None, Tensor | None, str]:
    """Return at most ``most`` samples, their classes, and a note.

    Samples have the first of the model's possible shapes that fits. For a model of latents they are latents, or None
    if its autoencoder is missing. The note says how images were scaled or encoded, or why not; "" if they were not.
    Raises a ValueError if no shape fits.
    """
    *events, last = dict.fromkeys(candidate.event for _, candidate in spec.candidates())
    limits, note = spec.limits, ""
    if len(last) == 3 and last[0] in (1, 3) and limits is None and not spec.decoder:
        limits = (-1.0, 1.0)
        note = "Nothing says the range of its images: those of 8 bits are read into [-1, 1], and ?limits= says another."
    elif len(last) == 3 and (spec.decoder or limits is None):  # images of a model of latents
        return read_latents(Path(images), last, most, lambda: decoder_of(spec, opened))
    for event in events:
        try:
            return *read_images(images, event, limits, most), note
        except ValueError:
            continue
    return *read_images(images, last, limits, most), note
