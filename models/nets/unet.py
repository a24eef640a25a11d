"""Class-conditional U-Net of the shipped models, its preconditionings, and U-Nets for timing.

The U-Net is small, to be fast on a CPU: it starts with space-to-depth, and only the coarsest level has attention.

The models ``random-unet-32`` and ``random-unet-64`` are for timing only: the cost of a network depends on its shape,
not on its weights. Both have this architecture on colour images, at full resolution and five times as wide. So they
keep a GPU as busy as a useful network does. They have no reference, and their quality columns mean nothing.
"""

from __future__ import annotations

import copy
import math
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..denoiser import Denoiser, level_per_row
from ..networks import prepare_for_inference

SEED = 20220601
"""Seed of the random weights."""
SIGMA_DATA = 0.5
"""Standard deviation of the data that the random weights assume."""


class FourierFeatures(nn.Module):
    """Cosines, then sines, of a scalar, such as ln(sigma) / 4, at 16 fixed frequencies.

    The highest frequency is low on purpose: with a denoiser that oscillates in sigma, convergence
    orders are not visible.
    """

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        steps = torch.linspace(math.log(0.125), math.log(4.0), 16, dtype=torch.float64).exp()
        self.register_buffer("frequencies", (2 * math.pi * steps).float(), persistent=False)

    def forward(self, c_noise: Tensor) -> Tensor:
        """Map ``(batch,)`` to ``(batch, 32)``."""
        angle = c_noise[:, None] * self.frequencies
        return torch.cat([angle.cos(), angle.sin()], dim=1)


class ResBlock(nn.Module):
    """Residual block whose branch is initially zero, and scaled and shifted by the embedding."""

    def __init__(
        self, c_in: int, c_out: int, c_emb: int, *, group: int, attention: bool = False
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
        """Map ``(batch, c_in, h, w)`` and ``(batch, c_emb)`` to ``(batch, c_out, h, w)``."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.affine(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(torch.addcmul(shift, self.norm2(h), scale + 1)))
        return self.attention(self.skip(x) + h)


class Attention(nn.Module):
    """Self-attention over all pixels, with a residual connection that starts at zero."""

    def __init__(self, channels: int, *, group: int) -> None:
        super().__init__()
        self.heads = channels // 32 if channels % 32 == 0 else 1
        self.norm = nn.GroupNorm(max(1, channels // group), channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, h, w)`` to the same shape."""
        n, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w)
        q, k, v = qkv.transpose(3, 4).unbind(1)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(mixed.transpose(2, 3).reshape(n, c, h, w))


