"""Frozen suite ``sb-2026``: instances, definition, measurement of a solver, and submissions."""

from __future__ import annotations
