"""From a cell's samples to the quality columns of its row: metrics, and what they compare with."""
