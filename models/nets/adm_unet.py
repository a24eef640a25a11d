"""U-Net of OpenAI's diffusion models: improved DDPM, ADM, and the teachers of consistency models.

Written from the papers (Ho et al. 2020, arXiv:2006.11239, appendix B; Nichol & Dhariwal 2021,
arXiv:2102.09672; Dhariwal & Nichol 2021, arXiv:2105.05233, section 3). Names of parameters are the
published checkpoints'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .edm_layers import SinusoidalNoise

Change = Literal["", "up", "down"]
GROUPS = 32
"""Groups of every normalisation."""


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Division of channels among heads of attention.

    Attributes:
        heads: their number; 0 to divide by ``head_width``.
        head_width: channels of each; 0 to divide by ``heads``.
        together: True if the queries of all heads come first, then all keys and all values (the
            libraries' "new" order); False for each head's three in turn.
    """

    heads: int = 0
    head_width: int = 0
    together: bool = False

    def of(self, channels: int) -> int:
        """Return the number of heads for so many channels.

        Raises:
            ValueError: the channels cannot be divided.
        """
        heads = self.heads or channels // self.head_width
        if not heads or channels % heads:
            raise ValueError(f"{channels} channels cannot be divided among the heads of {self}")
        return heads


class Resample(nn.Module):
    """Change of the resolution by two: a strided convolution ``op``, one after enlargement ``conv``, or ``plain``."""

    def __init__(self, channels: int, change: Change, *, plain: bool = False) -> None:
        super().__init__()
        self.change: Change = change
        self.plain = plain
        if plain:
            return
        if change == "down":
            self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        else:
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, c, h, w)`` to ``(batch, c, h', w')``."""
        if self.plain:
            return change_resolution(x, self.change)
        return self.op(x) if self.change == "down" else self.conv(change_resolution(x, "up"))


def change_resolution(x: Tensor, change: Change) -> Tensor:
    """Return ``x`` at twice the resolution (pixels repeated) or at half of it (pixels averaged)."""
    if change == "up":
        return F.interpolate(x, scale_factor=2, mode="nearest")
    return F.avg_pool2d(x, 2) if change == "down" else x


class ResBlock(nn.Module):
    """Residual block of two 3 × 3 convolutions with a skip connection.

    The embedding is added before the second normalisation, or scales and shifts after it.

    Args:
        c_in, c_out, c_emb: channels.
        scale_shift: True to scale and shift.
        change: of the resolution, before the first convolution and in the skip connection.
    """

    def __init__(
        self, c_in: int, c_out: int, c_emb: int, *, scale_shift: bool, change: Change = ""
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.change: Change = change
        self.in_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, c_in), nn.SiLU(), nn.Conv2d(c_in, c_out, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(
            nn.SiLU(), nn.Linear(c_emb, (2 if scale_shift else 1) * c_out)
        )
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, c_out),
            nn.SiLU(),
            nn.Identity(),  # dropout, in training
            nn.Conv2d(c_out, c_out, 3, padding=1),
        )
        self.skip_connection = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, c_in, h, w)`` and ``(batch, c_emb)`` to ``(batch, c_out, h', w')``."""
        norm, act, conv = self.in_layers
        h = conv(change_resolution(act(norm(x)), self.change))
        modulation = self.emb_layers(emb)[:, :, None, None]
        norm, *rest = self.out_layers
        if self.scale_shift:
            scale, shift = modulation.chunk(2, dim=1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + modulation)
        for layer in rest:
            h = layer(h)
        return self.skip_connection(change_resolution(x, self.change)) + h


class Attention(nn.Module):
    """Self-attention over all pixels, with a skip connection."""

    def __init__(self, channels: int, heads: Heads) -> None:
        super().__init__()
        self.heads, self.together = heads.of(channels), heads.together
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, h, w)`` to the same shape."""
        n, c, height, width = x.shape
        projected = self.qkv(self.norm(x.reshape(n, c, -1)))
        order = (3, self.heads) if self.together else (self.heads, 3)
        parts = projected.reshape(n, *order, c // self.heads, height * width)
        query, key, value = parts.transpose(3, 4).unbind(1 if self.together else 2)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return x + self.proj_out(mixed.transpose(2, 3).reshape(n, c, -1)).reshape(x.shape)


class Layers(nn.ModuleList):
    """Sequential that passes the embedding to residual blocks."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, c, h, w)`` to ``(batch, c', h', w')``."""
        for layer in self:
            x = layer(x, emb) if isinstance(layer, ResBlock) else layer(x)
        return x


