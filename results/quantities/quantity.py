"""A quantity: a measured column of the table, with all that tables, plots, verdicts and help say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..record import Column, Kind

To = Literal["data", "converged samples", "reference solution", "path limit", ""]
"""Target that a distance is measured to: the data (the model's own error is then part of it),
converged samples of the same model, the end of each sample's own ODE trajectory or Brownian path,
or nothing.
"""


Summary = Literal["mean", "root mean square", "typical", "share"]
"""Summary of the samples in a value: a mean of influence values, a root mean square or a trimmed
geometric mean of distances, or the share of samples with a property.
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
        resolution: column of the smallest value that can be distinguished from 0; "" if there is
            none.
        influence: array of ``influence.npz`` with one value per sample, which the value sums up; it
            makes the quantity one that verdicts can be about. "" if there is none.
        reference_influence: the same of each reference sample, where the reference is a sample too.
        summary: see :data:`Summary`. With "mean", ``influence`` holds first-order contributions.
        apart: column of the distance between two converged endpoints, of a summary of distances.
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
    summary: Summary = "mean"
    apart: str = ""
    power: int = 0
    listed: bool = False
    lower: bool = True
    beside: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no verdict could be about.

        Raises:
            ValueError: influence values without a standard error, or of what is better if larger.
                Distances without the column of their scale.
        """
        if self.influence and (self.error not in ("se", "interval") or not self.lower):
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

    @property
    def to_data(self) -> bool:
        """Return True if the quantity is a distance to the data, which includes the model's own error."""
        return self.to == "data"

    @property
    def grows(self) -> bool:
        """Return True if more samples shrink the error: not where only some have a reference."""
        return bool(self.influence) and self.to in ("data", "converged samples")

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of the quantity, in the order of the table."""
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
