"""Diffusion transformers: DiT, SiT, REPA, MeanFlow; LightningDiT and JiT (:class:`RotaryDiT`).

Written from the papers: Peebles & Xie 2023, arXiv:2212.09748, section 3 and figure 3; Ma et al. 2024, arXiv:2401.08740;
Yu et al. 2025, arXiv:2410.06940; Geng et al. 2025, arXiv:2505.13447; Yao et al. 2025, arXiv:2501.01423, section 5; Li &
He 2025, arXiv:2511.13720, section 4; Su et al. 2021, arXiv:2104.09864 (rotary positions, here in two dimensions);
Shazeer 2020, arXiv:2002.05202 (SwiGLU). Parameters have the names of the published checkpoints.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .edm_layers import SinusoidalEmbedding

EPS = 1e-6
"""Epsilon of the normalisations before attention and perceptron."""
BASE = 1e4
"""Base of the geometric progression of rotary frequencies."""


class Rotary(nn.Module):
    """Rotary position embedding for a square of tokens, in pairs of neighbouring channels.

    The row of a token rotates the first half of a head's channels, its column the second half.

    Args:
        head_width: channels of a head, divisible by 4.
        side: tokens in a row.
        before: number of tokens before the square, which are not rotated.
        persistent: True if the state dict contains cosines and sines of the angles.
    """

    freqs_cos: Tensor
    freqs_sin: Tensor

    def __init__(self, head_width: int, side: int, before: int = 0, *, persistent: bool) -> None:
        super().__init__()
        half = head_width // 2
        frequencies = BASE ** -(torch.arange(0, half, 2)[: half // 2] / half)
        line = (torch.arange(side)[:, None] * frequencies).repeat_interleave(2, 1)
        rows, columns = (part.expand(side, side, half) for part in (line[:, None], line[None]))
        grid = torch.cat([rows, columns], 2).reshape(side**2, head_width)
        angles = torch.cat([torch.zeros(before, head_width), grid])
        self.register_buffer("freqs_cos", angles.cos(), persistent)
        self.register_buffer("freqs_sin", angles.sin(), persistent)

    def forward(self, x: Tensor) -> Tensor:
        """Return queries or keys ``(batch, heads, tokens, head_width)``, rotated by position."""
        first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack([-second, first], -1).flatten(-2)
        return x * self.freqs_cos + turned * self.freqs_sin


class Attention(nn.Module):
    """Self-attention over all tokens.

    Args:
        width, heads: channels of a token, and number of heads, which divides ``width``.
        normed: True to normalise queries and keys in each head.
        rms: True to normalise them by the root mean square, False for layer normalisation.
        bias: True if the projection to queries, keys and values has a bias.
    """

    def __init__(
        self, width: int, heads: int, *, normed: bool = False, rms: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        self.heads, head_width = heads, width // heads
        norm = (lambda: nn.RMSNorm(head_width, EPS)) if rms else (lambda: nn.LayerNorm(head_width))
        self.qkv = nn.Linear(width, 3 * width, bias)
        self.q_norm = norm() if normed else nn.Identity()
        self.k_norm = norm() if normed else nn.Identity()
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, rotary: Rotary | None = None) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same shape; ``rotary``, if any, rotates q and k."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key = self.q_norm(query), self.k_norm(key)
        if rotary is not None:
            query, key = rotary(query), rotary(key)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


def perceptron(
    width: int, hidden: int, approximate: Literal["none", "tanh"] = "tanh"
) -> nn.Sequential:
    """Return two linear layers with a GELU between them, exact ("none") or by its tanh formula."""
    fc1, fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
    return nn.Sequential(OrderedDict(fc1=fc1, act=nn.GELU(approximate), fc2=fc2))


class SwiGLU(nn.Module):
    """Perceptron whose hidden layer is multiplied by the SiLU of a second projection of ``x``."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w12, self.w3 = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same shape."""
        gate, value = self.w12(x).chunk(2, -1)
        return self.w3(F.silu(gate) * value)


def _make_norm(width: int, *, rms: bool) -> nn.Module:
    return nn.RMSNorm(width, EPS) if rms else nn.LayerNorm(width, EPS, elementwise_affine=False)


