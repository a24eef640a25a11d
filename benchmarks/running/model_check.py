"""Sanity check of a model before a run, since wrong models give plausible rankings of samplers.

A few evaluations check that outputs are finite, reproducible and independent of the batch. With
data, they check the mean squared error of E[x0 | x]. The error must rise with sigma, and be
smallest for the true level. It must not exceed the error of a constant, or of a multiple of the
noisy sample. These two bounds are not applied where the predicted noise is nearly right.
"""

from __future__ import annotations

import contextlib
import math
from itertools import pairwise

import torch
from torch import Tensor

from ...models.checkpoints.check_cache import has_passed_check
from ...models.denoiser import Bound, Denoiser, wrapped_models
from ...models.guidance import AlteringWrapper
from ...models.reference import Identity, Reference
from ...results.run_directory.reading import log
from ...samplers import SampleNoise
from ..identity.model import coarsest_dtype
from ..identity.reduced_numbers import tolerance_of
from ..sampling.failure import error_in_words
from ..scoring.real_files import evenly_spread_indices

ROWS, SEED, DATA_SEED = 4, 0, 4_000_000
FEW, MANY, LARGE = 16, 256, 256  # FEW samples if one has more than LARGE numbers, else MANY
WRONG = 2.0  # a wrong level is the true one times, or divided by, this factor
SPREADS = (4.0, 1.5, 0.6, 0.2, 0.05)  # checked levels, in standard deviations of the data

SLACK, OFF = 1.2, 0.01
"""Tolerated ratio of two errors, and tolerated difference as a share of the data's variance."""

POOR, ROUGH = 2.0, 0.05
"""Tolerated multiple of the best linear denoiser's error, plus a share of the data's variance."""

NOISE = 0.01
"""Error that is always tolerated, as a share of the noise's variance.

The error of predicted noise is multiplied by sigma, and can then exceed a constant's error.
"""

_PROCESS = (
    "its levels, its prediction or the times that its network gets (such as t "
    "in [0, 1] for one trained on 0 … 999) are not right"
)


@torch.no_grad()
def check_model(
    model: Denoiser,
    reference: Reference | None = None,
    *,
    data: Tensor | None = None,
    denoising: bool = True,
    device: str = "cpu",
) -> None:
    """Check the outputs of a model and, with data, its denoising error.

    Args:
        model: model on ``device``, not compiled.
        reference: its held-out samples can serve as data if its features are the samples.
        data: ``(n, *event)`` clean samples, of which evenly spread ones are used; None takes the
            model's data, or else the reference's.
        denoising: True to check the denoising error, which built-in models do not need. A warning
            says why it could not be checked, unless ``check-model`` passed before.
        device: "cpu" or "cuda".

    Raises:
        ValueError: the model has a defect, which the message names.
    """
    rtol, atol = tolerance_of(coarsest_dtype(model), device)
    ids = torch.arange(ROWS, device=device)
    z = SampleNoise(SEED, ids, model.event, model.dtype).initial()
    for sigma in (model.sigma_max, math.sqrt(model.sigma_max * model.sigma_min), model.sigma_min):
        x = z * math.sqrt(1 + sigma * sigma)
        d = _call_checked(model, x.clone(), sigma, ids)
        _check_output(model, d, x, sigma)
        allowed = 10 * max(rtol, atol) * float(d.abs().max())
        again = _call_checked(model, x.clone(), sigma, ids)
        if not (off := _largest_difference(again, d)) <= allowed:
            raise ValueError(
                f"model {model.name} gives the same input other outputs (by up to "
                f"{off:.2g} at sigma {sigma:.3g}); "
                "put its network in eval mode, which turns dropout off, and seed what it draws"
            )
        half = ROWS // 2
        alone = _call_checked(model, x[:half].clone(), sigma, ids[:half])
        if not (off := _largest_difference(alone, d[:half])) <= allowed:
            raise ValueError(
                f"model {model.name} gives a sample another output in another batch (by "
                f"up to {off:.2g} at sigma {sigma:.3g}); a row must "
                "depend on itself alone: put batch normalisation in eval mode, and take "
                "no mean or maximum over the batch"
            )
    if model.decoder is not None:
        _check_decoder(model, z)
    if denoising:
        why = _compare_with_data(model, reference, data, device)
        if why and not has_passed_check(model):
            log.warning(
                "nothing compared the output of model %s with data: %s; a wrong sign, scale or time would "
                "not show. Check it with samplerbench check-model MODEL --images DATA.",
                model.name,
                why,
            )


