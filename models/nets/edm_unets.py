"""Raw networks of EDM checkpoints: DDPM++, NCSN++ (:class:`SongUNet`), ADM (:class:`DhariwalUNet`).

Written from the papers: Song et al. 2021, arXiv:2011.13456, appendix H; Dhariwal & Nichol 2021, arXiv:2105.05233;
Karras et al. 2022, arXiv:2206.00364, appendix F.1 and Table 7. Arguments and parameters have the names of the published
checkpoints. Dropout and augmentation are accepted as arguments and have no effect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .edm_layers import (
    Block,
    Conv,
    FourierEmbedding,
    GroupNorm,
    LevelUNet,
    Resample,
    SinusoidalEmbedding,
)


class SongUNet(LevelUNet):
    """U-Net of DDPM++ and NCSN++.

    Args:
        img_resolution: side of the images.
        in_channels, out_channels: channels of images and outputs.
        label_dim: number of classes; 0 for none.
        augment_dim: number of parameters of a data augmentation; 0 for none.
        model_channels, channel_mult: base width, and its factor at each resolution, the finest first.
        num_blocks: number of encoder blocks at each resolution; the decoder has one more.
        channel_mult_emb: width of the embedding, in units of ``model_channels``.
        attn_resolutions: sides of the resolutions with attention.
        embedding_type: ``positional`` (DDPM++) or ``fourier`` (NCSN++).
        channel_mult_noise: width of the embedded noise level, in units of ``model_channels``.
        encoder_type: ``standard``; ``skip`` to add the downsampled image at every resolution;
            ``residual`` to add learned downsamplings of the image, one after the other.
        decoder_type: ``standard``, or ``skip`` to add up images from all resolutions.
        resample_filter: filter taps for changes of resolution.
        dropout, label_dropout: ignored.

    Raises:
        ValueError: ``embedding_type``, ``encoder_type`` or ``decoder_type`` is unknown.
    """

    def __init__(
        self,
        img_resolution: int,
        in_channels: int,
        out_channels: int,
        label_dim: int = 0,
        augment_dim: int = 0,
        model_channels: int = 128,
        channel_mult: Sequence[int] = (1, 2, 2, 2),
        channel_mult_emb: int = 4,
        num_blocks: int = 4,
        attn_resolutions: Sequence[int] = (16,),
        dropout: float = 0.1,  # noqa: ARG002
        label_dropout: float = 0,  # noqa: ARG002
        embedding_type: str = "positional",
        channel_mult_noise: int = 1,
        encoder_type: str = "standard",
        decoder_type: str = "standard",
        resample_filter: Sequence[float] = (1, 1),
    ) -> None:
        _check_choice("embedding_type", embedding_type, "positional", "fourier")
        _check_choice("encoder_type", encoder_type, "standard", "skip", "residual")
        _check_choice("decoder_type", decoder_type, "standard", "skip")
        c_noise, c_emb = model_channels * channel_mult_noise, model_channels * channel_mult_emb

        def make_block(c_in: int, c_out: int, _: bool, attends: bool, resample: Resample) -> Block:
            return Block(
                c_in, c_out, c_emb, resample=resample, taps=resample_filter, heads=int(attends),
                eps=1e-6, adaptive=False, projected=True, weight=math.sqrt(0.5),
            )  # fmt: skip

        super().__init__()
        self.widths = [model_channels * factor for factor in channel_mult]
        stem = Conv(in_channels, model_channels, 3)
        self._add_levels(
            img_resolution, self.widths, num_blocks, stem, model_channels, attn_resolutions,
            make_block, everywhere=False,
        )  # fmt: skip
        self.map_noise = (
            SinusoidalEmbedding(c_noise, reaches_end=True)
            if embedding_type == "positional"
            else FourierEmbedding(c_noise)
        )
        self.map_label = nn.Linear(label_dim, c_noise) if label_dim else None
        self.map_augment = nn.Linear(augment_dim, c_noise, bias=False) if augment_dim else None
        self.map_layer0 = nn.Linear(c_noise, c_emb)
        self.map_layer1 = nn.Linear(c_emb, c_emb)
        self._add_image_layers(
            encoder_type, decoder_type, in_channels, out_channels, resample_filter
        )

    def _add_image_layers(
        self, encoder: str, decoder: str, c_in: int, c_out: int, taps: Sequence[float]
    ) -> None:
        c = c_in
        # layers that add the image have the output width of the next finer resolution
        for side, width in zip(self.sides[1:], self.widths, strict=False):
            at = f"{side}x{side}"
            if encoder == "skip":
                self.enc[f"{at}_aux_down"] = Conv(c, c, 0, "down", taps)
                self.enc[f"{at}_aux_skip"] = Conv(c, width, 1)
            elif encoder == "residual":
                self.enc[f"{at}_aux_residual"] = Conv(c, width, 3, "down", taps, folded=True)
                c = width
        for level, (side, width) in enumerate(zip(self.sides, self.widths, strict=True)):
            at = f"{side}x{side}"
            if decoder == "skip" and level < len(self.sides) - 1:
                self.dec[f"{at}_aux_up"] = Conv(c_out, c_out, 0, "up", taps)
            if decoder == "skip" or level == 0:
                self.dec[f"{at}_aux_norm"] = GroupNorm(width, 1e-6)
                self.dec[f"{at}_aux_conv"] = Conv(width, c_out, 3)

    def forward(self, x: Tensor, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the raw output ``(batch, out_channels, side, side)``; ``x`` has ``in_channels``.

        ``noise`` ``(batch,)`` is the network's input for the noise level. ``labels`` ``(batch, label_dim)`` are one-hot
        rows, or zeros for "no label"; None if there are no classes.
        """
        cos, sin = self.map_noise(noise).chunk(2, dim=1)
        emb = torch.cat([sin, cos], dim=1)  # the published weights expect sines first
        if self.map_label is not None:
            assert labels is not None
            emb = emb + self.map_label(labels * math.sqrt(self.map_label.in_features))
        emb = F.silu(self.map_layer1(F.silu(self.map_layer0(emb))))
        image: Tensor | None = None
        for at, state in self._run_levels(x, emb):
            image = self._add_image_output(at, state, image)
        assert image is not None
        return image

    def _add_image_output(self, at: str, x: Tensor, image: Tensor | None) -> Tensor | None:
        """Return ``image`` upsampled to level ``at``, plus an image of ``x`` if it makes one."""
        if image is not None:
            image = self.dec[f"{at}_aux_up"](image)
        if f"{at}_aux_conv" not in self.dec:
            return image
        contribution = self.dec[f"{at}_aux_conv"](F.silu(self.dec[f"{at}_aux_norm"](x)))
        return contribution if image is None else image + contribution


