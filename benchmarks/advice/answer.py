"""Answer of ``advise``: recommended samplers by budget, gains over the default, what is undecided.

A distance is the root mean square, over dimensions, of the difference between a sample and the
converged endpoint of its latent. It is in units of the data. An error is the geometric mean of the
distances over latents that no race or fit used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ...results.run_directory.files import read_npz
from .exports import Export, named_solver

PICTURES = "pictures.npz"
COUNT = 6
"""Number of latents that have pictures."""
Pictures8 = NDArray[np.uint8]
Pictures = Mapping[str, Pictures8]
"""Pictures of the same latents: arrays ``(n, height, width)`` or ``(n, height, width, 3)``, by name.

"converged" has converged samples. "default_N" and "best_N" have samples of the default and of the recommendation at
budget N.
"""


def read_pictures(folder: Path) -> Pictures | None:
    """Return the pictures in a folder; None if their file is missing or damaged."""
    return read_npz(folder / PICTURES)


def as_8_bit_images(images: NDArray, low: float, high: float) -> Pictures8:
    """Return images ``(n, 1 or 3, height, width)`` as bytes ``(n, height, width[, 3])``.

    ``low`` and ``high`` become 0 and 255, and values beyond them are clamped.
    """
    scaled = (images - low) / max(high - low, 1e-12)
    whole = np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return whole[:, 0] if whole.shape[1] == 1 else np.moveaxis(whole, 1, -1)


SCHEMA = 1
"""Version of the format of ``advice.json``. It is raised when a field changes its meaning."""
TUNED_LEVELS = "tuned levels"
"""Name in place of a schedule's name for levels that were fitted to the model."""


def describe_configuration(sampler: str, schedule: str, *, coefficients: bool) -> str:
    """Return sampler and schedule in words; ``coefficients`` is True for fitted coefficients.

    >>> describe_configuration("ipndm", "karras", coefficients=False), describe_configuration("auto", "", coefficients=True)
    ('ipndm on karras', 'auto with tuned coefficients')
    >>> describe_configuration("ipndm", TUNED_LEVELS, coefficients=True)
    'ipndm with tuned levels and coefficients'
    >>> describe_configuration("pipeline(scheduler='DDIMScheduler')", "", coefficients=False)
    'DDIMScheduler at its defaults'
    """
    if match := re.fullmatch(r"pipeline\(scheduler='(\w+)'\)", sampler):
        return f"{match[1]} at its defaults"
    if coefficients and schedule == TUNED_LEVELS:
        return f"{sampler} with tuned levels and coefficients"
    name = f"{sampler} on {schedule}" if schedule else sampler
    return f"{name} with tuned coefficients" if coefficients else name


@dataclass(frozen=True)
class Value:
    """Number with a 95 % interval; exact if low == high. ``flag`` is a reason for distrust, or ""."""

    value: float
    low: float
    high: float
    flag: str = ""


@dataclass(frozen=True)
class Choice:
    """Configuration at one budget, with its scores.

    Attributes:
        label, sampler: configuration in words; its sampler in the command line's notation.
        schedule: schedule; "" if the sampler sets its own levels, "tuned levels" for fitted levels.
        nfe, steps: evaluations per sample; number of steps of the grid, None without a grid.
        levels: noise levels of the grid, falling; empty if the first is infinite.
        error: geometric mean of the distances. It is None for stochastic and failed samplers, if time ran out,
            and for the configuration in ``Budget.in_distribution``.
        rms, median: root mean square and median of the distances; None where ``error`` is None.
        fd_conv: Fréchet distance to converged samples in the model's features or pooled pixels; None if not measured.
        ms: milliseconds that a sample takes in a batch of ``Advice.timed_batch``; None if not timed.
        failed: reason why there are no samples; "" if there are.
        coefficients: coefficients fitted to the model; empty if none were fitted. Each step has a row: the weight
            of the state, then the weights of the denoised images, newest first.
        search_evaluations: total evaluations of the model to find settings, as for ``auto``; 0 without a search.
        draws_noise: True for a stochastic sampler.
    """

    label: str
    sampler: str
    schedule: str
    nfe: float
    steps: int | None
    levels: tuple[float, ...] = ()
    error: Value | None = None
    rms: float | None = None
    median: float | None = None
    fd_conv: Value | None = None
    ms: float | None = None
    failed: str = ""
    coefficients: tuple[tuple[float, ...], ...] = ()
    search_evaluations: int = 0
    draws_noise: bool = False


