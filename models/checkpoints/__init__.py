"""Checkpoints, read without executing any of their code, and the specifications of their models."""
