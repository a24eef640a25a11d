"""Building blocks of the U-Nets of EDM checkpoints.

They are embeddings of the noise level, convolutions that change the resolution, the residual block, and the order of
blocks. Written from the papers: Song et al. 2021, arXiv:2011.13456; Dhariwal & Nichol 2021, arXiv:2105.05233; Karras et
al. 2022, arXiv:2206.00364, appendix F.1 and Table 7. Parameters have the names of the published checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Resample = Literal["", "up", "down"]


class SinusoidalEmbedding(nn.Module):
    """Cosines, then sines, of a number at frequencies in geometric progression from 1 to 1e-4.

    Args:
        channels: number of outputs, even.
        reaches_end: True if the last frequency is 1e-4 itself, False if the progression stops one step before it.
    """

    def __init__(self, channels: int, *, reaches_end: bool) -> None:
        super().__init__()
        self.count, self.steps = channels // 2, channels // 2 - reaches_end

    def forward(self, number: Tensor) -> Tensor:
        """Map ``(batch,)`` to ``(batch, channels)``."""
        index = torch.arange(self.count, dtype=torch.float32, device=number.device)
        angle = number[:, None] * (1e-4 ** (index / self.steps)).to(number.dtype)
        return torch.cat([angle.cos(), angle.sin()], dim=1)


class FourierEmbedding(nn.Module):
    """Cosines, then sines, of a scalar input at random frequencies that stay fixed."""

    freqs: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.randn(channels // 2) * 16)

    def forward(self, number: Tensor) -> Tensor:
        """Map ``(batch,)`` to ``(batch, channels)``."""
        angle = number[:, None] * (2 * math.pi * self.freqs).to(number.dtype)
        return torch.cat([angle.cos(), angle.sin()], dim=1)


class GroupNorm(nn.GroupNorm):
    """Group normalisation with at most 32 groups, each of at least four channels."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(min(32, channels // 4), channels, eps)


class Conv(nn.Module):
    """Convolution that keeps, halves or doubles the resolution.

    A change of resolution filters each channel alone with fixed taps, along rows and columns. The filter runs before
    the convolution, or after the convolution if ``folded`` is set.

    Args:
        c_in, c_out: channels of input and output.
        side: side of the kernel, odd; 0 to change the resolution without a convolution.
        resample: ``up`` to double the resolution, ``down`` to halve it, "" to keep it.
        taps: filter of the change of resolution, an even number of values.
        folded: True to pad zeros only once, before the convolution; needs ``down``. False to pad before filter and
            convolution.
    """

    resample_filter: Tensor

    def __init__(
        self,
        c_in: int,
        c_out: int,
        side: int,
        resample: Resample = "",
        taps: Sequence[float] = (1, 1),
        *,
        folded: bool = False,
    ) -> None:
        super().__init__()
        self.side, self.resample, self.folded = side, resample, folded
        if side:
            shape = nn.Conv2d(c_in, c_out, side)
            self.weight, self.bias = shape.weight, cast(nn.Parameter, shape.bias)
        if resample:
            row = torch.tensor(taps, dtype=torch.float32)
            self.register_buffer(
                "resample_filter", (row[:, None] * row / row.sum() ** 2)[None, None]
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, c_in, h, w)`` to ``c_out`` channels at half, equal or twice the sides."""
        margin = self.side // 2
        reach = (self.resample_filter.shape[-1] - 1) // 2 if self.resample else 0
        if self.folded:
            x = F.conv2d(x, self.weight, padding=margin + reach)
            return self._filter_and_resample(x, 0) + self.bias[:, None, None]
        x = self._filter_and_resample(x, reach) if self.resample else x
        return F.conv2d(x, self.weight, self.bias, padding=margin) if self.side else x

    def _filter_and_resample(self, x: Tensor, padding: int) -> Tensor:
        """Return ``x`` filtered and then halved, or doubled and then filtered."""
        channels = x.shape[1]
        taps = self.resample_filter.to(x.dtype).expand(channels, -1, -1, -1)
        if self.resample == "down":
            return F.conv2d(x, taps, stride=2, padding=padding, groups=channels)
        return F.conv_transpose2d(x, 4 * taps, stride=2, padding=padding, groups=channels)


class Block(nn.Module):
    """Residual block of two 3 × 3 convolutions, then attention over all pixels if ``heads`` > 0.

    Args:
        c_in, c_out: channels of input and output.
        c_emb: channels of the embedding.
        resample, taps: change of resolution of the first convolution and the skip connection; see :class:`Conv`.
        heads: number of attention heads; 0 for no attention.
        eps: epsilon of the normalisations.
        adaptive: True if the embedding scales and shifts the output of the second normalisation,
            False if the embedding is added before that normalisation.
        projected: True if a skip connection that changes the resolution also has a 1 × 1 convolution. Any skip
            connection has one if ``c_in`` and ``c_out`` differ.
        weight: factor of each sum of a branch and its skip connection.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        c_emb: int,
        *,
        resample: Resample,
        taps: Sequence[float],
        heads: int,
        eps: float,
        adaptive: bool,
        projected: bool,
        weight: float,
    ) -> None:
        super().__init__()
        self.heads, self.adaptive, self.weight = heads, adaptive, weight
        self.norm0 = GroupNorm(c_in, eps)
        self.conv0 = Conv(c_in, c_out, 3, resample, taps)
        self.affine = nn.Linear(c_emb, c_out * (2 if adaptive else 1))
        self.norm1 = GroupNorm(c_out, eps)
        self.conv1 = Conv(c_out, c_out, 3)
        self.skip = nn.Identity()
        if resample or c_in != c_out:
            side = 1 if projected or c_in != c_out else 0
            self.skip = Conv(c_in, c_out, side, resample, taps)
        if heads:
            self.norm2 = GroupNorm(c_out, eps)
            self.qkv = Conv(c_out, 3 * c_out, 1)
            self.proj = Conv(c_out, c_out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, c_in, h, w)`` and ``(batch, c_emb)`` to ``(batch, c_out, h', w')``."""
        h = self.conv0(F.silu(self.norm0(x)))
        modulation = self.affine(emb)[:, :, None, None]
        if self.adaptive:
            scale, shift = modulation.chunk(2, dim=1)
            h = self.norm1(h) * (1 + scale) + shift
        else:
            h = self.norm1(h + modulation)
        x = self.weight * (self.skip(x) + self.conv1(F.silu(h)))
        return self.weight * (x + self._attend(x)) if self.heads else x

    def _attend(self, x: Tensor) -> Tensor:
        """Return the attention's output; queries, keys and values are interleaved in each head."""
        n, c, height, width = x.shape
        parts = self.qkv(self.norm2(x)).reshape(n, self.heads, c // self.heads, 3, height * width)
        query, key, value = (part.transpose(2, 3) for part in parts.unbind(3))
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(2, 3).reshape(x.shape))


