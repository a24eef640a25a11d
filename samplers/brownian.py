"""Noise from one Brownian path per sample.

Runs with different numbers of steps see the same path, so that strong errors can be measured.

With tau = 1 / sigma^2, y = x / sigma^2 and the denoised image d, the time-reversed noising process

    dx = 2 (x - d) / sigma dsigma + sqrt(2 sigma |dsigma|) dw

loses its linear term: dy = d dtau + dW, where W is a standard Brownian motion in tau. Indeed dtau =
-2 dsigma / sigma^3, so dx / sigma^2 - 2 x dsigma / sigma^3 leaves -2 d dsigma / sigma^3 = d dtau.
The noise has variance 2 sigma |dsigma| / sigma^4 = dtau. A path that starts at x = sigma_max z has
y = z / sigma_max, distributed as W(1 / sigma_max^2): the latent gives W at sigma_max.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from .noise import SampleNoise, normal
from .types import StepNoise

__all__ = ["BrownianNoise", "BrownianTree"]

DEPTH = 14
"""Number of halvings of the range of log tau.

Two levels in one leaf, a 16384th of the range, share a normal, which correlates their values. Each
value alone has the correct distribution.
"""
SIZE = 1 << DEPTH
SNAP = 1e-6
"""Distance from a node, in leaves of the tree, within which a level counts as that node.

