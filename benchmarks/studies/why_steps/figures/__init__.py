"""The figures of the answer."""
