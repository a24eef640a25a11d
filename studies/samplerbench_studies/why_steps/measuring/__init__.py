"""Measurements of the rows of the page, and the type of a row."""
