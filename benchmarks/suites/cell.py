"""Cell, a row of the table before it is measured; start of a run, with its error; names of folders."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import samplers
from ...samplers.spec import canonical_json, label_of

if TYPE_CHECKING:
    from ...models.denoiser import Denoiser
    from ...models.exact.gaussian import Gaussian
    from ...models.reference import Moments
    from ...results.values import Record
    from ...samplers import Grid, Sampler
    from .suite import ExecutionName, NoiseName, StartName

SPREADS = 3.0
"""Level where the Gaussian flow ends, in standard deviations along the data's first principal axis.

20, 10, 5, 3, 2 and 1.5 were tried on five exact models with ipndm and dpmpp_2m at 5, 10 and 20 evaluations. At 3,
the rmse is 0.57 times the rmse of start "noise" on geometric average, and 1.06 times at most. At 1.5 the
Gaussian's own error dominates.
"""
LARGEST = 4096
"""Largest number of dimensions for which a covariance is diagonalised."""


@dataclass(frozen=True)
class Start:
    """Start of a run: map from latents at level ``sigma_max`` to the states at ``sigma``, where grids begin.

    "noise" scales the latents by sigma / sigma_max, "mean" also adds the data's mean, and "gaussian" follows the
    probability flow of a Gaussian, which costs no evaluation. At levels far above the spread of the data, a denoiser
    depends almost only on the data's mean and covariance. For x0 ~ N(mean, sum_k c_k u_k u_k^T) the flow from level S
    to s has a closed form,

        x(s) = mean + sum_k sqrt((c_k + s^2) / (c_k + S^2)) u_k u_k^T (x(S) - mean),

    and replaces the first steps of any sampler (Wang and Vastola 2024, arXiv:2412.09726: analytical
    teleportation). A class-conditional network has a mean for each class, and one covariance about these means.

    Attributes:
        sigma_max: level of the latents.
        sigma: level of the first states: sigma_max, the end of the Gaussian flow, or the
            first level of the model's own scheduler.
        means: ``(1, *event)``, or ``(classes, *event)`` for a class-conditional model; None for "noise".
        gaussian: Gaussian with ``means[0]`` and the data's covariance, for start "gaussian"; else None.
        skip: reason why this start is impossible for the model; "" if it is possible. With a reason, ``sigma``
            is sigma_max.
    """

    name: StartName
    sigma_max: float
    sigma: float
    # these follow from the model, and tensors have no equality
    means: Tensor | None = field(default=None, compare=False)
    gaussian: Gaussian | None = field(default=None, compare=False)
    skip: str = ""

    def states(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return states at ``sigma`` from latents ``x`` ``(batch, *event)`` at ``sigma_max``.

        A state does not depend on the rest of its batch. If each class has a mean, ``labels`` ``(batch,)`` are needed.
        """
        if self.gaussian is None and self.sigma != self.sigma_max:
            x = x * (self.sigma / self.sigma_max)
        if self.means is None:
            return x
        means = self.means.to(x)
        mean = means if len(means) == 1 else means[labels]
        if self.gaussian is None:
            return x + mean
        shift = mean - means[:1]
        moved = self.gaussian.flow((x - shift).flatten(1), self.sigma_max, self.sigma)
        return moved.reshape(x.shape) + shift


def make_start(name: StartName, model: Denoiser, level: float | None, device: str) -> Start:
    """Return the start called ``name`` for a model. If it is impossible, its ``skip`` has the reason.

    The Gaussian flow is on ``device``, and ends at ``level``. None stands for :data:`SPREADS` standard deviations, at
    most sigma_max.
    """
    top = model.sigma_max
    if name == "noise":
        return Start(name, top, top)
    moments = moments_of(model)
    if moments is None:
        reason = f"start {name} needs the data's mean and covariance, which model {model.name} does not know"
        if (size := math.prod(model.event)) > LARGEST:
            reason = (
                f"start {name} is for samples of at most {LARGEST:,} values, since it needs their covariance, and "
                f"those of model {model.name} have {size:,}"
            )
        return Start(name, top, top, skip=reason)
    means, cov = torch.from_numpy(moments[0]).reshape(-1, *model.event), moments[1]
    if name == "mean":
        return Start(name, top, top, means)
    variances, basis = np.linalg.eigh(cov)
    sigma = min(SPREADS * float(variances[-1]) ** 0.5, top) if level is None else level
    if not model.sigma_min < sigma <= top:
        reason = (
            f"the start level {sigma:g} is not within the levels of model "
            f"{model.name}, {model.sigma_min:g} to {top:g}"
        )
        return Start(name, top, top, skip=reason)
    from ...models.exact.gaussian import Gaussian  # few runs need it

    axes, squares = torch.from_numpy(basis), torch.from_numpy(variances.clip(min=0))
    gaussian = Gaussian("start", means[0].flatten(), axes, squares)
    return Start(name, top, sigma, means, gaussian.to(device))


