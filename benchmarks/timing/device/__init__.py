"""The device that is timed: its clock, counters, caches and settings."""
