"""Measures what docs/findings.md says of other libraries."""
