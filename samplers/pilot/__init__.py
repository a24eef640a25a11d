"""How ``auto`` gets to know a model: one short look at it, from which the error of any rule on any
number of steps can be forecast without another evaluation.

:func:`.look.look_at` samples a few latents on a fine grid and probes how the denoiser responds to
errors; :func:`.forecast.forecast` gives the errors that a rule would make on them, to first order;
:func:`.search.best_rule` finds the rule with the smallest. ADR 25 and docs/auto.md derive and measure
it.
"""

from .look import Look, Response, look_at
from .rule import Fitted, Rule
from .search import best_rule

__all__ = ["Fitted", "Look", "Response", "Rule", "best_rule", "look_at"]
