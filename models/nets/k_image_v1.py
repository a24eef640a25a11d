"""U-Net ``image_v1`` of k-diffusion.

Written from the library's configurations and the shapes of its published weights, whose names the parameters have.
Adaptive group normalisation follows Dhariwal & Nichol (2021, arXiv:2105.05233, section 3). The preconditioning (Karras
et al. 2022, arXiv:2206.00364) is not part of this module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUP, HEAD = 32, 64
"""Channels of a normalisation group, and channels of an attention head."""
TAPS = (1 / 8, 3 / 8, 3 / 8, 1 / 8)
"""Filter taps for changes of resolution."""


class FourierFeatures(nn.Module):
    """Cosines, then sines, of ``count`` inputs at random frequencies that stay fixed."""

    weight: Tensor

    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(channels // 2, count))

    def forward(self, numbers: Tensor) -> Tensor:
        """Map ``(batch, count)`` to ``(batch, channels)``."""
        angle = 2 * math.pi * numbers @ self.weight.mT
        return torch.cat([angle.cos(), angle.sin()], -1)


class AdaptiveNorm(nn.Module):
    """Group normalisation whose output is scaled and shifted by the embedding."""

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.groups = max(1, channels // GROUP)
        self.mapper = nn.Linear(embedding, 2 * channels)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, channels, h, w)`` and ``(batch, embedding)`` to the shape of ``x``."""
        scale, shift = self.mapper(emb)[:, :, None, None].chunk(2, 1)
        return F.group_norm(x, self.groups) * (1 + scale) + shift


class ResBlock(nn.Module):
    """Residual block of two 3 × 3 convolutions, each after a normalisation and a GELU."""

    def __init__(self, embedding: int, c_in: int, c_mid: int, c_out: int) -> None:
        super().__init__()
        self.main = nn.ModuleList(
            [
                AdaptiveNorm(embedding, c_in),
                nn.GELU(),
                nn.Conv2d(c_in, c_mid, 3, padding=1),
                nn.Identity(),  # stands for the dropout layer, which sampling does not use
                AdaptiveNorm(embedding, c_mid),
                nn.GELU(),
                nn.Conv2d(c_mid, c_out, 3, padding=1),
            ]
        )
        self.skip = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, c_in, h, w)``, ``(batch, embedding)`` to ``(batch, c_out, h, w)``."""
        h = x
        for layer in self.main:
            h = layer(h, emb) if isinstance(layer, AdaptiveNorm) else layer(h)
        return h + self.skip(x)


class Attention(nn.Module):
    """Self-attention over all pixels, with a skip connection."""

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD)
        self.norm_in = AdaptiveNorm(embedding, channels)
        self.qkv_proj = nn.Conv2d(channels, 3 * channels, 1)
        self.out_proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, channels, h, w)`` and ``(batch, embedding)`` to the shape of ``x``."""
        n, c, height, width = x.shape
        parts = self.qkv_proj(self.norm_in(x, emb)).reshape(
            n, 3, self.heads, c // self.heads, height * width
        )
        query, key, value = parts.transpose(3, 4).unbind(1)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return x + self.out_proj(mixed.transpose(2, 3).reshape(x.shape))


class Resampler(nn.Module):
    """Layer that halves or, if ``up``, doubles the resolution by a fixed filter; mirrors edges."""

    kernel: Tensor

    def __init__(self, *, up: bool) -> None:
        super().__init__()
        self.up = up
        taps = torch.tensor(TAPS) * (2 if up else 1)
        self.register_buffer("kernel", taps[:, None] * taps)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, c, h, w)`` to half or twice the height and width."""
        c = x.shape[1]
        channel_kernels = self.kernel.to(x).expand(c, 1, -1, -1)
        x = F.pad(x, (1, 1, 1, 1), "reflect")
        if self.up:
            return F.conv_transpose2d(x, channel_kernels, stride=2, padding=3, groups=c)
        return F.conv2d(x, channel_kernels, stride=2, groups=c)


class Stage(nn.ModuleList):
    """Blocks at one resolution, after (encoder) or before (decoder) a change of resolution."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, c, h, w)`` and ``(batch, embedding)`` to the input of the next stage."""
        for layer in self:
            x = layer(x, emb) if isinstance(layer, ResBlock | Attention) else layer(x)
        return x


class _EncoderDecoder(nn.Module):
    """Encoder and decoder, with skip connections between stages of the same resolution."""

    def __init__(self, down: Sequence[Stage], up: Sequence[Stage]) -> None:
        super().__init__()
        self.d_blocks, self.u_blocks = nn.ModuleList(down), nn.ModuleList(up)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, c, h, w)`` and ``(batch, embedding)`` to the shape of ``x``."""
        skips = []
        for stage in self.d_blocks:
            x = stage(x, emb)
            skips.append(x)
        x = self.u_blocks[0](skips.pop(), emb)
        for stage in self.u_blocks[1:]:
            x = stage(torch.cat([x, skips.pop()], 1), emb)
        return x


class KImageV1(nn.Module):
    """U-Net ``image_v1``, called with images and ln(sigma) / 4.

    Args:
        channels: channels of the images.
        embedding: width of the embedding of the noise level.
        depths: number of blocks at each resolution, the finest first.
        widths: channels at each resolution.
        attention: True for each resolution with attention.
        patch: side in pixels of the patch that is one position of the network.
        conditions: number of parameters of a data augmentation, which are all 0 in sampling; 0 for none.
        variance: True if the network also outputs a variance channel, which is dropped.
    """

    def __init__(
        self,
        *,
        channels: int,
        embedding: int,
        depths: Sequence[int],
        widths: Sequence[int],
        attention: Sequence[bool],
        patch: int = 1,
        conditions: int = 0,
        variance: bool = False,
    ) -> None:
        super().__init__()
        self.patch, self.numbers = patch, channels * patch**2
        self.timestep_embed = FourierFeatures(1, embedding)
        if conditions:
            self.mapping_cond = nn.Linear(conditions, embedding, bias=False)
        self.mapping = nn.Sequential(
            nn.Linear(embedding, embedding), nn.GELU(), nn.Linear(embedding, embedding), nn.GELU()
        )
        self.proj_in = nn.Conv2d(self.numbers, widths[0], 1)
        self.proj_out = nn.Conv2d(widths[0], self.numbers + variance, 1)

        def blocks(i: int, c_in: int, c_out: int) -> list[nn.Module]:
            layers: list[nn.Module] = []
            for n in range(depths[i]):
                last = n == depths[i] - 1
                wide = c_out if last else widths[i]
                layers.append(ResBlock(embedding, widths[i] if n else c_in, widths[i], wide))
                if attention[i]:
                    layers.append(Attention(embedding, wide))
            return layers

        down, up = [], []
        for i, width in enumerate(widths):
            above = widths[max(0, i - 1)]
            last = i == len(widths) - 1
            down.append(
                Stage([Resampler(up=False) if i else nn.Identity(), *blocks(i, above, width)])
            )
            change = Resampler(up=True) if i else nn.Identity()
            up.append(Stage([*blocks(i, width if last else 2 * width, above), change]))
        self.u_net = _EncoderDecoder(down, up[::-1])

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return the raw output for ``x``, both ``(batch, channels, side, side)``.

        ``c_noise`` ``(batch,)`` is ln(sigma) / 4. ``labels`` are ignored.
        """
        emb = self.mapping(self.timestep_embed(c_noise[:, None]))
        x = self.proj_in(F.pixel_unshuffle(x, self.patch))
        x = self.proj_out(self.u_net(x, emb))[:, : self.numbers]
        return F.pixel_shuffle(x, self.patch)
