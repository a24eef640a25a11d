"""Transformers of k-diffusion: ``image_transformer_v1``, and ``_v2`` with several resolutions.

Written from the paper (Crowson et al. 2024, arXiv:2401.11605, section 4 and appendix) and the shapes of the published
weights. Parameters have the names of those weights.

The inputs are an image, ln(sigma) / 4, class numbers, and the parameters of a data augmentation, all 0 in sampling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .k_attention import (
    global_attention,
    neighbourhood_attention,
    rotate_pairs,
    rotation_angles,
    token_coordinates,
    window_attention,
)
from .k_image_v1 import FourierFeatures

EPS = 1e-6
AUGMENTED = 9
"""Number of parameters that describe a data augmentation."""
HEAD = 64
"""Channels of an attention head of ``image_transformer_v1``."""


class Norm(nn.Module):
    """Root-mean-square normalisation, scaled by the embedding or, if none, by a learned vector."""

    def __init__(self, width: int, embedding: int = 0) -> None:
        super().__init__()
        if embedding:
            self.linear = nn.Linear(embedding, width, bias=False)
        else:
            self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, emb: Tensor | None = None) -> Tensor:
        """Map ``(…, width)`` to the same shape; with ``emb``, ``x`` is ``(batch, h, w, width)``."""
        normed = F.rms_norm(x, x.shape[-1:], eps=EPS)
        return normed * (self.scale if emb is None else 1 + self.linear(emb)[:, None, None])


class Perceptron(nn.Module):
    """Perceptron with a GELU gate (GEGLU, Shazeer 2020, arXiv:2002.05202) and a skip connection."""

    def __init__(self, width: int, hidden: int, embedding: int = 0) -> None:
        super().__init__()
        self.norm = Norm(width, embedding)
        self.up_proj = nn.Linear(width, 2 * hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, *emb: Tensor) -> Tensor:
        """Map ``(…, width)`` to the same shape; ``emb`` are the arguments of :class:`Norm`."""
        passed, gate = self.up_proj(self.norm(x, *emb)).chunk(2, -1)
        return x + self.down_proj(passed * F.gelu(gate))


class MappingNetwork(nn.Module):
    """Perceptrons that transform the summed embedding of noise level, augmentation and class."""

    def __init__(self, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.in_norm, self.out_norm = Norm(width), Norm(width)
        self.blocks = nn.ModuleList(Perceptron(width, hidden) for _ in range(depth))

    def forward(self, emb: Tensor) -> Tensor:
        """Map ``(batch, width)`` to the same shape."""
        emb = self.in_norm(emb)
        for block in self.blocks:
            emb = block(emb)
        return self.out_norm(emb)


class _Transformer(nn.Module):
    """Base class of both versions, which embeds noise level, augmentation and class."""

    def __init__(self, width: int, hidden: int, depth: int, labels: int) -> None:
        super().__init__()
        self.time_emb = FourierFeatures(1, width)
        self.time_in_proj = nn.Linear(width, width, bias=False)
        self.aug_emb = FourierFeatures(AUGMENTED, width)
        self.aug_in_proj = nn.Linear(width, width, bias=False)
        self.class_emb = nn.Embedding(labels, width) if labels else None
        self.mapping = MappingNetwork(width, hidden, depth)

    def embed_inputs(self, c_noise: Tensor, labels: Tensor | None) -> Tensor:
        """Return the embedding ``(batch, width)`` of ``c_noise`` and ``labels`` ``(batch,)``."""
        emb = self.time_in_proj(self.time_emb(c_noise[:, None]))
        emb = emb + self.aug_in_proj(self.aug_emb(c_noise.new_zeros(1, AUGMENTED)))
        if self.class_emb is not None:
            assert labels is not None
            emb = emb + self.class_emb(labels)
        return self.mapping(emb)


def _split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Split ``(batch, h, w, 3 width)`` into query, key, value ``(batch, heads, h, w, head)``."""
    q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(3, 0, 4, 1, 2, 5)
    return q, k, v


def _merge_heads(x: Tensor) -> Tensor:
    """Merge outputs ``(batch, heads, h, w, head)`` of the heads into ``(batch, h, w, width)``."""
    return x.permute(0, 2, 3, 1, 4).flatten(3)