class DhariwalUNet(LevelUNet):
    """U-Net of ADM; the arguments mean the same as for :class:`SongUNet`."""

    def __init__(
        self,
        img_resolution: int,
        in_channels: int,
        out_channels: int,
        label_dim: int = 0,
        augment_dim: int = 0,
        model_channels: int = 192,
        channel_mult: Sequence[int] = (1, 2, 3, 4),
        channel_mult_emb: int = 4,
        num_blocks: int = 3,
        attn_resolutions: Sequence[int] = (32, 16, 8),
        dropout: float = 0.1,  # noqa: ARG002
        label_dropout: float = 0,  # noqa: ARG002
    ) -> None:
        c_emb = model_channels * channel_mult_emb

        def make_block(c_in: int, c_out: int, _: bool, attends: bool, resample: Resample) -> Block:
            return Block(
                c_in, c_out, c_emb, resample=resample, taps=(1, 1),
                heads=c_out // 64 if attends else 0, eps=1e-5, adaptive=True, projected=False, weight=1.0,
            )  # fmt: skip

        super().__init__()
        widths = [model_channels * factor for factor in channel_mult]
        stem = Conv(in_channels, model_channels, 3)
        self._add_levels(
            img_resolution, widths, num_blocks, stem, model_channels, attn_resolutions, make_block
        )
        self.map_noise = SinusoidalEmbedding(model_channels, reaches_end=False)
        self.map_augment = (
            nn.Linear(augment_dim, model_channels, bias=False) if augment_dim else None
        )
        self.map_layer0 = nn.Linear(model_channels, c_emb)
        self.map_layer1 = nn.Linear(c_emb, c_emb)
        self.map_label = nn.Linear(label_dim, c_emb, bias=False) if label_dim else None
        self.out_norm = GroupNorm(widths[0])
        self.out_conv = Conv(widths[0], out_channels, 3)

    def forward(self, x: Tensor, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the raw output; arguments as for :meth:`SongUNet.forward`."""
        emb = self.map_layer1(F.silu(self.map_layer0(self.map_noise(noise))))
        if self.map_label is not None:
            assert labels is not None
            emb = emb + self.map_label(labels)
        emb = F.silu(emb)
        for _, state in self._run_levels(x, emb):
            x = state
        return self.out_conv(F.silu(self.out_norm(x)))


def _check_choice(name: str, value: str, *choices: str) -> None:
    """Raise a ValueError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is none of {', '.join(choices)}")
