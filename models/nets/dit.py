"""Diffusion transformer of DiT, SiT, REPA and MeanFlow.

Written from the papers (Peebles & Xie 2023, arXiv:2212.09748, section 3 and figure 3; Ma et al.
2024, arXiv:2401.08740; Yu et al. 2025, arXiv:2410.06940; Geng et al. 2025, arXiv:2505.13447). Names of parameters
are the published checkpoints'.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .edm_layers import SinusoidalNoise

EPS = 1e-6
"""Epsilon of the normalisations before attention and perceptron."""


class Attention(nn.Module):
    """Self-attention over all tokens; with ``normed``, queries and keys are normalised in each head."""

    def __init__(self, width: int, heads: int, *, normed: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = nn.LayerNorm(width // heads) if normed else nn.Identity()
        self.k_norm = nn.LayerNorm(width // heads) if normed else nn.Identity()
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same shape."""
        n, tokens, width = x.shape
        parts = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(self.q_norm(query), self.k_norm(key), value)
        return self.proj(mixed.transpose(1, 2).reshape(n, tokens, width))


class Perceptron(nn.Module):
    """Perceptron of two layers with a GELU, in its tanh form, between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same shape."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return ``x`` ``(batch, tokens, width)`` scaled and shifted by ``(batch, width)``."""
    return x * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """Transformer block of attention and a perceptron, each modulated and gated by the embedding ("adaLN")."""

    def __init__(self, width: int, heads: int, hidden: int, *, normed: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, EPS, elementwise_affine=False)
        self.attn = Attention(width, heads, normed=normed)
        self.norm2 = nn.LayerNorm(width, EPS, elementwise_affine=False)
        self.mlp = Perceptron(width, hidden)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, tokens, width)`` and ``(batch, width)`` to the shape of ``x``."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(emb).chunk(6, 1)
        x = x + gate1[:, None] * self.attn(modulated(self.norm1(x), shift1, scale1))
        return x + gate2[:, None] * self.mlp(modulated(self.norm2(x), shift2, scale2))


class FinalLayer(nn.Module):
    """Layer from tokens to the numbers of their patches."""

    def __init__(self, width: int, numbers: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, EPS, elementwise_affine=False)
        self.linear = nn.Linear(width, numbers)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, tokens, width)`` to ``(batch, tokens, numbers)``."""
        shift, scale = self.adaLN_modulation(emb).chunk(2, 1)
        return self.linear(modulated(self.norm_final(x), shift, scale))


class Patches(nn.Module):
    """Layer from an image to tokens: a convolution in strides of its side."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, side, side)`` to ``(batch, tokens, width)``, row by row."""
        return self.proj(x).flatten(2).transpose(1, 2)


class TimeEmbedding(nn.Module):
    """Embedding of a number: sinusoids and two layers."""

    def __init__(self, width: int, frequencies: int) -> None:
        super().__init__()
        self.embed = SinusoidalNoise(frequencies, reaches_end=False)
        self.mlp = nn.Sequential(nn.Linear(frequencies, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        """Map ``(batch,)`` to ``(batch, width)``."""
        return self.mlp(self.embed(t))


class LabelEmbedding(nn.Module):
    """Table of embeddings with a row for each label, and one for "no label"."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(rows, width)

    def forward(self, labels: Tensor) -> Tensor:
        """Map ``(batch,)`` to ``(batch, width)``."""
        return self.embedding_table(labels)


class DiT(nn.Module):
    """Transformer called with times and class numbers.

    Args:
        side: of the image, divisible by ``patch``.
        in_channels, out_channels: of images and outputs, twice as many with a learned variance.
        patch: side of the square that is a token.
        width: of tokens.
        depth: number of blocks.
        heads: of attention.
        hidden: width of the perceptrons.
        frequencies: sinusoids of the time, even.
        labels: rows of the table of labels, "no label" included.
        normed: see :class:`Attention`.
        interval: of MeanFlow, which predicts the mean velocity from t down to r and takes t - r too:
            ``whole`` for r = 0, ``none`` for r = t, which is the velocity at t; "" for networks that
            take t alone.
    """

    def __init__(
        self,
        *,
        side: int,
        in_channels: int,
        out_channels: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        labels: int,
        frequencies: int = 256,
        normed: bool = False,
        interval: Literal["", "whole", "none"] = "",
    ) -> None:
        super().__init__()
        self.patch, self.out_channels, self.interval = patch, out_channels, interval
        self.x_embedder = Patches(in_channels, width, patch)
        self.t_embedder = TimeEmbedding(width, frequencies)
        if interval:
            self.r_embedder = TimeEmbedding(width, frequencies)
        self.y_embedder = LabelEmbedding(labels, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, (side // patch) ** 2, width))
        self.blocks = nn.ModuleList(
            Block(width, heads, hidden, normed=normed) for _ in range(depth)
        )
        self.final_layer = FinalLayer(width, patch**2 * out_channels)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return the raw output ``(batch, out_channels, side, side)``.

        Args:
            x: ``(batch, in_channels, side, side)``.
            t: ``(batch,)``.
            labels: ``(batch,)`` int64; the last row of the table is "no label".
        """
        assert labels is not None
        emb = self.t_embedder(t) + self.y_embedder(labels)
        if self.interval:
            emb = emb + self.r_embedder(t if self.interval == "whole" else torch.zeros_like(t))
        return self.transformed(x, emb)

    def transformed(self, x: Tensor, emb: Tensor) -> Tensor:
        """Return the raw output for images and embeddings ``(batch, width)`` of all else."""
        n, _, height, width = x.shape
        tokens = self.x_embedder(x) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens, emb)
        p = self.patch
        numbers = self.final_layer(tokens, emb).reshape(
            n, height // p, width // p, p, p, self.out_channels
        )
        return numbers.permute(0, 5, 1, 3, 2, 4).reshape(n, self.out_channels, height, width)
