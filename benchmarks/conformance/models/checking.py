"""Checking a checkpoint: which of the possible maps fits, whether it is right, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....models import Denoiser
from ....models.adapters import Network
from ....models.checkpoints.mapping import Checkpoint, digest
from ....models.checkpoints.specification import Specification
from ....samplers import Grid, NoNoise, SampleNoise, karras, make
from ...running.model_check import check_model
from .alternatives import alternatives
from .check import Check
from .fit import SEED, Fit, fit, levels_of
from .maps import check_map, looks_like_a_map, variance_of
from .paths import check_along, check_renoised, moves

SURE = 3.0
"""Standard errors by which one map must be better than another."""
ALIKE = 0.005
"""Share of the error by which two maps that differ at all must differ."""
SLACK, LARGE = 0.1, 0.3
"""Defects that a trained network has, and that one has which is trained too little; maps that are
wrong have more at some level.
"""
POOR = 1.2
"""How much larger the error may be than that of the best multiple of the noisy sample."""
STEPS, HIGHEST = 40, 1e3
"""Of the model's own samples, where there are no others: steps, and the level that an infinite range
begins at.
"""


@dataclass(frozen=True)
class Checked:
    """What was found.

    Attributes:
        spec: with nothing open, if the open questions could be answered.
        answers: to what was open.
        checks: in the order in which they were made.
        fit: of the chosen map to E[x0 | x]; None for a few-step map.
        images: how many clean samples there were; 0 where the model's own took their place.
        candidates: the chosen map, the other answers to what was open, and the usual mistakes: their
            settings, by which share their error is larger, and their largest defect.
    """

    spec: Specification
    answers: dict[str, str]
    checks: tuple[Check, ...]
    fit: Fit | None
    images: int
    candidates: tuple[dict[str, Any], ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether all is as it must be."""
        return all(check.passed for check in self.checks)


@dataclass(frozen=True)
class _Candidate:
    settings: str
    model: Checkpoint
    fit: Fit
    clean: Tensor
    labels: Tensor | None


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
) -> Checked:
    """Check a checkpoint, and answer what its file leaves open.

    Args:
        spec: what is known.
        network: of the checkpoint, in its native coordinates.
        images: clean samples ``(n, *event)``; None takes the model's own, of each candidate for
            itself, which tells less.
        labels: their classes ``(n,)``, or None.
        built: makes the network of a candidate whose ``network`` is another than that of ``spec``;
            None where all candidates have the same.
        teacher: of a few-step map: a denoiser that knows its paths, such as what it was distilled
            from, on the device. None takes the map's own network, if it is one too
            (:meth:`.Specification.teacher`).
        samples: how many of its own.
        device: "cpu" or "cuda".

    Raises:
        ValueError: the images are of another shape than the model's.
    """
    networks = {digest(spec.network): network}

    def network_of(of: Specification) -> Network:
        if built is None:
            return network
        key = digest(of.network)
        if key not in networks:
            networks[key] = built(of)
        return networks[key]

    def model_of(of: Specification) -> Checkpoint:
        made = Checkpoint(of, network_of(of), spec.family, "")
        return made if device == "cpu" else made.to(device)  # type: ignore[return-value]

    def judged(
        settings: str, of: Specification, at: NDArray[np.float64] | None = None
    ) -> _Candidate:
        model = model_of(of)
        if images is None:
            clean, classes = _own_samples(model, samples, device)
        else:
            clean, classes = images.to(device, model.dtype), _classes(model, labels, device)
        levels = levels_of(model, clean) if at is None else at
        found = fit(model, clean, classes, levels)
        return _Candidate(settings, model, found, clean, classes)

    if images is not None and not any(_takes(c, images) for _, c in spec.candidates()):
        raise ValueError(
            f"the images are of shape {tuple(images.shape[1:])}, but the model's are {spec.event}"
        )
    options = [
        (answers, judged("&".join(f"{k}={v}" for k, v in answers.items()), candidate))
        for answers, candidate in spec.candidates()
        if images is None or _takes(candidate, images)
    ]
    checks: list[Check] = []
    answers, best = min(options, key=lambda option: _cost(option[1].fit, own=images is None))
    others = [candidate for _, candidate in options if candidate is not best]
    if others:
        checks.append(_decided(best, others, own=images is None))
    is_map = best.model.kind == "map"
    if is_map:
        checks += check_map(best.model, best.clean, best.labels)
        own = best.model.spec.teacher() if built is not None else None
        if teacher is None and own is not None:
            teacher = model_of(own)
        checks += _paths(best, model_of, teacher, images=images is not None)
    elif images is not None:
        at = best.fit.levels
        mistakes = [judged(name, other, at) for name, other in alternatives(best.model.spec)]
        checks.append(_best_of_neighbours(best, mistakes))
        checks.append(_denoises(best.fit, images))
        others += mistakes
    if not is_map:
        checks.append(_pythagoras(best.fit, best.clean))
    checks.append(_behaves(best.model, device))
    return Checked(
        best.model.spec,
        answers if all(check.passed for check in checks) else {},
        tuple(checks),
        None if is_map else best.fit,
        0 if images is None else len(images),
        tuple(_told([best, *others])),
    )


