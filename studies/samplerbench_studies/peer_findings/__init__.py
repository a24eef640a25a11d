"""Measurements behind docs/explanation/findings.md, on other libraries."""
