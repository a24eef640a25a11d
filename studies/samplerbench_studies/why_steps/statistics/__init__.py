"""Intervals, spreads and decisions that several rows need."""
