"""The harness: what runs, how it is measured, and the command line."""
