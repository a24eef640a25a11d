"""Check that a model's output is E[x0 | x], and choice of the best among its possible settings."""

from __future__ import annotations

import math
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....models.adapters import NativeDenoiser, Network
from ....models.checkpoints.checkpoint_denoiser import (
    Checkpoint,
    digest_of_value,
    fields_affecting_output,
)
from ....models.checkpoints.opening import error_in_words
from ....models.checkpoints.specification import Specification
from ....models.denoiser import Denoiser
from ...running.model_check import check_model, has_altering_wrapper
from .alternative_readings import (
    alternative_specifications,
    readings_of_image_format,
    readings_of_network,
    readings_of_scale,
    readings_of_specifications,
)
from .clean_samples import candidate_on_samples, check_expected_time
from .fit import LARGE_DEFECT, Check, Fit, Verdict, verdict_of
from .label_and_time_checks import (
    check_labels,
    check_noise_left,
    check_time,
    noise_and_defect_in_words,
    why_outputs_are_broken,
)
from .maps import check_map, check_one_path, check_renoised, is_a_map, measure_movement, variance_of
from .reading_comparison import (
    Candidate,
    CandidatePair,
    Readings,
    better_readings,
    check_denoises,
    check_readings,
    check_zero_defect,
    is_better,
)
from .user_models import native_denoiser_in, readings_of_time, readings_of_user_model


def misfit_of(fit: Fit, *, own: bool) -> float:
    """Return the misfit, smaller for a better fit: the median over levels of the log error.

    ``own`` is True for a fit to the model's own samples; the misfit is then the largest defect.
    """
    if not own:
        return fit.median_log_error
    return fit.largest_defect if math.isfinite(fit.largest_defect) else math.inf


def check_open_settings(
    best: Candidate, others: Sequence[Candidate], *, own: bool
) -> tuple[Check, list[str]]:
    """Check that the ``best`` values of open settings fit, and that all others fit worse.

    Also return the settings of the other candidates that fit equally well. The check cannot pass if
    there are any, or if the samples are the model's own (``own``).
    """
    is_map, passed = best.model.kind == "map", None
    alike = [
        other.settings
        for other in others
        if (is_map or other.fit.has_small_defect() if own else not is_better(best, other))
    ]
    rest = ", ".join(other.settings for other in others)
    say = f"say which behind the path, as in {shlex.quote(f'PATH?{best.settings}')}"
    if not is_map and not (best.fit.has_small_defect(LARGE_DEFECT) if own else best.may_be_right):
        passed = None if own else False
        detail = (
            f"none of the {len(others) + 1} answers is right ({best.settings} is the nearest); {say}, "
            "with what differs from it"
        )
    elif alike:
        detail = f"{best.settings} and {' and '.join(alike)} fit alike; {say}"
        if own:
            detail += ", or give --images, which tell more than the model's own samples"
    elif own:
        detail = (
            f"{best.settings} fits the model's own samples, and {rest} not; {say}, or give --images"
        )
    else:
        passed, detail = True, f"{best.settings} fits, and {rest} not"
    return Check("open questions", passed, detail), alike