class UNet(nn.Module):
    """U-Net of two levels for images with sides divisible by ``2 * patch``.

    Args:
        in_channels: number of image channels C.
        channels: channels of the fine and of the coarse level.
        embedding: width of the noise and label embedding.
        patch: factor of the space-to-depth at the start, which makes the network fast; 1 for none.
        labels: number of classes. The label ``labels`` means "no label", for label dropout and guidance.
        group: channels in each normalisation group.
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
        """Return the raw output F for ``x`` of unit variance, both ``(batch, C, side, side)``.

        ``c_noise``, which is ln(sigma) / 4, and ``labels`` are ``(batch,)``. Labels are int64 in [0, labels], where the
        last value means "no label".
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
    """Denoiser c_skip x + c_out F(c_in x, ln(sigma) / 4, label) (Karras 2022, arXiv:2206.00364).

    Args:
        net: raw network F(x, c_noise, labels).
        sigma_data: standard deviation of the data, in the data's own units.
    """

    def __init__(self, net: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.net = net
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """Return the estimate of E[x0 | x = x0 + sigma z], like ``x`` ``(batch, C, h, w)``.

        ``sigma`` > 0 and int64 ``labels`` are ``(batch,)``. F runs in the dtype of its weights (and under autocast),
        all else in the dtype of ``x``. So c_out scales the error of F down at small sigma.
        """
        s = sigma[:, None, None, None]
        total = (s**2 + self.sigma_data**2).sqrt()
        dtype = next(self.net.parameters()).dtype
        out = self.net((x / total).to(dtype), (sigma.log() / 4).to(dtype), labels)
        return (self.sigma_data / total) ** 2 * x + (s * self.sigma_data / total) * out.to(x.dtype)


class FlowPrecond(nn.Module):
    """Velocity v(x_t, t, label) of a rectified flow: a linear velocity plus a raw network F.

    Here x_t = (1 - t) x0 + t z. With s = sigma_data and S² = t² + (1 - t)² s², the variance of x_t,

        v = (t - (1 - t) s²) / S² x_t + s / S F(x_t / S, t, label).

    The first term is the best linear estimate of z - x0, and s / S is the standard deviation of its error. So v is the
    velocity of :class:`EDMPrecond` with -F in place of F, except that F sees t, which is finite at both ends.

    Args:
        net, sigma_data: as for :class:`EDMPrecond`.
    """

    def __init__(self, net: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.net = net
        self.sigma_data = sigma_data

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Return the estimate of E[z - x0 | x_t], like ``x_t`` ``(batch, C, h, w)``.

        ``t`` in [0, 1] and int64 ``labels`` are ``(batch,)``.
        """
        time = t[:, None, None, None]
        total = (time**2 + ((1 - time) * self.sigma_data) ** 2).sqrt()
        linear = (time - (1 - time) * self.sigma_data**2) / total**2
        dtype = next(self.net.parameters()).dtype
        out = self.net((x_t / total).to(dtype), t.to(dtype), labels).to(x_t.dtype)
        return torch.addcmul(linear * x_t, self.sigma_data / total, out)


def edm_loss(
    model: EDMPrecond,
    x0: Tensor,
    labels: Tensor,
    *,
    p_mean: float,
    p_std: float,
    generator: torch.Generator,
) -> Tensor:
    """Return EDM's training loss, eq. (8): the weighted squared denoising error at random levels.

    The levels follow ln(sigma) ~ N(p_mean, p_std²). They are stratified over the batch, which keeps this distribution
    and lowers the variance of the gradient. ``x0`` is ``(batch, C, h, w)``, ``labels`` ``(batch,)``.
    """
    sigma, noise = _draw_levels_and_noise(x0, p_mean, p_std, generator)
    weight = (sigma**2 + model.sigma_data**2) / (sigma * model.sigma_data) ** 2
    error = model(x0 + sigma[:, None, None, None] * noise, sigma, labels) - x0
    return (weight * error.square().mean(dim=(1, 2, 3))).mean()


def flow_loss(
    model: FlowPrecond,
    x0: Tensor,
    labels: Tensor,
    *,
    p_mean: float,
    p_std: float,
    generator: torch.Generator,
) -> Tensor:
    """Return a rectified flow's loss, the mean square of v - (z - x0) (arXiv:2209.03003, eq. 1).

    The times are logit-normal (Esser et al. 2024, arXiv:2403.03206, section 3.1): ln(t / (1 - t)) ~ N(p_mean, p_std²),
    stratified as in :func:`edm_loss`. ``x0`` is ``(batch, C, h, w)``, ``labels`` ``(batch,)``.
    """
    sigma, noise = _draw_levels_and_noise(x0, p_mean, p_std, generator)
    t = sigma / (1 + sigma)
    x_t = torch.lerp(x0, noise, t[:, None, None, None])
    return (model(x_t, t, labels) - (noise - x0)).square().mean()


def _draw_levels_and_noise(
    x0: Tensor, mean: float, std: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return stratified levels ``(batch,)`` of ln(sigma) ~ N(mean, std²), and noise like ``x0``."""
    n = len(x0)
    u = (torch.rand(n, generator=generator) + torch.arange(n)) / n
    sigma = (mean + std * 2**0.5 * torch.erfinv((2 * u - 1).clamp(-1 + 1e-6, 1 - 1e-6))).exp()
    return sigma, torch.randn(x0.shape, generator=generator)


class MapPrecond(nn.Module):
    """Few-step map c_skip x + c_out F(c_in x, ln(sigma) / 4, label), which is x at ``sigma_min``.

    Source: Song et al. 2023 (arXiv:2303.01469), appendix C. With s = sigma_data and S = sqrt(sigma² + s²), c_in = 1 / S,
    c_skip = s² / ((sigma - sigma_min)² + s²) and c_out = s (sigma - sigma_min) / S. Far above sigma_min these factors agree
    with :class:`EDMPrecond`, so a map can start from the weights of a denoiser.

    Args:
        net, sigma_data: as for :class:`EDMPrecond`.
        sigma_min: noise level at which the map is the identity, > 0.
    """

    def __init__(self, net: nn.Module, sigma_data: float, sigma_min: float) -> None:
        super().__init__()
        self.net = net
        self.sigma_data, self.sigma_min = sigma_data, sigma_min

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """Return the estimated state at ``sigma_min``; arguments: :meth:`EDMPrecond.forward`."""
        s = sigma[:, None, None, None]
        total, above = (s**2 + self.sigma_data**2).sqrt(), s - self.sigma_min
        dtype = next(self.net.parameters()).dtype
        out = self.net((x / total).to(dtype), (sigma.log() / 4).to(dtype), labels).to(x.dtype)
        skip = self.sigma_data**2 / (above**2 + self.sigma_data**2)
        return torch.addcmul(skip * x, self.sigma_data * above / total, out)


class RandomUNet(Denoiser):
    """Denoiser of a U-Net of random weights from a fixed seed, with EDM's preconditioning.

    Weights that training would start at zero are random too, since a GPU takes less power for zeros. With variance 1 /
    fan-in, activations and outputs keep their size. At width 256 an evaluation at 32 × 32 takes 7 billion
    multiplications, as many as the usual networks for CIFAR-10.

    Args:
        side: height and width of the images, divisible by 2.
        width: channels at full resolution, divisible by 16; half resolution has twice as many.

    Raises:
        ValueError: ``side`` or ``width`` is not divisible as required.
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
        """Network with its preconditioning, built at the first access to keep listings fast."""
        net = UNet(
            in_channels=3,
            channels=(self.width, 2 * self.width),
            embedding=4 * self.width,
            patch=1,
            labels=0,
        )
        randomise(net, torch.Generator().manual_seed(SEED))
        return prepare_for_inference(EDMPrecond(net, SIGMA_DATA))

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return the preconditioned network's output, like ``x``; ``labels`` are ignored."""
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
    """Redraw in place weights of two or more dimensions from N(0, 1 / fan-in); set biases to 0."""
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            parameter.copy_(
                torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5
            )
        elif name.endswith("bias"):
            parameter.zero_()


def random_unet_32(width: int = 256) -> RandomUNet:
    """Return the model ``random-unet-32``, for images 3 × 32 × 32."""
    return RandomUNet(32, width)


def random_unet_64(width: int = 256) -> RandomUNet:
    """Return the model ``random-unet-64``, for images 3 × 64 × 64."""
    return RandomUNet(64, width)
