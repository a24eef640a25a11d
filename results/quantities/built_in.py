"""Quantities of the built-in metrics, in the order of the table's columns."""

from __future__ import annotations

from functools import partial

from ..columns import COLUMN_MAKERS
from .endpoints import ENDPOINTS, LPIPS, PSNR, ROUNDING, ROUNDING_SHARE, STRONG
from .quantity import Floor, Quantity

_text, _, _number, _flag = COLUMN_MAKERS

_Share = partial(Quantity, unit="share")
_HighShare = partial(_Share, lower=False)
_ToData = partial(Quantity, to="data")
_Frechet = partial(_ToData, unit="squared feature units")
_ToHeldOut = partial(_ToData, listed=True)

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
    ),
    _Frechet(
        name="fid_proxy_converged",
        meaning="fid_proxy of the converged samples themselves: the model's own error",
        error="interval",
        beside=(
            _flag(
                "dominated",
                "whether a ranking by fid_proxy is dominated by the model's error at this row",
            ),
        ),
    ),
)

KID = _ToHeldOut(
    name="kid",
    meaning="kernel distance (KID) to as many held-out samples, unbiased",
    title="KID",
    axis="KID",
    note="Kernel distance to as many held-out samples, without bias. 95 % intervals.",
    brief="how far a sampler's samples, as a set, are from real data, by a kernel",
    error="interval",
    influence="kid",
    reference_influence="kid_reference",
)

ENERGY = _ToHeldOut(
    name="energy",
    unit="feature units",
    meaning="energy distance to as many held-out samples, unbiased",
    title="Energy distance",
    axis="Energy distance",
    note="Energy distance to as many held-out samples, without bias: twice the mean distance "
    "between the two sets less those within them. 95 % intervals.",
    brief="how far a sampler's samples, as a set, are from real data, by distances "
    "within and between",
    error="interval",
    influence="energy",
    reference_influence="energy_reference",
)

SWD = _ToHeldOut(
    name="swd",
    unit="squared feature units",
    meaning="mean squared Wasserstein distance of projections to as many held-out samples, plug-in",
    title="Sliced W₂²",
    axis="Sliced Wasserstein distance²",
    note="Mean squared Wasserstein distance of projections to as many held-out samples; "
    "the dashed floor is what two held-out sets get.",
    brief="how far a sampler's samples, as a set, are from real data, in random directions",
    error="se",
    floor=Floor(column="swd_floor", meaning="as many held-out samples", perfect=True),
    beside=(
        _number(
            "swd_floor",
            "the same distance between two sets of as many held-out samples; compare with swd",
        ),
    ),
)

MANIFOLDS = (
    _HighShare(
        name="precision",
        meaning="fraction of samples inside the manifold of as many held-out ones",
        listed=True,
    ),
    _HighShare(
        name="recall",
        meaning="fraction of held-out samples inside the manifold of the samples",
        listed=True,
    ),
    Quantity(
        name="density",
        meaning="mean number of held-out samples' neighbourhoods around a sample, over "
        "what real samples get",
        lower=False,
    ),
    _HighShare(
        name="coverage",
        meaning="fraction of held-out samples with a sample in their neighbourhood",
    ),
)

MODES = _HighShare(
    name="mode_coverage",
    meaning="fraction of the data's modes or classes that the samples visit",
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

COEFFICIENTS = _ToData(
    name="w2_coefficients",
    meaning="RMS Wasserstein distance of coefficients to their exact distributions",
    unit="standard deviations",
    beside=(_number("w2_coefficients_floor", "the same distance of as many exact samples"),),
)

LABELS = _HighShare(
    name="label_agreement",
    meaning="fraction of conditional samples that the extractor puts in the class they "
    "were asked for",
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
    *ROUNDING,
    ROUNDING_SHARE,
    LABELS,
)
"""Built-in quantities in the table's order, which decides the :func:`.default_quantity`."""
