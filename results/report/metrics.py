"""The measures that the report shows: what they are called and which columns hold them."""

from __future__ import annotations

from dataclasses import dataclass

from ..bounds import plus_minus, with_bounds
from ..record import Record


@dataclass(frozen=True)
class Measure:
    """A measure of quality; lower is better in all of them.

    Attributes:
        name: column of the value.
        title: what people call it.
        note: what it is, in a sentence or two.
        se: column of its standard error, if it has one.
        floor: column of what perfect samples would get, if it has one.
        brief: what it is, in the few words that a newcomer needs.
        power: a method of order p lowers it with the (p times this) power of the steps, once it is near its limit: 1 for distances
            sample by sample, 2 for Fréchet distances, which are squares; 0 where another error is in it that no step takes away.
    """

    name: str
    title: str
    note: str
    se: str | None = None
    floor: str | None = None
    power: int = 0
    brief: str = ""

    def interval(self, row: Record) -> str:
        """``value [low, high]`` of a row."""
        return with_bounds(row, self.name)

    def plus_minus(self, row: Record) -> str:
        """``value ± half of the 95 % interval`` of a row, or ``value [low, high]`` where that is not symmetric."""
        return plus_minus(row, self.name)


MEASURES = (
    Measure(
        "fid_proxy",
        "FID proxy",
        "Fréchet distance to the reference in the features that the estimator names, sampling bias removed, with 95 % intervals. "
        "A value that is not positive has no place on this axis: the triangle marks the upper end of its interval.",
        se="fid_proxy_se",
        brief="how far a sampler's samples, as a set, are from real data, in the manner of the Fréchet inception distance (FID)",
    ),
    Measure(
        "fid_proxy_raw",
        "FID proxy, plug-in",
        "The same distance without bias correction, so it can be held against the dashed floor: "
        "what as many held-out real (or exact) samples get.",
        floor="fid_proxy_floor",
        brief="how far a sampler's samples, as a set, are from real data, before the bias of a finite number of samples is removed",
    ),
    Measure(
        "fd_conv",
        "FD to converged",
        "Fréchet distance to converged samples of the same model: the sampler's own error, without the model's. 95 % intervals.",
        se="fd_conv_se",
        power=2,
        brief="how far a sampler's samples, as a set, are from those of the same model after very many steps: its own error alone",
    ),
    Measure(
        "kid",
        "KID",
        "Kernel distance to as many held-out samples, without bias. 95 % intervals.",
        se="kid_se",
        brief="how far a sampler's samples, as a set, are from real data, by a kernel",
    ),
    Measure(
        "swd",
        "Sliced W₂²",
        "Mean squared Wasserstein distance of projections to as many held-out samples; the dashed floor is what two held-out sets get.",
        se="swd_se",
        floor="swd_floor",
        brief="how far a sampler's samples, as a set, are from real data, in random directions",
    ),
    Measure(
        "rmse",
        "RMSE to the ODE",
        "Root mean square distance per dimension to the converged ODE endpoint from the same latent; deterministic samplers only. "
        "95 % intervals.",
        se="rmse_se",
        brief="how far a sample lands from where its own noise leads in very many steps: the sampler's error alone",
        power=1,
    ),
    Measure(
        "strong_error",
        "Strong error",
        "Root mean square distance per dimension to the limit of the reverse SDE on the same Brownian path. 95 % intervals.",
        se="strong_error_se",
        brief="how far a sample lands from where its own noise leads in very many steps: the sampler's error alone",
        power=1,
    ),
)
