"""Comparisons: which rows, what their difference is, and what may be concluded of it."""
