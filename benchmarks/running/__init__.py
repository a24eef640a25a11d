"""Runs of a suite into a run directory: executors, interim analyses, progress and provenance."""
