"""Checkpoints read without executing anything of them, and the specification of their models."""
