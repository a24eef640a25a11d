"""Investigations beside the benchmark: no run imports them, only the command line does."""
