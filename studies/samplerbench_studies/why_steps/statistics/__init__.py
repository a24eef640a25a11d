"""Statistics that several rows need: intervals, spreads and levels of decision."""