def _paths(
    best: _Candidate,
    model_of: Callable[[Specification], Checkpoint],
    teacher: Denoiser | None,
    *,
    images: bool,
) -> Iterator[Check]:
    """Whether a map is consistent: by images against other readings of its network, and along the paths
    of a denoiser.
    """
    std = variance_of(best.clean) ** 0.5
    if images:
        stated, *others = (
            (name, moves(model, best.clean, best.labels, std))
            for name, model in [
                ("", best.model),
                *((name, model_of(other)) for name, other in alternatives(best.model.spec)),
            ]
        )
        yield check_renoised(stated[1], dict(others))
    if teacher is not None:
        yield check_along(best.model, teacher, best.clean, best.labels, std)


def _takes(spec: Specification, images: Tensor) -> bool:
    return spec.event == tuple(images.shape[1:])


def _cost(of: Fit, *, own: bool) -> float:
    """What the best candidate has least of: the error on clean samples, or, on samples of each
    candidate's own, the largest defect.
    """
    if own:
        worst = float(abs(of.defect).max())
        return worst if math.isfinite(worst) else math.inf
    error = of.errors.mean(1)
    return float(np.median(np.log(error))) if np.isfinite(error).all() else math.inf


def _decided(best: _Candidate, others: Sequence[_Candidate], *, own: bool) -> Check:
    """Whether the best answer to the open questions is better than every other."""
    name = "open questions"
    alike = [o.settings for o in others if _fits_alike(best, o, own=own)]
    if alike:
        return Check(
            name,
            False,
            f"{best.settings} and {' and '.join(alike)} fit alike; say which behind the path, as in "
            f"PATH?{best.settings}"
            + (", or give --images, which tell more than the model's own samples" if own else ""),
        )
    return Check(name, True, f"{best.settings} fits, and {_listed(others)} not")


def _fits_alike(best: _Candidate, other: _Candidate, *, own: bool) -> bool:
    if own:
        return best.model.kind == "map" or _obeys(other.fit)
    excess, se = other.fit.excess(best.fit)
    return excess < max(SURE * se, ALIKE)


def _listed(others: Sequence[_Candidate]) -> str:
    return ", ".join(o.settings for o in others)


def _best_of_neighbours(stated: _Candidate, others: Sequence[_Candidate]) -> Check:
    """Whether no usual mistake would fit better."""
    name = "usual mistakes"
    better = []
    for other in others:
        excess, se = stated.fit.excess(other.fit)
        if excess > max(SURE * se, ALIKE):
            better.append((excess, other.settings))
    if better:
        excess, settings = max(better)
        return Check(
            name,
            False,
            f"the map is wrong: with {settings} the mean squared error on the images is "
            f"{100 * excess / (1 + excess):.0f} % smaller",
        )
    return Check(name, True, f"none of {len(others)} other maps fits better ({_listed(others)})")


