"""Base classes of samplers, one family a file, which ``methods/`` completes, and samplers of samplers."""
