"""Rankings, comparisons and spark-lines in a terminal."""
