"""Tables and comparisons in a terminal."""