def _compare_with_data(
    model: Denoiser, reference: Reference | None, data: Tensor | None, device: str
) -> str:
    """Check the denoising error; return "", or the reason why it could not be checked."""
    if model.kind == "map":
        return "it is a few-step map"
    if has_altering_wrapper(model):
        return "it is no posterior mean under guidance, clipping and the like"
    if data is None:
        samples = data_samples(model, reference, device)
    else:
        spread = evenly_spread_indices(len(data), _default_count(model))
        samples = data[torch.from_numpy(spread)].to(device)
    if samples is None or len(samples) < 2:
        return "it has no sample(n, seed), and no --reference has samples of its shape"
    labels, are_known = labels_if_known(model, samples)
    if not are_known:
        return "nothing says which label or condition belongs to a sample"
    _check_denoising(model, samples.to(model.dtype), labels)
    return ""


def _call_checked(model: Denoiser, x: Tensor, sigma: float, ids: Tensor) -> Tensor:
    before = x.clone()
    try:
        d = model.bind(ids, SEED)(x, sigma)
    except Exception as error:
        raise ValueError(
            f"model {model.name} fails on {len(x)} samples at sigma {sigma:.3g} "
            f"({error_in_words(error, 200)}){_remedy_for_failed_call(model, error, x, sigma, ids)}"
        ) from error
    if not torch.equal(before, x):
        raise ValueError(
            f"model {model.name} writes into its input at sigma {sigma:.3g}; let it work on a copy"
        )
    return d


def _remedy_for_failed_call(
    model: Denoiser, error: Exception, x: Tensor, sigma: float, ids: Tensor
) -> str:
    """Return a clause with the remedy for a failed call; "" if none is known."""
    if "require grad" in str(error) or "requires grad" in str(error):
        return "; models are called without gradients: put `with torch.enable_grad():` around what needs them"
    if len(x) > 1:
        with contextlib.suppress(Exception):
            model.bind(ids[:1], SEED)(x[:1], sigma)
            return (
                "; it works on one sample alone: let it take batches, such as "
                "torch.cat([network(row) for row in x.split(1)])"
            )
    return ""


def _check_output(model: Denoiser, d: Tensor, x: Tensor, sigma: float) -> None:
    if d.shape != x.shape:
        raise ValueError(
            f"model {model.name} returned {tuple(d.shape)} for a batch {tuple(x.shape)}; "
            "it must return a tensor of that shape"
        )
    if bad := int((~d.isfinite()).flatten(1).any(1).sum()):
        raise ValueError(
            f"model {model.name} gives NaN or infinity for {bad} of {len(d)} samples at "
            f"sigma {sigma:.3g}; "
            "mend it there, or give it a narrower range of levels (sigma_min, sigma_max)"
        )


def _check_decoder(model: Denoiser, latents: Tensor) -> None:
    """Raise a ValueError if a decoder fails on noise, is not finite, or depends on the batch."""
    rtol, atol = tolerance_of(torch.float32, latents.device.type)
    try:
        images, first = model.decode(latents), model.decode(latents[:1])
    except Exception as error:
        raise ValueError(
            f"the decoder of model {model.name} fails on {len(latents)} latents of noise "
            f"({error_in_words(error, 200)})"
        ) from error
    if not images.isfinite().all():
        raise ValueError(
            f"the decoder of model {model.name} gives NaN or infinity for latents of noise; run it "
            "in float32, and compare the scale of its latents"
        )
    allowed = 10 * max(rtol, atol) * float(images.abs().max())
    if not (off := _largest_difference(images[:1], first)) <= allowed:
        raise ValueError(
            f"the decoder of model {model.name} gives a latent another image in another batch (by "
            f"up to {off:.2g}); put it in eval mode"
        )


def _largest_difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())  # NaN if one value is, which no limit allows


def has_altering_wrapper(model: Denoiser) -> bool:
    """Return True if guidance, clipping or the like makes outputs differ from E[x0 | x]."""
    return any(isinstance(layer, AlteringWrapper) for layer in wrapped_models(model))


def data_samples(
    model: Denoiser, reference: Reference | None, device: str, count: int | None = None
) -> Tensor | None:
    """Return clean samples ``(n, *event)`` of the model, else of the reference, or None.

    n is at most ``count``, by default MANY, or FEW for samples with over LARGE numbers.
    """
    if count is None:
        count = _default_count(model)
    x = model.data(count, DATA_SEED)
    # with a decoder, held-out samples would be no latents
    held_out = reference if model.decoder is None else None
    if x is None and held_out is not None and isinstance(held_out.extractor, Identity):
        x = torch.from_numpy(held_out.held_out(count)).reshape(-1, *model.event)
    return None if x is None else x.to(device)


def _default_count(model: Denoiser) -> int:
    return FEW if math.prod(model.event) > LARGE else MANY


