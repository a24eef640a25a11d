"""Measurements of row 15: a distilled map in one to four jumps, beside its teacher in up to ten
evaluations.
"""

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
"""Levels that a run of so many jumps goes to in between. They were chosen on latents of another seed
than the row's, as the paper chooses them (arXiv:2303.01469, section 6).
"""
COUNTS, FAST = (1, 2, 4, 10), (1, 4, 10)
"""Evaluations of the teacher's samplers."""
PLAIN = "euler"
SAMPLERS, FAST_SAMPLERS = (PLAIN, "dpmpp_2m", "auto"), (PLAIN, "auto")
FINE, FAST_FINE = 32, 12
"""Steps of the teacher's paths, by ``dpmpp_2m``."""
STRIDE = 4
"""Steps between two states of a path at which the map is asked for its end."""
EXACT_SAMPLES = 1152
"""18 for each of 64 dimensions."""
SHOWN = 12
PREDICTION, END, REAL = "one prediction", "converged", "real images"


class Likeness(NamedTuple):
    """How a set of samples spreads, compared with the data.

    Attributes:
        variance: inside classes, over that of the data.
        recall: share of real samples in the neighbourhood of a generated one.
        coverage: share of the neighbourhoods of real samples that hold a generated one.
    """

    variance: Interval
    recall: float
    coverage: float


class JumpingResult(NamedTuple):
    """The measurements of row 15.

    Attributes:
        jumps: numbers of jumps.
        map: distance to the data after each.
        counts: evaluations of the teacher.
        teacher: distance to the data after each, by sampler.
        ratio: distance of the teacher's one prediction over that of one jump; its upper end is
            infinite where the jump may be at the data.
        at_most: distance after the most jumps less that of ten steps of Euler's method.
        behind: after each number of jumps, distance less that of the teacher's best sampler with as
            many evaluations.
        cost: evaluations of the network that training took; 0 where nobody knows.
        teacher_cost: the same of the teacher's.
        equal: evaluations with which the teacher's best sampler is as near to the data, for each
            number of jumps; infinite if it never is.
        likeness: by what was sampled.
        levels: noise levels of the teacher's paths at which the map was asked for their ends.
        missed: root mean square distance from the map's answer to the path's end, over that of two
            images of one class.
        predicted: the same of the teacher's prediction.
        common: share of the squared error of one jump that is the same for all noises of a class.
        shrunk: correlation of that error with what the end has of its own in its class.
        exact: distance to the data after one call of the true map of an exact model.
        exact_prediction: the same of its one prediction.
        pictures: by what was sampled, the first samples ``(m, h, w)``; empty if they are none.
        variance: total variance of the data's features.
        flags: of the distances.
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
    """The teacher's converged paths.

    Attributes:
        levels: of the states.
        states: ``(levels, n, *event)``.
        end: ``(n, *event)``.
    """

    levels: Sequence[float]
    states: Tensor
    end: Tensor


def measure(effort: Effort) -> JumpingResult:
    """The map and its teacher from the same latents, every class as often."""
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
    """What samples of so many jumps are called."""
    return f"{jumps} jump{'s' * (jumps > 1)}"


def _interval(one: FrechetEstimate) -> Interval:
    return Interval(one.value, one.low, one.high)


def jump(model: Denoiser, jumps: int, n: int, labels: Tensor | None, *, seed: int = 0) -> Tensor:
    """Samples ``(n, *event)`` of a map by so many jumps."""
    grid = Grid((model.sigma_max, *JUMPS[jumps], model.sigma_min))
    return generate(model, "consistency", grid, n, labels=labels, seed=seed)


@torch.no_grad()
def answers(model: Denoiser, x: Tensor, level: float, labels: Tensor | None) -> Tensor:
    """What a model says of states at a level, batch by batch."""
    parts = []
    for rows in torch.arange(len(x)).split(BATCH):
        parts.append(model.denoise(x[rows], level, None if labels is None else labels[rows]))
    return torch.cat(parts)


@torch.no_grad()
def paths_of(model: Denoiser, steps: int, n: int, labels: Tensor | None) -> Paths:
    """Paths of a denoiser's probability flow to their ends, and every few of their states."""
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
    """One distance over another from the same latents, with Fieller's interval: all r at which
    plain - r jumped is within its error of 0 (J. R. Stat. Soc. B 16:175, 1954).

    Its upper end is infinite where the second may be 0; then the value is too, unless the second
    is > 0.
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
    """Evaluations at which falling distances reach ``aim``, interpolated between their logarithms;
    infinite if they never do.
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
"""Evaluations that a training step on an image counts as: forward, and backward twice that."""


def cost_of(model: Denoiser) -> float:
    """Evaluations of the network that training took, by the model's card; 0 without one."""
    training = getattr(getattr(model, "card", None), "training", {})
    told = [count for key, count in training.items() if key.startswith("evaluations_")]
    return float(sum(told) if told else PASSES * training.get("images_seen", 0))


def distance(x: Tensor, end: Tensor, labels: Tensor) -> Interval:
    """Root mean square distance of pairs, over that of two different ends of one class.

    Another image of the class is at 1, and the average of the class at sqrt(1/2).
    """
    off, own = np.square(_rows(x - end)).sum(1), np.square(_own(_rows(end), labels)).sum(1)
    value = math.sqrt(off.mean() / (2 * own.mean()))
    return _linear(value, value / 2 * (off / off.mean() - own / own.mean()))


def errors(x: Tensor, end: Tensor, labels: Tensor) -> tuple[Interval, Interval]:
    """Share of the squared error that all noises of a class have in common, and the correlation of
    the rest with what the end has of its own.
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
    """Each row less the mean of its class, so scaled that its mean square is the variance inside
    classes; rows that are alone in their class have nothing of their own.
    """
    which = np.unique(labels.numpy(), return_inverse=True)[1]
    count, sums = np.bincount(which), np.zeros((which.max() + 1, x.shape[1]))
    np.add.at(sums, which, x)
    scale = np.sqrt(count / np.maximum(count - 1, 1))
    return (x - (sums / count[:, None])[which]) * scale[which, None]


def _linear(value: float, influence: FloatArray) -> Interval:
    """A smooth function of means, with the influence of each sample on it."""
    return Interval.normal(value, float(influence.std(ddof=1) / math.sqrt(len(influence))))


def likeness(
    model: Denoiser, to_data: DistanceToData, drawn: Mapping[str, Tensor], labels: Tensor
) -> dict[str, Likeness]:
    """How each set spreads, and, for comparison, as many real samples (whose variance is 1)."""
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
    """Distance to the data of an exact model after one call of its true map, and after its one
    prediction.
    """
    model, n = exact_model(effort, EXACT), effort.samples(EXACT_SAMPLES, 192)
    x = latents(model, torch.arange(n), 0, model.dtype)[0]
    to_data, end = DistanceToData(model), model.endpoint(x)
    assert end is not None
    return _interval(to_data(end)), _interval(to_data(model.denoise(x, model.sigma_max, None)))


def pictures(x: Tensor) -> NDArray[np.float32]:
    """The first samples as grey pictures; none if they are not."""
    if x.ndim != 4 or x.shape[1] != 1:
        return np.empty((0, 1, 1), np.float32)
    return x[:SHOWN, 0].float().numpy()


def _rows(x: Tensor) -> FloatArray:
    return x.double().flatten(1).numpy()
