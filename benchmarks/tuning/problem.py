"""Latents reserved for tuning, their converged endpoints, and losses: distances of samples to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.checkpoints.opening import error_in_words
from ...models.denoiser import Denoiser
from ...models.extractors import Samples
from ...models.extractors.rgb import RgbNetwork
from ...models.reference import Extractor
from ...samplers import Grid, NoNoise, Sampler
from ..planning.gits import SEARCH_IDS
from ..planning.model_loading import NamedModel
from ..planning.tuned_file import Loss
from ..sampling.batch import latents
from ..sampling.counting import Meter
from ..sampling.shard import clamp
from ..scoring.converged_endpoints import ODE, solve
from ..scoring.feature_references import make_scoring_extractor

BATCH = 96


class Teacher:
    """Source of endpoints ``(n, *event)`` of latents.

    ``exact`` has the endpoints that the model itself knows. If it is None, a reference solver gives
    them, and they are cached. ``seconds`` is the time that all endpoints took so far.
    """

    @torch.no_grad()
    def __init__(self, model: Denoiser, ids: Tensor, seed: int) -> None:
        started = perf_counter()
        self._meter = Meter()
        self._solved: dict[int, Tensor] = {}
        self.model, self.ids, self.seed = self._meter.attach(model), ids, seed
        x = latents(self.model, ids, seed, self.model.dtype)[0]
        self.exact = self.model.endpoint(x, self.model.draw_labels(ids, seed))
        self.seconds = perf_counter() - started

    @property
    def evaluations(self) -> int:
        """Network evaluations for all endpoints so far, also coarser ones; 0 in closed form."""
        return self._meter.rows

    @property
    def rounding(self) -> float:
        """Rounding error of states at sigma_max, which more steps cannot reduce."""
        return torch.finfo(self.model.dtype).eps * self.model.sigma_max

    def endpoints(self, steps: int) -> Tensor:
        """Return exact or solved endpoints; raise a ValueError if solved ones are not finite."""
        if self.exact is not None:
            return self.exact
        if steps not in self._solved:
            started = perf_counter()
            with torch.no_grad():
                x = solve(self.model, self.ids, self.seed, self.model.dtype, steps, BATCH)
            if not x.isfinite().all():
                raise ValueError(
                    f"model {self.model.name} has no finite endpoints to tune for; check its sigma_min and sigma_max"
                )
            self._solved[steps] = x
            self.seconds += perf_counter() - started
        return self._solved[steps]


MOST = 2**28
"""Largest number of latents to tune on, and of latents to test on."""

TRAIN_IDS = SEARCH_IDS + MOST
"""First sample id to tune on, between the ids for schedule searches and for converged samples."""

TEST_IDS = TRAIN_IDS + MOST
"""First sample id of the latents that tuned numbers are tested on."""

RESOLVED = 0.01
"""Endpoints are converged if doubling the steps moves them by at most this share of the error."""

LOST = 1e6
"""Largest distance, also that of a sample that is not finite; 1,000 times the endpoints' RMS if this is more."""


OBJECTIVES = {"mean": 1, "rms": 2, "geometric": 0}
"""Powers of the means that tuning can minimise, the default first (docs/how-to/tuning.md)."""

FLOOR = 1e-9
"""Share of the median distance to which smaller distances, which are rounding errors, are raised."""


@dataclass(frozen=True)
class FeatureLoss:
    """Function from samples to features, after decoding and clamping to the model's limits."""

    model: Denoiser
    extractor: Extractor

    def __call__(self, x: Tensor) -> Tensor:
        """Return features ``(n, dim)`` float64, on the CPU; NaN for samples that are not finite."""
        finite = x.flatten(1).isfinite().all(1)
        images = clamp(self.model.decode(x[finite]), self.model.decoded_limits)[0]
        features = torch.full((len(x), self.extractor.dim), torch.nan, dtype=torch.float64)
        features[finite.cpu()] = torch.from_numpy(self.extractor(images))
        return features


def make_loss(subject: NamedModel, spec: str) -> tuple[FeatureLoss, Loss]:
    """Return the loss in features without 8-bit rounding, and its record in the tuning file.

    Raises a ValueError if the extractor cannot be made for the model, or is not smooth.
    """
    model = subject.model
    try:
        extractor = make_scoring_extractor(subject.name, model, spec)
        if extractor is None:
            raise ValueError(
                "the model has no features of its own; give another extractor, such as pixels"
            )
        samples = Samples(model.decoded_event, model.decoded_limits)
        extractor = unrounded_extractor(extractor, samples)
    except ValueError as error:
        raise ValueError(f"--loss {spec} on model {subject.name}: {error}") from error
    return FeatureLoss(model, extractor), Loss(extractor=spec, identity=extractor.identity)


