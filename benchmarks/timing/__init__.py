"""Wall time (docs/timing.md): time per sample, overhead, intervals, and reasons to distrust
them.
"""

from ...results.comparison.times import median_interval
from .cells import time_cells
from .clock import Clock, Reading

__all__ = ["Clock", "Reading", "median_interval", "time_cells"]
