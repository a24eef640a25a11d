"""Commands that the studies add to ``samplerbench``: one module each."""