@dataclass(eq=False)
class TuningProblem:
    """Latents of a model and their converged endpoints, to which distances are measured.

    Distances are of rows ``features(samples)`` ``(n, d)``, or of samples if ``features`` is None.
    ``meter`` counts the model's evaluations, without the teacher's. ``ids`` are ``(n,)`` on the
    model's device. ``steps`` are the teacher's steps for the present endpoints, unless these are exact.
    """

    model: Denoiser
    meter: Meter
    ids: Tensor
    seed: int
    teacher: Teacher
    steps: int
    features: Callable[[Tensor], Tensor] | None = None
    _targets: dict[int, Tensor] = field(default_factory=dict, repr=False)

    @property
    def endpoints(self) -> Tensor:
        """Converged endpoints ``(n, *event)``."""
        return self.teacher.endpoints(self.steps)

    @property
    def resolution(self) -> float:
        """RMS change of :meth:`targets`, per feature, when the steps were last doubled; 0 if exact."""
        difference = self.targets(self.steps) - self.targets(self.steps // 2)
        return float(difference.double().square().mean().sqrt())

    @property
    def in_sample_space(self) -> TuningProblem:
        """The same problem with distances of the samples themselves, in units of the data."""
        return self if self.features is None else replace(self, features=None)

    def targets(self, steps: int) -> Tensor:
        """Return the teacher's endpoints in ``steps`` steps; with ``features``, their features."""
        ends = self.teacher.endpoints(steps)
        if self.features is None:
            return ends
        if steps not in self._targets:
            self._targets[steps] = self.features(ends)
        return self._targets[steps]

    def converge_endpoints(self, *runs: tuple[Sampler, Grid]) -> bool:
        """Refine the endpoints by doubling the teacher's steps; return True if they changed.

        Doubling stops when endpoints move by at most RESOLVED times the smallest RMS distance of the runs,
        both for samples and for the loss. Rounding, or the solver's limit on steps, may end it earlier.
        """
        if self.in_sample_space.resolution <= self.teacher.rounding:
            return False
        before, samples = self.steps, [self.sample(*run) for run in runs]
        while self.steps < ODE.last and self.in_sample_space.resolution > self.teacher.rounding:
            if all(
                problem.resolution <= RESOLVED * min(map(_rms, map(problem.distances_of, samples)))
                for problem in dict.fromkeys((self.in_sample_space, self))
            ):
                break
            self.steps *= 2
        return self.steps != before

    def distances(self, sampler: Sampler, grid: Grid) -> NDArray[np.float64]:
        """Return the distances ``(n,)`` of the sampler's samples to the endpoints."""
        return self.distances_of(self.sample(sampler, grid))

    @torch.no_grad()
    def sample(self, sampler: Sampler, grid: Grid) -> Tensor:
        """Return the sampler's samples ``(n, *event)`` from the problem's latents."""
        bound = ((self.model.bind(ids, self.seed), x) for ids, x in self.batches)
        return torch.cat([sampler.sample(model, x, grid, NoNoise()) for model, x in bound])

    def nfe(self, sampler: Sampler, grid: Grid) -> int:
        """Run the sampler, and return its counted evaluations per sample."""
        before = self.meter.rows
        self.sample(sampler, grid)
        return round((self.meter.rows - before) / len(self.ids))

    @cached_property
    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """Sample ids and latents of each batch; no sampler modifies the latents."""
        return [
            (ids, latents(self.model, ids, self.seed, self.model.dtype)[0])
            for ids in self.ids.split(BATCH)
        ]

    def distances_of(self, samples: Tensor) -> NDArray[np.float64]:
        """Return distances ``(n,)`` of samples to endpoints, |x - end| / sqrt(d); at most :data:`LOST`."""
        own = samples if self.features is None else self.features(samples)
        ends = self.targets(self.steps).double()
        squares = (own - ends).square().flatten(1).mean(1)
        most = max(LOST, 1e3 * float(ends.square().mean().sqrt()))
        return np.minimum(squares.sqrt().nan_to_num(nan=most).cpu().numpy(), most)


def _rms(distances: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(distances).mean()))


def tuning_problem(
    model: Denoiser, first: int, count: int, seed: int, device: str = "cpu"
) -> TuningProblem:
    """Return a problem of ``count`` <= :data:`MOST` latents, with sample ids from ``first`` on."""
    meter, ids = Meter(), torch.arange(first, first + count, device=device)
    teacher = Teacher(model, ids, seed)
    return TuningProblem(meter.attach(model), meter, ids, seed, teacher, 2 * ODE.first)


def power_mean(distances: NDArray[np.float64], power: int) -> float:
    """Return the power mean of distances, in their units; power 0 is the geometric mean."""
    least = max(FLOOR * float(np.median(distances)), np.finfo(float).tiny)
    values = np.maximum(distances, least)  # so that neither log nor power fails
    if power == 0:
        return float(np.exp(np.log(values).mean()))
    # squares of the least underflow to 0
    return max(float((values ** float(power)).mean() ** (1 / power)), np.finfo(float).tiny)


STEP = 1e-3
"""Change of a value, as a share of the data's range: a quarter of a grey level."""
LARGEST_BEND = 0.5
"""Largest second difference of smooth features over their change in two steps; 1 if rounded."""


def unrounded_extractor(extractor: Extractor, samples: Samples) -> Extractor:
    """Return the extractor itself; if it is an :class:`RgbNetwork`, a copy without rounding.

    Raises a ValueError if features do not change in proportion to a small change of images.
    """
    smooth = extractor.unrounded() if isinstance(extractor, RgbNetwork) else extractor
    low, high = samples.limits or (-1.0, 1.0)
    generator = torch.Generator().manual_seed(0)
    x, direction = torch.rand(2, 2, *samples.event, generator=generator)
    shares = [0.25 + x / 2 + k * STEP * direction for k in range(3)]
    try:
        first, middle, last = (smooth(low + (high - low) * share) for share in shares)
    except Exception as error:  # by networks that take nothing but 8-bit images
        problem = f"need 8-bit images ({error_in_words(error)})"
    else:
        bend = np.linalg.norm(first - 2 * middle + last)
        if bend < LARGEST_BEND * np.linalg.norm(last - first):
            return smooth
        problem = "round images, or do not depend on them"
    raise ValueError(
        f"its features {problem}, so that small changes do not show; give an extractor that does "
        "not round, such as card"
    )
