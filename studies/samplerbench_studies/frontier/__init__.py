"""Accuracy frontier on exact problems: the best of this library, the best of others, and the
default.

Configurations (sampler, options, schedule) are chosen on one half of the latents and scored on the
other. Otherwise the error of a winner among hundreds would be biased low.
"""

from samplerbench_studies.frontier.run import Frontier

from .candidates import Candidate, from_peers, ours

__all__ = ["Candidate", "Frontier", "from_peers", "ours"]
