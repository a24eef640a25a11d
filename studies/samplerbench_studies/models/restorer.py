"""Network that undoes degradations."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from samplerbench.models.nets import UNet


class Restorer(nn.Module):
    """Restoration network R(x, s) = x + F(x, s, kind) for several kinds of degradation.

    It follows Bansal et al. 2022 (arXiv:2208.09392), eq. (1). The kind is an input like a class
    label. Initially R is the identity, which is right at severity 0.

    Args:
        kinds: kinds of degradation.
        net: arguments of :class:`~samplerbench.models.nets.UNet` except ``labels``.
    """

    def __init__(self, kinds: Sequence[str], **net: object) -> None:
        super().__init__()
        self.kinds = tuple(kinds)
        self.net = UNet(**net, labels=len(kinds) - 1)  # type: ignore[arg-type]

    def forward(self, x: Tensor, severity: Tensor, kind: Tensor) -> Tensor:
        """Return restored pictures.

        Args:
            x: ``(n, C, side, side)``, degraded.
            severity: ``(n,)``, in [0, 1].
            kind: ``(n,)`` int64, indices in ``kinds``.

        Returns:
            The estimate of E[x0 | x], like ``x``.
        """
        return x + self.net(x, severity, kind).to(x.dtype)
