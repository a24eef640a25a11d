"""How the paths of a model bend, in three lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def bending(found: Mapping[str, Any] | None) -> list[str]:
    """What is said of the paths of a model.

    Args:
        found: its entry in ``path_curvature`` of ``run.json``; None says nothing.
    """
    from ...results.spark import spark
    from ...results.text import Z95, short

    if not found:
        return []
    spread = "" if found["curvature_se"] is None else f" ± {short(Z95 * found['curvature_se'], 2)}"
    top, (high, *_, low) = max(found["profile"]), found["edges"]
    drawn = spark(found["profile"], (top / 100, top))
    half = " to ".join(short(level, 2) for level in found["half"])
    return [
        f"paths: curvature {short(found['curvature'])}{spread} standard deviations, a jump misses {short(found['jump'])};",
        f"bending from sigma {short(high, 2)} |{drawn}| to {short(low, 1)}, half of it from {half};",
        f"measures of the literature: deviation {short(found['deviation'], 2)}, straightness {short(found['straightness'], 2)}",
    ]
