"""Answer of ``advise``: the sampler of each budget, its gain over the default, and open questions.

Errors are geometric means over latents of the distance between a sample and the converged endpoint of its
latent (root mean square over the dimensions, in the units of the data), on latents that chose nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ...results.run_directory.files import read_npz, write_npz
from .exports import Export

PICTURES = "pictures.npz"
COUNT = 6
"""Latents that are shown."""
Pictures8 = NDArray[np.uint8]


class Pictures(NamedTuple):
    """Pictures of the same latents, ``(n, height, width)`` or ``(n, height, width, 3)``: where they lead, and by
    budget what the default and the recommendation made.
    """

    converged: Pictures8
    default: Mapping[int, Pictures8]
    best: Mapping[int, Pictures8]

    def write(self, folder: Path) -> None:
        """Write the pictures into :data:`PICTURES` of a folder."""
        named = {f"default_{nfe}": images for nfe, images in self.default.items()}
        named |= {f"best_{nfe}": images for nfe, images in self.best.items()}
        write_npz(folder / PICTURES, {"converged": self.converged, **named})


def read_pictures(folder: Path) -> Pictures | None:
    """Return the pictures of a folder; None if there are none."""
    arrays = read_npz(folder / PICTURES)
    if arrays is None:
        return None

    def by_nfe(prefix: str) -> dict[int, Pictures8]:
        some = {name: images for name, images in arrays.items() if name.startswith(prefix)}
        return {int(name.removeprefix(prefix)): images for name, images in some.items()}

    return Pictures(arrays["converged"], by_nfe("default_"), by_nfe("best_"))


def as_8_bit_images(images: NDArray, limits: tuple[float, float] | None) -> Pictures8:
    """Return images ``(n, 1 or 3, height, width)`` as 8 bits, clamped to ``limits`` or else their range."""
    low, high = limits or (float(images.min()), float(images.max()))
    scaled = (images - low) / max(high - low, 1e-12)
    whole = np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return whole[:, 0] if whole.shape[1] == 1 else np.moveaxis(whole, 1, -1)


SCHEMA = 1
"""Version of ``advice.json``; raised when a field changes its meaning."""
TUNED_LEVELS = "tuned levels"
"""Name in place of a schedule's, for levels that were fitted to the model."""


def describe_configuration(sampler: str, schedule: str, *, coefficients: bool) -> str:
    """Return a configuration in words.

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
    """A number with its 95 % interval, of length 0 without an error to estimate; and why not to trust it, or ""."""

    value: float
    low: float
    high: float
    flag: str = ""


@dataclass(frozen=True)
class Choice:
    """One configuration at one budget, scored.

    Attributes:
        label, sampler, schedule: as the command line writes them; the schedule is "" where the sampler has levels of
            its own, "tuned levels" where they were fitted to the model.
        nfe, steps: evaluations per sample that it makes; steps of its grid, None where it has none.
        levels: noise levels of its grid, falling.
        error: geometric mean of the distances to the converged endpoints; None if it has none, as
            a stochastic sampler, or if it failed.
        rms, median: of the distances; the root mean square (``rmse`` of a result table) is of a few samples that
            ended elsewhere, mostly.
        fd_conv: Fréchet distance to converged samples in the model's feature space; None if not measured.
        ms: milliseconds that a sample takes in a batch of ``Advice.timed_batch``; None if not timed.
        failed: why it has no samples; "" if it has.
        coefficients: where they were fitted to the model, a row a step: the weight of the state, then the
            weights of the denoised images, newest first.
        search_evaluations: of the model, all latents together, that the rule of ``auto`` was searched with.
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


@dataclass(frozen=True)
class Best:
    """Recommendation at a budget for users of one library (:data:`samplerbench.benchmarks.advice.exports.LIBRARIES`).

    Attributes:
        to_default: ratio of its error to the default's at the same budget, paired over latents; None
            where either has no error.
        to_best: ratio of its error to the error of the best that was tried, of any library.
        tied: labels of the configurations that the race could not separate from it, best first.
        own, own_ratio, own_lines: where the lines write the steps of ``choice`` out as numbers, the best of the
            library's own solvers, the ratio of its error to that of ``choice``, and its lines.
        untuned, untuned_ratio: where levels or coefficients of ``choice`` were fitted to the model, the best of
            what was not, and the ratio of its error to that of ``choice``.
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
    """A solver of the library's own at its defaults; and the ratio of the recommendation's error to its error."""

    choice: Choice
    ratio: Value | None


@dataclass(frozen=True)
class Budget:
    """The answer at one number of evaluations.

    Attributes:
        nfe: evaluations per sample that are allowed.
        default: what is used now, at this budget.
        best: by library; under "python", which has every sampler, the best that was tried.
        in_distribution: configuration with a decidedly smaller ``fd_conv`` than the best that was tried;
            None if none has, or none was measured.
        tried, left_out, hopeless: configurations that were raced; that there was no time to try; and with far
            larger errors at two smaller budgets, and so not tried.
        latents: that the race used, at most.
        undecided: what the race could not decide, in a sentence; "" if it decided.
    """

    nfe: int
    default: Choice
    best: Mapping[str, Best]
    in_distribution: Choice | None
    tried: int
    left_out: int
    latents: int
    undecided: str
    hopeless: int = 0
    alternatives: tuple[Alternative, ...] = ()

    @property
    def field(self) -> int:
        """Number of configurations, tried or not."""
        return self.tried + self.left_out + self.hopeless


@dataclass(frozen=True)
class Advice:
    """Answer at all budgets.

    Attributes:
        model: its spec, as ``--model`` takes it.
        default: what "now" is, in words: the sampler, and where that is known from.
        library: that the user asked for; its recommendation comes first.
        budgets: by number of evaluations, rising.
        sentences, undecided: what follows, most important first, and what could not be decided.
        scored_on: latents that errors are taken on.
        resolution: how far off the converged endpoints may be (root mean square); 0 where they are exact.
        minutes: wall time that it took, and its limit.
        timed_batch: samples in a batch of the times; 0 where nothing was timed.
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
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: another schema, or no advice.
        """
        if data.get("schema") != SCHEMA:
            raise ValueError(f"advice.json is of schema {data.get('schema')!r}, and not {SCHEMA}")
        values = {key: value for key, value in data.items() if key != "schema"}
        try:
            return _value_from_json(cls, values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"advice.json is not what advise writes ({error})") from error


def _value_from_json(kind: Any, value: Any) -> Any:
    """Read a value of a type from JSON values."""
    origin, inner = get_origin(kind), get_args(kind)
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
