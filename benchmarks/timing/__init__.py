"""Wall time (docs/how-to/timing.md): time per sample, overhead, intervals, and disturbances."""
