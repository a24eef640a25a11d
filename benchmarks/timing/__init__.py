"""Wall time (docs/how-to/timing.md): time per sample, overhead, intervals, and reasons to distrust times."""
