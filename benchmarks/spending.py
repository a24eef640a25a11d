r"""Looking again and again at growing samples without fooling oneself: a level for each look and row.

A table of m rows is looked at with N, 2 N, 4 N, … samples, until each row is decided. Look k may spend

    alpha_k = (6 / pi²) alpha / k²,        sum over all k: alpha,

so that the number of looks need not be known beforehand (alpha spending: Lan and DeMets 1983), and each row an m-th of it: a row is decided
at look k by the tests of :class:`~samplerbench.results.comparison.significance.Evidence` at the level t = alpha_k / m.

Claim: whatever rows and looks have in common, the chance of any false decision in the table, at any look, is at most alpha.

Proof. A decision is false if it says "better" where d >= 0, "worse" where d <= 0, or "equivalent" where |d| >= margin. At level t its
chance is at most t for each d. If d = 0, it is a two-sided test that fails. If 0 < |d| < margin, only the sign can be wrong: t / 2.
Let d >= margin and mu = margin / se. "Equivalent" has a chance of at most t - Phi(z - 2 mu) with Phi(-z) = t, and a wrong sign one of at
most Phi(-z' - mu) with Phi(-z') = t / 2: together no more than t if mu <= z + z', and beyond that no more than
t + Phi(-2 z' - z) < (1 + 3e-7) t. The sum over rows and looks is alpha. □

The sums are Bonferroni's and suppose nothing; looks share samples, so the true rate is lower. Holm's step-down would not do here: a
row that is rightly called worse can still be called equivalent wrongly, so deciding it does not leave fewer false claims to guard against.
"""

from __future__ import annotations

import math

from ..results.comparison.significance import LEVEL, Evidence, Verdict, verdict_at


def level_at(look: int, rows: int, level: float = LEVEL) -> float:
    """The level at which one of ``rows`` rows is tested at look 1, 2, …; over all rows and looks they sum to ``level``."""
    return 6 / math.pi**2 * level / look**2 / rows


def decision(evidence: Evidence, level: float) -> Verdict:
    """The verdict of one row by itself at a level."""
    return verdict_at(evidence.difference, evidence.p_difference, evidence.p_equivalence, level)
