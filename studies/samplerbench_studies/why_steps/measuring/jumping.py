"""Measurements of row 15: a distilled map in one to four jumps, and its teacher."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samplerbench.benchmarks.metrics import FrechetEstimate, paired_difference, precision_recall
from samplerbench.benchmarks.sampling import latents
from samplerbench.models import Denoiser
from samplerbench.samplers import Grid, GridSampler, integrate, make

from ...arrays import FloatArray
from ..statistics.intervals import NORMAL, Interval
from .effort import Effort
from .generating import BATCH, SAMPLES, DistanceToData, exact_model, generate, grid_of

TEACHER, STUDENT, EXACT = "fashion", "fashion-map", "gmm-64d"
JUMPS: Mapping[int, tuple[float, ...]] = {1: (), 2: (0.7,), 4: (1.0, 0.4, 0.1)}
"""Levels between jumps, by number of jumps. They were chosen on latents of another seed than the
row's, by the method of the paper (arXiv:2303.01469, section 6).
"""
COUNTS, FAST = (1, 2, 4, 10), (1, 4, 10)
"""Evaluations of the teacher's samplers."""
PLAIN = "euler"
SAMPLERS, FAST_SAMPLERS = (PLAIN, "dpmpp_2m", "auto"), (PLAIN, "auto")
FINE, FAST_FINE = 32, 12
"""Steps of the teacher's paths, by ``dpmpp_2m``."""
STRIDE = 4
"""Steps between two states of a path at which the map's output is compared with the end."""
EXACT_SAMPLES = 1152
"""Samples of the exact model, 18 for each of 64 dimensions."""
SHOWN = 12
PREDICTION, END, REAL = "one prediction", "converged", "real images"


class Likeness(NamedTuple):
    """Spread of a set of samples, compared with the data.

    Attributes:
        variance: variance inside classes, over the data's.
        recall: share of real samples in the neighbourhood of a generated sample.
        coverage: share of real samples whose neighbourhood contains a generated sample.
    """

    variance: Interval
    recall: float
    coverage: float


class JumpingResult(NamedTuple):
    """Measurements of row 15.

    Attributes:
        jumps: numbers of jumps.
        map: distance of the map to the data after each number of jumps.
        counts: numbers of evaluations of the teacher.
        teacher: distance of the teacher to the data at each of ``counts``, by sampler.
        ratio: distance of the teacher's single prediction over the distance of one jump; the upper
            end is infinite if the jump may have distance 0.
        at_most: distance after the most jumps less the distance of ten steps of Euler's method.
        behind: distance after each number of jumps in ``counts``, less the teacher's best there.
        cost: network evaluations of the map's training; 0 if unknown.
        teacher_cost: network evaluations of the teacher's training; 0 if unknown.
        equal: evaluations after which the teacher's best sampler is as near to the data, for each
            number of jumps; infinite if it never is.
        likeness: spread of each set of samples, by name.
        levels: noise levels on the teacher's paths at which the map is compared with the ends.
        missed: root mean square distance from the map's output to the path's end, over the distance
            of two images of one class.
        predicted: the same ratio for the teacher's prediction.
        common: share of the squared error of one jump that is common to all noises of a class.
        shrunk: correlation of the rest of that error with the end's deviation from its class mean.
        exact: distance to the data after one call of the true map of an exact model.
        exact_prediction: distance of that model's single prediction.
        pictures: first samples ``(m, h, w)`` of each set, by name; empty if samples are no
            pictures.
        variance: total variance of the data's features.
        flags: reasons against trusting the distances' intervals.
    """

    jumps: Sequence[int]
    map: Sequence[Interval]
    counts: Sequence[int]
    teacher: Mapping[str, Sequence[Interval]]
    ratio: Interval
    at_most: Interval
    behind: Sequence[Interval]
    cost: float
    teacher_cost: float
    equal: Sequence[float]
    likeness: Mapping[str, Likeness]
    levels: Sequence[float]
    missed: Sequence[Interval]
    predicted: Sequence[Interval]
    common: Interval
    shrunk: Interval
    exact: Interval
    exact_prediction: Interval
    pictures: Mapping[str, NDArray[np.float32]]
    variance: float
    flags: Sequence[str]


class Paths(NamedTuple):
    """Converged paths of the teacher.

    Attributes:
        levels: levels of the states.
        states: states ``(levels, n, *event)``.
        end: ends ``(n, *event)`` of the paths.
    """

    levels: Sequence[float]
    states: Tensor
    end: Tensor