class AttentionV1(nn.Module):
    """Cosine attention of each token to all; position rotates all channels of queries and keys."""

    LARGEST = math.log(100.0)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD
        self.norm = Norm(width, width)
        self.qkv_proj = nn.Linear(width, 3 * width, bias=False)
        self.qk_norm = nn.ParameterDict({"scale": torch.full((self.heads,), math.log(10.0))})
        logs = torch.linspace(math.log(math.pi), math.log(5 * math.pi), HEAD // 4)
        logs = logs.repeat(self.heads, 1)
        self.pos_emb = nn.ParameterDict({"freqs_h": logs, "freqs_w": logs.clone()})
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, at: Tensor, emb: Tensor) -> Tensor:
        """Map ``x`` ``(batch, h, w, width)`` at ``at`` ``(h, w, 2)``, given ``emb``, to its shape."""
        q, k, v = _split_heads(self.qkv_proj(self.norm(x, emb)), self.heads)
        log = self.qk_norm["scale"].clamp(max=self.LARGEST)[:, None, None, None]
        scale = torch.exp(0.5 * log - 0.25 * math.log(HEAD))
        down, across = (self.pos_emb[name].exp() for name in ("freqs_h", "freqs_w"))
        angle = rotation_angles(at, down, across)

        def normalised(t: Tensor) -> Tensor:
            t = F.rms_norm(t, t.shape[-1:], eps=EPS) * scale
            return torch.stack(rotate_pairs(t[..., 0::2], t[..., 1::2], angle), -1).flatten(-2)

        return x + self.out_proj(_merge_heads(global_attention(normalised(q), normalised(k), v)))


