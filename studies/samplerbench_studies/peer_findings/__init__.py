"""Measures what docs/explanation/findings.md says of other libraries."""
