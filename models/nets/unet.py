"""Small class-conditional U-Net of the models that ship, preconditionings around it, and one with random weights.

It is fast on a CPU: space-to-depth first, attention at the coarsest level only. The models ``random-unet-32``
and ``random-unet-64`` are for timing only: the cost of a network depends on its shape, not on its weights.
They have the shipped architecture on colour images, five times as wide and at full resolution, to keep a GPU
as busy as a useful network does; no reference, and quality columns without a meaning.
"""

from __future__ import annotations

import copy
import math
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..denoiser import Denoiser, level_per_row

SEED = 20220601
SIGMA_DATA = 0.5
"""Seed of random weights, and standard deviation of data that there are none of."""


class FourierFeatures(nn.Module):
    """Fixed sines and cosines of the noise conditioning c_noise = ln(sigma) / 4: ``(batch,)`` to
    ``(batch, 32)``.

    The highest frequency is kept low: a denoiser that wiggles in sigma has no clean convergence
    order.
    """

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        steps = torch.linspace(math.log(0.125), math.log(4.0), 16, dtype=torch.float64).exp()
        self.register_buffer("frequencies", (2 * math.pi * steps).float(), persistent=False)

    def forward(self, c_noise: Tensor) -> Tensor:
        """Embed ``c_noise``."""
        angle = c_noise[:, None] * self.frequencies
        return torch.cat([angle.cos(), angle.sin()], dim=1)