@dataclass(frozen=True)
class ModelCheck:
    """Result of all checks of a model.

    ``spec`` is the best-fitting specification; None for a model that is no checkpoint. ``answers``
    has the best value of each setting that the checkpoint left open; it is empty unless all checks
    passed. ``alike`` has the best values and all others that fit equally well; it is empty if there
    are no others. ``given`` has the user's values for such settings, such as "attention=1-head", if
    another value fits equally well. ``candidates`` has a row for each interpretation of the network
    that was tried: settings, excess error and largest defect. ``fit`` is None for a few-step map.
    If no samples were tried, it is None too, and ``source`` is "". ``images`` counts clean samples;
    it is 0 for own samples.
    """

    spec: Specification | None
    answers: dict[str, str]
    checks: tuple[Check, ...]
    fit: Fit | None
    images: int
    candidates: tuple[dict[str, Any], ...] = ()
    source: str = "images"
    alike: tuple[dict[str, str], ...] = ()
    given: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Verdict of :func:`verdict_of` on all checks: "passed", "failed" or "not decided"."""
        return verdict_of(self.checks)

    @property
    def passed(self) -> bool:
        """True if the verdict is "passed"."""
        return self.verdict == "passed"

    @property
    def verdict_in_words(self) -> str:
        """Verdict, and the settings that it depends on, as "passed, given attention=1-head"."""
        undecided = [q for q in next(iter(self.alike), ()) if len({a[q] for a in self.alike}) > 1]
        names = {"passed": self.given, "not decided": undecided}.get(self.verdict, ())
        link = ", given " if self.passed else ": "
        return self.verdict + (link + ", ".join(names) if names else "")


def check_checkpoint(
    spec: Specification,
    network: Network,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    built: Callable[[Specification], Network] | None = None,
    teacher: Denoiser | None = None,
    samples: int = 64,
    device: str = "cpu",
    stated: Sequence[tuple[str, Specification]] = (),
    progress: Callable[[str], None] = lambda _sentence: None,
) -> ModelCheck:
    """Check a checkpoint, and find the best values of settings that its specification leaves open.

    Args:
        spec: specification of the checkpoint; each combination of open settings is a candidate.
        network: network of the checkpoint, in its native coordinates.
        images: clean samples ``(n, *event)``. None draws samples of the model; the verdict is then
            never "passed".
        labels: classes of the images ``(n,)``, or None.
        built: makes the network of a specification; None if all candidates share ``network``.
        teacher: denoiser along whose paths a few-step map is checked; by default the result of
            :meth:`.Specification.teacher`, if ``built`` is given.
        samples: number of samples to draw without ``images``.
        device: "cpu" or "cuda".
        stated: (text, specification) of each value that the user could have stated instead.
        progress: called with sentences on the candidates that are tried, and on the time.

    Raises:
        ValueError: the images are all alike, or lack the model's shape or needed labels; no
            candidate can be made; or there are no images, and the candidates would take too long.
    """
    networks = {digest_of_value(spec.network): network}

    def model_of(other: Specification) -> Checkpoint:
        key = digest_of_value((other if built else spec).network)
        if built and key not in networks:
            networks[key] = built(other)
        model = Checkpoint(other, networks[key], spec.family, "")
        return model if device == "cpu" else model.to(device)  # type: ignore[return-value]

    tries = [
        (answers, model_of(other))
        for answers, other in spec.candidates()
        if images is None or other.event == tuple(images.shape[1:])
    ]
    if images is None:
        check_expected_time([model for _, model in tries], samples, device, progress)
    elif not tries:
        raise _shape_error(images, spec.event)
    options, begin = [], time.monotonic()
    sizes = [math.prod(model.event) for _, model in tries]
    for k, (answers, model) in enumerate(tries):
        settings = "&".join(f"{question}={answer}" for question, answer in answers.items())
        if len(tries) > 1:
            left = (time.monotonic() - begin) * sum(sizes[k:]) / (sum(sizes[:k]) or math.inf)
            after = f", about {left:.0f} s left" if k else ""
            progress(f"trying reading {k + 1} of {len(tries)}{after}: {settings}")
        fitted = candidate_on_samples(settings, model, images, labels, samples, device)
        options.append((answers, fitted))
    answers, best = min(options, key=lambda option: misfit_of(option[1].fit, own=images is None))
    chosen = best.model.spec  # type: ignore[attr-defined]
    others = [c for _, c in options if c is not best]
    check, alike = check_open_settings(best, others, own=images is None)
    checks = [check] if others else []
    if built and best.model.kind == "map" and teacher is None and (own := chosen.teacher()):
        teacher = model_of(own)
    readings = [*alternative_specifications(chosen)]
    for name, other in stated:
        same = [c for a, c in other.candidates() if a == answers and c.event == chosen.event]
        readings += [(name, c) for c in same]
    distinct = {digest_of_value(fields_affecting_output(c)): (name, c) for name, c in readings}
    changed = readings_of_specifications(distinct.values(), model_of)
    behaviour = check_behaviour(best.model, device)
    results, tried = _run_checks(best, changed, teacher, behaviour, own=images is None)
    fitting = [c.settings for c, base in tried if base is best and not is_better(best, c)]
    named = {name.partition("=")[0] for name, _ in stated if name in fitting}
    tried = [*((other, best) for other in others), *tried]
    given = dict.fromkeys(s for s in chosen.sources.values() if s.partition("=")[0] in named)
    return _result_of_checks(
        best,
        checks + results,
        tried,
        images,
        spec=chosen,
        answers=answers if verdict_of(checks + results) == "passed" else {},
        alike=tuple(a for a, c in options if alike and (c is best or c.settings in alike)),
        given=tuple(given),
    )


def _shape_error(images: Tensor, event: tuple[int, ...]) -> ValueError:
    shape = tuple(images.shape[1:])
    return ValueError(f"the images are of shape {shape}, but the model's are {event}")


def _result_of_checks(
    best: Candidate,
    checks: list[Check],
    tried: list[CandidatePair],
    images: Tensor | None,
    **more: Any,
) -> ModelCheck:
    """Return the result of ``checks`` of the best candidate, with the fields ``more``."""
    fitted = best.fit if best.model.kind != "map" else None
    count = 0 if images is None else len(images)
    rows = []
    for reading, stated in [(best, best), *tried]:
        excess, se = reading.fit.excess(stated.fit)
        row = {"settings": reading.settings, "excess": excess if math.isfinite(excess) else None}
        rows.append({**row, "excess_se": se, "largest_defect": reading.fit.largest_defect})
    return ModelCheck(
        **more, checks=tuple(checks), fit=fitted, images=count, candidates=tuple(rows)
    )


def check_denoiser(
    model: Denoiser,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    teacher: Denoiser | None = None,
    samples: int = 64,
    device: str = "cpu",
) -> ModelCheck:
    """Check any model, such as one of a Python file; see :func:`check_checkpoint` for arguments.

    Raises a ValueError if images lack the model's shape or labels that it needs, or are all alike.
    """
    if images is not None and tuple(images.shape[1:]) != model.event:
        raise _shape_error(images, model.event)
    behaviour = check_behaviour(model, device)
    if not behaviour.passed or has_altering_wrapper(model):
        detail = (
            "a model under guidance, clipping and the like is no posterior mean, and its error says "
            "nothing; check it without them"
        )
        note = (Check("Pythagoras", None, detail),) if behaviour.passed else ()
        return ModelCheck(None, {}, (*note, behaviour), None, 0, source="")
    stated = candidate_on_samples("", native_denoiser_in(model), images, labels, samples, device)
    changed = readings_of_user_model(stated.model) if model.read is not None else ()
    if stated.model is not model:
        behaviour = check_behaviour(stated.model, device)
    checks, tried = _run_checks(stated, changed, teacher, behaviour, own=images is None)
    return _result_of_checks(stated, checks, tried, images, spec=None, answers={})


def _run_checks(
    best: Candidate, changed: Readings, teacher: Denoiser | None, behaviour: Check, *, own: bool
) -> tuple[list[Check], list[CandidatePair]]:
    """Return the checks of the best candidate, and pairs of a tried alternative and the best.

    ``changed`` yields alternatives. An exception of the network fails its ``behaviour`` check. A
    ValueError and a lack of memory are raised, and any exception if SAMPLERBENCH_TRACEBACK is set.
    """
    try:
        checks, tried = _checks_on_samples(best, changed, teacher, behaviour, own=own)
    except (ValueError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a user's network may raise anything for other inputs
        if os.environ.get("SAMPLERBENCH_TRACEBACK"):
            raise
        checks, tried = [], []
        if behaviour.passed:
            behaviour = Check("behaviour", False, f"the network raises {error_in_words(error)}")
    return [*checks, behaviour], tried


def _checks_on_samples(
    best: Candidate, changed: Readings, teacher: Denoiser | None, behaviour: Check, *, own: bool
) -> tuple[list[Check], list[CandidatePair]]:
    model, fits = best.model, bool(np.isfinite(best.fit.errors).all())
    checks: list[Check] = []
    tried: list[CandidatePair] = []
    if own and not fits:
        return [UNUSABLE] if behaviour.passed else [], []
    if model.kind == "map":
        varied = variance_of(best.clean) > 0  # a map whose own samples are all alike is not judged
        if varied:
            checks += check_map(model, best.clean, best.labels)
            checks += _check_paths(best, changed, teacher, images=not own)
        if own and (teacher is None or not varied):
            checks.append(NOT_COMPARED)
    elif own:
        checks += [check_noise_left(best), check_zero_defect(best, own=True), NOT_COMPARED]
    else:
        is_native = isinstance(model, NativeDenoiser)
        readings = [*changed, *readings_of_image_format(model, best.clean)]
        readings += readings_of_network(model) if is_native else ()
        readings += readings_of_scale(best) if fits else ()
        readings += readings_of_time(best) if fits else ()
        better = better_readings(best, readings)
        tried = better.tried
        fault = FAULT_ON_IMAGES if behaviour.passed else behaviour.detail
        broken = why_outputs_are_broken(best) if fits else "" if better.passing else fault
        observation = noise_and_defect_in_words(best) if fits else ""
        checks.append(check_readings(best, better, broken, observation))
        if fits:
            checks += [check_denoises(best), check_zero_defect(best, own=False)]
            checks.append(check_noise_left(best))
            checks += [check_time(best)] if is_native else []
        if fits and model.classes > 1 and best.labels is not None:
            checks.append(check_labels(model, best.clean, best.labels))
    return checks, tried


FAULT_ON_IMAGES = "on noisy images of these it fails, or its outputs are not finite"
UNUSABLE = Check(
    "samples",
    False,
    "the model's own samples are not finite, or the network fails on them: its prediction, sign, time or "
    "range of levels is wrong, or it takes no such batches",
)
NOT_COMPARED = Check(
    "data",
    None,
    "nothing was compared with data, and without them a wrong map cannot be told from a weak network; "
    "give --images, a folder, .npy or .npz of what it was trained on",
)


def _check_paths(
    best: Candidate, changed: Readings, teacher: Denoiser | None, *, images: bool
) -> Iterator[Check]:
    """Yield checks of a map along its paths: on clean images, and against a ``teacher``."""
    std = variance_of(best.clean) ** 0.5
    if images:
        stated = measure_movement(best.model, best.clean, best.labels, std)
        others = {
            name: measure_movement(model, best.clean, best.labels, std)
            for name, model in changed
            if is_a_map(model, best.clean, best.labels)
        }
        yield check_renoised(stated, others)
    if teacher is not None:
        yield check_one_path(best.model, teacher, best.clean, best.labels, std)


def check_behaviour(model: Denoiser, device: str) -> Check:
    """Check that outputs are finite, repeatable, and independent of other rows of the batch."""
    try:
        check_model(model, denoising=False, device=device)
    except ValueError as error:
        return Check("behaviour", False, str(error))
    detail = "finite at both ends, the same for the same input, and each row by itself"
    return Check("behaviour", True, detail)
