"""The quantities that metrics measure: each with all that tables, plots, verdicts and help say of
it.

A metric (``benchmarks.metrics``) computes numbers; what they are called, which columns hold them,
how their errors are given and what may be claimed from them is said here, once. Nothing else keeps
a list of metrics. Those that are built in are below; a plugin brings its own with its metric (entry
points ``samplerbench.metrics``), which is asked for them when a table is read.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

from .record import AROUND, ROW, Column, Kind

log = logging.getLogger("samplerbench")

ENTRY_POINTS = "samplerbench.metrics"

To = Literal["data", "converged samples", "reference solution", "path limit", ""]
"""What a distance is measured to: the data (the model's own error is then part of it), converged
samples of the same model, the end of each sample's own ODE trajectory or Brownian path, or nothing.
"""


@dataclass(frozen=True, kw_only=True)
class Floor:
    """A level below which a quantity says nothing.

    Attributes:
        column: where it stands.
        meaning: what it is, in the words of its label.
        factor: the level is this many times the column.
        perfect: whether it is what perfect samples would get, and not only what can be resolved.
    """

    column: str
    meaning: str
    factor: float = 1.0
    perfect: bool = False


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A measured column of the table, and what belongs to it.

    Attributes:
        name: column of the value.
        meaning: what the column holds, for help and tooltips.
        title: what people call it, over its panel and in sentences.
        axis: title of an axis; "" for a quantity that is not drawn.
        short: heading of a narrow column; "" leaves the quantity out of summaries.
        note: under its panel, a sentence or two; "" gives it no panel in the report.
        brief: what it is, in the few words that a newcomer needs.
        kind: of its values.
        to: see :data:`To`.
        error: what is known of its error: nothing, a standard error in ``NAME_se``, ends of its 95
            % interval in ``NAME_low`` and ``NAME_high``, or both ("interval"), where the interval
            is not the value ± 1.96 standard errors.
        flag: column that says why the interval is not to be trusted; "" if there is none.
        floor: see :class:`Floor`.
        resolution: column that says how small a value can be told from 0; "" if there is none.
        influence: array of ``influence.npz`` with one value per sample, the first-order
            contribution of each; it makes the quantity one that verdicts can be about. "" if there
            is none.
        reference_influence: that of each reference sample, where the reference is a sample too.
        root: whether ``influence`` holds distances, of which the value is the root mean square.
        power: a method of order p lowers it with the (p times this) power of the steps once it is
            near its limit: 1 for distances sample by sample, 2 for Fréchet distances, which are
            squares; 0 where another error is in it that no step takes away.
        listed: whether the report's table of all rows has a column for it.
        lower: whether lower is better: in all that verdicts are about.
        beside: further columns that belong to it.
    """

    name: str
    meaning: str
    title: str = ""
    axis: str = ""
    short: str = ""
    note: str = ""
    brief: str = ""
    kind: Kind = "number"
    to: To = ""
    error: Literal["", "se", "ends", "interval"] = ""
    flag: str = ""
    floor: Floor | None = None
    resolution: str = ""
    influence: str = ""
    reference_influence: str = ""
    root: bool = False
    power: int = 0
    listed: bool = False
    lower: bool = True
    beside: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no verdict could be about.

        Raises:
            ValueError: influence values without a standard error, or of what is better if larger.
        """
        if self.influence and (self.error not in ("se", "interval") or not self.lower):
            raise ValueError(
                f"quantity {self.name!r} has influence values, so verdicts are about it: give it "
                "error='se' or 'interval', and let lower be better (1 - share instead of share)"
            )

    @property
    def se(self) -> str:
        """Column of its standard error."""
        return f"{self.name}_se"

    @property
    def to_data(self) -> bool:
        """Whether it is a distance to the data, in which the model's own error is contained."""
        return self.to == "data"

    @property
    def grows(self) -> bool:
        """Whether more samples make it more certain: not where only some have a reference
        solution.
        """
        return bool(self.influence) and self.to in ("data", "converged samples")

    @property
    def columns(self) -> tuple[Column, ...]:
        """All its columns, in the order of the table."""
        columns = [Column(self.name, self.kind, self.meaning)]
        if self.error in ("se", "interval"):
            columns.append(Column(self.se, "number", "its standard error"))
        if self.error in ("ends", "interval"):
            skewed = ", which is not symmetric" if self.error == "interval" else ""
            low = Column(f"{self.name}_low", "number", f"lower end of its 95 % interval{skewed}")
            columns += [
                low,
                Column(f"{self.name}_high", "number", "upper end of its 95 % interval"),
            ]
        return (*columns, *self.beside)


FRECHET = (
    Quantity(
        name="fid_proxy",
        meaning="Fréchet distance to the reference in the features that estimator names, "
        "bias removed",
        title="FID proxy",
        axis="FID proxy (bias removed)",
        short="FID proxy",
        note="Fréchet distance to the reference in the features that the estimator names, sampling "
        "bias removed, with 95 % intervals. A value that is not positive has no place on "
        "this axis: "
        "the triangle marks the upper end of its interval.",
        brief="how far a sampler's samples, as a set, are from real data, in the manner "
        "of the Fréchet inception distance (FID)",
        to="data",
        error="interval",
        flag="fid_flag",
        floor=Floor(column="fid_proxy_converged", meaning="the model's own error"),
        resolution="fid_proxy_floor_se",
        influence="influence",
        listed=True,
    ),
    Quantity(
        name="fid_proxy_raw",
        meaning="the plain plug-in Fréchet distance",
        title="FID proxy, plug-in",
        axis="FID proxy (plug-in)",
        short="FID proxy, plug-in",
        note="The same distance without bias correction, so it can be held against the "
        "dashed floor: "
        "what as many held-out real (or exact) samples get.",
        brief="how far a sampler's samples, as a set, are from real data, before the "
        "bias of a finite number of samples is removed",
        to="data",
        floor=Floor(column="fid_proxy_floor", meaning="as many held-out samples", perfect=True),
        listed=True,
        beside=(
            Column(
                "fid_proxy_floor",
                "number",
                "plug-in Fréchet distance of as many held-out real or exact samples; "
                "compare with raw",
            ),
            Column(
                "fid_proxy_floor_se",
                "number",
                "standard error of fid_proxy_floor: smaller distances are not told from 0",
            ),
            Column(
                "fid_flag",
                "text",
                "why the interval of fid_proxy is not to be trusted (empty: it is)",
            ),
        ),
    ),
    Quantity(
        name="fd_conv",
        meaning="Fréchet distance to converged samples of the same model from disjoint "
        "latents, both sides' bias removed",
        title="FD to converged",
        axis="Fréchet distance to converged samples",
        short="FD to converged",
        note="Fréchet distance to converged samples of the same model: the sampler's own "
        "error, without the model's. 95 % intervals.",
        brief="how far a sampler's samples, as a set, are from those of the same model "
        "after very many steps: its own error alone",
        to="converged samples",
        error="interval",
        flag="fd_conv_flag",
        floor=Floor(column="fid_proxy_floor_se", meaning="not told from 0 below", factor=1.96),
        resolution="fid_proxy_floor_se",
        influence="fd_conv",
        reference_influence="fd_conv_reference",
        power=2,
        listed=True,
        beside=(
            Column(
                "fd_conv_flag",
                "text",
                "why the interval of fd_conv is not to be trusted, on either side (empty: it is)",
            ),
        ),
    ),
    Quantity(
        name="fd_inf",
        meaning="Fréchet distance extrapolated in 1/N to infinitely many samples",
        axis="Fréchet distance, infinitely many samples",
        to="data",
    ),
    Quantity(
        name="fid_proxy_converged",
        meaning="fid_proxy of the converged samples themselves: the model's own error",
        to="data",
        error="interval",
        beside=(
            Column(
                "dominated",
                "flag",
                "whether a ranking by fid_proxy is dominated by the model's error at this row",
            ),
        ),
    ),
)

KID = Quantity(
    name="kid",
    meaning="kernel distance (KID) to as many held-out samples, unbiased",
    title="KID",
    axis="KID",
    note="Kernel distance to as many held-out samples, without bias. 95 % intervals.",
    brief="how far a sampler's samples, as a set, are from real data, by a kernel",
    to="data",
    error="interval",
    influence="kid",
    reference_influence="kid_reference",
    listed=True,
)

ENERGY = Quantity(
    name="energy",
    meaning="energy distance to as many held-out samples, unbiased, in the units of the features",
    title="Energy distance",
    axis="Energy distance",
    note="Energy distance to as many held-out samples, without bias: twice the mean "
    "distance between "
    "the two sets less those within them. 95 % intervals.",
    brief="how far a sampler's samples, as a set, are from real data, by distances "
    "within and between",
    to="data",
    error="interval",
    influence="energy",
    reference_influence="energy_reference",
    listed=True,
)

SWD = Quantity(
    name="swd",
    meaning="mean squared Wasserstein distance of projections to as many held-out samples, plug-in",
    title="Sliced W₂²",
    axis="Sliced Wasserstein distance²",
    note="Mean squared Wasserstein distance of projections to as many held-out samples; "
    "the dashed floor is what two held-out sets get.",
    brief="how far a sampler's samples, as a set, are from real data, in random directions",
    to="data",
    error="se",
    floor=Floor(column="swd_floor", meaning="as many held-out samples", perfect=True),
    listed=True,
    beside=(
        Column(
            "swd_floor",
            "number",
            "the same distance between two sets of as many held-out samples; compare with swd",
        ),
    ),
)

MANIFOLDS = (
    Quantity(
        name="precision",
        meaning="fraction of samples inside the manifold of as many held-out ones",
        lower=False,
        listed=True,
    ),
    Quantity(
        name="recall",
        meaning="fraction of held-out samples inside the manifold of the samples",
        lower=False,
        listed=True,
    ),
    Quantity(
        name="density",
        meaning="mean number of held-out samples' neighbourhoods around a sample, over "
        "what real samples get",
        lower=False,
    ),
    Quantity(
        name="coverage",
        meaning="fraction of held-out samples with a sample in their neighbourhood",
        lower=False,
    ),
)

MODES = Quantity(
    name="mode_coverage",
    meaning="fraction of the data's modes or classes that the samples visit",
    lower=False,
    listed=True,
    beside=(
        Column(
            "mode_p", "number", "p value of the test that they visit them as often as the data do"
        ),
    ),
)

MEMORISED = Quantity(
    name="memorised",
    meaning="fraction of samples nearer to a training example than 99 % of held-out data "
    "are; 0.01 is none",
    error="ends",
)

DUPLICATES = Quantity(
    name="duplicates",
    meaning="fraction of the samples kept whole that repeat an earlier one exactly",
)

COEFFICIENTS = Quantity(
    name="w2_coefficients",
    meaning="RMS Wasserstein distance of coefficients to their exact distributions, in "
    "standard deviations",
    to="data",
    beside=(
        Column("w2_coefficients_floor", "number", "the same distance of as many exact samples"),
    ),
)

ENDPOINTS = (
    Quantity(
        name="rmse",
        meaning="root mean square distance per dimension to the converged ODE endpoint "
        "from the same latent",
        title="RMSE to the ODE",
        axis="RMSE to the converged ODE endpoint",
        short="RMSE to ODE",
        note="Root mean square distance per dimension to the converged ODE endpoint from the same "
        "latent; deterministic samplers only. 95 % intervals.",
        brief="how far a sample lands from where its own noise leads in very many steps: "
        "the sampler's error alone",
        to="reference solution",
        error="se",
        floor=Floor(column="rmse_resolution", meaning="resolution of the endpoints"),
        resolution="rmse_resolution",
        influence="distance",
        root=True,
        power=1,
        listed=True,
    ),
    Quantity(
        name="rmse_median",
        meaning="median over samples of the per-dimension distance",
        axis="Median distance to the converged ODE endpoint",
        to="reference solution",
        power=1,
        beside=(
            Column(
                "rmse_samples",
                "integer",
                "number of samples compared with converged endpoints: the first, as far "
                "as they were kept whole",
            ),
            Column(
                "rmse_resolution",
                "number",
                "how far off the converged endpoints themselves may be (RMS); 0 where "
                "they are exact",
            ),
        ),
    ),
    Quantity(
        name="flip_fraction",
        meaning="fraction of samples that ended in another mode or class than the "
        "converged endpoint",
        to="reference solution",
        listed=True,
    ),
)

STRONG = Quantity(
    name="strong_error",
    meaning="root mean square distance per dimension to the pathwise limit of the "
    "reverse SDE, for brownian noise",
    title="Strong error",
    axis="RMSE to the pathwise limit",
    note="Root mean square distance per dimension to the limit of the reverse SDE on the "
    "same Brownian path. 95 % intervals.",
    brief="how far a sample lands from where its own noise leads in very many steps: the "
    "sampler's error alone",
    to="path limit",
    error="se",
    floor=Floor(column="strong_resolution", meaning="resolution of the limits"),
    resolution="strong_resolution",
    influence="strong",
    root=True,
    power=1,
    listed=True,
    beside=(
        Column(
            "strong_resolution",
            "number",
            "how far off the pathwise limits themselves may be (RMS)",
        ),
    ),
)

LABELS = Quantity(
    name="label_agreement",
    meaning="fraction of conditional samples that the extractor puts in the class they "
    "were asked for",
    lower=False,
    listed=True,
)

BUILT_IN: tuple[Quantity, ...] = (
    *FRECHET,
    KID,
    ENERGY,
    SWD,
    *MANIFOLDS,
    MODES,
    MEMORISED,
    DUPLICATES,
    COEFFICIENTS,
    *ENDPOINTS,
    STRONG,
    LABELS,
)
"""In the order of the table; what is judged first where several are measured comes first."""

_OWNED: dict[str, tuple[Quantity, ...]] = {}
"""By the name of the metric that measures them, for as long as the process lives."""


def register(metric: str, measured: tuple[Quantity, ...]) -> None:
    """Make the quantities of a metric known; those that it had before are forgotten.

    Raises:
        ValueError: a column or an array of influence values is another's already, or a quantity
            speaks of a column that is nobody's.
    """
    rest = [
        q for q in BUILT_IN if q not in measured and not any(q in own for own in _OWNED.values())
    ]
    taken = {name: "a built-in metric" for q in rest for name in _names_of(q)}
    for other, own in _OWNED.items():
        if other != metric:
            taken |= {name: f"metric {other}" for q in own for name in _names_of(q)}
    taken |= {column.name: "every row" for column in (*ROW, *AROUND)}
    for quantity in measured:
        for name in _names_of(quantity):
            if not (name.isascii() and name.isidentifier()):
                raise ValueError(
                    f"metric {metric} has a column {name!r}; name it with a-z, 0-9 and _"
                )
            if name in taken:
                clash = (
                    f"metric {metric} wants the column or array {name!r}, which {taken[name]} has"
                )
                raise ValueError(f"{clash}; give it another name")
        taken |= dict.fromkeys(_names_of(quantity), f"another quantity of metric {metric}")
    for quantity in measured:
        floor = quantity.floor.column if quantity.floor else ""
        for name in filter(None, (quantity.flag, quantity.resolution, floor)):
            if name not in taken:
                unknown = f"quantity {quantity.name} speaks of {name!r}, which is no column"
                raise ValueError(f"{unknown}; put it beside one of the metric's quantities")
    _OWNED[metric] = measured


def _names_of(quantity: Quantity) -> set[str]:
    """Its columns, and the arrays of its influence values, which may be called as its own
    column.
    """
    arrays = {quantity.influence, quantity.reference_influence} - {""}
    return arrays | {column.name for column in quantity.columns}


def quantities() -> tuple[Quantity, ...]:
    """All quantities that are known here, those of installed plugins among them."""
    _warn_of_broken()
    built_in = set(BUILT_IN)
    return (*BUILT_IN, *(q for own in _OWNED.values() for q in own if q not in built_in))


class Installed(NamedTuple):
    """A metric that an installed package names: what was loaded, or why it could not be."""

    name: str
    package: str
    found: Any
    fault: str


@cache
def installed() -> tuple[Installed, ...]:
    """The metrics of installed packages, loaded once a process.

    Loading one makes its quantities known.
    """
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return tuple(_loaded(point) for point in sorted(points, key=lambda point: point.name))


def _loaded(point: importlib.metadata.EntryPoint) -> Installed:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "an installed package"
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        fault = f"cannot be loaded ({type(error).__name__}: {' '.join(str(error).split())})"
        return Installed(point.name, package, None, fault)
    is_one = isinstance(getattr(found, "quantities", None), tuple) and callable(found)
    fault = (
        ""
        if is_one
        else (f"({point.value}) is not decorated with samplerbench.benchmarks.metrics.metric")
    )
    return Installed(point.name, package, found, fault)


@cache
def _warn_of_broken() -> None:
    """Say once which metrics of installed packages are left out, and why."""
    for each in installed():
        if each.fault:
            log.warning(
                "The metric %s of %s is left out: it %s.", each.name, each.package, each.fault
            )


def find(name: str) -> Quantity:
    """The quantity of a column; one that is not known has ``NAME_se`` for its standard error."""
    known = next((quantity for quantity in quantities() if quantity.name == name), None)
    return known or Quantity(name=name, meaning="", error="se")


def judged() -> tuple[Quantity, ...]:
    """Those that verdicts can be about, the usual one of a table first."""
    return tuple(quantity for quantity in quantities() if quantity.influence)


def panels() -> tuple[Quantity, ...]:
    """Those that have a panel in the report."""
    return tuple(quantity for quantity in quantities() if quantity.note)


def flags() -> dict[str, str]:
    """The columns that say why an interval is not to be trusted, by the columns of the values."""
    return {quantity.name: quantity.flag for quantity in quantities() if quantity.flag}


def named(known: Sequence[Quantity], name: str) -> Quantity:
    """One of several quantities by its name.

    Raises:
        ValueError: it is not among them.
    """
    for quantity in known:
        if quantity.name == name:
            return quantity
    there = ", ".join(quantity.name for quantity in known)
    raise ValueError(
        f"there is no {name!r} here; choose from {there or 'nothing: none is measured'}"
    )