def labels_if_known(model: Denoiser, x0: Tensor) -> tuple[Tensor | None, bool]:
    """Return (labels, True); (None, True) for a model without labels; (None, False) if unknown.

    Classes are known if the model can classify samples. Other conditions are never known.
    """
    ids = torch.arange(len(x0), device=x0.device)
    if model.draw_labels(ids, SEED) is None:
        return None, True
    modes = model.mode_of(x0) if model.classes else None
    return (None, False) if modes is None else (model.classes_of(modes), True)


def _check_denoising(model: Denoiser, x0: Tensor, labels: Tensor | None) -> None:
    """Raise a ValueError if the errors break a bound that every posterior mean obeys."""
    ids = torch.arange(len(x0), device=x0.device)
    bound = model.bind(ids, SEED, labels)
    z = SampleNoise(DATA_SEED, ids, model.event, x0.dtype).initial()
    variance = _mean_square(x0 - x0.mean(0))
    ends, std = {model.sigma_max, model.sigma_min}, math.sqrt(variance)
    inner = [std * each for each in SPREADS if model.sigma_min < std * each < model.sigma_max]
    levels = sorted(ends.union(inner), reverse=True)

    def error(sigma: float, stated: float) -> float:
        """Return the mean squared error of the model called with the level ``stated``."""
        level = min(max(stated, model.sigma_min), model.sigma_max)
        return _mean_square(bound(x0 + sigma * z, level) - x0)

    errors = {sigma: error(sigma, sigma) for sigma in levels}
    _check_range(model, bound, x0, z, levels[1:-1])
    for sigma, right in errors.items():
        predicted = NOISE * sigma**2
        poor = (
            f"model {model.name} does not denoise: at sigma {sigma:.3g} its mean squared error "
            f"on the data is {right:.3g}, and a"
        )
        remedy = f"{_PROCESS}, or the data are not what it was trained on"
        if right > max((SLACK + OFF) * variance, predicted):
            raise ValueError(f"{poor} constant has {variance:.3g}, their variance; {remedy}")
        # error of E[x0] + a (x - E[x0]) with a = variance / (variance + sigma^2)
        multiple = variance * sigma**2 / (variance + sigma**2)
        if right > max(POOR * multiple + ROUGH * variance, predicted):
            raise ValueError(f"{poor} multiple of the noisy sample has {multiple:.3g}; {remedy}")
        if sigma in ends:  # no inputs beyond the ends
            continue
        wrong, other = min((error(sigma, at), at) for at in (sigma / WRONG, sigma * WRONG))
        if right > (1 + (SLACK - 1) / 2) * wrong + OFF * variance:
            raise ValueError(
                f"model {model.name} denoises better at a wrong level (mean "
                f"squared error {wrong:.3g} for {other:.3g}, "
                f"{right:.3g} for the right one, {sigma:.3g}); {_PROCESS}"
            )
    for high, low in pairwise(levels):
        if errors[low] > SLACK * errors[high] + OFF * variance:
            raise ValueError(
                f"model {model.name} denoises worse where there is less noise (mean "
                f"squared error {errors[low]:.3g} at sigma {low:.3g}, "
                f"{errors[high]:.3g} at {high:.3g}); {_PROCESS}"
            )


def _check_range(model: Denoiser, bound: Bound, x0: Tensor, z: Tensor, levels: list[float]) -> None:
    """Raise a ValueError if data are in [0, 1] and the model expects [-1, 1], or the reverse.

    The wrong range has a larger error; levels are scaled with the data to compare errors.
    """
    low, high, variance = float(x0.min()), float(x0.max()), _mean_square(x0 - x0.mean(0))
    if low < -1.02 or high > 1.02:
        return
    own, other, scale, shift = ("[0, 1]", "[-1, 1]", 2.0, -1.0)
    if low < -0.02:
        own, other, scale, shift = ("[-1, 1]", "[0, 1]", 0.5, 0.5)
    gains = []
    for sigma in levels:
        x = x0 + sigma * z
        level = min(max(scale * sigma, model.sigma_min), model.sigma_max)
        read = ((bound(scale * x + shift, level) - shift) / scale, bound(x, sigma))
        most = POOR * variance * sigma**2 / (variance + sigma**2) + ROUGH * variance
        better, stated = (_mean_square(d - x0) for d in read)
        if not better < min(most, stated / SLACK):
            return
        gains.append((better, stated))
    if gains:
        better, stated = gains[0]
        raise ValueError(
            f"model {model.name} denoises better where its data, which are in {own}, are taken to {other} "
            f"(mean squared error {better:.3g} at sigma {levels[0]:.3g}, {stated:.3g} as they are); give "
            "sample(n, seed), or the reference, in the range that it was trained on"
        )


def _mean_square(x: Tensor) -> float:
    return float(x.double().square().mean())
