"""The result table: reading, column types, curves, error decomposition, and texts."""
