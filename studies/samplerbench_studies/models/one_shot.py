"""Network from noise to an image in one step.

Every layer is fully connected, since only such a layer compares whole noises.
"""

from __future__ import annotations

from torch import Tensor, nn


class OneShot(nn.Module):
    """Network of a linear layer to a narrow space, residual blocks, and a linear layer back.

    Args:
        pixels: number of elements of a noise and of an image.
        width: width of the narrow space.
        blocks: number of residual blocks.
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
        """Return images of standard normal noises ``z`` ``(n, *event)``, of the same shape."""
        h = self.read(z.flatten(1))
        for block in self.blocks:
            h = h + block(h)
        return self.write(h).reshape(z.shape)
