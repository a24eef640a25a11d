"""The class of a quantity: a measured column, and how tables, plots, verdicts and help show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..columns import Column, Kind

To = Literal["data", "converged samples", "reference solution", "path limit", ""]
"""Target that a quantity compares samples with; "" for none of these.

"reference solution" is the converged ODE endpoint of the same latent, "path limit" the converged
endpoint of the same Brownian path. A distance to "data" includes the model's own error.
"""

Summary = Literal["mean", "root mean square", "typical", "share"]
"""Statistic over the samples by which a quantity's value is computed.

"mean" is, at least to first order, a mean of numbers per sample. "root mean square" and "typical"
(a trimmed geometric mean) summarise distances. "share" is the share of samples with a property.
"""


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Level to read a quantity's values against, such as the value of perfect samples.

    Attributes:
        column: table column with the level.
        meaning: label of the level in plots.
        factor: the level is ``factor`` times the column.
        perfect: True if perfect samples have this level.
    """

    column: str
    meaning: str
    factor: float = 1.0
    perfect: bool = False


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Measured column of the table, with the names, texts and columns that belong to it.

    Attributes:
        name: column of the value.
        meaning: description of the value, for help and tooltips.
        unit: unit of the value and its error, and of columns in ``beside`` without a unit; or "".
        title: heading of the quantity's panel, and its name in sentences.
        axis: title of a plot's axis; "" for ``name``.
        short: heading of a narrow column; "" leaves the quantity out of summaries.
        note: sentence or two under the quantity's panel; "" means no panel in the report.
        brief: short explanation for newcomers.
        kind: kind of the column's values.
        to: target that samples are compared with (:data:`To`).
        error: columns that describe the value's error. "se" means ``NAME_se``, "ends" the 95 %
            interval in ``NAME_low`` and ``NAME_high``, "interval" both, "" none. An "interval" need
            not be the value ± 1.96 standard errors.
        flag: column with the reason against trusting the interval; "" if there is none.
        floor: level to read the values against; None if there is none.
        resolution: column with the smallest value that can differ from 0; "" if there is none.
        influence: name of the array in ``influence.npz`` with one value per sample. With "", there
            is no such array, and verdicts are impossible.
        reference_influence: name of the array for the reference samples; "" if there is none.
        summary: statistic over the samples (:data:`Summary`).
        apart: column of the value between two endpoints, which a sample in another mode has; needed by
            summaries of distances. Verdicts then allow for such samples among those not drawn.
        power: near convergence, a method of order p lowers the value as steps ** -(p * power).
            It is 1 for distances of samples, 2 for squares such as Fréchet distances, else 0.
        listed: True if the report's table of all rows has a column for the quantity.
        lower: True if lower is better. If higher is better, verdicts need the summary "mean".
        same: text column in which two rows must agree for a verdict; "" if there is none.
        beside: further columns that belong to the quantity.
    """

    name: str
    meaning: str
    unit: str = ""
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
    summary: Summary = "mean"
    apart: str = ""
    power: int = 0
    listed: bool = False
    lower: bool = True
    same: str = ""
    beside: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields that verdicts need.

        Raises:
            ValueError: ``influence`` is given without a standard error, or higher is better and
                ``summary`` is not "mean", or a summary of distances lacks ``apart``.
        """
        directed = self.lower or self.summary == "mean"
        if self.influence and (self.error not in ("se", "interval") or not directed):
            raise ValueError(
                f"quantity {self.name!r} has influence values, so verdicts are about it: give it "
                "error='se' or 'interval', and let lower be better (1 - share instead of share)"
            )
        if self.summary in ("root mean square", "typical") and not self.apart:
            raise ValueError(
                f"quantity {self.name!r} sums up distances: name the column of the distance "
                "between two endpoints in apart="
            )

    @property
    def se(self) -> str:
        """Name of the column of the standard error."""
        return f"{self.name}_se"

    def loss(self, value: float) -> float:
        """Return ``value``, negated if higher is better, so that lower is better."""
        return value if self.lower else -value

    @property
    def better(self) -> str:
        """Direction of better values in words: "lower" or "higher"."""
        return "lower" if self.lower else "higher"

    @property
    def best(self) -> str:
        """Best of several values in words: "lowest" or "highest"."""
        return "lowest" if self.lower else "highest"

    @property
    def to_data(self) -> bool:
        """Return True for a distance to the data, which includes the model's own error."""
        return self.to == "data"

    @property
    def is_set_distance(self) -> bool:
        """Return True for a distance between two sets of samples that verdicts can be about."""
        return bool(self.influence) and self.to in ("data", "converged samples")

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of the value, of its error and in ``beside``, in the order of the table."""
        columns = [Column(self.name, self.kind, self.meaning)]
        if self.error in ("se", "interval"):
            columns.append(Column(self.se, "number", "its standard error"))
        if self.error in ("ends", "interval"):
            skewed = ", which is not symmetric" if self.error == "interval" else ""
            low = f"lower end of its 95 % interval{skewed}"
            columns.append(Column(f"{self.name}_low", "number", low))
            columns.append(Column(f"{self.name}_high", "number", "upper end of its 95 % interval"))
        columns += self.beside
        return tuple(
            column._replace(unit=column.unit or self.unit) if column.kind == "number" else column
            for column in columns
        )