class ResBlock(nn.Module):
    """Residual block that starts as the identity; the embedding scales and shifts the second normalisation."""

    def __init__(
        self, c_in: int, c_out: int, c_emb: int, *, attention: bool = False, group: int = 16
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(max(1, c_in // group), c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.affine = nn.Linear(c_emb, 2 * c_out)
        self.norm2 = nn.GroupNorm(max(1, c_out // group), c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        self.attention = Attention(c_out, group=group) if attention else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, c_in, h, w)`` to ``(batch, c_out, h, w)``."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.affine(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(torch.addcmul(shift, self.norm2(h), scale + 1)))
        return self.attention(self.skip(x) + h)


class Attention(nn.Module):
    """Self-attention over all pixels, with a residual connection that starts at zero."""

    def __init__(self, channels: int, *, head: int = 32, group: int = 16) -> None:
        super().__init__()
        self.heads = max(1, round(channels / head)) if channels % head == 0 else 1
        self.norm = nn.GroupNorm(max(1, channels // group), channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, h, w)`` to the same shape."""
        n, c, h, w = x.shape
        q, k, v = (
            self.qkv(self.norm(x))
            .reshape(n, 3, self.heads, c // self.heads, h * w)
            .transpose(3, 4)
            .unbind(1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(mixed.transpose(2, 3).reshape(n, c, h, w))


class UNet(nn.Module):
    """U-Net of two levels on images whose side is divisible by ``2 * patch``.

    Args:
        in_channels: image channels C.
        channels: width of the fine and of the coarse level.
        embedding: width of the noise and label embedding.
        patch: space-to-depth factor applied first (1: none). It makes the network fast.
        labels: number of classes; label ``labels`` means "no label" (used for label dropout and
            guidance).
        group: channels per normalisation group.
    """

    def __init__(
        self,
        in_channels: int = 1,
        channels: tuple[int, int] = (48, 96),
        embedding: int = 192,
        patch: int = 2,
        labels: int = 10,
        group: int = 16,
    ) -> None:
        super().__init__()
        fine, coarse = channels
        folded = in_channels * patch**2
        self.patch = patch
        self.embed_noise = FourierFeatures()
        self.embed_in = nn.Linear(32, embedding)
        self.embed_label = nn.Embedding(labels + 1, embedding)
        self.embed_out = nn.Linear(embedding, embedding)
        self.conv_in = nn.Conv2d(folded, fine, 3, padding=1)
        self.down1 = ResBlock(fine, fine, embedding, group=group)
        self.shrink = nn.Conv2d(fine, coarse, 2, stride=2)
        self.down2 = ResBlock(coarse, coarse, embedding, attention=True, group=group)
        self.middle = ResBlock(coarse, coarse, embedding, attention=True, group=group)
        self.up2 = ResBlock(2 * coarse, coarse, embedding, group=group)
        self.grow = nn.ConvTranspose2d(coarse, fine, 2, stride=2)
        self.up1 = ResBlock(2 * fine, fine, embedding, group=group)
        self.norm_out = nn.GroupNorm(max(1, fine // group), fine)
        self.conv_out = nn.Conv2d(fine, folded, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        """Return the raw network output F(x, c_noise, label) for ``x`` ``(batch, C, side, side)`` of unit variance.

        ``c_noise`` is ln(sigma) / 4, and labels are int64 in [0, labels], the last the null label; both ``(batch,)``.
        """
        emb = F.silu(self.embed_in(self.embed_noise(c_noise))) + self.embed_label(labels)
        emb = F.silu(self.embed_out(emb))
        x = F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x
        fine = self.down1(self.conv_in(x), emb)
        coarse = self.down2(self.shrink(fine), emb)
        h = self.middle(coarse, emb)
        h = self.up2(torch.cat([h, coarse], dim=1), emb)
        h = self.up1(torch.cat([self.grow(h), fine], dim=1), emb)
        h = self.conv_out(F.silu(self.norm_out(h)))
        return F.pixel_shuffle(h, self.patch) if self.patch > 1 else h


class EDMPrecond(nn.Module):
    """Preconditioned network D(x, sigma) = c_skip x + c_out F(c_in x, ln(sigma) / 4, label): Karras et al.
    2022 (arXiv:2206.00364), eq. (7), Table 1.

    Args:
        net: the raw network F(x, c_noise, labels).
        sigma_data: standard deviation of the data, in the data's own units.
    """

    def __init__(self, net: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.net = net
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """Return the estimate of E[x0 | x] for ``x`` ``(batch, C, h, w)`` = x0 + sigma z, in its shape and dtype.

        ``sigma``, > 0, and labels, int64, are ``(batch,)``. F runs in the dtype of its weights (and under autocast),
        the rest in ``x``'s, so that the error of F is scaled down with c_out at small sigma.
        """
        s = sigma[:, None, None, None]
        total = (s**2 + self.sigma_data**2).sqrt()
        dtype = next(self.net.parameters()).dtype
        out = self.net((x / total).to(dtype), (sigma.log() / 4).to(dtype), labels)
        return (self.sigma_data / total) ** 2 * x + (s * self.sigma_data / total) * out.to(x.dtype)


def edm_loss(
    model: EDMPrecond,
    x0: Tensor,
    labels: Tensor,
    *,
    p_mean: float,
    p_std: float,
    generator: torch.Generator,
) -> Tensor:
    """Return EDM's training loss, eq. (8), a scalar: weighted squared denoising error at ln(sigma) ~
    N(p_mean, p_std²).

    The levels are stratified over the batch, which keeps the density and cuts the variance of the
    gradient.
    """
    n = len(x0)
    u = (torch.rand(n, generator=generator) + torch.arange(n)) / n
    sigma = (p_mean + p_std * 2**0.5 * torch.erfinv((2 * u - 1).clamp(-1 + 1e-6, 1 - 1e-6))).exp()
    noise = torch.randn(x0.shape, generator=generator)
    weight = (sigma**2 + model.sigma_data**2) / (sigma * model.sigma_data) ** 2
    error = model(x0 + sigma[:, None, None, None] * noise, sigma, labels) - x0
    return (weight * error.square().mean(dim=(1, 2, 3))).mean()


class MapPrecond(nn.Module):
    """Preconditioned map f(x, sigma) = c_skip x + c_out F(c_in x, ln(sigma) / 4, label), f(x, sigma_min) = x
    for any F: Song et al. 2023 (arXiv:2303.01469), appendix C.

    c_skip = s² / ((sigma - sigma_min)² + s²), c_out = s (sigma - sigma_min) / sqrt(sigma² + s²),
    c_in = 1 / sqrt(sigma² + s²), with s = sigma_data. Away from sigma_min they agree with
    :class:`EDMPrecond`, so a map can begin with the weights of a denoiser.

    Args:
        net, sigma_data: as of :class:`EDMPrecond`.
        sigma_min: the level at which the map is the identity, > 0.
    """

    def __init__(self, net: nn.Module, sigma_data: float, sigma_min: float) -> None:
        super().__init__()
        self.net = net
        self.sigma_data, self.sigma_min = sigma_data, sigma_min

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """Return the end of the path through ``x``, for ``sigma >= sigma_min``; see :meth:`EDMPrecond.forward`."""
        s = sigma[:, None, None, None]
        total, above = (s**2 + self.sigma_data**2).sqrt(), s - self.sigma_min
        dtype = next(self.net.parameters()).dtype
        out = self.net((x / total).to(dtype), (sigma.log() / 4).to(dtype), labels).to(x.dtype)
        skip = self.sigma_data**2 / (above**2 + self.sigma_data**2)
        return torch.addcmul(skip * x, self.sigma_data * above / total, out)


class RandomUNet(Denoiser):
    """U-Net with EDM's preconditioning, no classes, and weights that are a function of a fixed seed.

    Every weight is drawn, also those that training starts at zero: a GPU takes less power for
    zeros. With variances of 1 / fan-in, activations keep their size, and so does the denoiser. At
    width 256 an evaluation at 32 × 32 takes 7 billion multiplications, as many as with the usual
    networks for CIFAR-10.

    Args:
        side: height and width of the images, divisible by 2.
        width: channels at full resolution, divisible by 16; twice as many at half of it.

    Raises:
        ValueError: a side or a width that does not divide.
    """

    dtype = torch.float32

    def __init__(self, side: int, width: int) -> None:
        if side < 2 or side % 2:
            raise ValueError(f"random-unet needs an even side, got {side}")
        if width < 16 or width % 16:
            raise ValueError(f"random-unet-{side} needs a width that 16 divides, got {width}")
        self.name, self.event = f"random-unet-{side}", (3, side, side)
        self.identity = f"random-unet-{side}-v1-width{width}"
        self.width = width

    @cached_property
    def _net(self) -> nn.Module:
        """Network, made at its first use: a listing needs none."""
        net = UNet(
            in_channels=3,
            channels=(self.width, 2 * self.width),
            embedding=4 * self.width,
            patch=1,
            labels=0,
        )
        randomise(net, torch.Generator().manual_seed(SEED))
        return (
            EDMPrecond(net, SIGMA_DATA)
            .to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            .eval()
            .requires_grad_(False)
        )

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG002
        """See :meth:`Denoiser.denoise`; labels are ignored."""
        level = level_per_row(sigma, x, x.dtype)
        none = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return self._net(x.contiguous(memory_format=torch.channels_last), level, none).contiguous()

    def to(self, device: torch.device | str) -> RandomUNet:
        """Return a copy of this model with its weights on ``device``."""
        twin = copy.copy(self)
        twin._net = copy.deepcopy(self._net).to(device)
        return twin


@torch.no_grad()
def randomise(net: nn.Module, generator: torch.Generator) -> None:
    """Draw weights of two or more dimensions from N(0, 1 / f), f numbers an output; biases 0, scales 1."""
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            parameter.copy_(
                torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5
            )
        elif name.endswith("bias"):
            parameter.zero_()


def random_unet_32(width: int = 256) -> RandomUNet:
    """``random-unet-32``: 3 × 32 × 32."""
    return RandomUNet(32, width)


def random_unet_64(width: int = 256) -> RandomUNet:
    """``random-unet-64``: 3 × 64 × 64."""
    return RandomUNet(64, width)
