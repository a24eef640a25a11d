"""Suites and their TOML files, names with options, cells, and starts.

A suite that ships is a TOML file here, found by its name (docs/adding-a-suite.md).
"""