It is also the relative distance outside the range within which a level counts as in it.
"""
_TREE = 1 << 31  # counter words of draws from here on belong to the tree; steps have the lower ones


@dataclass(frozen=True)
class BrownianTree:
    """Brownian paths W(1 / sigma^2), one per sample, which depend on seed, sample number and range.

    Values are drawn on demand, by halving the range of log tau, tau = 1 / sigma^2. W at the middle
    of an interval is a Brownian bridge between its ends, from a counter-based normal. At most
    :data:`DEPTH` halvings are made. A value does not depend on grid, batch or earlier calls.

    Attributes:
        seed, ids, event: as in :class:`SampleNoise`.
        sigma_max, sigma_floor: the levels between which there is a path. W at sigma_max is z /
            sigma_max, with z the latent of :class:`SampleNoise`.

    Raises:
        ValueError: not 0 < sigma_floor < sigma_max < inf.
    """

    seed: int
    ids: Tensor
    event: tuple[int, ...]
    sigma_max: float
    sigma_floor: float
    _last: dict[int, tuple[float, Tensor]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not 0 < self.sigma_floor < self.sigma_max < math.inf:
            raise ValueError(
                "a Brownian path needs 0 < sigma_floor < sigma_max, got "
                f"{self.sigma_floor} and {self.sigma_max}"
            )

    def value(self, sigma: float) -> Tensor:
        """Return W(1 / sigma^2), ``(batch, *event)`` float64; do not modify it.

        A positive level outside of the path's range counts as the nearer end of the range.
        """
        return self._value_at_place(self._place_of(sigma))

    def has_node_between(self, cur: float, nxt: float) -> bool:
        """Return True if a node of the tree is at or between the levels, which fall."""
        return math.ceil(self._place_of(cur)) <= self._place_of(nxt)

    def _place_of(self, sigma: float) -> float:
        """Return the place of a level in leaves from sigma_max, a whole number for a node."""
        whole = math.log(self.sigma_max / self.sigma_floor)
        place = min(max(SIZE * math.log(self.sigma_max / sigma) / whole, 0.0), float(SIZE))
        return round(place) if abs(place - round(place)) < SNAP else place

    def levels(self, k: int, coarse: int, fine: int) -> list[float]:
        """Return levels that cut part ``k`` of the range evenly in log sigma: falling, with ends.

        The range has 2^``coarse`` equal parts, of which part 0 has the highest levels. Each part
        is cut into 2^(``fine`` - ``coarse``) intervals.
        """
        ratio = self.sigma_floor / self.sigma_max
        first, count = k << (fine - coarse), 1 << fine
        nodes = range((1 << (fine - coarse)) + 1)
        return [self.sigma_max * ratio ** ((first + i) / count) for i in nodes]

    def block(self, k: int, coarse: int, fine: int) -> Tensor:
        """Return W at the levels that :meth:`levels` returns, ``(levels, batch, *event)`` float64.

        ``coarse`` <= ``fine`` <= :data:`DEPTH`.
        """
        width = SIZE >> coarse
        first = k * width
        values = torch.stack([self._value_at_place(first), self._value_at_place(first + width)])
        while width > SIZE >> fine:
            low = [first + i * width for i in range(len(values) - 1)]
            middle = self._draw_bridge(values[:-1], values[1:], low, width // 2, width)
            values = torch.cat([torch.stack([values[:-1], middle], 1).flatten(0, 1), values[-1:]])
            width //= 2
        return values

    @cached_property
    def _leaf_growth(self) -> float:
        """Increase of log tau over a leaf, which is 1 / 2^``DEPTH`` of the range."""
        return 2 * math.log(self.sigma_max / self.sigma_floor) / SIZE

    @cached_property
    def _end_values(self) -> tuple[Tensor, Tensor]:
        """W at sigma_max, which is the latent divided by sigma_max, and W at sigma_floor."""
        latent = SampleNoise(self.seed, self.ids, self.event, torch.float64).initial()
        first, std = latent / self.sigma_max, math.sqrt(self.sigma_floor**-2 - self.sigma_max**-2)
        return first, first + std * self._draw_normal([0], 0)[0]

    def _value_at_place(self, place: float) -> Tensor:
        """Return W at ``place``, counted in leaves from sigma_max, by halving the range."""
        low, high = 0, SIZE
        before, after = self._end_values
        while low < place < high and high - low > 1:
            middle = (low + high) // 2
            value = self._node_value(before, after, low, middle, high)
            low, before, high, after = (
                (low, before, middle, value) if place < middle else (middle, value, high, after)
            )
        if low < place < high:
            return self._node_value(before, after, low, place, high)
        return before if place == low else after

    def _node_value(
        self, before: Tensor, after: Tensor, low: int, place: float, high: int
    ) -> Tensor:
        """Return W at ``place``, from W ``before`` at place ``low`` and W ``after`` at ``high``."""
        last = self._last.get(high - low)
        if last is None or last[0] != place:
            value = self._draw_bridge(before[None], after[None], [low], place - low, high - low)[0]
            last = self._last[high - low] = (place, value)
        return last[1]

    def _draw_bridge(
        self, before: Tensor, after: Tensor, low: Sequence[int], offset: float, width: int
    ) -> Tensor:
        """Return W at ``offset`` leaves inside intervals of ``width`` leaves that begin at ``low``.

        It is a Brownian bridge between W ``before`` and W ``after`` at the ends of each interval.
        Let g be the growth of log tau over a leaf. From the beginning of an interval, tau grows by
        the factor e^{g offset} to the place of W, and by e^{g width} to the end.
        """
        inside = math.expm1(self._leaf_growth * offset)
        share = inside / math.expm1(self._leaf_growth * width)
        std = [
            math.sqrt(inside * (1 - share)) * math.exp(self._leaf_growth * k / 2) / self.sigma_max
            for k in low
        ]
        scale = _on_device(std, before.device).reshape(-1, *[1] * (before.ndim - 1))
        return torch.lerp(before, after, share).add_(self._draw_normal(low, width).mul_(scale))

    def _draw_normal(self, low: Sequence[int], width: int) -> Tensor:
        """Return normals ``(len(low), batch, *event)`` for intervals as in :meth:`_draw_bridge`."""
        words = _on_device(low, self.ids.device).repeat_interleave(len(self.ids))
        ids, count = self.ids.repeat(len(low)), math.prod(self.event)
        z = normal(self.seed, ids, words[:, None], _TREE + width, count)
        return z.reshape(len(low), len(self.ids), *self.event)


def _on_device(values: Sequence[float], device: torch.device) -> Tensor:
    """Return ``values`` as float64 or int64; making a single one does not wait for ``device``."""
    dtype = torch.float64 if isinstance(values[0], float) else torch.int64
    if len(values) == 1:
        return torch.full((1,), values[0], dtype=dtype, device=device)
    return torch.tensor(values, dtype=dtype, device=device)


@dataclass(frozen=True)
class BrownianNoise:
    """Noise of one batch as increments of the samples' Brownian paths.

    An increment over (cur, nxt) is returned as a standard normal. A sampler of the reverse SDE
    multiplies it by nxt sqrt(1 - (nxt / cur)^2). The product is nxt^2 (W(tau_nxt) - W(tau_cur)):
    the exact noise where the denoised image is constant. On any grid, these increments of W add up.

    Attributes:
        seed, ids, event: as in :class:`SampleNoise`, which has the same latents for the same seed.
        sigma_max, sigma_floor: as in :class:`BrownianTree`, which checks them on first use.
        dtype: dtype of the tensors returned; the path itself is float64.
    """

    seed: int
    ids: Tensor
    event: tuple[int, ...]
    sigma_max: float
    sigma_floor: float
    dtype: torch.dtype = torch.float32

    def initial(self) -> Tensor:
        """Return the latents: standard normal ``(batch, *event)``, to be scaled by sigma_max."""
        return self._white_noise.initial()

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:
        """Return a function that draws the noise of step ``step``.

        Draw 0 is the path's increment over the step, as a standard normal; later draws are white
        noise. A call with its own ``cur`` and ``nxt`` returns the increment between these levels.
        Intervals outside the path's range, as in a step to 0, rising ones and those inside a leaf of
        the tree (:data:`DEPTH`), where both values share their normal, give white noise.
        """
        white = self._white_noise.at(step, cur, nxt)
        whole = cur, nxt

        def draw_noise(
            draw: int = 0, *, cur: float | None = None, nxt: float | None = None
        ) -> Tensor:
            if cur is not None and nxt is not None:
                return self.increment(cur, nxt) if self._is_covered(cur, nxt) else white(draw)
            return self.increment(*whole) if draw == 0 and self._is_covered(*whole) else white(draw)

        return draw_noise

    def take(self, rows: Tensor) -> BrownianNoise:
        """Return the noise of the samples ``rows``: int64 batch indices, which may repeat."""
        return replace(self, ids=self.ids[rows])

    def increment(self, cur: float, nxt: float) -> Tensor:
        """Return W at ``nxt`` minus W at ``cur``, divided by its standard deviation."""
        before = self.tree.value(cur)
        return ((self.tree.value(nxt) - before) / math.sqrt(nxt**-2 - cur**-2)).to(self.dtype)

    @cached_property
    def tree(self) -> BrownianTree:
        """Brownian paths of the batch."""
        return BrownianTree(self.seed, self.ids, self.event, self.sigma_max, self.sigma_floor)

    @cached_property
    def _white_noise(self) -> SampleNoise:
        """White noise of the same seed, for draws that the paths do not give."""
        return SampleNoise(self.seed, self.ids, self.event, self.dtype)

    def _is_covered(self, cur: float, nxt: float) -> bool:
        inside = self.sigma_max * (1 + SNAP) >= cur > nxt >= self.sigma_floor * (1 - SNAP)
        return inside and self.tree.has_node_between(cur, nxt)