class ADMUNet(nn.Module):
    """U-Net called with times and class numbers.

    Args:
        in_channels, out_channels: of images and outputs, twice as many with a learned variance.
        embedding: channels of the sinusoids of the time, even; the embedding has four times as many.
        stem: channels of the first convolution.
        widths: channels of each level, from the finest; each level has half the resolution.
        blocks: residual blocks of a level; on the way up there is one more.
        attention: levels with attention, from 0; the middle has it always.
        heads, head_width, together: see :class:`Heads`.
        scale_shift: see :class:`ResBlock`.
        resample_blocks: True to change the resolution in residual blocks, False in :class:`Resample`.
        resample_plain: in the latter case, True to change it without a convolution.
        classes: of the labels; 0 for none.

    Raises:
        ValueError: channels that the heads or 32 groups do not divide.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        embedding: int,
        stem: int,
        widths: Sequence[int],
        blocks: int,
        attention: Sequence[int],
        heads: int = 0,
        head_width: int = 0,
        together: bool = False,
        scale_shift: bool = True,
        resample_blocks: bool = False,
        resample_plain: bool = False,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.classes, self.scale_shift = classes, scale_shift
        self.resample_blocks, self.wide = resample_blocks, 4 * embedding
        self.resample_plain = resample_plain
        self.heads = Heads(heads=heads, head_width=head_width, together=together)
        self.embed = SinusoidalNoise(embedding, reaches_end=False)
        self.time_embed = nn.Sequential(
            nn.Linear(embedding, self.wide), nn.SiLU(), nn.Linear(self.wide, self.wide)
        )
        if classes:
            self.label_emb = nn.Embedding(classes, self.wide)
        skips = [stem]
        self.input_blocks = nn.ModuleList([Layers([nn.Conv2d(in_channels, stem, 3, padding=1)])])
        self.input_blocks.extend(self._down(widths, blocks, attention, skips))
        wide = widths[-1]
        self.middle_block = Layers(
            [self._block(wide, wide), Attention(wide, self.heads), self._block(wide, wide)]
        )
        self.output_blocks = nn.ModuleList(self._up(widths, blocks, attention, skips))
        self.out = nn.Sequential(
            nn.GroupNorm(GROUPS, widths[0]),
            nn.SiLU(),
            nn.Conv2d(widths[0], out_channels, 3, padding=1),
        )

    def _down(
        self, widths: Sequence[int], blocks: int, attention: Sequence[int], skips: list[int]
    ) -> Iterator[Layers]:
        """Yield layers, finest level first; append the channels of each result to ``skips``."""
        for level, width in enumerate(widths):
            for _ in range(blocks):
                yield Layers(self._stage(skips[-1], width, level in attention))
                skips.append(width)
            if level < len(widths) - 1:
                yield Layers([self._resample(width, "down")])
                skips.append(width)

    def _up(
        self, widths: Sequence[int], blocks: int, attention: Sequence[int], skips: list[int]
    ) -> Iterator[Layers]:
        """Yield layers, coarsest level first; take ``skips`` from the end."""
        channels = widths[-1]
        for level, width in reversed(list(enumerate(widths))):
            for i in range(blocks + 1):
                layers = self._stage(channels + skips.pop(), width, level in attention)
                channels = width
                if level and i == blocks:
                    layers.append(self._resample(width, "up"))
                yield Layers(layers)

    def _stage(self, c_in: int, c_out: int, attends: bool) -> list[nn.Module]:
        block = self._block(c_in, c_out)
        return [block, Attention(c_out, self.heads)] if attends else [block]

    def _resample(self, channels: int, change: Change) -> nn.Module:
        if self.resample_blocks:
            return self._block(channels, channels, change)
        return Resample(channels, change, plain=self.resample_plain)

    def _block(self, c_in: int, c_out: int, change: Change = "") -> ResBlock:
        return ResBlock(c_in, c_out, self.wide, scale_shift=self.scale_shift, change=change)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return the raw output.

        Args:
            x: ``(batch, in_channels, h, w)``, sides divisible by 2 to the number of levels less one.
            t: ``(batch,)``.
            labels: ``(batch,)`` int64 in [0, classes), or None without classes.
        """
        emb = self.time_embed(self.embed(t))
        if self.classes:
            assert labels is not None
            emb = emb + self.label_emb(labels)
        skips = []
        for layers in self.input_blocks:
            x = layers(x, emb)
            skips.append(x)
        x = self.middle_block(x, emb)
        for layers in self.output_blocks:
            x = layers(torch.cat([x, skips.pop()], dim=1), emb)
        return self.out(x)
