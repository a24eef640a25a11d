"""Wall time (docs/timing.md): time per sample, overhead, intervals, and reasons to distrust times."""
