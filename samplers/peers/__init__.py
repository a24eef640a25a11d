"""Other libraries' samplers in our harness, by names such as ``k-diffusion:sample_dpmpp_2m``.

>>> from samplerbench.samplers import make
>>> make("scipy:RK45").name
'scipy_rk45'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy
from .locate import (
    ADAPTERS,
    available,
    find_clone,
    load_peer_module,
    peers_path,
    resolve,
    set_peers_path,
)

if TYPE_CHECKING:
    from .official import VarianceExploding
    from .pairs import export_sigmas, translate

__all__ = [
    "ADAPTERS",
    "VarianceExploding",
    "available",
    "export_sigmas",
    "find_clone",
    "load_peer_module",
    "peers_path",
    "resolve",
    "set_peers_path",
    "translate",
]

_HOMES = {"official": "VarianceExploding", "pairs": "export_sigmas translate"}

__getattr__, __dir__ = lazy(__name__, _HOMES)
