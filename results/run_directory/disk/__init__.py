"""Disk input and output: whole files or none, many at a time, quickly."""
