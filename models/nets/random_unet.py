"""Models ``random-unet-32`` and ``random-unet-64``: U-Nets of a usual size with random weights, for timing
only.

The cost of a network depends on its shape, not on its weights. These have the shipped architecture
on colour images, five times as wide and at full resolution, to keep a GPU as busy as a useful network
does. They have no reference, and their quality columns mean nothing.
"""

from __future__ import annotations

import copy
from functools import cached_property

import torch
from torch import Tensor, nn

from ..denoiser import Denoiser, per_row
from .edm import EDMPrecond
from .unet import UNet

SEED = 20220601
SIGMA_DATA = 0.5


class RandomUNet(Denoiser):
    """U-Net with EDM's preconditioning, no classes, and weights that are a function of a fixed seed.

    Every weight is drawn, also those that training starts at zero: a GPU takes less power for
    zeros. With variances of 1 / fan-in, activations keep their size, and so does the denoiser. At
    width 256 an evaluation at 32 × 32 takes 7 billion multiplications, as many as with the usual
    networks for CIFAR-10.

    Args:
        side: height and width of the images, divisible by 2.
        width: channels at full resolution, divisible by 16; twice as many at half of it.

    Raises:
        ValueError: a side or a width that does not divide.
    """

    dtype = torch.float32

    def __init__(self, side: int, width: int) -> None:
        if side < 2 or side % 2:
            raise ValueError(f"random-unet needs an even side, got {side}")
        if width < 16 or width % 16:
            raise ValueError(f"random-unet-{side} needs a width that 16 divides, got {width}")
        self.name, self.event = f"random-unet-{side}", (3, side, side)
        self.identity = f"random-unet-{side}-v1-width{width}"
        self.width = width

    @cached_property
    def _net(self) -> nn.Module:
        """Network, made at its first use: a listing needs none."""
        net = UNet(
            in_channels=3,
            channels=(self.width, 2 * self.width),
            embedding=4 * self.width,
            patch=1,
            labels=0,
        )
        randomise(net, torch.Generator().manual_seed(SEED))
        return (
            EDMPrecond(net, SIGMA_DATA)
            .to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            .eval()
            .requires_grad_(False)
        )

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG002
        """See :meth:`Denoiser.denoise`; labels are ignored."""
        level = per_row(sigma, x, x.dtype)
        none = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return self._net(x.contiguous(memory_format=torch.channels_last), level, none).contiguous()

    def to(self, device: torch.device | str) -> RandomUNet:
        """Return a copy of this model with its weights on ``device``."""
        twin = copy.copy(self)
        twin._net = copy.deepcopy(self._net).to(device)
        return twin


@torch.no_grad()
def randomise(net: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights of two or more dimensions from N(0, 1 / f), f numbers an output, in
    place; set biases to 0, leave scales at 1.
    """
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            parameter.copy_(
                torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5
            )
        elif name.endswith("bias"):
            parameter.zero_()


def random_unet_32(width: int = 256) -> RandomUNet:
    """``random-unet-32``: 3 × 32 × 32."""
    return RandomUNet(32, width)


def random_unet_64(width: int = 256) -> RandomUNet:
    """``random-unet-64``: 3 × 64 × 64."""
    return RandomUNet(64, width)
