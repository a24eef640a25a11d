"""What EDM's networks are trained on in the tests: data with a known denoiser, by the formulas of the
papers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SIDE, CLASSES, BATCH = 8, 2, 32


class Data:
    """Two Gaussians in pixels, one a class, with a covariance of three smooth directions."""

    def __init__(self) -> None:
        line = (torch.arange(SIDE, dtype=torch.float64) + 0.5) * math.pi / SIDE
        row, column = line[:, None], line[None, :]
        waves = [row.cos() + 0 * column, column.cos() + 0 * row, row.cos() * column.cos()]
        self.directions = torch.stack([w.flatten() / w.norm() for w in waves])
        self.spread = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
        self.means = torch.tensor([[-0.3], [0.3]], dtype=torch.float64).expand(-1, SIDE**2)

    def draw(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Images ``(batch, 1, 8, 8)``."""
        z = torch.randn(len(labels), 3, generator=generator, dtype=torch.float64)
        flat = self.means[labels] + z * self.spread @ self.directions
        return flat.float().reshape(-1, 1, SIDE, SIDE)

    def denoiser(self, x: Tensor, sigma: float, labels: Tensor) -> Tensor:
        """E[x0 | x, label], exactly."""
        off = x.double().flatten(1) - self.means[labels]
        kept = self.spread**2 / (self.spread**2 + sigma**2)
        return (self.means[labels] + off @ self.directions.T * kept @ self.directions).view(x.shape)


@dataclass(frozen=True)
class Case:
    """A preconditioning of the paper's Table 1, from its formulas.

    Attributes:
        name: of the class.
        network: the raw one, not yet trained.
        arguments: of the network.
        told: c_noise of levels.
        skip, out, into: c_skip, c_out and c_in of levels.
        given: arguments of the preconditioning.
    """

    name: str
    network: Callable[..., nn.Module]
    arguments: dict
    told: Callable[[Tensor], Tensor]
    skip: Callable[[Tensor], Tensor]
    out: Callable[[Tensor], Tensor]
    into: Callable[[Tensor], Tensor]
    given: dict

    def denoised(self, raw: nn.Module, x: Tensor, sigma: Tensor, rows: Tensor | None) -> Tensor:
        """c_skip x + c_out F(c_in x, c_noise, label), scaled in float64."""
        at = sigma.double()
        skip, out, into = (f(at)[:, None, None, None] for f in (self.skip, self.out, self.into))
        output = raw((into * x).float(), self.told(at).float(), rows)[:, :1]
        return skip * x.double() + out * output


def train(case: Case, steps: int = 100) -> nn.Module:
    """The raw network after some steps on the loss of the paper; every tenth label is dropped."""
    torch.manual_seed(4)
    generator, data = torch.Generator().manual_seed(5), Data()
    raw = case.network(**case.arguments)
    optimizer = torch.optim.Adam(raw.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, steps)
    classes = case.arguments.get("label_dim", 0)
    for _ in range(steps):
        labels = torch.randint(CLASSES, (BATCH,), generator=generator)
        x0 = data.draw(labels, generator)
        sigma = (1.3 * torch.randn(BATCH, generator=generator) - 0.5).exp().clamp(0.02, 50)
        x = x0 + sigma[:, None, None, None] * torch.randn(x0.shape, generator=generator)
        dropped = torch.where(torch.rand(BATCH, generator=generator) < 0.1, CLASSES, labels)
        rows = torch.eye(CLASSES + 1, CLASSES)[dropped] if classes else None
        off = case.denoised(raw, x, sigma, rows) - x0
        loss = (off / case.out(sigma.double())[:, None, None, None]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return raw.eval().requires_grad_(False)


def noisy(n: int, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Images, the same with noise, and their classes."""
    generator, labels = torch.Generator().manual_seed(9), torch.arange(n) % CLASSES
    x0 = Data().draw(labels, generator).double()
    noise = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    return x0, x0 + sigma * noise, labels
