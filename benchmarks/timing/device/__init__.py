"""Timed device: its clock, counters, caches and settings."""
