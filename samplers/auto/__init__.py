"""Probe of a model for ``auto``, and the search for its :class:`.rule.Rule`.

docs/explanation/auto.md derives and measures both.

:func:`.probe.probe_model` samples a few latents on a fine grid and probes how the denoiser responds
to errors. :func:`.forecast.forecast` gives the errors that a rule would make on them, to first
order, without another evaluation. :func:`.search.find_finalists` finds the rules with the smallest
errors, and :func:`.search.choose_rule` chooses one of them on other latents.
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
