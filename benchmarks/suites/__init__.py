"""What is asked: suites and their TOML files, names with options, cells, and how runs begin."""
