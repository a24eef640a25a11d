"""Comparisons of rows: pairs, differences with errors, verdicts, and what is built on them."""
