"""What papers report, and how a run compares with it."""
