"""Scores of a cell's samples: the quality columns of its row, by metrics and their references."""