def measure(effort: Effort) -> JumpingResult:
    """Measure row 15: the map and its teacher from the same latents, with equally frequent
    classes.
    """
    teacher, student = effort.model(TEACHER), effort.model(STUDENT)
    if teacher.event != student.event:
        raise ValueError(
            f"model {student.name} is no map of {teacher.name}, whose samples have another shape; put "
            f"models in the place of {TEACHER} and of {STUDENT}"
        )
    n = effort.samples(SAMPLES, 192)
    labels = torch.arange(n) % teacher.classes if teacher.classes else None
    counts = FAST if effort.fast else COUNTS
    names = FAST_SAMPLERS if effort.fast else SAMPLERS
    to_data = DistanceToData(teacher, n)
    found = {
        sampler: [to_data(generate(teacher, sampler, k, n, labels=labels)) for k in counts]
        for sampler in names
    }
    jumped = {k: jump(student, k, n, labels) for k in JUMPS}
    own = {k: to_data(x) for k, x in jumped.items()}
    paths = paths_of(teacher, FAST_FINE if effort.fast else FINE, n, labels)
    best = [min(line, key=lambda one: one.value) for line in zip(*found.values(), strict=True)]
    first, most = paths.states[0], max(JUMPS)
    drawn = {
        PREDICTION: answers(teacher, first, paths.levels[0], labels),
        **{called(k): x for k, x in jumped.items()},
        END: paths.end,
    }
    classes = torch.zeros(n, dtype=torch.int64) if labels is None else labels
    missed, predicted = (
        [
            distance(answers(model, x, level, labels), paths.end, classes)
            for level, x in zip(paths.levels, paths.states, strict=True)
        ]
        for model in (student, teacher)
    )
    common, shrunk = errors(jumped[1], paths.end, classes)
    exact, plain = exactly(effort)
    return JumpingResult(
        tuple(JUMPS),
        [_interval(one) for one in own.values()],
        counts,
        {name: [_interval(one) for one in line] for name, line in found.items()},
        ratio(found[PLAIN][0], own[1]),
        Interval.normal(*paired_difference(own[most], found[PLAIN][counts.index(10)])),
        [
            Interval.normal(*paired_difference(own[k], best[counts.index(k)]))
            for k in JUMPS
            if k in counts
        ],
        cost_of(student),
        cost_of(teacher),
        [
            evaluations_for(one.value, counts, [other.value for other in best])
            for one in own.values()
        ],
        likeness(teacher, to_data, drawn, classes),
        paths.levels,
        missed,
        predicted,
        common,
        shrunk,
        exact,
        plain,
        {name: pictures(x) for name, x in drawn.items()},
        to_data.variance,
        to_data.flags,
    )


def called(jumps: int) -> str:
    """Return the name of samples of ``jumps`` jumps."""
    return f"{jumps} jump{'s' * (jumps > 1)}"


def _interval(one: FrechetEstimate) -> Interval:
    return Interval(one.value, one.low, one.high)


def jump(model: Denoiser, jumps: int, n: int, labels: Tensor | None, *, seed: int = 0) -> Tensor:
    """Return samples ``(n, *event)`` of a map by ``jumps`` jumps."""
    grid = Grid((model.sigma_max, *JUMPS[jumps], model.sigma_min))
    return generate(model, "consistency", grid, n, labels=labels, seed=seed)


@torch.no_grad()
def answers(model: Denoiser, x: Tensor, level: float, labels: Tensor | None) -> Tensor:
    """Return a model's outputs for states at a level, batch by batch."""
    parts = []
    for rows in torch.arange(len(x)).split(BATCH):
        parts.append(model.denoise(x[rows], level, None if labels is None else labels[rows]))
    return torch.cat(parts)


@torch.no_grad()
def paths_of(model: Denoiser, steps: int, n: int, labels: Tensor | None) -> Paths:
    """Return paths of a denoiser's probability flow: the ends, and every :data:`STRIDE`-th
    state.
    """
    grid, sampler = grid_of(model, steps), make("dpmpp_2m")
    assert isinstance(sampler, GridSampler)
    parts = []
    for ids in torch.arange(n).split(BATCH):
        x, noise = latents(model, ids, 0, model.dtype)
        states, bound = [x], model.bind(ids, 0, None if labels is None else labels[ids])
        integrate(
            sampler,
            bound,
            x,
            grid,
            noise,
            on_step=lambda _i, _level, x, states=states: states.append(x),
        )
        parts.append(torch.stack([*states[:-1:STRIDE], states[-1]]))
    states = torch.cat(parts, 1)
    return Paths(grid.sigma[:-1:STRIDE], states[:-1], states[-1])


def ratio(plain: FrechetEstimate, jumped: FrechetEstimate) -> Interval:
    """Return the ratio plain / jumped of two distances from the same latents, with Fieller's
    interval.

    It contains all r for which plain - r jumped is within its error of 0 (J. R. Stat. Soc. B
    16:175, 1954). The upper end is infinite if ``jumped`` may be 0. The value is infinite too if
    ``jumped`` is estimated <= 0.
    """
    a, b = plain.value, max(jumped.value, 0.0)  # below 0 by its noise alone
    var = np.cov(plain.influence, jumped.influence) / plain.n * NORMAL**2
    square, middle, rest = b * b - var[1, 1], a * b - var[0, 1], a * a - var[0, 0]
    root = math.sqrt(max(middle * middle - square * rest, 0.0))
    value = a / b if b > 0 else math.inf
    if square > 0:
        return Interval(value, (middle - root) / square, (middle + root) / square)
    # the second may be 0: all above the smaller root, if there is one above 0
    return Interval(value, rest / (middle + root) if middle + root > 0 else 0.0, math.inf)