def _modulate(x: Tensor, shift: Tensor | None, scale: Tensor) -> Tensor:
    """Return tokens times 1 + ``scale``, plus ``shift`` (None: 0), both ``(batch, width)``."""
    scaled = x * (1 + scale[:, None])
    return scaled if shift is None else scaled + shift[:, None]


class Block(nn.Module):
    """Block of attention and a perceptron, each scaled, shifted and gated by the embedding (adaLN).

    Args:
        width, heads, hidden: channels of a token, number of heads, and hidden width of the perceptron.
        normed, rms, swiglu, shift: see :class:`DiT`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        normed: bool,
        rms: bool,
        swiglu: bool,
        shift: bool,
    ) -> None:
        super().__init__()
        self.shift = shift
        self.norm1, self.norm2 = _make_norm(width, rms=rms), _make_norm(width, rms=rms)
        self.attn = Attention(width, heads, normed=normed, rms=rms)
        self.mlp = SwiGLU(width, hidden) if swiglu else perceptron(width, hidden)
        numbers = (6 if shift else 4) * width
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, numbers))

    def forward(self, x: Tensor, emb: Tensor, rotary: Rotary | None) -> Tensor:
        """Map ``x`` ``(batch, tokens, width)`` to the same shape, by ``emb`` ``(batch, width)``."""
        modulation = self.adaLN_modulation(emb)
        if self.shift:
            shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, 1)
        else:
            (scale1, gate1, scale2, gate2), shift1, shift2 = modulation.chunk(4, 1), None, None
        x = x + gate1[:, None] * self.attn(_modulate(self.norm1(x), shift1, scale1), rotary)
        return x + gate2[:, None] * self.mlp(_modulate(self.norm2(x), shift2, scale2))


class FinalLayer(nn.Module):
    """Output layer, which maps each token to the ``numbers`` values of its patch."""

    def __init__(self, width: int, numbers: int, *, rms: bool) -> None:
        super().__init__()
        self.norm_final = _make_norm(width, rms=rms)
        self.linear = nn.Linear(width, numbers)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Map ``(batch, tokens, width)``, given ``emb``, to ``(batch, tokens, numbers)``."""
        shift, scale = self.adaLN_modulation(emb).chunk(2, 1)
        return self.linear(_modulate(self.norm_final(x), shift, scale))


def patch_embedding(channels: int, width: int, patch: int, narrow: int = 0) -> nn.Sequential:
    """Return layers from an image to ``width`` channels a patch, through ``narrow`` if not 0."""
    if not narrow:
        return nn.Sequential(OrderedDict(proj=nn.Conv2d(channels, width, patch, patch)))
    first = nn.Conv2d(channels, narrow, patch, patch, bias=False)
    return nn.Sequential(OrderedDict(proj1=first, proj2=nn.Conv2d(narrow, width, 1)))


def flatten_to_tokens(x: Tensor) -> Tensor:
    """Return a map ``(batch, width, h, w)`` as tokens ``(batch, h w, width)``, row by row."""
    return x.flatten(2).transpose(1, 2)


