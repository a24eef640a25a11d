"""Network architectures of the shipped models."""
