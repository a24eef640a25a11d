"""The measures that the report shows: what they are called and which columns hold them."""

from __future__ import annotations

from dataclasses import dataclass

from ..record import Record
from ..text import interval
from ..values import number


@dataclass(frozen=True)
class Measure:
    """A measure of quality; lower is better in all of them.

    Attributes:
        name: column of the value.
        title: what people call it.
        se: column of its standard error, if it has one.
        floor: column of what perfect samples would get, if it has one.
    """

    name: str
    title: str
    note: str
    se: str | None = None
    floor: str | None = None

    def interval(self, row: Record) -> str:
        """``value [low, high]`` of a row."""
        return interval(number(row, self.name), number(row, self.se) if self.se else None)


MEASURES = (
    Measure(
        "fid_proxy",
        "FID proxy",
        "Fréchet distance to the reference in the model card's features, sampling bias removed, with 95 % intervals. "
        "A value that is not positive has no place on this axis: the triangle marks the upper end of its interval.",
        se="fid_proxy_se",
    ),
    Measure(
        "fid_proxy_raw",
        "FID proxy, plug-in",
        "The same distance without bias correction, so it can be held against the dashed floor: "
        "what as many held-out real (or exact) samples get.",
        floor="fid_proxy_floor",
    ),
    Measure(
        "fd_conv",
        "FD to converged",
        "Fréchet distance to converged samples of the same model: the sampler's own error, without the model's. 95 % intervals.",
        se="fd_conv_se",
    ),
    Measure(
        "rmse",
        "RMSE to the ODE",
        "Root mean square distance per dimension to the converged ODE endpoint from the same latent; deterministic samplers only. "
        "95 % intervals.",
        se="rmse_se",
    ),
)