def assemble_patches(numbers: Tensor, patch: int, like: Tensor) -> Tensor:
    """Assemble patches ``(batch, tokens, patch² channels)`` into images as large as ``like``."""
    n, _, height, width = like.shape
    squares = numbers.reshape(n, height // patch, width // patch, patch, patch, -1)
    return squares.permute(0, 5, 1, 3, 2, 4).reshape(n, -1, height, width)


def time_embedding(width: int, frequencies: int) -> nn.Sequential:
    """Return a module from times ``(batch,)`` to ``(batch, width)``: sinusoids and two layers."""
    mlp = nn.Sequential(nn.Linear(frequencies, width), nn.SiLU(), nn.Linear(width, width))
    embed = SinusoidalEmbedding(frequencies, reaches_end=False)
    return nn.Sequential(OrderedDict(embed=embed, mlp=mlp))


class DiT(nn.Module):
    """Transformer called with images or latents, times and class numbers.

    Args:
        side: height and width of the image, divisible by ``patch``.
        in_channels, out_channels: channels of images and outputs. Outputs with a learned variance have twice as many.
        patch: side of the patch of pixels that is one token.
        width: channels of a token.
        depth: number of blocks.
        heads: number of attention heads.
        hidden: hidden width of the perceptrons.
        labels: rows of the table of label embeddings, the last for "no label".
        frequencies: number of sinusoids of the time, even.
        normed: True if queries and keys are normalised.
        interval: "" for networks whose only time input is t. MeanFlow also takes t - r, and
            predicts the mean velocity between r and t. ``whole`` sets r = 0, ``none`` sets r = t.
        rms: True for root-mean-square normalisations with weights, False for layer normalisations without.
        swiglu: True for :class:`SwiGLU`, False for :func:`perceptron`.
        rotary: True if attention rotates queries and keys by position.
        shift: True if the embedding scales and shifts tokens in blocks, False if it only scales.
        narrow: channels of an intermediate layer between image and tokens (JiT); 0 for none.
        told: number of label tokens that are prepended to the image's tokens (JiT); 0 for none.
        told_from: index, from 0, of the block before which the label tokens are prepended.

    Raises:
        ValueError: with ``rotary``, ``width`` is not a multiple of 4 ``heads``.
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
        rms: bool = False,
        swiglu: bool = False,
        rotary: bool = False,
        shift: bool = True,
        narrow: int = 0,
        told: int = 0,
        told_from: int = 0,
    ) -> None:
        super().__init__()
        if rotary and (width % heads or width // heads % 4):
            raise ValueError(
                f"{width} channels in {heads} heads cannot be turned in two dimensions"
            )
        self.patch, self.interval = patch, interval
        self.label_tokens, self.join_before = told, told_from
        self.x_embedder = patch_embedding(in_channels, width, patch, narrow)
        self.t_embedder = time_embedding(width, frequencies)
        if interval:
            self.r_embedder = time_embedding(width, frequencies)
        self.y_embedder = nn.ModuleDict({"embedding_table": nn.Embedding(labels, width)})
        self.pos_embed = nn.Parameter(torch.zeros(1, (side // patch) ** 2, width))
        self.feat_rope = self.turned = None
        if rotary:
            head_width = width // heads
            self.feat_rope = Rotary(head_width, side // patch, persistent=not narrow)
            if told:
                self.turned = Rotary(head_width, side // patch, told, persistent=False)
        if told:
            self.in_context_posemb = nn.Parameter(torch.zeros(1, told, width))
        self.blocks = nn.ModuleList(
            Block(width, heads, hidden, normed=normed, rms=rms, swiglu=swiglu, shift=shift)
            for _ in range(depth)
        )
        self.final_layer = FinalLayer(width, patch**2 * out_channels, rms=rms)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return the raw output ``(batch, out_channels, side, side)``; ``x`` has ``in_channels``.

        Times ``t`` and ``labels``, int64, are ``(batch,)``. The label of the last row of the table means "no label".
        """
        assert labels is not None
        label = self.y_embedder["embedding_table"](labels)
        emb = self.t_embedder(t) + label
        if self.interval:
            emb = emb + self.r_embedder(t if self.interval == "whole" else torch.zeros_like(t))
        return self.run_blocks(x, emb, label)

    def run_blocks(self, x: Tensor, emb: Tensor, label: Tensor) -> Tensor:
        """Return the raw output for images ``x``.

        ``emb`` is the embedding of times and labels, ``label`` the embedding of labels alone, both
        ``(batch, width)``.
        """
        tokens = flatten_to_tokens(self.x_embedder(x)) + self.pos_embed
        rotary = self.feat_rope
        for number, block in enumerate(self.blocks):
            if self.label_tokens and number == self.join_before:
                tokens = torch.cat([label[:, None] + self.in_context_posemb, tokens], 1)
                rotary = self.turned
            tokens = block(tokens, emb, rotary)
        return assemble_patches(
            self.final_layer(tokens[:, self.label_tokens :], emb), self.patch, x
        )


class RotaryDiT(DiT):
    """Transformer of LightningDiT and JiT: a :class:`DiT` with its own name, for checkpoints."""
