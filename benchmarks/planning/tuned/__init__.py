"""Schedules tuned for a sampler, read from their file (docs/tuning.md)."""