def evaluations_for(aim: float, counts: Sequence[int], distances: Sequence[float]) -> float:
    """Return the evaluations at which falling distances reach ``aim``; infinite if they never do.

    Logarithms are interpolated.
    """
    for k, (count, value) in enumerate(zip(counts, distances, strict=True)):
        if value <= aim:
            if k == 0 or value <= 0:
                return float(count)
            before = distances[k - 1]
            share = math.log(before / aim) / math.log(before / value)
            return counts[k - 1] * (count / counts[k - 1]) ** share
    return math.inf


PASSES = 3
"""Cost in evaluations of a training step on an image: 1 forward, 2 backward."""


def cost_of(model: Denoiser) -> float:
    """Return the network evaluations of the training, by the model's card; 0 without a card."""
    training = getattr(getattr(model, "card", None), "training", {})
    told = [count for key, count in training.items() if key.startswith("evaluations_")]
    return float(sum(told) if told else PASSES * training.get("images_seen", 0))


def distance(x: Tensor, end: Tensor, labels: Tensor) -> Interval:
    """Return the root mean square distance of pairs, relative to two different ends of one class.

    Another image of the class has 1, the average of the class sqrt(1/2).
    """
    off, own = np.square(_rows(x - end)).sum(1), np.square(_own(_rows(end), labels)).sum(1)
    value = math.sqrt(off.mean() / (2 * own.mean()))
    return _linear(value, value / 2 * (off / off.mean() - own / own.mean()))


def errors(x: Tensor, end: Tensor, labels: Tensor) -> tuple[Interval, Interval]:
    """Return the share of the squared error common to a class, and a correlation.

    The correlation is between the rest of the error and the end's deviation from its class mean.
    """
    off = _rows(x - end)
    rest, own = _own(off, labels), _own(_rows(end), labels)
    whole, a, b = (np.square(part).sum(1) for part in (off, rest, own))
    apart = a.mean() / whole.mean()
    product, size = (rest * own).sum(1), math.sqrt(a.mean() * b.mean())
    correlation = product.mean() / size
    return (
        _linear(1 - apart, apart * (whole / whole.mean() - a / a.mean())),
        _linear(correlation, product / size - correlation / 2 * (a / a.mean() + b / b.mean())),
    )


def _own(x: FloatArray, labels: Tensor) -> FloatArray:
    """Return each row less the mean of its class, or 0 for the only row of a class.

    The scale makes the mean square the variance inside classes.
    """
    which = np.unique(labels.numpy(), return_inverse=True)[1]
    count, sums = np.bincount(which), np.zeros((which.max() + 1, x.shape[1]))
    np.add.at(sums, which, x)
    scale = np.sqrt(count / np.maximum(count - 1, 1))
    return (x - (sums / count[:, None])[which]) * scale[which, None]


def _linear(value: float, influence: FloatArray) -> Interval:
    """Return an interval for a smooth function of means, by the influence of each sample."""
    return Interval.normal(value, float(influence.std(ddof=1) / math.sqrt(len(influence))))


def likeness(
    model: Denoiser, to_data: DistanceToData, drawn: Mapping[str, Tensor], labels: Tensor
) -> dict[str, Likeness]:
    """Return the spread of each set, and of as many real samples (whose variance is 1)."""
    moments = model.moments()
    if moments is None:
        raise ValueError(f"nobody knows the data of model {model.name}; take one with moments")
    n, total = len(labels), float(np.trace(moments[1]))
    real = to_data.reference.held_out(2 * n)
    known, unseen = real[:n], real[n:]

    def spread(x: Tensor) -> Interval:
        own = np.square(_own(_rows(x), labels)).sum(1) / total
        return _linear(float(own.mean()), own)

    found = {}
    for name, x in drawn.items():
        near = precision_recall(to_data.features(x), known)
        found[name] = Likeness(spread(x), near.recall, near.coverage)
    near = precision_recall(unseen, known)
    return found | {REAL: Likeness(Interval(1.0, 1.0, 1.0), near.recall, near.coverage)}


def exactly(effort: Effort) -> tuple[Interval, Interval]:
    """Return an exact model's distance to the data after one call of its true map, and one
    prediction.
    """
    model, n = exact_model(effort, EXACT), effort.samples(EXACT_SAMPLES, 192)
    x = latents(model, torch.arange(n), 0, model.dtype)[0]
    to_data, end = DistanceToData(model), model.endpoint(x)
    assert end is not None
    return _interval(to_data(end)), _interval(to_data(model.denoise(x, model.sigma_max, None)))


def pictures(x: Tensor) -> NDArray[np.float32]:
    """Return the first samples as grey pictures; empty if samples are no pictures."""
    if x.ndim != 4 or x.shape[1] != 1:
        return np.empty((0, 1, 1), np.float32)
    return x[:SHOWN, 0].float().numpy()


def _rows(x: Tensor) -> FloatArray:
    return x.double().flatten(1).numpy()
