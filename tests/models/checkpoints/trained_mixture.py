"""Small networks of our own, trained for some seconds on a mixture that is known exactly, in the
conventions of the library whose checkpoints they stand for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

WIDTHS = (0.15, 0.75)
"""Standard deviations about the mean, one for each class: what is noise cannot be told from what is data
without being told the level.
"""
MODES = len(WIDTHS)

Losses = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def mean(side: int = 8) -> Tensor:
    """A smooth image, ``(1, side, side)``."""
    place = torch.linspace(0, 7, side)
    y, x = torch.meshgrid(place, place, indexing="ij")
    return 0.6 * (torch.sin(0.8 * x) * torch.cos(0.5 * y))[None]


def data(n: int, seed: int, side: int = 8) -> tuple[Tensor, Tensor]:
    """Samples ``(n, 1, side, side)`` and the class of each."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(MODES, (n,), generator=generator)
    width = torch.tensor(WIDTHS)[classes, None, None, None]
    return mean(side) + width * torch.randn(n, 1, side, side, generator=generator), classes


def exact(x: Tensor, sigma: float | Tensor, classes: Tensor | None = None) -> Tensor:
    """E[x0 | x] of the mixture, or of the given class of each sample where that is one of them.

    Args:
        x: ``(n, 1, side, side)``.
        sigma: one level, or that of each sample.
        classes: of each sample; ``MODES`` stands for none.
    """
    centre = mean(x.shape[-1]).to(x)
    off, widths = x - centre, torch.tensor(WIDTHS).to(x)
    total = widths**2 + torch.as_tensor(sigma).to(x).reshape(-1, 1) ** 2
    square = off.square().flatten(1).sum(1, keepdim=True)
    weight = (-square / (2 * total) - off[0].numel() / 2 * total.log()).softmax(1)
    if classes is not None:
        known = nn.functional.one_hot(classes, MODES + 1)[:, :MODES].to(x)
        weight = torch.where(classes[:, None] == MODES, weight, known)
    return centre + (weight * widths**2 / total).sum(1)[:, None, None, None] * off


class Exact(nn.Module):
    """A network that has learned all: what it gives is computed from E[x0 | x].

    A check of maps needs no more of a network, and this one takes a tenth of the time of a trained one.

    Args:
        path: of the native times, alpha and sigma of ``x_t = alpha x0 + sigma z``.
        output: of ``x_t``, E[x0 | x], alpha and sigma, what the network gives.
    """

    def __init__(
        self,
        path: Callable[[Tensor], tuple[Tensor, Tensor]],
        output: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.path, self.output = path, output

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        alpha, sigma = (v.to(x).reshape(-1, 1, 1, 1) for v in self.path(t))
        d = exact(x / alpha, (sigma / alpha).flatten(), labels)
        return self.output(x, d, alpha, sigma)


def trained(
    network: nn.Module, losses: Losses, *, steps: int, rate: float, batch: int, side: int = 8
) -> dict[str, Tensor]:
    """The moving average of a network's weights after so many steps of training.

    Args:
        network: is changed.
        losses: of samples and their modes, a number.
        steps, rate, batch: of Adam.
        side: of the images.
    """
    generator = torch.Generator().manual_seed(11)
    optimiser = torch.optim.Adam(network.parameters(), rate, betas=(0.9, 0.99), fused=True)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    mean = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    for step in range(steps):
        loss = losses(*data(batch, 1000 + step, side), generator)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        decay.step()
        if step % 5 == 0:
            mean.update_parameters(network)
    return {name: tensor.clone() for name, tensor in mean.module.state_dict().items()}
