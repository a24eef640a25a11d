"""Mistakes of a ``model(x, sigma)`` that is written by hand, around a network that is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from defects import DDPM, IMAGES, RIGHT, Exact
from torch import Tensor, nn

from samplerbench.models.checkpoints.checkpoint_denoiser import process_of

NETWORK = Exact(DDPM)
"""eps(x_t, n) at 1000 linear betas."""
KEPT = torch.from_numpy(process_of(DDPM).alpha(np.arange(1000.0)) ** 2)
LEVELS = ((1 - KEPT) / KEPT).sqrt()


def step(sigma: float | Tensor, x: Tensor) -> Tensor:
    """Number of the nearest step, ``(batch,)``."""
    level = torch.as_tensor(sigma, dtype=torch.float64).expand(len(x))
    return (LEVELS.log() - level.log()[:, None]).abs().argmin(1)


COSINE = torch.tensor(process_of(RIGHT["DDPM, cosine"]).levels)


def step_of_cosine(n: Tensor) -> Tensor:
    """Number of the nearest step of a cosine, by that of the linear betas."""
    return (COSINE.log() - LEVELS[n].log()[:, None]).abs().argmin(1)


class Module(nn.Module):
    """The network as PyTorch has them, whose calls can be seen."""

    def forward(self, x_t: Tensor, n: Tensor) -> Tensor:
        return NETWORK(x_t, n.double(), None)


eps = Module()


def col(v: float | Tensor, x: Tensor) -> Tensor:
    return torch.as_tensor(v, dtype=x.dtype).expand(len(x)).reshape(-1, 1, 1, 1)


def right(x, sigma):
    s, n = col(sigma, x), step(sigma, x)
    return x - s * eps(x / (1 + s**2).sqrt(), n)


def image(x, sigma):
    level = torch.as_tensor(sigma, dtype=torch.float64).expand(len(x))
    return IMAGES.posterior_mean(x.double(), level).to(x)


def function(x_t: Tensor, n: Tensor) -> Tensor:
    """The network hidden in a function."""
    return NETWORK(x_t, n.double(), None)


def with_step(change: Callable[[Tensor], Tensor], network: Callable[..., Tensor] = eps):
    def call(x, sigma):
        s = col(sigma, x)
        return x - s * network(x / (1 + s**2).sqrt(), change(step(sigma, x)))

    return call


class Fraction(Module):
    """The same, told the step in thousandths."""

    def forward(self, x_t: Tensor, n: Tensor) -> Tensor:
        return super().forward(x_t, 1000 * n)


def with_level(change: Callable):
    return lambda x, sigma: image(x, change(torch.as_tensor(sigma, dtype=torch.float64)))


def noise(x, sigma):
    s = col(sigma, x)
    return eps(x / (1 + s**2).sqrt(), step(sigma, x))


def unscaled(x, sigma):
    return x - col(sigma, x) * eps(x, step(sigma, x))


def without_root(x, sigma):
    s = col(sigma, x)
    return x - s * eps(x / (1 + s**2), step(sigma, x))


def variance_preserving_noise(x, sigma):
    s = col(sigma, x)
    return x - s / (1 + s**2).sqrt() * noise(x, sigma)


def not_divided(x, sigma):
    return right(x, sigma) / (1 + col(sigma, x) ** 2).sqrt()


def swapped(x, sigma, data=0.5):
    s = col(sigma, x)
    skip, out = data**2 / (s**2 + data**2), s * data / (s**2 + data**2).sqrt()
    f = (image(x, sigma) - skip * x) / out
    return out * x + skip * f


class Call(NamedTuple):
    """A model that is called, words of the right cause, and what the images are changed to."""

    call: Callable[..., Tensor]
    cause: tuple[str, ...] = ()
    change: Callable[[Tensor], Tensor] = lambda x: x


RIGHT_CALLS: dict[str, Call] = {
    "right: an adapter of eps": Call(right, ()),
    "right: E[x0 | x]": Call(image, ()),
    "right: a function": Call(with_step(lambda n: n, function), ()),
    "right: steps in [0, 1]": Call(with_step(lambda n: n / 1000, Fraction()), ()),
}
CALLS: dict[str, Call] = {
    "the opposite sign": Call(lambda x, s: -right(x, s), ("the opposite sign",)),
    "the noise added": Call(lambda x, s: 2 * x - right(x, s), ("sign of the noise",)),
    "the noise returned": Call(noise, ("the output as the noise",)),
    "the network itself, called with x and sigma": Call(
        lambda x, s: eps(x, col(s, x).reshape(-1)), ("training=linear-eps",)
    ),
    "the score returned": Call(lambda x, s: (image(x, s) - x) / col(s, x) ** 2, ("as the score",)),
    "v returned": Call(
        lambda x, s: (noise(x, s) - col(s, x) * right(x, s)) / (1 + col(s, x) ** 2).sqrt(),
        ("the output as v",),
    ),
    "the input not scaled": Call(unscaled, ("x / sqrt(1 + sigma²) given to the network",)),
    "a missing root": Call(without_root, ("a root is missing",)),
    "sqrt(1 - alphas_cumprod) for sigma": Call(
        variance_preserving_noise, ("its noise times sqrt(1 + sigma²)",)
    ),
    "not divided by alpha": Call(not_divided, ("the output times sqrt(1 + sigma²)",)),
    "the output twice": Call(lambda x, s: 2 * right(x, s), ("the output divided by",)),
    "the noise halved": Call(
        lambda x, s: x - 0.5 * (x - right(x, s)), ("noise in the output divided by",)
    ),
    "twice the level": Call(with_level(lambda s: 2 * s), ("half the level",)),
    "half the level": Call(with_level(lambda s: s / 2), ("twice the level",)),
    "the variance for the level": Call(
        with_level(lambda s: s * s), ("the square root of the level",)
    ),
    "the logarithm of the level": Call(with_level(torch.log), ("exp of the level",)),
    "steps in [0, 1]": Call(with_step(lambda n: n / 1000), ("with 1000 t given",)),
    "steps reversed": Call(with_step(lambda n: 999 - n), ("with 999 - t given",)),
    "steps shifted": Call(
        with_step(lambda n: (n + 150).clamp(max=999)), ("with about t - 150 given",)
    ),
    "steps shifted down, the first lost": Call(with_step(lambda n: (n - 90).clamp(min=0))),
    "steps reversed of a function": Call(
        with_step(lambda n: 999 - n, function), ("steps reversed, 999 - n of linear betas",)
    ),
    "steps shifted of a function": Call(with_step(lambda n: (n + 150).clamp(max=999), function)),
    "steps in [0, 1] of a function": Call(with_step(lambda n: n / 1000, function)),
    "steps for [0, 1]": Call(with_step(lambda n: n, Fraction()), ("with 0.001 t given",)),
    "[0, 1] reversed": Call(with_step(lambda n: 1 - n / 1000, Fraction()), ("with 1 - t given",)),
    "steps of another table": Call(with_step(step_of_cosine), ()),
    "a constant step": Call(with_step(lambda n: torch.full_like(n, 500)), ()),
    "preconditioning swapped": Call(swapped, ("c_skip and c_out swapped",)),
    "sample() in [0, 1]": Call(image, ("[0, 1], taken to [-1, 1]",), lambda x: (x + 1) / 2),
    "sample() in [0, 255]": Call(image, ("[0, 255], taken to [-1, 1]",), lambda x: (x + 1) * 127.5),
    "transposed output": Call(lambda x, s: image(x, s).mT, ("of the output swapped",)),
    "channels reversed": Call(
        lambda x, s: image(x.flip(1), s).flip(1), ("of the images reversed (BGR)",)
    ),
    "the image clamped": Call(lambda x, s: image(x, s).clamp(0, 0.5), ("they are clamped",)),
    "NaN": Call(lambda x, s: image(x, s) / (col(s, x) > 0.05), ("NaN",)),
}
