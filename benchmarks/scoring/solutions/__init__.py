"""Reference solutions: where the probability flow, or the path of the reverse SDE, ends."""

from .doubling import Doubling, solve_by_doubling
from .endpoints import solve

__all__ = ["Doubling", "solve", "solve_by_doubling"]
