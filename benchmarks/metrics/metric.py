"""Metric interface: a function of a cell's samples, its needs and its quantities.

A metric is one file. The decorator :func:`metric` registers it; an installed package names the
decorated function as an entry point in the group ``samplerbench.metrics``. Its quantities
(``results.quantities``) describe the numbers and their columns. A plugin's quantities stand in its
own file. Those in this package are in ``results/quantities/built_in.py``, since tables are read
without the code that computes them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

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
]
"""Needs: features with a reference; samples; their modes or classes; the training set; coefficients
with known distributions; the endpoint of each latent by the ODE, or by its Brownian path; the
classes that samples were conditioned on.
"""


@dataclass(frozen=True)
class Endpoints:
    """Reference solution of samples 0 … k - 1: the converged endpoints of their latents.

    Attributes:
        x: ``(k, *event)``.
        modes: their modes or classes ``(k,)``; None where the model has none.
        steps: of the solution; 0 where it is exact.
        resolution: error of the endpoints themselves (RMS per dimension); 0 where they are exact.
    """

    x: NDArray
    modes: NDArray | None
    steps: int
    resolution: float


class Context(Protocol):
    """Samples of one cell, and references to compare them with.

    An attribute is available if its need is met.
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
        """:attr:`features`, a block at a time, for more than memory holds. Need: "features"."""
        ...

    @property
    def moments(self) -> Moments:
        """Moments of the features, merged from parts. Need: "features"."""
        ...

    @property
    def reference(self) -> Any:
        """Real or exact features: ``mean`` ``(d,)``, ``cov`` ``(d, d)``, ``n``.

        Need: "features".
        """
        ...

    @property
    def converged(self) -> FloatArray | None:
        """Features ``(m, d)`` of converged samples, from other latents. None for a few-step map.
        Need: "features".
        """
        ...

    def held_out(self, n: int) -> FloatArray:
        """Return the first ``n`` real or exact features outside the reference, or all. Need:
        "features".
        """
        ...

    def held_out_rows(self, n: int) -> Rows:
        """Return :meth:`held_out`, a block at a time. Need: "features"."""
        ...

    @property
    def known(self) -> NDArray:
        """Available samples ``(k, *event)``, perhaps in half precision. Need: "samples"."""
        ...

    @property
    def known_rows(self) -> Rows:
        """:attr:`known`, a block at a time. Need: "samples"."""
        ...

    @property
    def whole(self) -> NDArray:
        """First samples ``(k, *event)``, stored in full. Need: "samples"."""
        ...

    def exact_samples(self, n: int) -> NDArray | None:
        """Return ``n`` samples ``(n, *event)`` of an exact model; None for a network."""
        ...

    @property
    def classes(self) -> int:
        """Number of classes; 0 for an unconditional model."""
        ...

    def modes(self, x: NDArray) -> NDArray[np.int64] | None:
        """Return modes or classes ``(n,)`` of samples; None where the model has none."""
        ...

    @property
    def own_label(self) -> NDArray[np.bool_]:
        """Mask ``(n,)`` of the samples that lie in their own class. Need: "labels"."""
        ...

    @property
    def training(self) -> tuple[FloatArray, float]:
        """Training examples ``(m, d)``, and a threshold. Need: "training set".

        Below that ratio of the distances to the two nearest, a sample counts as one of them.
        """
        ...

    @property
    def mixtures(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, means and deviations ``(K, d)`` of coefficients. Need: "coefficients"."""
        ...

    def coefficients(self, x: NDArray) -> FloatArray:
        """Return coefficients ``(n, d)`` of samples. Need: "coefficients"."""
        ...

    @property
    def solution(self) -> Endpoints:
        """Endpoints of the latents. Need: "reference solution" or "path limit"."""
        ...

    def once(self, key: object, make: Callable[[], Value]) -> Value:
        """Return ``make()``, called once for all cells of the model, for example for a floor."""
        ...


class Measured(NamedTuple):
    """Result of a metric: values by column, and influence values by array name."""

    columns: Mapping[str, object]
    influence: Mapping[str, FloatArray] = {}


@dataclass(frozen=True)
class Metric:
    """Registered metric.

    Attributes:
        name: in suites and versions.
        version: to be raised with every change that moves a number; only this metric is then
            computed again.
        needs: all must be met for it to run; where one is not, its columns stay empty.
        quantities: its results, in the order of the table.
        measure: the function. It may raise ArithmeticError or ValueError for samples that no
            formula can take, which fails the row; a metric that is not built in fails alone.
    """

    name: str
    version: int
    needs: frozenset[Need]
    quantities: tuple[Quantity, ...]
    measure: Callable[[Context], Measured] = field(compare=False)

    def __call__(self, context: Context) -> Measured:
        """Measure a cell; refuse columns and influence values that no quantity of it has."""
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
    name: str, *, version: int, needs: Collection[Need], quantities: tuple[Quantity, ...]
) -> Callable[[Callable[[Context], Measured]], Metric]:
    """Decorate a function to register it as a metric.

    Args:
        name: letters, digits and _; not another metric's.
        version: see :class:`Metric`.
        needs: see :data:`Need`.
        quantities: of the values that it gives.

    Raises:
        ValueError: the name, a need or a column is not one that it can have.
    """

    def decorated(measure: Callable[[Context], Measured]) -> Metric:
        registered = Metric(name, version, frozenset(needs), quantities, measure)
        register(registered)
        return registered

    return decorated


def register(entry: Metric) -> None:
    """Register a metric; the same file loaded again replaces its own."""
    if not entry.name.isidentifier():
        raise ValueError(f"a metric needs a name of letters, digits and _, got {entry.name!r}")
    if unknown := sorted(entry.needs - set(get_args(Need))):
        raise ValueError(
            f"metric {entry.name} needs {unknown[0]!r}; choose from {', '.join(get_args(Need))}"
        )
    before = _METRICS.get(entry.name)
    if before is not None and _qualified_name(before) != _qualified_name(entry):
        places = f"{_qualified_name(before)} and {_qualified_name(entry)}"
        raise ValueError(
            f"two metrics are called {entry.name!r}: {places}; rename or uninstall one"
        )
    if _is_built_in(entry) and not set(entry.quantities) <= set(known.BUILT_IN):
        raise ValueError(
            f"metric {entry.name} is of this package: list its quantities in "
            "results/quantities/built_in.py, or no report knows them"
        )
    known.register(entry.name, entry.quantities)
    _METRICS[entry.name] = entry


def _is_built_in(entry: Metric) -> bool:
    return entry.measure.__module__.startswith(f"{__package__}.")


def _qualified_name(entry: Metric) -> str:
    return f"{entry.measure.__module__}.{entry.measure.__qualname__}"


def metrics() -> dict[str, Metric]:
    """Return all metrics by name: built-in ones, then plugins.

    Raises:
        ValueError: one of an installed package cannot be loaded: a run without it would look whole.
    """
    for plugin in known.installed():
        if plugin.fault:
            subject = f"the metric {plugin.name} of {plugin.package} {plugin.fault}"
            raise ValueError(f"{subject}; mend or uninstall the package")
    return dict(_METRICS)


def origin(entry: Metric) -> str:
    """Return the package or file of a metric that is not built in; "" if it is."""
    module = entry.measure.__module__
    if _is_built_in(entry):
        return ""
    package = next((plugin.package for plugin in known.installed() if plugin.found is entry), "")
    file = getattr(sys.modules.get(module), "__file__", None)
    return package or (Path(file).name if file else module)
