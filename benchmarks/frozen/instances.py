"""Instances of the frozen suite: exact problems drawn at random, the same on every machine.

The public part is seeded by the word "public". Another part is seeded by its name and a value that is
unknown before its date (``--part 2026 --beacon HEX``). A public randomness beacon gives such values. The
derivation:

1. SHA-256 of ``sb-2026.1/PART/BEACON``, the beacon in lower case, seeds PCG64 (big-endian).
2. The root seed of latents is drawn.
3. For each kind, in the order of :data:`KINDS`, :data:`PER_KIND` entries of :data:`RANGES` are drawn
   without repetition. For each entry a problem is drawn, in this order: number of dimensions, side of
   images, a factor from 1/2 to 2 on the data's deviation, seed of the problem, seed of its motion.

Each problem is run twice: as drawn, and moved (:class:`~samplerbench.models.loaders.family.MovedModel`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...results.board.scoring import Problem
from ...samplers.spec import format_spec, parse_spec
from .constants import KINDS, MOST_DIMENSIONS, PER_KIND, PUBLIC, RANGES, SIDES, VERSION


@dataclass(frozen=True)
class Instance(Problem):
    """Exact problem: name, such as "modes-1", kind, and specs of its model as drawn and moved."""

    spec: str
    moved: str

    @property
    def spread(self) -> float:
        """Standard deviation of the data as drawn."""
        return float(parse_spec(self.spec)["std"])


class Part(NamedTuple):
    """Part of the suite: name, value that seeds its problems, root seed of latents, problems."""

    name: str
    beacon: str
    seed: int
    instances: tuple[Instance, ...]


def draw_part(part: str = PUBLIC, beacon: str = "") -> Part:
    """Return a part of the suite.

    Args:
        part: "public", or the name of a part, such as "2026".
        beacon: value in hexadecimal digits, at least 16; "" for the public part.

    Raises:
        ValueError: a name or a value is invalid, or a beacon is missing.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", part):
        raise ValueError(f"part {part!r}: give a name of letters, digits and hyphens, such as 2026")
    if part == PUBLIC and beacon:
        raise ValueError(
            "the public part is drawn without a beacon; name another part, such as 2026"
        )
    if part != PUBLIC and not re.fullmatch(r"[0-9a-fA-F]{16,1024}", beacon):
        raise ValueError(
            f"part {part} is drawn from a value that was unknown beforehand; give it with --beacon, "
            "16 hexadecimal digits or more"
        )
    seed = hashlib.sha256(f"{VERSION}/{part}/{beacon.lower()}".encode()).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(seed, "big")))
    root = int(rng.integers(1, 2**31))
    instances = tuple(
        _draw_instance(kind, number, str(name), rng)
        for kind in KINDS
        for number, name in enumerate(rng.permutation(list(RANGES))[:PER_KIND], 1)
    )
    return Part(part, beacon.lower(), root, instances)


def _draw_instance(kind: str, number: int, process: str, rng: np.random.Generator) -> Instance:
    low, high, std = RANGES[process]
    dim = round(2 * (MOST_DIMENSIONS / 2) ** rng.uniform())
    side = SIDES[int(rng.integers(len(SIDES)))]
    std *= 2.0 ** rng.uniform(-1, 1)
    seed, motion = (int(n) for n in rng.integers(1, 2**31, 2))
    spec = {
        "name": f"family:{kind}",
        "dim": side**2 if kind == "wavelet" else dim,
        "std": float(f"{std:.4g}"),
        "seed": seed,
        "sigma_min": low,
        "sigma_max": high,
    }
    moved = format_spec({**spec, "moved": motion})
    return Instance(f"{kind}-{number}", kind, format_spec(spec), moved)
