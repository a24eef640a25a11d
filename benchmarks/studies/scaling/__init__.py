"""How a run gets on with many GPUs: a simulation of this program's own rules, event by event, the
arithmetic beside it, and a comparison with real runs.
"""

from __future__ import annotations

from .arithmetic import Arithmetic
from .costs import Costs
from .engine import Outcome
from .files import Rules
from .one_writer import OneWriter
from .sharing import Sharing
from .work import Work

__all__ = ["Arithmetic", "Costs", "OneWriter", "Outcome", "Rules", "Sharing", "Work"]
