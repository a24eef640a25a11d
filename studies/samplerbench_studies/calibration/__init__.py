"""Do the intervals cover? Statistics of the metrics on features whose true distances are known
exactly.

Every replicate draws features, moves them by two known maps (two samplers on the same latents), and
asks the metrics for values and errors; the table says how often 95 % intervals held the truth, and
where they are not to be trusted.
"""

from .run import Calibration

__all__ = ["Calibration"]
