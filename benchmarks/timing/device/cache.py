"""Cold caches: a small batch is timed as if it came alone, with the network's weights in memory
only.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch

CPU_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
UNKNOWN = 128 * 2**20
"""Bytes of the last cache where the system does not report it."""


class Cold:
    """Buffer that overwrites twice the bytes of a device's last cache.

    Args:
        device: "cpu" or "cuda".
    """

    def __init__(self, device: str) -> None:
        self._held = torch.empty(2 * last_cache(device) // 4, dtype=torch.float32, device=device)

    def empty(self) -> None:
        """Evict all other data from the cache."""
        self._held.zero_()


def last_cache(device: str) -> int:
    """Return the bytes of the last cache of a device: the L2 of a GPU, the largest of a
    processor.
    """
    if device.startswith("cuda"):
        return int(getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 0)) or UNKNOWN
    sizes = [0]
    for path in CPU_CACHES.glob("index*/size"):
        with suppress(OSError, ValueError):
            text = path.read_text(encoding="ascii").strip()
            sizes.append(int(text.rstrip("KM")) << {"K": 10, "M": 20}.get(text[-1], 0))
    return max(sizes) or UNKNOWN
