"""Interface of metrics: functions from a cell's samples and other data to numbers.

A cell is a row of the result table. The decorator :func:`metric` registers a function as a metric.
An installed package names the decorated function as an entry point in the group
``samplerbench.metrics``. Quantities (``results.quantities``) describe the numbers of a metric and
their columns. A plugin declares its quantities in its own file. ``results/quantities/built_in.py``
lists the quantities of this package, since tables are read without the code that computes them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...results import quantities as known
from ...results.quantities import Quantity
from .estimators.rows import FloatArray, Moments, Rows

Value = TypeVar("Value")

Need = Literal[
    "features",
    "samples",
    "modes",
    "training set",
    "coefficients",
    "reference solution",
    "path limit",
    "labels",
    "run in full precision",
]
"""Data that a metric can need.

"features" includes a reference. "modes" are modes or classes. "coefficients" have known exact
distributions. "reference solution" has converged endpoints of the latents by the ODE, "path limit"
along Brownian paths. "labels" are the classes that condition samples. "run in full precision" has a
cell's samples without rounding, for a cell in 16 bits.
"""

PRECISE_RUN: Need = "run in full precision"


@dataclass(frozen=True)
class Endpoints:
    """Converged endpoints of latents 0 … k - 1, of the ODE or of the SDE along Brownian paths.

    Attributes:
        x: endpoints ``(k, *event)``.
        modes: modes or classes of the endpoints, ``(k,)``; None for a model without modes.
        steps: number of solver steps; 0 if the endpoints are exact.
        resolution: estimated RMS error of the endpoints per dimension; 0 if they are exact.
    """

    x: NDArray
    modes: NDArray | None
    steps: int
    resolution: float


class Context(Protocol):
    """Samples of one cell, and references to compare them with.

    An attribute raises a ValueError if its data (:data:`Need`) are not available.
    """

    @property
    def count(self) -> int:
        """Number of samples of the cell."""
        ...

    @property
    def features(self) -> FloatArray:
        """Features ``(n, d)`` of the samples, in their order. Need: "features"."""
        ...

    @property
    def feature_rows(self) -> Rows:
        """The rows of :attr:`features`, which need not fit into memory. Need: "features"."""
        ...

    @property
    def moments(self) -> Moments:
        """Count, mean and scatter of :attr:`features`. Need: "features"."""
        ...

    @property
    def reference(self) -> Any:
        """Moments of real or exact features: ``mean``, ``cov`` and size ``n``. Need: "features"."""
        ...

    @property
    def converged(self) -> FloatArray | None:
        """Features ``(m, d)`` of converged samples from other latents; None for a few-step map.

        Need: "features".
        """
        ...

    def held_out(self, n: int) -> FloatArray:
        """Return at most ``n`` features ``(m, d)`` of held-out or exact data. Need: "features"."""
        ...

    def held_out_rows(self, n: int) -> Rows:
        """Return the rows of :meth:`held_out`, readable block by block. Need: "features"."""
        ...

    @property
    def known(self) -> NDArray:
        """Stored samples ``(k, *event)``, all or the first, perhaps rounded. Need: "samples"."""
        ...

    @property
    def known_rows(self) -> Rows:
        """The rows of :attr:`known`, readable block by block. Need: "samples"."""
        ...

    @property
    def whole(self) -> NDArray:
        """The first k samples ``(k, *event)``, stored without rounding. Need: "samples"."""
        ...

    @property
    def precise(self) -> NDArray:
        """Counterparts of :attr:`whole` in full precision. Need: "run in full precision"."""
        ...

    def exact_samples(self, n: int) -> NDArray | None:
        """Return ``n`` exact samples ``(n, *event)`` of an exact model; None for other models."""
        ...

    @property
    def classes(self) -> int:
        """Number of classes; 0 for an unconditional model."""
        ...

    def modes(self, x: NDArray) -> NDArray[np.int64] | None:
        """Return modes or classes ``(n,)`` of samples ``(n, *event)``; None if a model has none."""
        ...

    @property
    def own_modes(self) -> NDArray[np.int64] | None:
        """Modes or classes ``(n,)`` of the samples, in their order; None if a model has none.

        Samples that an earlier version drew and did not store are left out.
        """
        ...

    @property
    def own_label(self) -> NDArray[np.bool_]:
        """Mask ``(n,)`` of samples in the class they were conditioned on. Need: "labels"."""
        ...

    @property
    def training(self) -> tuple[FloatArray, float]:
        """Training examples ``(m, d)``, and the threshold of memorisation. Need: "training set".

        A memorised sample's distances to the nearest two examples have a ratio below the threshold.
        """
        ...

    @property
    def mixtures(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, means, stds ``(K, d)`` of Haar coefficients' mixtures. Need: "coefficients"."""
        ...

    def coefficients(self, x: NDArray) -> FloatArray:
        """Return Haar coefficients ``(n, d)`` of samples ``(n, *event)``. Need: "coefficients"."""
        ...

    @property
    def solution(self) -> Endpoints:
        """Converged endpoints of the first latents. Need: "reference solution" or "path limit"."""
        ...

    @property
    def limits(self) -> tuple[float, float] | None:
        """Range (low, high) of the values of decoded images; None for data without a range."""
        ...

    def images(self, x: NDArray) -> Tensor:
        """Return decoded samples ``(n, …)``, clamped to :attr:`limits`, on the model's device."""
        ...

    def once(self, key: object, make: Callable[[], Value]) -> Value:
        """Return ``make()``, which is cached by ``key`` and shared by all cells of a model."""
        ...


