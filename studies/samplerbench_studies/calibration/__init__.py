"""Coverage of the metrics' intervals, on features whose true distances are known exactly.

Every replicate draws features, moves them by two known maps (two samplers on the same latents), and
computes the metrics' values and errors. The table has the share of 95 % intervals that contain the
true value, and the cases in which intervals are not reliable.
"""

from .run import Calibration

__all__ = ["Calibration"]
