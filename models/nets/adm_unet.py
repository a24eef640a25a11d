"""U-Net of OpenAI's diffusion models: improved DDPM, ADM, and the teachers of consistency models.

Written from the papers: Ho et al. 2020, arXiv:2006.11239, appendix B; Nichol & Dhariwal 2021, arXiv:2102.09672;
Dhariwal & Nichol 2021, arXiv:2105.05233, section 3. Parameters have the names of the published checkpoints.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .edm_layers import SinusoidalEmbedding

Change = Literal["", "up", "down"]
GROUPS = 32
"""Number of groups of every normalisation."""


@dataclass(frozen=True, kw_only=True)
class HeadCountRule:
    """Rule that divides channels among attention heads.

    Attributes:
        heads: number of heads; 0 to derive it from ``head_width``.
        head_width: channels of a head; 0 to derive it from ``heads``.
        together: True if the channels hold the queries of all heads, then all keys, then all values (the libraries'
            "new" order). False if queries, keys and values of each head stand together.
    """

    heads: int = 0
    head_width: int = 0
    together: bool = False

    def count_heads(self, channels: int) -> int:
        """Return the number of heads; raise a ValueError if it does not divide ``channels``."""
        heads = self.heads or (self.head_width and channels // self.head_width)
        if not heads or channels % heads:
            raise ValueError(f"{channels} channels cannot be divided among the heads of {self}")
        return heads


def make_resizer(change: Change) -> nn.Module:
    """Return a layer that repeats pixels (``up``), averages 2 × 2 (``down``), or does nothing."""
    if change == "up":
        return nn.Upsample(scale_factor=2)
    return nn.AvgPool2d(2) if change == "down" else nn.Identity()


def make_conv_resizer(channels: int, change: Change) -> nn.Module:
    """Return a convolution with stride 2 (``down``), or one after :func:`make_resizer`."""
    if change == "down":
        down = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        return nn.Sequential(OrderedDict(op=down))
    conv = nn.Conv2d(channels, channels, 3, padding=1)
    return nn.Sequential(OrderedDict(change=make_resizer(change), conv=conv))


class ResBlock(nn.Module):
    """Residual block of two 3 × 3 convolutions with a skip connection.

    Args:
        c_in, c_out, c_emb: channels of input, output and embedding.
        scale_shift: True if the embedding scales and shifts the output of the second normalisation,
            False if the embedding is added before that normalisation.
        change: change of the resolution, before the first convolution and in the skip connection.
    """

    def __init__(
        self, c_in: int, c_out: int, c_emb: int, *, scale_shift: bool, change: Change = ""
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.change = make_resizer(change)
        self.in_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, c_in), nn.SiLU(), nn.Conv2d(c_in, c_out, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(
            nn.SiLU(), nn.Linear(c_emb, (2 if scale_shift else 1) * c_out)
        )
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, c_out),
            nn.SiLU(),
            nn.Identity(),  # stands for the dropout layer, which sampling does not use
            nn.Conv2d(c_out, c_out, 3, padding=1),
        )
        self.skip_connection = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, c_in, h, w)`` and ``(batch, c_emb)`` to ``(batch, c_out, h', w')``."""
        norm, act, conv = self.in_layers
        h = conv(self.change(act(norm(x))))
        modulation = self.emb_layers(emb)[:, :, None, None]
        norm, *rest = self.out_layers
        if self.scale_shift:
            scale, shift = modulation.chunk(2, dim=1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + modulation)
        for layer in rest:
            h = layer(h)
        return self.skip_connection(self.change(x)) + h


class Attention(nn.Module):
    """Self-attention over all pixels, with a skip connection."""

    def __init__(self, channels: int, heads: HeadCountRule) -> None:
        super().__init__()
        self.heads, self.together = heads.count_heads(channels), heads.together
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


class EmbedSequential(nn.ModuleList):
    """Sequence of layers that passes the embedding on to its residual blocks."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``x`` ``(batch, c, h, w)`` to ``(batch, c', h', w')``, given embeddings ``emb``."""
        for layer in self:
            x = layer(x, emb) if isinstance(layer, ResBlock) else layer(x)
        return x


class ADMUNet(nn.Module):
    """U-Net called with images, times and class numbers.

    Args:
        in_channels, out_channels: channels of images and outputs. Outputs with a learned variance have twice as many.
        embedding: number of sinusoids of the time, even. The embedding of the time has four times as many channels.
        stem: channels of the first convolution.
        widths: channels of each level, the finest first. Each level has half the resolution of the level before.
        blocks: residual blocks of a level in the encoder; the decoder has one more.
        attention: levels with attention, counted from 0; the middle block always has attention.
        heads, head_width, together: see :class:`HeadCountRule`.
        scale_shift: see :class:`ResBlock`.
        resample_blocks: True to change the resolution in residual blocks, False in separate layers.
        resample_plain: True if the separate layers have no convolution.
        classes: number of classes; 0 for none.

    Raises:
        ValueError: the heads or the 32 groups do not divide the channels.
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
        self.classes, wide = classes, 4 * embedding
        head_rule = HeadCountRule(heads=heads, head_width=head_width, together=together)
        self.embed = SinusoidalEmbedding(embedding, reaches_end=False)
        self.time_embed = nn.Sequential(
            nn.Linear(embedding, wide), nn.SiLU(), nn.Linear(wide, wide)
        )
        if classes:
            self.label_emb = nn.Embedding(classes, wide)

        def block(c_in: int, c_out: int, change: Change = "") -> ResBlock:
            return ResBlock(c_in, c_out, wide, scale_shift=scale_shift, change=change)

        def stage(c_in: int, c_out: int, level: int) -> list[nn.Module]:
            first = block(c_in, c_out)
            return [first, Attention(c_out, head_rule)] if level in attention else [first]

        def resample(channels: int, change: Change) -> nn.Module:
            if resample_blocks:
                return block(channels, channels, change)
            return make_resizer(change) if resample_plain else make_conv_resizer(channels, change)

        skips = [stem]
        self.input_blocks = nn.ModuleList(
            [EmbedSequential([nn.Conv2d(in_channels, stem, 3, padding=1)])]
        )
        for level, width in enumerate(widths):
            for _ in range(blocks):
                self.input_blocks.append(EmbedSequential(stage(skips[-1], width, level)))
                skips.append(width)
            if level < len(widths) - 1:
                self.input_blocks.append(EmbedSequential([resample(width, "down")]))
                skips.append(width)
        c = widths[-1]
        self.middle_block = EmbedSequential([block(c, c), Attention(c, head_rule), block(c, c)])
        self.output_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for i in range(blocks + 1):
                layers = stage(c + skips.pop(), width, level)
                c = width
                if level and i == blocks:
                    layers.append(resample(width, "up"))
                self.output_blocks.append(EmbedSequential(layers))
        self.out = nn.Sequential(
            nn.GroupNorm(GROUPS, c), nn.SiLU(), nn.Conv2d(c, out_channels, 3, padding=1)
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Map ``x`` ``(batch, in_channels, h, w)`` to raw outputs ``(batch, out_channels, h, w)``.

        2^(levels - 1) must divide h and w. Times ``t`` and ``labels``, int64 in [0, classes), are ``(batch,)``.
        ``labels`` are None if there are no classes.
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
