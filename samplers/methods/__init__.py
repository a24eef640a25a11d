"""The samplers, one family a file."""