class AttentionV2(nn.Module):
    """Cosine attention of a configured kind; position rotates the first half of a head's channels.

    Args:
        width: channels of the states.
        embedding: channels of the embedding.
        kind: configuration. ``type`` is ``global``, ``neighborhood`` or ``shifted-window``, ``d_head`` the channels of
            a head, and ``kernel_size`` or ``window_size`` a side in tokens.
        index: number of the layer in its level. Windows of odd layers are shifted by half a window.

    Raises:
        ValueError: ``kernel_size`` is even.
    """

    def __init__(self, width: int, embedding: int, kind: Mapping[str, Any], index: int) -> None:
        super().__init__()
        self.kind, head = kind["type"], kind.get("d_head", 64)
        self.heads = width // head
        self.size = {
            "neighborhood": kind.get("kernel_size", 7),
            "shifted-window": kind.get("window_size", 0),
            "global": 0,
        }[self.kind]
        if self.kind == "neighborhood" and self.size % 2 == 0:
            raise ValueError(f"kernel_size {self.size} of a neighbourhood must be odd")
        self.shift = self.size // 2 if index % 2 else 0
        self.norm = Norm(width, embedding)
        self.qkv_proj = nn.Linear(width, 3 * width, bias=False)
        self.scale = nn.Parameter(torch.full((self.heads,), 10.0))
        self.pos_emb = nn.Module()
        self.pos_emb.register_buffer("freqs", torch.ones(self.heads, head // 8))
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, at: Tensor, emb: Tensor) -> Tensor:
        """Map ``x`` ``(batch, h, w, width)`` at ``at`` ``(h, w, 2)``, given ``emb``, to its shape."""
        q, k, v = _split_heads(self.qkv_proj(self.norm(x, emb)), self.heads)
        frequencies = self.pos_emb.get_buffer("freqs")
        angle = rotation_angles(at, frequencies, frequencies)
        scale = self.scale.sqrt()[:, None, None, None]

        def normalised(t: Tensor) -> Tensor:
            t = t * scale * torch.rsqrt(t.square().sum(-1, keepdim=True) + EPS)
            first, second, rest = t.split([angle.shape[-1]] * 2 + [t.shape[-1] // 2], -1)
            return torch.cat([*rotate_pairs(first, second, angle), rest], -1)

        q, k = normalised(q), normalised(k)
        if self.kind == "neighborhood":
            out = neighbourhood_attention(q, k, v, self.size)
        elif self.kind == "shifted-window":
            out = window_attention(q, k, v, self.size, self.shift)
        else:
            out = global_attention(q, k, v, 1.0)
        return x + self.out_proj(_merge_heads(out))


class Layer(nn.Module):
    """Transformer layer: optional attention, then a perceptron."""

    def __init__(self, attention: nn.Module | None, width: int, hidden: int, emb: int) -> None:
        super().__init__()
        self.self_attn = attention
        self.ff = Perceptron(width, hidden, emb)

    def forward(self, x: Tensor, at: Tensor, emb: Tensor) -> Tensor:
        """Map ``x`` ``(batch, h, w, width)`` at ``at`` ``(h, w, 2)``, given ``emb``, to its shape."""
        return self.ff(x if self.self_attn is None else self.self_attn(x, at, emb), emb)


def _gather_patches(x: Tensor, patch: Sequence[int], *, channels_first: bool) -> Tensor:
    """Merge each patch[0] × patch[1] positions of ``(batch, h, w, c)`` into one token.

    A token's values are in the order (c, row, column) if ``channels_first``, else (row, column, c).
    """
    n, h, w, c = x.shape
    cut = x.reshape(n, h // patch[0], patch[0], w // patch[1], patch[1], c)
    order = (0, 1, 3, 5, 2, 4) if channels_first else (0, 1, 3, 2, 4, 5)
    return cut.permute(order).flatten(3)


def _spread_patches(x: Tensor, patch: Sequence[int], *, channels_first: bool) -> Tensor:
    """Invert :func:`_gather_patches`."""
    n, h, w, numbers = x.shape
    c = numbers // (patch[0] * patch[1])
    shape = (c, *patch) if channels_first else (*patch, c)
    order = (0, 1, 4, 2, 5, 3) if channels_first else (0, 1, 3, 2, 4, 5)
    return x.reshape(n, h, w, *shape).permute(order).reshape(n, h * patch[0], w * patch[1], c)


class KTransformerV1(_Transformer):
    """Transformer ``image_transformer_v1``, called with images, ln(sigma) / 4 and class numbers.

    Args:
        channels: channels of the images.
        width: channels of the states, a multiple of 64.
        hidden: hidden width of the perceptrons.
        depth: number of layers.
        patch: height and width of a patch in pixels.
        labels: rows of the table of class embeddings, the last for "no label"; 0 without classes.
    """

    def __init__(
        self,
        *,
        channels: int,
        width: int,
        hidden: int,
        depth: int,
        patch: Sequence[int],
        labels: int = 0,
    ) -> None:
        super().__init__(width, hidden, 2, labels)
        self.patch = tuple(patch)
        numbers = channels * patch[0] * patch[1]
        self.in_proj = nn.Linear(numbers, width, bias=False)
        self.blocks = nn.ModuleList(
            Layer(AttentionV1(width), width, hidden, width) for _ in range(depth)
        )
        self.out_norm, self.out_proj = Norm(width), nn.Linear(width, numbers, bias=False)

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the raw output for ``x``, both ``(batch, channels, height, width)``.

        ``c_noise`` ``(batch,)`` is ln(sigma) / 4. ``labels`` ``(batch,)`` are class numbers, None without classes.
        """
        emb = self.embed_inputs(c_noise, labels)
        x = self.in_proj(_gather_patches(x.movedim(1, -1), self.patch, channels_first=True))
        at = token_coordinates(x.shape[1], x.shape[2], x, self.patch[0] / self.patch[1])
        x = _run_layers(self.blocks, x, at, emb)
        out = self.out_proj(self.out_norm(x))
        return _spread_patches(out, self.patch, channels_first=True).movedim(-1, 1)


class TokenMerge(nn.Module):
    """Layer that reduces the resolution: it maps each patch of tokens to one token."""

    def __init__(self, c_in: int, c_out: int, patch: Sequence[int] = (2, 2)) -> None:
        super().__init__()
        self.patch = tuple(patch)
        self.proj = nn.Linear(c_in * patch[0] * patch[1], c_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, h, w, c_in)`` to ``(batch, h / patch[0], w / patch[1], c_out)``."""
        return self.proj(_gather_patches(x, self.patch, channels_first=False))


class TokenSplit(nn.Module):
    """Layer that maps each token to a patch and, if ``mixed``, blends it with a skip connection."""

    def __init__(
        self, c_in: int, c_out: int, patch: Sequence[int] = (2, 2), *, mixed: bool = True
    ) -> None:
        super().__init__()
        self.patch = tuple(patch)
        self.proj = nn.Linear(c_in, c_out * patch[0] * patch[1], bias=False)
        self.fac = nn.Parameter(torch.full((1,), 0.5)) if mixed else None

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Map ``(batch, h, w, c_in)`` to ``(batch, patch[0] h, patch[1] w, c_out)``."""
        x = _spread_patches(self.proj(x), self.patch, channels_first=False)
        return x if self.fac is None or skip is None else torch.lerp(skip, x, self.fac)


class KTransformerV2(_Transformer):
    """Hourglass ``image_transformer_v2``, called with images, ln(sigma) / 4 and class numbers.

    Args:
        channels: channels of the images.
        patch: height and width of a patch in pixels.
        widths: channels of the states of each level, the finest first.
        depths: number of layers of each level, before the coarser levels and again after them; the coarsest runs once.
        hidden: hidden width of the perceptrons of each level.
        attention: one configuration for each level, as in :class:`AttentionV2`, or of ``type`` ``none``.
        embedding, embedding_hidden, embedding_depth: width, hidden width and depth of :class:`MappingNetwork`.
        labels: rows of the table of class embeddings, the last for "no label"; 0 without classes.
    """

    def __init__(
        self,
        *,
        channels: int,
        patch: Sequence[int],
        widths: Sequence[int],
        depths: Sequence[int],
        hidden: Sequence[int],
        attention: Sequence[Mapping[str, Any]],
        embedding: int,
        embedding_hidden: int,
        embedding_depth: int,
        labels: int = 0,
    ) -> None:
        super().__init__(embedding, embedding_hidden, embedding_depth, labels)

        def layer(i: int, index: int) -> Layer:
            kind, width = attention[i], widths[i]
            attends = AttentionV2(width, embedding, kind, index) if kind["type"] != "none" else None
            return Layer(attends, width, hidden[i], embedding)

        def level(i: int, first: int) -> nn.ModuleList:
            return nn.ModuleList(layer(i, first + index) for index in range(depths[i]))

        last = len(widths) - 1
        self.patch_in = TokenMerge(channels, widths[0], patch)
        self.down_levels = nn.ModuleList(level(i, 0) for i in range(last))
        self.up_levels = nn.ModuleList(level(i, depths[i]) for i in range(last))
        self.mid_level = level(last, 0)
        self.merges = nn.ModuleList(TokenMerge(widths[i], widths[i + 1]) for i in range(last))
        self.splits = nn.ModuleList(TokenSplit(widths[i + 1], widths[i]) for i in range(last))
        self.out_norm = Norm(widths[0])
        self.patch_out = TokenSplit(widths[0], channels, patch, mixed=False)

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the raw output for ``x``, both ``(batch, channels, height, width)``.

        ``c_noise`` ``(batch,)`` is ln(sigma) / 4. ``labels`` ``(batch,)`` are class numbers, None without classes.
        """
        emb = self.embed_inputs(c_noise, labels)
        x = self.patch_in(x.movedim(1, -1))
        at = token_coordinates(x.shape[1], x.shape[2], x)
        skips: list[tuple[Tensor, Tensor]] = []
        for i, merge in enumerate(self.merges):
            x = _run_layers(self.down_levels[i], x, at, emb)
            skips.append((x, at))
            x = merge(x)
            at = F.avg_pool2d(at.movedim(-1, 0)[None], 2)[0].movedim(0, -1)
        x = _run_layers(self.mid_level, x, at, emb)
        for i in reversed(range(len(self.splits))):
            skip, at = skips[i]
            x = _run_layers(self.up_levels[i], self.splits[i](x, skip), at, emb)
        return self.patch_out(self.out_norm(x)).movedim(-1, 1)


def _run_layers(layers: nn.Module, x: Tensor, at: Tensor, emb: Tensor) -> Tensor:
    """Return the state ``x`` after all layers, in order."""
    for layer in layers.children():
        x = layer(x, at, emb)
    return x
