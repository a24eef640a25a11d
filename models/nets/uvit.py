"""U-ViT: a transformer with long skip connections, in which time, label and patches are tokens.

Written from the paper (Bao et al. 2023, arXiv:2209.12152, section 3). Parameters have the names of the published
checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .dit import Attention, assemble_patches, flatten_to_tokens, patch_embedding, perceptron
from .edm_layers import SinusoidalEmbedding


class Block(nn.Module):
    """Transformer block; if ``skips``, a linear layer first merges in an earlier block's output."""

    def __init__(self, width: int, heads: int, hidden: int, *, bias: bool, skips: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads, bias=bias)
        self.mlp = perceptron(width, hidden, "none")
        self.skip_linear = nn.Linear(2 * width, width) if skips else None

    def forward(self, x: Tensor, earlier: Tensor | None = None) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same shape, merging ``earlier`` in if ``skips``."""
        if self.skip_linear is not None and earlier is not None:
            x = self.skip_linear(torch.cat([x, earlier], -1))
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class UViT(nn.Module):
    """Transformer called with images or latents, times and class numbers.

    Args:
        side: height and width of the image, divisible by ``patch``.
        channels: channels of image and output.
        patch: side of the patch of pixels that is one token.
        width: channels of a token, even.
        half_depth: number of blocks before the middle block, and again after it.
        heads: number of attention heads.
        hidden: hidden width of the perceptrons.
        labels: rows of the table of label embeddings; 0 for no labels.
        bias: True if the projection to queries, keys and values has a bias.
        time_layers: True if the sinusoids of the time go through two layers.
        smoothed: True if the output goes through a 3 × 3 convolution.
    """

    def __init__(
        self,
        *,
        side: int,
        channels: int,
        patch: int,
        width: int,
        half_depth: int,
        heads: int,
        hidden: int,
        labels: int = 0,
        bias: bool = False,
        time_layers: bool = False,
        smoothed: bool = True,
    ) -> None:
        super().__init__()
        self.patch, self.extra = patch, 2 if labels else 1
        self.embed = SinusoidalEmbedding(width, reaches_end=False)
        self.patch_embed = patch_embedding(channels, width, patch)
        if time_layers:
            self.time_embed = nn.Sequential(
                nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width)
            )
        else:
            self.time_embed = nn.Identity()
        if labels:
            self.label_emb = nn.Embedding(labels, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.extra + (side // patch) ** 2, width))

        def block(*, skips: bool) -> Block:
            return Block(width, heads, hidden, bias=bias, skips=skips)

        self.in_blocks = nn.ModuleList(block(skips=False) for _ in range(half_depth))
        self.mid_block = block(skips=False)
        self.out_blocks = nn.ModuleList(block(skips=True) for _ in range(half_depth))
        self.norm = nn.LayerNorm(width)
        self.decoder_pred = nn.Linear(width, patch**2 * channels)
        self.final_layer = (
            nn.Conv2d(channels, channels, 3, padding=1) if smoothed else nn.Identity()
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return the raw output for ``x``, both ``(batch, channels, side, side)``.

        Times ``t`` and ``labels``, int64, are ``(batch,)``. ``labels`` are None if there is no table of labels.
        """
        tokens = flatten_to_tokens(self.patch_embed(x))
        tokens = torch.cat([self.time_embed(self.embed(t))[:, None], tokens], 1)
        if self.extra == 2:
            assert labels is not None
            tokens = torch.cat([self.label_emb(labels)[:, None], tokens], 1)
        tokens = tokens + self.pos_embed
        skips = []
        for block in self.in_blocks:
            tokens = block(tokens)
            skips.append(tokens)
        tokens = self.mid_block(tokens)
        for block in self.out_blocks:
            tokens = block(tokens, skips.pop())
        numbers = self.decoder_pred(self.norm(tokens))[:, self.extra :]
        return self.final_layer(assemble_patches(numbers, self.patch, x))
