"""Runs a suite into a run directory: executors, interim looks, progress and provenance."""
