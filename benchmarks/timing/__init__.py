"""Wall time, as docs/timing.md defines it: what a sampler costs beside the network, how sure
that is, and whether to believe it.
"""

from .cells import time_cells
from .clock import Clock, Reading
from .statistics import median_interval

__all__ = ["Clock", "Reading", "median_interval", "time_cells"]
