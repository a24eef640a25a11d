"""Checks of a model with its stated settings: outputs, use of time and labels, noise left."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....models.adapters import NativeDenoiser
from ....models.denoiser import Denoiser
from ....samplers import SampleNoise
from .alternative_readings import with_changes
from .fit import CHANCE, SEED, Check, measure_fit
from .maps import variance_of
from .reading_comparison import LARGE_DEFECT, SMALLEST_GAIN, Candidate

MOST_CLASSES, OTHER_LABELS = 16, 6
"""Most classes for trying all wrong labels; if more, number of labels besides both neighbours."""
LABEL_LEVELS = (0.5, 2.0)
"""Levels at which labels are checked, in standard deviations of the data.

At these levels the label strongly affects the posterior mean.
"""
FEWEST_IMAGES, LABELS_NAMED = 4, 4
"""Fewest images for a verdict on a label, and largest number of labels named in a message."""


@torch.no_grad()
def check_labels(model: Denoiser, clean: Tensor, labels: Tensor) -> Check:
    """Check that the error is smaller under the images' labels ``(n,)`` than under other labels.

    E[x0 | x, label] has the smallest error under the image's own label. A better label is searched for
    on one half of the images, and must be confirmed on the other half.
    """
    count = model.classes
    others = {1, count - 1, *np.linspace(2, count - 2, OTHER_LABELS).astype(int).tolist()}
    shifts = [0, *(sorted(others) if count > MOST_CLASSES else range(1, count))]
    levels = variance_of(clean) ** 0.5 * np.array(LABEL_LEVELS)
    levels = np.clip(levels, model.sigma_min, model.sigma_max)
    fits = [measure_fit(model, clean, (labels + k) % count, levels) for k in shifts]
    errors = np.stack([(fit.errors / levels[:, None] ** 2).mean(0) for fit in fits])
    classes = labels.cpu().numpy()
    swaps = []
    if best := _row_of_better_label(errors):
        swaps.append(f"k is its (k + {shifts[best]}) modulo {count}")
    for label in np.unique(classes):
        if best := _row_of_better_label(errors[:, classes == label]):
            swaps.append(f"{label} is its {(label + shifts[best]) % count}")
    if not swaps:
        rise = float(np.median(errors[1:].mean(1)) / errors[0].mean() - 1)
        detail = f"with other labels than the images' the error is {100 * rise:.0f} % larger"
        return Check("labels", True, detail)
    text = ", ".join(swaps[:LABELS_NAMED]) + (", …" if len(swaps) > LABELS_NAMED else "")
    detail = (
        "the labels of the images are not those of the network: with others the error is smaller "
        f"({text}); put the classes in the order of its training"
    )
    return Check("labels", False, detail)


def _row_of_better_label(errors: np.ndarray) -> int:
    """Return the row of ``errors`` ``(labels, n)`` that is reliably smaller than row 0, or 0."""
    if errors.shape[1] < FEWEST_IMAGES:
        return 0
    best = int(errors[:, ::2].mean(1).argmin())
    gain = (errors[0] - errors[best])[1::2]
    chance = CHANCE * gain.std(ddof=1) / len(gain) ** 0.5
    return best if gain.mean() > max(chance, SMALLEST_GAIN * errors[0].mean()) else 0


CLAMPED_SHARE = 0.02
"""Share of values equal to the minimum or maximum above which outputs count as clamped."""
CLAMPED_LEVELS = 2
"""Fewest levels with a share above CLAMPED_SHARE at which outputs count as clamped."""
NOISE_LEVEL, NOISE_STATES = 1e3, 64
"""Upper bound on the level of :func:`check_noise_left`, and its number of noise states."""
CONSTANT_SPREAD = 1e-3
"""Standard deviation below which outputs count as constant, as a share of the data's."""


@torch.no_grad()
def why_outputs_are_broken(candidate: Candidate) -> str:
    """Return a fault of the outputs: infinite or NaN, all the same, or clamped; "" for none."""
    levels = candidate.fit.levels.tolist()
    outputs = [_outputs_at_level(candidate, level) for level in levels]
    bad = [s for s, y in zip(levels, outputs, strict=True) if not y.isfinite().all()]
    if bad:
        return f"outputs are NaN or infinite at {len(bad)} of {len(levels)} levels"
    spread = max(variance_of(y) ** 0.5 for y in outputs)
    if spread < CONSTANT_SPREAD * variance_of(candidate.clean) ** 0.5:
        return "the outputs are the same for all samples"
    for end in {float(end) for y in outputs for end in (y.min(), y.max())}:
        shares = [float((y == end).double().mean()) for y in outputs]
        if sum(CLAMPED_SHARE < share < 1 for share in shares) >= CLAMPED_LEVELS:
            return f"up to {max(shares):.0%} of the outputs are exactly {end:.3g}: they are clamped"
    return ""


