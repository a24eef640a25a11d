"""A network that makes an image of a noise in one step.

Every layer is fully connected, as only such a layer compares a whole noise with others.
"""

from __future__ import annotations

from torch import Tensor, nn


class OneShot(nn.Module):
    """Two linear layers, to a narrow space and back, and residual blocks between them.

    Args:
        pixels: numbers of a noise, and of an image.
        width: of the narrow space.
        blocks: how many blocks.
    """

    def __init__(self, pixels: int = 784, width: int = 64, blocks: int = 2) -> None:
        super().__init__()
        self.read = nn.Linear(pixels, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, 2 * width),
                nn.SiLU(),
                nn.Linear(2 * width, width),
            )
            for _ in range(blocks)
        )
        self.write = nn.Linear(width, pixels)

    def forward(self, z: Tensor) -> Tensor:
        """Images of noises ``z`` ``(n, *event)`` of standard deviation 1, of the same shape."""
        h = self.read(z.flatten(1))
        for block in self.blocks:
            h = h + block(h)
        return self.write(h).reshape(z.shape)
