"""Quantities of the built-in metrics, in the order of the table's columns."""

from __future__ import annotations

from functools import partial

from ..record import COLUMN_MAKERS
from .quantity import Floor, Quantity

_text, _integer, _number, _flag = COLUMN_MAKERS

_Share = partial(Quantity, unit="share")
_Frechet = partial(Quantity, unit="squared feature units")
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

FRECHET = (
    _Frechet(
        name="fid_proxy",
        meaning="Fréchet distance to the reference in the features that estimator names, "
        "bias removed",
        title="FID proxy",
        axis="FID proxy (bias removed)",
        short="FID proxy",
        note="Fréchet distance to the reference in the features that the estimator names, sampling "
        "bias removed, with 95 % intervals. A value that is not positive is drawn as a "
        "triangle at 0, with a bar to the upper end of its interval.",
        brief="distance between a sampler's samples and real data, as sets, in the manner of the "
        "Fréchet inception distance (FID)",
        to="data",
        error="interval",
        flag="fid_flag",
        floor=Floor(column="fid_proxy_converged", meaning="the model's own error"),
        resolution="fid_proxy_floor_se",
        influence="influence",
        listed=True,
    ),
    _Frechet(
        name="fid_proxy_raw",
        meaning="the plain plug-in Fréchet distance",
        title="FID proxy, plug-in",
        axis="FID proxy (plug-in)",
        short="FID proxy, plug-in",
        note="The same distance without bias correction, so it can be held against the dashed "
        "floor: what as many held-out real (or exact) samples get.",
        brief="how far a sampler's samples, as a set, are from real data, before the "
        "bias of a finite number of samples is removed",
        to="data",
        floor=Floor(column="fid_proxy_floor", meaning="as many held-out samples", perfect=True),
        listed=True,
        beside=(
            _number(
                "fid_proxy_floor",
                "plug-in Fréchet distance of as many held-out real or exact samples; "
                "compare with raw",
            ),
            _number(
                "fid_proxy_floor_se",
                "standard error of fid_proxy_floor: smaller distances do not differ from 0 significantly",
            ),
            _text("fid_flag", "why the interval of fid_proxy is not to be trusted (empty: it is)"),
        ),
    ),
    _Frechet(
        name="fd_conv",
        meaning="Fréchet distance to converged samples of the same model from disjoint "
        "latents, both sides' bias removed",
        title="FD to converged",
        axis="Fréchet distance to converged samples",
        short="FD to converged",
        note="Fréchet distance to converged samples of the same model: the sampler's own "
        "error, without the model's. 95 % intervals.",
        brief="distance between a sampler's samples and the model's own converged samples, as sets",
        to="converged samples",
        error="interval",
        flag="fd_conv_flag",
        floor=Floor(column="fid_proxy_floor_se", meaning="not significant below", factor=1.96),
        resolution="fid_proxy_floor_se",
        influence="fd_conv",
        reference_influence="fd_conv_reference",
        power=2,
        listed=True,
        beside=(
            _text(
                "fd_conv_flag",
                "why the interval of fd_conv is not to be trusted, on either side (empty: it is)",
            ),
        ),
    ),
    _Frechet(
        name="fd_inf",
        meaning="Fréchet distance extrapolated in 1/N to infinitely many samples",
        axis="Fréchet distance, infinitely many samples",
        to="data",
    ),
    _Frechet(
        name="fid_proxy_converged",
        meaning="fid_proxy of the converged samples themselves: the model's own error",
        to="data",
        error="interval",
        beside=(
            _flag(
                "dominated",
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
    unit="feature units",
    meaning="energy distance to as many held-out samples, unbiased",
    title="Energy distance",
    axis="Energy distance",
    note="Energy distance to as many held-out samples, without bias: twice the mean distance "
    "between the two sets less those within them. 95 % intervals.",
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
    unit="squared feature units",
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
        _number(
            "swd_floor",
            "the same distance between two sets of as many held-out samples; compare with swd",
        ),
    ),
)

MANIFOLDS = (
    _Share(
        name="precision",
        meaning="fraction of samples inside the manifold of as many held-out ones",
        lower=False,
        listed=True,
    ),
    _Share(
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
    _Share(
        name="coverage",
        meaning="fraction of held-out samples with a sample in their neighbourhood",
        lower=False,
    ),
)

MODES = _Share(
    name="mode_coverage",
    meaning="fraction of the data's modes or classes that the samples visit",
    lower=False,
    listed=True,
    beside=(
        _number(
            "mode_p",
            "p value of the test that they visit them as often as the data do",
            "probability",
        ),
    ),
)

MEMORISED = _Share(
    name="memorised",
    meaning="fraction of samples nearer to a training example than 99 % of held-out data "
    "are; 0.01 is none",
    error="ends",
)

DUPLICATES = _Share(
    name="duplicates",
    meaning="fraction of the samples kept whole that repeat an earlier one exactly",
)

COEFFICIENTS = Quantity(
    name="w2_coefficients",
    meaning="RMS Wasserstein distance of coefficients to their exact distributions",
    unit="standard deviations",
    to="data",
    beside=(_number("w2_coefficients_floor", "the same distance of as many exact samples"),),
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
        beside=(
            _text("rmse_flag", "why rmse and its interval are not to be trusted (empty: they are)"),
        ),
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
            _number(
                "endpoint_distance",
                "RMS distance per dimension between two converged endpoints: what a flip costs",
            ),
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
    to="reference solution",
    error="se",
    influence="psnr_conv",
    listed=True,
    lower=False,
    beside=(_number("psnr_capped", "share with errors below 8-bit rounding", "share"),),
)

LPIPS = Quantity(
    name="lpips_conv",
    meaning="mean LPIPS of samples to the images of their converged ODE endpoints; on request only",
    title="LPIPS to the ODE",
    axis="LPIPS to the converged image",
    note="Mean perceptual distance of samples to the converged images of the same initial noise. "
    "95 % intervals.",
    brief="how different samples look from where their own noise leads in very many steps",
    to="reference solution",
    error="se",
    influence="lpips_conv",
    power=2,
    listed=True,
    same="lpips_network",
    beside=(_text("lpips_network", "backbone of lpips_conv, and a hash of its weights"),),
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
            _text(
                "strong_flag",
                "why strong_error and its interval are not to be trusted (empty: they are)",
            ),
            _number("strong_resolution", "how far off the pathwise limits themselves may be (RMS)"),
            _number(
                "limit_distance",
                "RMS distance per dimension between two pathwise limits: what a flip costs",
            ),
        ),
    ),
)

LABELS = _Share(
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
    PSNR,
    LPIPS,
    *STRONG,
    LABELS,
)
"""Built-in quantities in the table's order. Verdicts are about the first measured by default."""
