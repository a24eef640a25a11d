"""Raw network of EDM2 checkpoints, whose layers preserve the magnitude of their inputs.

Written from the paper (Karras et al. 2024, arXiv:2312.02696, section 2.3 and appendix B, config G). Arguments and
parameters have the names of the published checkpoints. Dropout is accepted as an argument and has no effect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .edm_layers import LevelUNet, Resample

EPS = 1e-4


def normalise(x: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Return ``x`` scaled to a root mean square of one along ``dim``."""
    size = math.prod(x.shape[d] for d in ((dim,) if isinstance(dim, int) else dim))
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return x / (EPS + norm / math.sqrt(size))


def mp_silu(x: Tensor) -> Tensor:
    """Return SiLU / 0.596, so that normal inputs give outputs of magnitude one (eq. 81)."""
    return F.silu(x) / 0.596


def mp_sum(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Return ((1 - t) a + t b) / sqrt((1 - t)² + t²), which keeps unit variance (eq. 88)."""
    return ((1 - t) * a + t * b) / math.hypot(1 - t, t)


def mp_cat(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Concatenate ``a`` and ``b`` by channels, with norms in the ratio 1 - t to t (eq. 103)."""
    n, m = a.shape[1], b.shape[1]
    whole = math.sqrt(n + m) / math.hypot(1 - t, t)
    return torch.cat([whole * (1 - t) / math.sqrt(n) * a, whole * t / math.sqrt(m) * b], dim=1)


class MPConv(nn.Module):
    """Convolution, or linear layer if ``side`` is 0, with normalised weights (eqs. 47 and 66)."""

    def __init__(self, c_in: int, c_out: int, side: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, *[side] * (2 if side else 0)))

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        """Map ``(batch, c_in, …)`` to ``(batch, c_out, …)``; ``gain`` multiplies the weights."""
        inputs = tuple(range(1, self.weight.ndim))
        weight = normalise(self.weight, inputs) * (gain / math.sqrt(self.weight[0].numel()))
        if len(inputs) == 1:
            return F.linear(x, weight.to(x.dtype))
        return F.conv2d(x, weight.to(x.dtype), padding=weight.shape[-1] // 2)


class MPFourier(nn.Module):
    """Cosines of a scalar input at random frequencies and phases that stay fixed (eq. 75)."""

    freqs: Tensor
    phases: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("freqs", 2 * math.pi * torch.randn(channels))
        self.register_buffer("phases", 2 * math.pi * torch.rand(channels))

    def forward(self, number: Tensor) -> Tensor:
        """Map ``(batch,)`` to ``(batch, channels)``."""
        return math.sqrt(2) * (number[:, None] * self.freqs + self.phases).cos()


class Block(nn.Module):
    """Residual block with optional attention (Figure 21).

    An encoder block normalises each pixel's channels before the residual branch.

    Args:
        c_in, c_out: channels of input and output.
        c_emb: channels of the embedding.
        encodes: True for a block of the encoder, False for one of the decoder.
        resample: change of the resolution by two: ``up``, ``down`` or "".
        heads: number of attention heads; 0 for no attention.
        res_balance, attn_balance: weight of the residual and of the attention branch in :func:`mp_sum`.
        clip_act: bound on the absolute value of outputs; None for no bound.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        c_emb: int,
        *,
        encodes: bool,
        resample: Resample,
        heads: int,
        res_balance: float,
        attn_balance: float,
        clip_act: float | None,
    ) -> None:
        super().__init__()
        self.encodes, self.resample, self.heads = encodes, resample, heads
        self.res_balance, self.attn_balance, self.clip_act = res_balance, attn_balance, clip_act
        self.emb_gain = nn.Parameter(torch.zeros([]))
        self.conv_res0 = MPConv(c_out if encodes else c_in, c_out, 3)
        self.emb_linear = MPConv(c_emb, c_out)
        self.conv_res1 = MPConv(c_out, c_out, 3)
        self.conv_skip = MPConv(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        if heads:
            self.attn_qkv = MPConv(c_out, 3 * c_out, 1)
            self.attn_proj = MPConv(c_out, c_out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, c_in, h, w)`` and ``(batch, c_emb)`` to ``(batch, c_out, h', w')``."""
        if self.resample == "down":
            x = F.avg_pool2d(x, 2)
        elif self.resample == "up":
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        if self.encodes:
            x = normalise(self.conv_skip(x), 1)
        scale = 1 + self.emb_linear(emb, self.emb_gain)[:, :, None, None]
        h = self.conv_res1(mp_silu(self.conv_res0(mp_silu(x)) * scale))
        x = mp_sum(x if self.encodes else self.conv_skip(x), h, self.res_balance)
        if self.heads:
            x = mp_sum(x, self._attend(x), self.attn_balance)
        return x if self.clip_act is None else x.clamp(-self.clip_act, self.clip_act)

    def _attend(self, x: Tensor) -> Tensor:
        """Return the output of the attention, with normalised queries, keys and values."""
        n, c, height, width = x.shape
        parts = self.attn_qkv(x).reshape(n, self.heads, c // self.heads, 3, height * width)
        query, key, value = (part.transpose(2, 3) for part in normalise(parts, 2).unbind(3))
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.attn_proj(mixed.transpose(2, 3).reshape(x.shape))


class EDM2UNet(LevelUNet):
    """U-Net of EDM2.

    Args:
        img_resolution, img_channels: side and channels of the images or latents.
        label_dim: number of classes; 0 for none.
        model_channels: base width, multiplied by ``channel_mult`` at each resolution.
        channel_mult: one factor for each resolution, the finest first.
        channel_mult_noise, channel_mult_emb: widths of the embedded noise level and of the embedding, in units of
            ``model_channels``. None means the first ``channel_mult`` for the noise, the largest for the embedding.
        num_blocks: number of encoder blocks at each resolution; the decoder has one more.
        attn_resolutions: sides of the resolutions with attention.
        label_balance, concat_balance: weight of the label in the embedding, and of encoder states in the decoder.
        resample_filter: must be [1, 1].
        channels_per_head: channels of an attention head.
        dropout: ignored.
        res_balance, attn_balance, clip_act: as for :class:`Block`, in all blocks.

    Raises:
        ValueError: ``resample_filter`` is not [1, 1].
    """

    def __init__(
        self,
        img_resolution: int,
        img_channels: int,
        label_dim: int,
        model_channels: int = 192,
        channel_mult: Sequence[int] = (1, 2, 3, 4),
        channel_mult_noise: int | None = None,
        channel_mult_emb: int | None = None,
        num_blocks: int = 3,
        attn_resolutions: Sequence[int] = (16, 8),
        label_balance: float = 0.5,
        concat_balance: float = 0.5,
        resample_filter: Sequence[float] = (1, 1),
        channels_per_head: int = 64,
        dropout: float = 0,  # noqa: ARG002
        res_balance: float = 0.3,
        attn_balance: float = 0.3,
        clip_act: float | None = 256,
    ) -> None:
        super().__init__()
        if tuple(resample_filter) != (1, 1):
            raise ValueError(f"resample_filter={resample_filter} is not [1, 1]")
        widths = [model_channels * factor for factor in channel_mult]
        c_noise = model_channels * channel_mult_noise if channel_mult_noise else widths[0]
        c_emb = model_channels * channel_mult_emb if channel_mult_emb else max(widths)
        self.label_dim = label_dim
        self.label_balance, self.concat_balance = label_balance, concat_balance
        self.out_gain = nn.Parameter(torch.zeros([]))
        self.emb_fourier = MPFourier(c_noise)
        self.emb_noise = MPConv(c_noise, c_emb)
        self.emb_label = MPConv(label_dim, c_emb) if label_dim else None

        def make_block(
            c_in: int, c_out: int, encodes: bool, attends: bool, resample: Resample
        ) -> Block:
            return Block(
                c_in, c_out, c_emb, encodes=encodes, resample=resample,
                heads=c_out // channels_per_head if attends else 0,
                res_balance=res_balance, attn_balance=attn_balance, clip_act=clip_act,
            )  # fmt: skip

        stem = MPConv(img_channels + 1, widths[0], 3)
        self._add_levels(
            img_resolution, widths, num_blocks, stem, widths[0], attn_resolutions, make_block
        )
        self.out_conv = MPConv(widths[0], img_channels, 3)

    def forward(self, x: Tensor, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the raw output for ``x`` of unit variance, in the shape of ``x``.

        ``noise`` ``(batch,)`` is ln(sigma) / 4. ``labels`` ``(batch, label_dim)`` are one-hot rows, or zeros for "no
        label"; None if there are no classes.
        """
        emb = self.emb_noise(self.emb_fourier(noise))
        if self.emb_label is not None:
            assert labels is not None
            label_embedding = self.emb_label(labels * math.sqrt(self.label_dim))
            emb = mp_sum(emb, label_embedding, self.label_balance)
        emb = mp_silu(emb)
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)  # a channel of ones replaces biases
        for _, state in self._run_levels(x, emb):
            x = state
        return self.out_conv(x, self.out_gain)

    def _concatenate_skip(self, x: Tensor, earlier: Tensor) -> Tensor:
        return mp_cat(x, earlier, self.concat_balance)
