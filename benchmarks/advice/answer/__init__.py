"""What ``advise`` answers, as values that are written and read."""

from .advice import SCHEMA, Advice, Best, Budget, Choice, Lines, Value

__all__ = ["SCHEMA", "Advice", "Best", "Budget", "Choice", "Lines", "Value"]