class Measured(NamedTuple):
    """Result of a metric.

    Attributes:
        columns: values by column name.
        influence: one number per sample ``(n,)`` by array name, to compare configurations: the
            sample's influence on the value, or its own distance or score.
    """

    columns: Mapping[str, object]
    influence: Mapping[str, FloatArray] = {}


def columns_of(name: str, estimate: Any) -> dict[str, float]:
    """Return the columns of an estimate: ``name``, its standard error and ends of its interval."""
    ends = {f"{name}_{part}": getattr(estimate, part) for part in ("se", "low", "high")}
    return {name: estimate.value, **ends}


@dataclass(frozen=True)
class Metric:
    """Registered metric.

    Attributes:
        name: name of the metric in suites and stored results.
        version: raise it if results change, so that stored results are computed again.
        needs: data that the metric reads. If a need is not met, the metric's columns stay empty.
        quantities: descriptions of the results, in the order of the table.
        measure: decorated function. An ArithmeticError or ValueError from a built-in metric fails
            the row of the cell. An error from a plugin leaves only its own columns empty.
        default: False for a metric that is measured only if a suite names it.
        weights: function that loads the user's file of weights and returns its name and hash. If it
            raises a ValueError, no run with the metric starts. None for a metric without a file.
    """

    name: str
    version: int
    needs: frozenset[Need]
    quantities: tuple[Quantity, ...]
    measure: Callable[[Context], Measured] = field(compare=False)
    default: bool = True
    weights: Callable[[], str] | None = field(default=None, compare=False)

    def __call__(self, context: Context) -> Measured:
        """Measure a cell, and check the names in the result.

        Raises:
            ValueError: the result is not a Measured, or has a name that is not in ``quantities``.
        """
        result = self.measure(context)
        if not isinstance(result, Measured):
            got = type(result).__name__
            raise ValueError(
                f"metric {self.name} gives a {got}; let it return Measured(columns, influence)"
            )
        columns = {column.name for quantity in self.quantities for column in quantity.columns}
        arrays = {
            name for q in self.quantities for name in (q.influence, q.reference_influence) if name
        }
        if strange := sorted((set(result.columns) - columns) | (set(result.influence) - arrays)):
            raise ValueError(
                f"metric {self.name} gives {strange[0]!r}, which is none of its columns"
            )
        return result


_METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    *,
    version: int,
    needs: Collection[Need],
    quantities: tuple[Quantity, ...],
    default: bool = True,
    weights: Callable[[], str] | None = None,
) -> Callable[[Callable[[Context], Measured]], Metric]:
    """Return a decorator that registers a function as a metric, or replaces its earlier version.

    ``name`` has letters, digits and _, and no other metric has it. See also :class:`Metric`.

    Raises:
        ValueError: the name or a quantity is invalid or taken, or a need is unknown.
    """

    def decorated(measure: Callable[[Context], Measured]) -> Metric:
        entry = Metric(name, version, frozenset(needs), quantities, measure, default, weights)
        if not name.isidentifier():
            raise ValueError(f"a metric needs a name of letters, digits and _, got {name!r}")
        if unknown := sorted(entry.needs - set(get_args(Need))):
            raise ValueError(
                f"metric {name} needs {unknown[0]!r}; choose from {', '.join(get_args(Need))}"
            )
        before = _METRICS.get(name)
        if before is not None and _qualified_name(before) != _qualified_name(entry):
            places = f"{_qualified_name(before)} and {_qualified_name(entry)}"
            raise ValueError(f"two metrics are called {name!r}: {places}; rename or uninstall one")
        if _is_built_in(entry) and not set(quantities) <= set(known.BUILT_IN):
            raise ValueError(
                f"metric {name} is of this package: list its quantities in "
                "results/quantities/built_in.py, or no report knows them"
            )
        known.register(name, quantities)
        _METRICS[name] = entry
        return entry

    return decorated


def _is_built_in(entry: Metric) -> bool:
    return entry.measure.__module__.startswith(f"{__package__}.")


def _qualified_name(entry: Metric) -> str:
    return f"{entry.measure.__module__}.{entry.measure.__qualname__}"


def metrics() -> dict[str, Metric]:
    """Return all metrics by name: built-in ones, then plugins.

    Raises:
        ValueError: an installed package's metric cannot be loaded.
    """
    for plugin in known.installed():
        if plugin.fault:
            subject = f"the metric {plugin.name} of {plugin.package} {plugin.fault}"
            raise ValueError(f"{subject}; mend or uninstall the package")
    return dict(_METRICS)


def origin(entry: Metric) -> str:
    """Return the package of a plugin metric, or its file or module; "" for a built-in metric."""
    module = entry.measure.__module__
    if _is_built_in(entry):
        return ""
    package = next((plugin.package for plugin in known.installed() if plugin.found is entry), "")
    file = getattr(sys.modules.get(module), "__file__", None)
    return package or (Path(file).name if file else module)