@torch.no_grad()
def noise_and_defect_in_words(candidate: Candidate) -> str:
    """Return a description of the noise left in outputs, and of the largest defect."""
    shares = []
    for level in candidate.fit.levels.tolist():
        x, z = candidate.noisy_samples(level)
        d = candidate.model.denoise(x, level, candidate.labels)
        shares.append(float(share_of_noise_left(d, z, level).mean()))
    return (
        f"{min(shares):.2g} to {max(shares):.2g} times the noise is left in d, and the defect is up to "
        f"{candidate.fit.largest_defect:.2g}"
    )


@torch.no_grad()
def check_time(candidate: Candidate) -> Check:
    """Check that the output of a network depends on the time; undecided if it does not."""
    model = candidate.model
    assert isinstance(model, NativeDenoiser)
    (output, x_t, high, own), (_, _, low, _) = (
        record_network_call(candidate, float(level)) for level in candidate.fit.levels[[0, -1]]
    )
    if not torch.equal(output, model.network(x_t, low, own)):
        return Check("time", True, "the output depends on the time")
    times = f"{float(high[0]):.3g} and {float(low[0]):.3g}"
    question = "does it take no time, or is the time left out?"
    return Check("time", None, f"the network gives the same at the times {times}: {question}")


def _outputs_at_level(candidate: Candidate, level: float) -> Tensor:
    """Return the outputs for noisy samples; for a ``NativeDenoiser``, its bare network's."""
    if isinstance(candidate.model, NativeDenoiser):
        return record_network_call(candidate, level)[0]
    return candidate.model.denoise(candidate.noisy_samples(level)[0], level, candidate.labels)


def record_network_call(
    candidate: Candidate, level: float
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return output, state, time and labels of the network's call as noisy samples are denoised."""
    model, calls = candidate.model, []
    assert isinstance(model, NativeDenoiser)

    def network(x_t: Tensor, t: Tensor, own: Tensor | None) -> Tensor:
        calls.append((model.network(x_t, t, own), x_t, t, own))
        return calls[-1][0]

    x, _ = candidate.noisy_samples(level)
    with_changes(model, network=network).denoise(x, level, candidate.labels)
    return calls[-1]


def share_of_noise_left(d: Tensor, z: Tensor, level: float) -> NDArray[np.float64]:
    """Return the share ``(n,)`` of the noise ``level * z`` that remains in the output ``d``."""
    output, z = d.flatten(1).double(), z.flatten(1).double()
    return ((output * z).sum(1) / (level * z.square().sum(1))).cpu().numpy()


@torch.no_grad()
def check_noise_left(candidate: Candidate) -> Check:
    """Check that the output for pure noise at a high level keeps a possible share of the noise.

    The Jacobian of E[x0 | x] is the posterior covariance divided by sigma². So E[x0 | x] keeps a
    share from 0 to 1 on average, and at most ((high - low) / (2 sigma))² for data in [low, high].
    """
    model, device = candidate.model, candidate.clean.device
    level, ids = min(model.sigma_max, NOISE_LEVEL), torch.arange(NOISE_STATES, device=device)
    z = SampleNoise(SEED, ids, model.event, model.dtype).initial()
    shares = share_of_noise_left(model.bind(ids, SEED)(level * z, level), z, level)
    share, se = float(shares.mean()), float(shares.std(ddof=1)) / NOISE_STATES**0.5
    low, high = model.limits or (-math.inf, math.inf)
    most = min(1.0, ((high - low) / 2 / level) ** 2)
    text = f"at sigma {level:.3g} the output has {share:.2g} times the noise of the state"
    passed = -LARGE_DEFECT - CHANCE * se <= share <= most + LARGE_DEFECT + CHANCE * se
    if not passed:
        text += (
            f", and E[x0 | x] has 0 to {most:.2g}, whatever the data; the map's sign, scale, "
            "prediction or time is wrong"
        )
    return Check("noise", passed, text)
