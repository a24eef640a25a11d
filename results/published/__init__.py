"""Numbers that papers report, and comparisons of a run with them."""
