"""What is asked: suites and their TOML files, names with options, cells, and how runs begin.

A suite that ships is a TOML file here, found by its name (docs/adding-a-suite.md).
"""