def moments_of(model: Denoiser) -> Moments | None:
    """Return (means, covariance) of a model's data; None if unknown, or above LARGEST dimensions."""
    return model.moments() if math.prod(model.event) <= LARGEST else None


SAMPLING_VERSION = 4
"""Version of the noise and of the content of shards, part of a cell's key."""

_COLUMNS_OUTSIDE_KEY = ("suite", "samples", "batch_size", "origin")
"""Columns that a cell's key leaves out."""


class GridMaker(Protocol):
    """Interface of a schedule, as far as cells need it."""

    @property
    def label(self) -> str:
        """Name and options as on the command line, such as ``karras(rho=5)``."""
        ...

    def facts(self, n: int) -> Record:
        """Return columns of the result table that describe the grid of ``n`` steps, by name."""
        ...

    def without_search_results(self) -> GridMaker:
        """Return the schedule without levels that were searched on a model."""
        ...


@dataclass(frozen=True)
class Cell:
    """Row of the result table before it is measured: model, sampler, grid, number of samples.

    Attributes:
        end: last level, "zero" or "sigma_min".
        noise: noise in the steps, "white" or "brownian"; None for a deterministic sampler.
        grid: noise levels; None if there is nothing to run, as when one step costs more than the budget.
        steps: number of steps, each an interval of levels; None for an adaptive sampler, or if no step fits.
        budget: most evaluations per sample; None for a suite that gives steps, or an adaptive sampler.
        identity: texts that identify the model and the extractor.
        device: "cpu" or "cuda".
        skip: reason why the cell does not run; "" if it runs.
        space: feature space as the suite names it, followed by the suite's reference, if it has one.
        infinite: True if a step from an infinite level comes before the grid, which then has one step
            less than ``steps``.
    """

    model: str
    sampler: Sampler
    schedule: GridMaker
    start: Start
    end: str
    noise: NoiseName | None
    grid: Grid | None
    steps: int | None
    budget: int | None
    samples: int
    seed: int
    batch_size: int
    dtype: str
    sigma_min: float
    sigma_max: float
    identity: tuple[str, str]
    device: str
    skip: str = ""
    execution: ExecutionName = "eager"
    space: str = "card"
    infinite: bool = False

    @property
    def params(self) -> dict[str, Any]:
        """Options of the sampler that differ from their defaults."""
        return samplers.non_default(self.sampler)

    @property
    def label(self) -> str:
        """Sampler and options as on the command line, such as ``ddim(eta=0.5)``."""
        return label_of(self.sampler)

    @cached_property
    def facts(self) -> Record:
        """Columns of the row, by name, that describe its schedule and its fitted sampler."""
        facts = dict(getattr(self.sampler, "facts", {}))
        if self.steps is None or self.grid is None:
            return facts
        return facts | dict(self.schedule.facts(self.steps))

    def record(self, suite: str) -> Record:
        """Return the row's identity columns, with ``suite`` as the suite's name."""
        return {
            "suite": suite,
            "model": self.model,
            "sampler": self.sampler.name,
            "params": canonical_json(self.params),
            "origin": samplers.origin(self.sampler.name) or None,
            "schedule": "own" if self.sampler.own_grid else self.schedule.label,
            "start": self.start.name,
            "sigma_start": None if self.start.skip else self.start.sigma,
            "end": self.end,
            "noise": self.noise,
            "sigma_max": self.sigma_max,
            "sigma_min": self.sigma_min,
            "steps": self.steps,
            "budget": self.budget,
            "samples": self.samples,
            "seed": self.seed,
            "dtype": self.dtype,
            "device": self.device,
            "batch_size": self.batch_size,
            "execution": self.execution,
        }

    @property
    def _implied_columns(self) -> list[str]:
        """Columns that the key leaves out, since other columns or a default imply their values."""
        unless = {
            "sigma_start": self.start.name == "gaussian",
            "noise": self.noise == "brownian",
            "execution": self.execution != "eager",
        }
        return [column for column, says_something in unless.items() if not says_something]

    @cached_property
    def key(self) -> str:
        """Name of the cell's folder: readable, with a hash of the configuration.

        The hash leaves out the suite's name and the number of samples: more samples extend the cell. The batch size
        counts only for a sampler that couples the samples of a batch. The hash covers no code. Of files, it covers only
        the numbers of tuned and published solvers. :mod:`..identity.admission` detects changes that it does not cover.
        """
        left_out = (*_COLUMNS_OUTSIDE_KEY, *self._implied_columns)
        identity = {k: v for k, v in self.record("").items() if k not in left_out}
        identity["version"] = SAMPLING_VERSION
        if self.space != "card":
            identity["space"] = self.space
        if tuned := self.facts.get("tuning_digest"):
            identity["levels"] = tuned
        if self.sampler.batch_coupled:
            identity["batch_size"] = self.batch_size
        digest = hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:10]
        size = "adaptive" if self.steps is None else f"n{self.steps}"
        if self.budget is not None:
            size = f"nfe{self.budget}"
        return file_name(f"{self.model}.{self.sampler.name}.{size}", digest)


