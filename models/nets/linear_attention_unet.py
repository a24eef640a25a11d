"""U-Net of denoising-diffusion-pytorch, with linear or full attention at every level.

Parameters have the names of that library's checkpoints. Linear attention follows Shen et al. 2021, arXiv:1812.01243.
Learned keys and values extend the pixels' own (Sukhbaatar et al. 2019, arXiv:1907.01470).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .edm_layers import SinusoidalEmbedding


class ChannelNorm(nn.Module):
    """Root-mean-square normalisation of each pixel's channels, with a learned scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, h, w)`` to the same shape."""
        return F.normalize(x, dim=1) * self.g * x.shape[1] ** 0.5


class Block(nn.Module):
    """3 × 3 convolution, normalisation (``groups`` 0: by channels), scale and shift, then SiLU."""

    def __init__(self, c_in: int, c_out: int, groups: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.norm = nn.GroupNorm(groups, c_out) if groups else ChannelNorm(c_out)

    def forward(
        self, x: Tensor, scale: Tensor | float = 0.0, shift: Tensor | float = 0.0
    ) -> Tensor:
        """Map ``(batch, c_in, h, w)`` to ``(batch, c_out, h, w)``, scaled by 1 + ``scale``."""
        return F.silu(self.norm(self.proj(x)) * (1 + scale) + shift)


class ResBlock(nn.Module):
    """Residual block of two :class:`Block`; the embedding scales and shifts in the first one."""

    def __init__(self, c_in: int, c_out: int, c_emb: int, groups: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(c_emb, 2 * c_out))
        self.block1, self.block2 = Block(c_in, c_out, groups), Block(c_out, c_out, groups)
        self.res_conv = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, c_in, h, w)`` and ``(batch, c_emb)`` to ``(batch, c_out, h, w)``."""
        scale, shift = self.mlp(emb)[:, :, None, None].chunk(2, dim=1)
        return self.block2(self.block1(x, scale, shift)) + self.res_conv(x)


class Attention(nn.Module):
    """Self-attention over all pixels, with a skip connection.

    Args:
        channels: channels of the image.
        heads, width: number of heads, and channels of each.
        memory: number of learned keys and values.
        full: True for softmax attention of queries to keys; False for linear attention, whose cost is linear in the
            number of pixels.
    """

    def __init__(self, channels: int, heads: int, width: int, memory: int, *, full: bool) -> None:
        super().__init__()
        self.heads, self.full = heads, full
        inner = heads * width
        self.norm = ChannelNorm(channels)
        shape = (memory, width) if full else (width, memory)
        self.mem_kv = nn.Parameter(torch.randn(2, heads, *shape))
        self.to_qkv = nn.Conv2d(channels, 3 * inner, 1, bias=False)
        out = nn.Conv2d(inner, channels, 1)
        self.to_out = out if full else nn.Sequential(out, ChannelNorm(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, h, w)`` to the same shape."""
        n, _, height, width = x.shape
        parts = self.to_qkv(self.norm(x)).reshape(n, 3, self.heads, -1, height * width)
        query, key, value = parts.mT.unbind(1)  # (n, heads, pixels, width)
        memory = self.mem_kv if self.full else self.mem_kv.mT
        key, value = (
            torch.cat([m.expand(n, -1, -1, -1), pixels], dim=2)
            for m, pixels in zip(memory, (key, value), strict=True)
        )
        if self.full:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            query = query.softmax(dim=3) * query.shape[3] ** -0.5
            mixed = query @ (key.softmax(dim=2).mT @ value)
        return x + self.to_out(mixed.mT.reshape(n, -1, height, width))


class LinearAttentionUNet(nn.Module):
    """U-Net called with images and times.

    Args:
        in_channels, out_channels: channels of images and outputs.
        embedding: number of sinusoids of the time, even. The embedding of the time has four times as many channels.
        stem: channels of the first convolution.
        widths: channels after each level, the finest first.
        heads, head_width, memory, full: settings of the attention of each level; see :class:`Attention`.
        middle: ``heads``, ``head_width`` and ``memory`` of the full attention in the middle.
        groups: number of groups of the blocks' normalisation; 0 for :class:`ChannelNorm`.
        self_conditioned: True if the network was trained to take an estimate of the clean image too. Here that input is
            zeros, as in part of the training.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        embedding: int,
        stem: int,
        widths: Sequence[int],
        heads: Sequence[int],
        head_width: Sequence[int],
        memory: Sequence[int],
        full: Sequence[bool],
        middle: Sequence[int],
        groups: int = 0,
        self_conditioned: bool = False,
    ) -> None:
        super().__init__()
        self.self_conditioned, wide = self_conditioned, 4 * embedding
        self.init_conv = nn.Conv2d(in_channels * (1 + self_conditioned), stem, 7, padding=3)
        self.embed = SinusoidalEmbedding(embedding, reaches_end=True)
        self.time_mlp = nn.Sequential(
            nn.Identity(), nn.Linear(embedding, wide), nn.GELU(), nn.Linear(wide, wide)
        )

        def stage(level: int, c_in: int, c_out: int, change: nn.Module) -> nn.ModuleList:
            blocks = [ResBlock(c_in, c_out, wide, groups) for _ in range(2)]
            kind = (heads[level], head_width[level], memory[level])
            return nn.ModuleList([*blocks, Attention(c_out, *kind, full=full[level]), change])

        ends = list(zip([stem, *widths[:-1]], widths, strict=True))
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, (c_in, c_out) in enumerate(ends):
            if level < len(ends) - 1:  # 2 × 2 pixels become channels of one pixel
                down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * c_in, c_out, 1))
            else:
                down = nn.Conv2d(c_in, c_out, 3, padding=1)
            up: nn.Module = nn.Conv2d(c_out, c_in, 3, padding=1)
            if level:
                up = nn.Sequential(nn.Upsample(scale_factor=2), up)
            self.downs.append(stage(level, c_in, c_in, down))
            self.ups.insert(0, stage(level, c_out + c_in, c_out, up))
        last = widths[-1]
        self.mid_block1 = ResBlock(last, last, wide, groups)
        self.mid_block2 = ResBlock(last, last, wide, groups)
        self.mid_attn = Attention(last, *middle, full=True)
        self.final_res_block = ResBlock(2 * stem, stem, wide, groups)
        self.final_conv = nn.Conv2d(stem, out_channels, 1)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG002
        """Map ``x`` ``(batch, in_channels, h, w)`` to raw outputs ``(batch, out_channels, h, w)``.

        2^(levels - 1) must divide h and w. Times ``t`` are ``(batch,)``. ``labels`` are ignored.
        """
        cosines, sines = self.embed(t).chunk(2, dim=1)
        emb = self.time_mlp(torch.cat([sines, cosines], dim=1))
        x = self.init_conv(torch.cat([torch.zeros_like(x), x], 1) if self.self_conditioned else x)
        skips = [x]
        for stage in self.downs:
            first, second, attention, change = cast(nn.ModuleList, stage)
            x = first(x, emb)
            skips.append(x)
            x = attention(second(x, emb))
            skips.append(x)
            x = change(x)
        x = self.mid_block2(self.mid_attn(self.mid_block1(x, emb)), emb)
        for stage in self.ups:
            first, second, attention, change = cast(nn.ModuleList, stage)
            x = first(torch.cat([x, skips.pop()], dim=1), emb)
            x = attention(second(torch.cat([x, skips.pop()], dim=1), emb))
            x = change(x)
        return self.final_conv(self.final_res_block(torch.cat([x, skips.pop()], dim=1), emb))
