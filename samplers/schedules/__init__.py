"""Schedules: functions that make a grid from a number of steps and a range of noise levels.

One family a file; each schedule has its source.

>>> from samplerbench.samplers.schedules import SCHEDULES
>>> SCHEDULES["karras"].source.where
'eq. (5)'
"""

from . import comfyui, composed  # noqa: F401 - registers the schedules
from .closed import edm_ve, flow_shift, karras, polyexponential, sohl_dickstein_1503, uniform_lambda
from .discrete import discrete_leading, discrete_linspace, discrete_trailing, edm_iddpm
from .native import Process, beta, edm_vp, quadratic_time, uniform_time
from .optimised import align_your_steps, cheapest_path, staircase_costs
from .registry import SCHEDULES, Entry, schedule

__all__ = [
    "SCHEDULES",
    "Entry",
    "Process",
    "align_your_steps",
    "beta",
    "cheapest_path",
    "discrete_leading",
    "discrete_linspace",
    "discrete_trailing",
    "edm_iddpm",
    "edm_ve",
    "edm_vp",
    "flow_shift",
    "karras",
    "polyexponential",
    "quadratic_time",
    "schedule",
    "sohl_dickstein_1503",
    "staircase_costs",
    "uniform_lambda",
    "uniform_time",
]