class LevelUNet(nn.Module):
    """Base class of U-Nets over halving resolutions, with layer names of published checkpoints.

    The decoder takes the output of each encoder layer by a skip connection, and has one block more at each resolution.
    """

    def _add_levels(
        self,
        img_resolution: int,
        widths: Sequence[int],
        num_blocks: int,
        stem: nn.Module,
        channels: int,
        attention: Sequence[int],
        make_block: Callable[[int, int, bool, bool, Resample], nn.Module],
        *,
        everywhere: bool = True,
    ) -> None:
        """Add the encoder ``enc``, which begins with ``stem`` of ``channels`` outputs, and the decoder ``dec``.

        ``widths`` are the channels of each resolution, the finest first, and ``attention`` the sides with attention.
        ``make_block`` gets channels in and out, True in the encoder, True for attention, and the change of resolution.
        Unless ``everywhere``, only the last decoder block of a resolution has attention.
        """
        self.blocks = num_blocks
        self.sides = [img_resolution >> level for level in range(len(widths))]
        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()
        levels = [(f"{side}x{side}", side, w) for side, w in zip(self.sides, widths, strict=True)]
        c, skip_channels = channels, [channels]
        for level, (at, side, width) in enumerate(levels):
            if level == 0:
                self.enc[f"{at}_conv"] = stem
            else:
                self.enc[f"{at}_down"] = make_block(c, c, True, False, "down")
                skip_channels.append(c)
            for n in range(num_blocks):
                self.enc[f"{at}_block{n}"] = make_block(c, width, True, side in attention, "")
                c = width
                skip_channels.append(c)
        for level, (at, side, width) in reversed([*enumerate(levels)]):
            if level == len(levels) - 1:
                self.dec[f"{at}_in0"] = make_block(c, c, False, True, "")
                self.dec[f"{at}_in1"] = make_block(c, c, False, False, "")
            else:
                self.dec[f"{at}_up"] = make_block(c, c, False, False, "up")
            for n in range(num_blocks + 1):
                attends = side in attention and (everywhere or n == num_blocks)
                c_in = c + skip_channels.pop()
                self.dec[f"{at}_block{n}"] = make_block(c_in, width, False, attends, "")
                c = width

    def _run_levels(self, x: Tensor, emb: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, output) of each resolution of the decoder, coarsest first."""
        states, image = [], x
        for level, side in enumerate(self.sides):
            at = f"{side}x{side}"
            if level == 0:
                x = self.enc[f"{at}_conv"](x)
            else:
                x, image = self._inject_image(at, self.enc[f"{at}_down"](x, emb), image)
            states.append(x)
            for n in range(self.blocks):
                x = self.enc[f"{at}_block{n}"](x, emb)
                states.append(x)
        for side in reversed(self.sides):
            at = f"{side}x{side}"
            for name in ("in0", "in1") if side == self.sides[-1] else ("up",):
                x = self.dec[f"{at}_{name}"](x, emb)
            for n in range(self.blocks + 1):
                x = self.dec[f"{at}_block{n}"](self._concatenate_skip(x, states.pop()), emb)
            yield at, x

    def _concatenate_skip(self, x: Tensor, earlier: Tensor) -> Tensor:
        """Return a decoder block's input: ``x`` and the encoder state ``earlier``, concatenated."""
        return torch.cat([x, earlier], dim=1)

    def _inject_image(self, at: str, x: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``x``, plus ``image`` if level ``at`` adds it, and the next level's image."""
        if f"{at}_aux_skip" in self.enc:
            image = self.enc[f"{at}_aux_down"](image)
            return x + self.enc[f"{at}_aux_skip"](image), image
        if f"{at}_aux_residual" in self.enc:
            x = math.sqrt(0.5) * (x + self.enc[f"{at}_aux_residual"](image))
            return x, x
        return x, image
