"""Constants of the frozen suite. A change of any constant is another version of the suite."""

from __future__ import annotations

SUITE = "sb-2026"
VERSION = "sb-2026.1"
PUBLIC = "public"
KINDS = ("spectrum", "tails", "curve", "sheet", "modes", "points", "wavelet")
"""Kinds of exact problems, by their names in :mod:`samplerbench.models.exact.problems`."""
PER_KIND = 3
RANGES = {
    "edm": (0.002, 80.0, 0.5),
    "vp": (0.01, 157.0, 0.5),
    "latent": (0.03, 14.6, 1.0),
    "flow": (0.001, 999.0, 1.0),
}
"""Lowest and highest noise level and usual deviation of the data, by kind of process."""
MOST_DIMENSIONS = 48
SIDES = (4, 8)
"""Sides of the images of wavelets."""
NETWORKS = ("fashion", "emoji-flow")
"""Shipped networks of the suite."""

BUDGETS = (4, 5, 6, 8, 10, 13, 17, 22, 30, 42, 60, 90)
"""Evaluations a sample on exact problems."""
TOLERANCES: dict[int, float] = {n: 10.0 ** (-k / 2) for k, n in enumerate(BUDGETS, 1)}
"""Tolerance that an adaptive sampler gets in place of each budget.

Budgets on networks that are not in this table stand for a tolerance of 1e-3.
"""
SAMPLES = 96
"""Samples of each exact problem, whose median distance counts."""
NETWORK_BUDGETS = (5, 7, 10, 15, 25)
NETWORK_SAMPLES = 480
AXES = 32
"""Number of principal axes of the features of a network's samples."""
