"""The accuracy frontier on exact problems: the best of this library beside the best of the others,
and one default for all budgets.

Configurations (sampler, options, schedule) are chosen on one half of the latents and scored on the
other, so that a winner among hundreds is not credited with its luck.
"""

from samplerbench_studies.frontier.run import Frontier

from .candidates import Candidate, from_peers, ours

__all__ = ["Candidate", "Frontier", "from_peers", "ours"]
