"""Small class-conditional U-Net, fast on a CPU: space-to-depth first, attention at the coarsest level only."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FourierFeatures(nn.Module):
    """Fixed sines and cosines of the noise conditioning c_noise = ln(sigma) / 4: ``(batch,)`` to ``(batch, 2
    n)``.

    The highest frequency is kept low: a denoiser that wiggles in sigma has no clean convergence
    order.
    """

    frequencies: Tensor

    def __init__(self, n: int = 16, lowest: float = 0.125, highest: float = 4.0) -> None:
        super().__init__()
        steps = torch.linspace(math.log(lowest), math.log(highest), n, dtype=torch.float64).exp()
        self.register_buffer("frequencies", (2 * math.pi * steps).float(), persistent=False)

    def forward(self, c_noise: Tensor) -> Tensor:
        """Embed ``c_noise``."""
        angle = c_noise[:, None] * self.frequencies
        return torch.cat([angle.cos(), angle.sin()], dim=1)


class ResBlock(nn.Module):
    """Residual block of two 3 × 3 convolutions; the embedding scales and shifts the second normalisation. It
    starts as the identity.
    """

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
        """Return the raw network output F(x, c_noise, label).

        Args:
            x: ``(batch, C, side, side)``, scaled to unit variance.
            c_noise: ``(batch,)``, ln(sigma) / 4.
            labels: ``(batch,)`` int64 in [0, labels]; ``labels`` is the null label.
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
