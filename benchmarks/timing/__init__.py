"""Wall time, as docs/timing.md defines it: time per sample, overhead, intervals, and reasons not to
trust them.
"""

from ...results.comparison.times.medians import median_interval
from .cells import time_cells
from .clock import Clock, Reading

__all__ = ["Clock", "Reading", "median_interval", "time_cells"]
