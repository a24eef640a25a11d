"""Attention of k-diffusion's image transformers: global, in neighbourhoods and in shifted windows.

Written from the papers and the shapes of the published weights: Crowson et al. 2024, arXiv:2401.11605, section 4;
Hassani et al. 2023, arXiv:2204.07143 (neighbourhoods); Liu et al. 2021, arXiv:2103.14030 (shifted windows); Heo et al.
2024, arXiv:2403.13298 (rotary positions in two dimensions).

Queries, keys and values are ``(batch, heads, h, w, head)``, with h × w tokens and ``head`` channels in each head.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def token_coordinates(h: int, w: int, like: Tensor, aspect: float = 1.0) -> Tensor:
    """Return the (y, x) coordinates ``(h, w, 2)`` of the centres of all tokens.

    The longer side of the image spans [-1, 1]. ``aspect`` is the height of a token's patch over its width; ``like``
    gives dtype and device.
    """
    tall = h * aspect / w
    ends = min(1.0, tall), min(1.0, 1 / tall)
    along = [
        end * ((2 * torch.arange(n, dtype=like.dtype, device=like.device) + 1) / n - 1)
        for end, n in zip(ends, (h, w), strict=True)
    ]
    return torch.stack(torch.meshgrid(*along, indexing="ij"), -1)


def rotation_angles(at: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Return rotation angles ``(heads, h, w, 2 n)`` of tokens: coordinates times frequencies.

    ``at`` ``(h, w, 2)`` are the coordinates (y, x), ``down`` the frequencies ``(heads, n)`` of y,
    ``across`` the frequencies of x.
    """
    y, x = at[..., 0, None], at[..., 1, None]
    return torch.cat([y * down[:, None, None], x * across[:, None, None]], -1)


def rotate_pairs(first: Tensor, second: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate each pair of values ``(first, second)`` by ``angle``, in radians."""
    cos, sin = angle.cos(), angle.sin()
    return first * cos - second * sin, second * cos + first * sin


def global_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float | None = None
) -> Tensor:
    """Return attention of each token to all, like ``query``; ``scale`` None is 1 / sqrt(head)."""
    q, k, v = (t.flatten(2, 3) for t in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, scale=scale).reshape(query.shape)


def neighbourhood_attention(query: Tensor, key: Tensor, value: Tensor, size: int) -> Tensor:
    """Return attention of each token to the ``size`` × ``size`` tokens around it, like ``query``.

    Logits are not scaled. ``size`` is odd and at most h and w. Neighbourhoods beyond a border are moved inwards.
    """
    h, w, head = query.shape[2:]
    rows = _neighbours_of_places(h, size, query.device)  # (h, size)
    columns = _neighbours_of_places(w, size, query.device)
    is_near = (columns[..., None] == torch.arange(w, device=query.device)).any(1)  # (w, w)
    mask = is_near[:, None].expand(w, size, w).reshape(w, size * w)
    key, value = (t[:, :, rows].reshape(*t.shape[:3], size * w, head) for t in (key, value))
    return F.scaled_dot_product_attention(query, key, value, mask, scale=1.0)


def _neighbours_of_places(places: int, size: int, device: torch.device) -> Tensor:
    """Return indices ``(places, size)`` of each token's neighbours along an axis of ``places``."""
    first = (torch.arange(places, device=device) - size // 2).clamp(0, places - size)
    return first[:, None] + torch.arange(size, device=device)


def window_attention(query: Tensor, key: Tensor, value: Tensor, size: int, shift: int) -> Tensor:
    """Return attention of each token to its window, like ``query``; logits are not scaled.

    Windows are ``size`` × ``size``; ``size`` divides h and w. The image is rolled down and right by
    ``shift``, in [0, size), cut, and rolled back. Tokens that the roll brings together from
    opposite edges do not attend to each other.
    """
    n, heads, h, w, head = query.shape
    split = (n, heads, h // size, size, w // size, size, head)

    def cut(t: Tensor) -> Tensor:
        moved = t.roll((shift, shift), (2, 3)).reshape(split)
        return moved.transpose(3, 4).flatten(4, 5)  # (n, heads, h / size, w / size, size², head)

    mask = _shifted_window_mask(h, w, size, shift, query.device) if shift else None
    out = F.scaled_dot_product_attention(cut(query), cut(key), cut(value), mask, scale=1.0)
    whole = out.unflatten(4, (size, size)).transpose(3, 4).reshape(query.shape)
    return whole.roll((-shift, -shift), (2, 3))


def _shifted_window_mask(h: int, w: int, size: int, shift: int, device: torch.device) -> Tensor:
    """Return a mask ``(h / size, w / size, size², size²)``, True for tokens that see each other.

    It separates tokens of opposite edges, which meet in the first row and column of windows.
    """
    is_wrapped = torch.arange(size, device=device) < shift
    rows, columns = (torch.zeros(n // size, size, device=device) for n in (h, w))
    rows[0], columns[0] = is_wrapped.to(rows), is_wrapped.to(columns)
    side = 2 * rows[:, None, :, None] + columns[None, :, None, :]
    side = side.flatten(2)  # (h / size, w / size, size²)
    return side[..., :, None] == side[..., None, :]
