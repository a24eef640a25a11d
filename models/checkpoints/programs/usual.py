"""Common trainings of networks, for files that do not state theirs."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from ...process import Discrete, VPLinear
from ..processes import betas_of

Answers = dict[str, dict[str, Any]]

SCHEDULES = {"linear": (1e-4, 0.02), "scaled_linear": (0.00085, 0.012), "cosine": (0.0, 0.0)}
"""Schedules of 1000 betas, with their ends."""
REVERSED = {"of": "t", "scale": -1.0, "offset": 1.0}
VP_SCORE = {"process": {"name": "vp_linear"}, "prediction": "score"}
VP_SCORE |= {"sigma_min": VPLinear().level(1e-3), "sigma_max": VPLinear().level(1.0)}
FLOW = {"process": {"name": "flow"}, "prediction": "flow", "sigma_min": 1e-3, "sigma_max": 1e4}


def trainings() -> Answers:
    """Return the answers to the question ``training``.

    Each has its prediction and its time input. ``SCHEDULE-PREDICTION``: the number of the step; ``edm``:
    EDM's F and ln sigma / 4; ``denoiser``: E[x0 | x] of x = x0 + sigma z and sigma; ``flow``: z - x0 with
    noise at t = 1 and t, ``flow-1000``: 1000 t, ``flow-reversed``: x0 - z with data at t = 1; ``score``:
    grad log p of x = x0 + sigma z and sigma; ``vp-score``: the score of the VP process with a linear rate
    and t in [0, 1], ``vp-score-999``: 999 t.
    """
    return {
        **{f"{s}-{p}": _discrete(s, p) for s, p in product(SCHEDULES, ("eps", "v", "x0"))},
        "edm": {
            "process": {"name": "edm", "sigma_data": 0.5},
            "prediction": "edm",
            "time": {"of": "log_level", "scale": 0.25},
        },
        "denoiser": {"process": {"name": "ve"}, "prediction": "x0", "time": {"of": "level"}},
        "flow": FLOW,
        "flow-1000": {**FLOW, "time": {"of": "t", "scale": 1000.0}},
        "flow-reversed": {**FLOW, "factor": -1.0, "time": REVERSED},
        "score": {"process": {"name": "ve"}, "prediction": "score", "time": {"of": "level"}},
        "vp-score": VP_SCORE,
        "vp-score-999": {**VP_SCORE, "time": {"of": "t", "scale": 999.0}},
    }


def _discrete(schedule: str, prediction: str) -> dict[str, Any]:
    start, end = SCHEDULES[schedule]
    levels = Discrete.of_betas(np.asarray(betas_of(schedule, 1000, start, end))).levels
    ends = {} if schedule == "cosine" else {"start": start, "end": end}
    return {
        "process": {"name": "discrete", "schedule": schedule, "steps": 1000, **ends},
        "prediction": prediction,
        "snap": "nearest",
        "sigma_min": levels[0],
        "sigma_max": levels[-1],
    }