def file_name(text: str, digest: str) -> str:
    """Return file name TEXT-DIGEST: the last 80 letters of ``text``, with hyphens for unsafe ones."""
    readable = re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-._+")[-80:].lstrip("-._+")
    return f"{readable or 'x'}-{digest}"


LARGEST_WITH_ERROR = 1024
"""Largest dimension for start errors, whose covariance takes about a second."""


def start_errors(model: Denoiser) -> dict[str, float]:
    """Return the :func:`start_error` of each way to start: "noise", "mean" and "gaussian".

    The result is empty for data of unknown moments, or of more than LARGEST_WITH_ERROR dimensions.
    """
    moments = moments_of(model) if math.prod(model.event) <= LARGEST_WITH_ERROR else None
    if moments is None:
        return {}
    means, cov = moments
    centred = start_error(np.zeros_like(means), cov, model.sigma_max)
    whole = start_error(means, cov, model.sigma_max)
    return {"noise": whole, "mean": centred, "gaussian": whole}


def start_error(means: NDArray, cov: NDArray, sigma_max: float) -> float:
    r"""Return the distance to Gaussian data of samples that start at sigma_max z, with exact steps.

    No number of steps removes it. At sigma_max = S the noisy data are x0 + S z, and a run begins at
    S z. For Gaussian data with mean m_k and variance c_k along their principal axes, the probability
    flow maps x(S) to m_k + g_k (x_k - m_k), g_k = sqrt(c_k / (c_k + S²)). So samples have the mean
    (1 - g_k) m_k and the deviation g_k S. Their Wasserstein-2 distance to the data, over sqrt(D), is

        sqrt(1/D sum_k g_k² [m_k² + (sqrt(c_k + S²) - S)²]).

    The start "mean" lacks the term m_k². The start "gaussian" transports S z, and has both terms.
    ``means`` is ``(D,)``; with ``(classes, D)`` the result is the RMS over classes. ``cov`` ``(D,
    D)`` is the covariance in a class.
    """
    variances, axes = np.linalg.eigh(cov)
    c = variances.clip(min=0)
    squares = np.square(np.asarray(means, float).reshape(-1, len(cov)) @ axes).mean(0)
    excess = c / (np.sqrt(c + sigma_max**2) + sigma_max)  # sqrt(c + S²) - S, without cancellation
    return float(np.sqrt(np.mean(c / (c + sigma_max**2) * (squares + excess**2))))
