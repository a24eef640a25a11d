"""The run directory: its files, what proves them, and how they are read, written and set aside."""