@dataclass(frozen=True)
class Recommendation:
    """Recommendation at a budget for users of one library (:data:`.exports.LIBRARIES`).

    Attributes:
        to_default: ratio of ``choice``'s error to the default's, paired over latents; None if one of the two is None.
        to_best: ratio of ``choice``'s error to the error of the best that was tried, of any library.
        tied: labels of the configurations that the race could not tell apart from ``choice``.
        own, own_ratio, own_lines: best solver built into the library, ratio of its error to
            ``choice``'s, and its lines. All are None without such a solver, or if it is ``choice``.
        untuned, untuned_ratio: best configuration with no number fitted to the model, and ratio of its
            error to ``choice``'s; None if ``choice`` was not fitted.
    """

    library: str
    choice: Choice
    to_default: Value | None
    to_best: Value | None
    tied: tuple[str, ...]
    lines: Export
    own: Choice | None = None
    own_ratio: Value | None = None
    own_lines: Export | None = None
    untuned: Choice | None = None
    untuned_ratio: Value | None = None


@dataclass(frozen=True)
class Alternative:
    """Solver that is usual in a library, and ratio of the recommendation's error to its error."""

    choice: Choice
    ratio: Value | None


@dataclass(frozen=True)
class Budget:
    """Answer at one number of evaluations.

    Attributes:
        nfe: evaluations per sample that are allowed.
        default: present sampler at this budget.
        best: recommendations by library; for "python", which has every sampler, the best of all.
        in_distribution: configuration with the smallest ``fd_conv``, among those significantly
            nearer in ``fd_conv`` than the winner of the race; None if there are none.
        tried, left_out: number of configurations that were raced; number left out for lack of time.
        hopeless: number left out because their errors at the last two budgets were far above the best.
        latents: largest number of latents that the race used.
        undecided: sentence on what the race could not decide; "" if it decided.
        alternatives: usual solvers of the requested library, scored for comparison.
    """

    nfe: int
    default: Choice
    best: Mapping[str, Recommendation]
    in_distribution: Choice | None
    tried: int
    left_out: int
    latents: int
    undecided: str
    hopeless: int = 0
    alternatives: tuple[Alternative, ...] = ()

    @property
    def candidate_count(self) -> int:
        """Number of configurations to choose from: tried, left out and hopeless."""
        return self.tried + self.left_out + self.hopeless

    def pytorch_code(self, library: str) -> str:
        """Return code for the recommended steps in plain PyTorch; "" if there is none.

        Only library "python" has such code: the lines for k-diffusion, if they write the same steps as numbers.
        """
        mine, other = self.best.get("python"), self.best.get("k-diffusion")
        code = other.lines.code if mine and other and mine.choice == other.choice else ""
        return "" if library != "python" or named_solver("k-diffusion", code) else code


@dataclass(frozen=True)
class Advice:
    """Answer at all budgets.

    Attributes:
        model, about: spec of the model, as ``--model`` takes it; facts about the model, by name.
        default: present sampler in words, with the source of this information.
        library: library that the user asked for.
        budgets: answers by number of evaluations, rising.
        sentences, undecided: conclusions and open questions, most important first.
        scored_on: largest number of latents that an error is averaged over.
        resolution: root mean square error of the converged endpoints; 0 if they are exact.
        minutes: wall time that was used, and its limit.
        timed_batch: batch size of the timings; 0 if nothing was timed.
        pictures: name of the file of pictures next to ``advice.json``; "" for none.
    """

    model: str
    about: Mapping[str, Any]
    default: str
    library: str
    budgets: tuple[Budget, ...]
    sentences: tuple[str, ...]
    undecided: tuple[str, ...]
    scored_on: int
    resolution: float
    minutes: tuple[float, float]
    device: str
    timed_batch: int
    command: str
    pictures: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``advice.json``."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Advice:
        """Return the answer in ``advice.json``; raise ValueError for another schema or fields."""
        try:
            if data.get("schema") != SCHEMA:
                raise ValueError(
                    f"advice.json is of schema {data.get('schema')!r}, and not {SCHEMA}"
                )
            values = {key: value for key, value in data.items() if key != "schema"}
            return _value_from_json(cls, values)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"advice.json is not what advise writes ({error})") from error


def _value_from_json(kind: Any, value: Any) -> Any:
    """Return the object of type ``kind`` that was written as the JSON value ``value``.

    A null in place of a number becomes NaN; in place of an end of a :class:`Value`, an infinity.
    """
    if kind is float and value is None:
        return math.nan
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Value:  # files have null for numbers that are not finite
        ends = {"value": math.nan, "low": -math.inf, "high": math.inf}
        value = {name: ends.get(name) if item is None else item for name, item in value.items()}
    if is_dataclass(kind):
        hints: Any = get_type_hints(kind)
        return kind(**{name: _value_from_json(hints[name], item) for name, item in value.items()})  # type: ignore[operator]
    if origin is UnionType:
        return None if value is None else _value_from_json(inner[0], value)
    if origin is tuple:
        return tuple(_value_from_json(inner[0], item) for item in value)
    if origin is Mapping:
        return {key: _value_from_json(inner[1], item) for key, item in value.items()}
    return value