def _obeys(of: Fit, slack: float = SLACK) -> bool:
    return bool((abs(of.defect) <= slack + SURE * of.defect_se).all())


def _denoises(of: Fit, images: Tensor) -> Check:
    """Whether the error is below that of a multiple of the noisy sample, at most levels."""
    variance = float((images - images.mean(0)).double().square().mean())
    multiple = variance * of.levels**2 / (variance + of.levels**2)
    share = float(np.median(of.errors.mean(1) / multiple))
    said = f"the error is {share:.2g} times that of the best multiple of the noisy sample (median)"
    if share <= POOR:
        return Check("denoises", True, said)
    return Check(
        "denoises", False, f"{said}; the map is wrong, or the images are not what it was trained on"
    )


def _pythagoras(of: Fit, clean: Tensor) -> Check:
    worst = int(abs(of.defect).argmax())
    at = f"{of.defect[worst]:+.2g} at sigma {of.levels[worst]:.3g} (± {of.defect_se[worst]:.1g})"
    said = f"the defect is {at} at most, and 0 for a posterior mean"
    if _obeys(of):
        return Check("Pythagoras", True, said)
    if looks_like_a_map(of, clean):
        return Check(
            "Pythagoras",
            False,
            f"d is no posterior mean: the defect is {at}, and from high levels d is as far from x0 as "
            "another sample; it is a few-step map: say kind=map",
        )
    if _obeys(of, LARGE):
        return Check("Pythagoras", True, f"{said}; more than {SLACK:g}, so it is trained little")
    return Check(
        "Pythagoras",
        False,
        f"d is no posterior mean: the defect is {at}; its process, prediction, sign or time is "
        "wrong, or it is trained on other data, or hardly at all",
    )


def _behaves(model: Checkpoint, device: str) -> Check:
    """Rows alone and together, and both ends."""
    try:
        check_model(model, denoising=False, device=device)
    except ValueError as error:
        return Check("behaviour", False, str(error))
    return Check(
        "behaviour",
        True,
        "finite at both ends, the same for the same input, and each row by itself",
    )


def _classes(model: Checkpoint, labels: Tensor | None, device: str) -> Tensor | None:
    """Labels of the images: those given, or "no label" where the network knows it.

    Raises:
        ValueError: the network needs labels, and there are none.
    """
    if not (model.classes or model.conditions):
        return None
    if labels is not None:
        return labels.to(device)
    if model.spec.null_label:
        return None
    if model.conditions:
        raise ValueError(
            "the network takes embeddings, and nothing says which row of them belongs to which image; give "
            "an .npz file with the rows' numbers in arr_1"
        )
    raise ValueError(
        f"the network is conditional on {model.classes} classes, and the images have none; put them in "
        "a folder for each class, or give an .npz file with labels in arr_1"
    )


@torch.no_grad()
def _own_samples(model: Checkpoint, count: int, device: str) -> tuple[Tensor, Tensor | None]:
    """What the model itself makes, with the labels that it was made of."""
    ids = torch.arange(count, device=device)
    top = min(model.sigma_max, HIGHEST)
    is_map = model.kind == "map"
    grid = Grid((top, 0.0)) if is_map else karras(STEPS, model.sigma_min, top)
    bound = model.bind(ids, SEED + 1)  # other noise than what they are then checked with
    latents = SampleNoise(SEED + 1, ids, model.event, model.dtype).initial()
    sampler = make("consistency" if is_map else "dpmpp_2m")
    return sampler.sample(bound, top * latents, grid, NoNoise()), bound.labels


def _told(candidates: Sequence[_Candidate]) -> Iterator[dict[str, Any]]:
    for candidate in candidates:
        excess, se = candidate.fit.excess(candidates[0].fit)
        yield {
            "settings": candidate.settings,
            "excess": excess if math.isfinite(excess) else None,
            "excess_se": se,
            "largest_defect": float(abs(candidate.fit.defect).max()),
        }
