"""What the rows of the answer measure, and what a row is."""
