"""Quantities of single samples: distances to endpoints, and to the same run in full precision."""

from __future__ import annotations

from functools import partial

from ..columns import COLUMN_MAKERS
from .quantity import Floor, Quantity

_text, _integer, _number, _ = COLUMN_MAKERS

_DISTRUST = "why {} and its interval are not to be trusted (empty: they are)"
_FLIP = "RMS distance per dimension between two {}: what a flip costs"

_Share = partial(Quantity, unit="share")
_Distance = partial(Quantity, unit="data units", power=1)
_ToEndpoint = partial(
    _Distance,
    to="reference solution",
    error="interval",
    floor=Floor(column="rmse_resolution", meaning="resolution of the endpoints"),
    resolution="rmse_resolution",
    influence="distance",
    apart="endpoint_distance",
    listed=True,
)
_ToPathLimit = partial(
    _Distance,
    to="path limit",
    error="interval",
    floor=Floor(column="strong_resolution", meaning="resolution of the limits"),
    resolution="strong_resolution",
    influence="strong",
    apart="limit_distance",
    listed=True,
)

ENDPOINTS = (
    _ToEndpoint(
        name="typical_error",
        meaning="typical distance per dimension to the converged ODE endpoint from the same "
        "latent: the geometric mean without the smallest and the largest fifth",
        title="Typical error to the ODE",
        axis="Typical distance to the converged ODE endpoint",
        short="typical error",
        note="Geometric mean of the distances per dimension to the converged ODE endpoint from the "
        "same latent, without the smallest and the largest fifth; deterministic samplers only. "
        "Samples that ended in another mode are counted apart. 95 % intervals.",
        brief="how far a typical sample lands from where its own noise leads in very many steps: "
        "the sampler's error alone",
        summary="typical",
    ),
    _Share(
        name="flip_fraction",
        meaning="fraction of samples that ended in another mode or class than the "
        "converged endpoint",
        title="Flips",
        axis="Share of flipped samples",
        short="flips",
        brief="how many samples end in another mode or class than their own noise leads to in "
        "very many steps",
        to="reference solution",
        error="interval",
        influence="flipped",
        summary="share",
        listed=True,
    ),
    _ToEndpoint(
        name="rmse",
        meaning="root mean square distance per dimension to the converged ODE endpoint "
        "from the same latent",
        title="RMSE to the ODE",
        axis="RMSE to the converged ODE endpoint",
        brief="how far samples land from where their own noise leads in very many steps, "
        "the few that end elsewhere included",
        flag="rmse_flag",
        summary="root mean square",
        beside=(_text("rmse_flag", _DISTRUST.format("rmse")),),
    ),
    _Distance(
        name="rmse_median",
        meaning="median over samples of the per-dimension distance",
        axis="Median distance to the converged ODE endpoint",
        to="reference solution",
        beside=(
            _integer(
                "rmse_samples",
                "number of samples compared with converged endpoints: the first, as far "
                "as they were kept whole",
            ),
            _number(
                "rmse_resolution",
                "how far off the converged endpoints themselves may be (RMS); 0 where "
                "they are exact",
            ),
            _number("endpoint_distance", _FLIP.format("converged endpoints")),
        ),
    ),
)

PSNR = Quantity(
    name="psnr_conv",
    meaning="mean PSNR of samples to the images of their converged ODE endpoints, at most 58.9 each; "
    "on request only",
    unit="dB",
    title="PSNR to the ODE",
    axis="PSNR to the converged image (dB)",
    short="PSNR",
    to="reference solution",
    error="se",
    influence="psnr_conv",
    listed=True,
    lower=False,
    apart="psnr_apart",
    beside=(
        _number("psnr_apart", "mean PSNR of two converged endpoints: what a flip leaves"),
        _number("psnr_capped", "share with errors below 8-bit rounding", "share"),
    ),
)

LPIPS = Quantity(
    name="lpips_conv",
    meaning="mean LPIPS of samples to the images of their converged ODE endpoints; on request only",
    title="LPIPS to the ODE",
    axis="LPIPS to the converged image",
    short="LPIPS",
    note="Mean perceptual distance of samples to the converged images of the same initial noise. "
    "95 % intervals.",
    brief="how different samples look from where their own noise leads in very many steps",
    to="reference solution",
    error="se",
    influence="lpips_conv",
    power=2,
    listed=True,
    same="lpips_network",
    apart="lpips_apart",
    beside=(
        _number("lpips_apart", "mean LPIPS of two converged endpoints: what a flip costs"),
        _text("lpips_network", "backbone of lpips_conv, and a hash of its weights"),
    ),
)

STRONG = (
    _ToPathLimit(
        name="strong_typical_error",
        meaning="typical distance per dimension to the pathwise limit of the reverse SDE, for "
        "brownian noise: the geometric mean without the smallest and the largest fifth",
        title="Typical strong error",
        axis="Typical distance to the pathwise limit",
        note="Geometric mean of the distances per dimension to the limit of the reverse SDE on the "
        "same Brownian path, without the smallest and the largest fifth. 95 % intervals.",
        brief="how far a typical sample lands from where its own noise leads in very many steps: "
        "the sampler's error alone",
        summary="typical",
    ),
    _ToPathLimit(
        name="strong_error",
        meaning="root mean square distance per dimension to the pathwise limit of the "
        "reverse SDE, for brownian noise",
        title="Strong error",
        axis="RMSE to the pathwise limit",
        brief="how far samples land from where their own noise leads in very many steps, "
        "the few that end elsewhere included",
        flag="strong_flag",
        summary="root mean square",
        beside=(
            _text("strong_flag", _DISTRUST.format("strong_error")),
            _number("strong_resolution", "how far off the pathwise limits themselves may be (RMS)"),
            _number("limit_distance", _FLIP.format("pathwise limits")),
        ),
    ),
)

_Rounding = partial(
    Quantity, unit="data units", error="interval", influence="rounding", apart="precise_distance"
)
ROUNDING = (
    _Rounding(
        name="rounding_error",
        meaning="typical distance per dimension to the sample of the same run in full precision, for "
        "a run in low precision: the geometric mean without the smallest and the largest fifth",
        title="Rounding error",
        axis="Typical distance to the run in full precision",
        short="rounding",
        note="Geometric mean of the distances per dimension to the same sampler's samples in full "
        "precision, without the smallest and the largest fifth. 95 % intervals.",
        brief="how far low precision of the network, or of the state, moves a typical sample",
        summary="typical",
        listed=True,
    ),
    _Rounding(
        name="rounding_rmse",
        meaning="root mean square distance per dimension to the sample of the same run in full "
        "precision, samples that end in another mode included",
        axis="RMSE to the run in full precision",
        flag="rounding_flag",
        summary="root mean square",
        beside=(
            _text("rounding_flag", _DISTRUST.format("rounding_rmse")),
            _number("precise_distance", _FLIP.format("samples in full precision")),
        ),
    ),
)

ROUNDING_SHARE = Quantity(
    name="rounding_share",
    unit="share",
    meaning="square of rounding_error over that of typical_error: the share of low precision in the error",
)
