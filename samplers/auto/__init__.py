"""Probe of a model for ``auto``: one short look at it, from which the error of any rule on any
number of steps can be forecast without another evaluation.

:func:`.look.probe_model` samples a few latents on a fine grid and probes how the denoiser responds to
errors. :func:`.forecast.forecast` gives the errors that a rule would make on them, to first order.
:func:`.search.find_finalists` finds the rules with the smallest errors, and
:func:`.finalists.choose_rule` chooses one of them on other latents. ADR 25, ADR 31 and docs/auto.md
derive and measure it.
"""

from .probe import ProbeData, Response, probe_model
from .rule import Fitted, Rule, typical
from .search import best_rule, choose_rule, find_finalists, principal_axes

__all__ = [
    "Fitted",
    "ProbeData",
    "Response",
    "Rule",
    "best_rule",
    "choose_rule",
    "find_finalists",
    "principal_axes",
    "probe_model",
    "typical",
]
