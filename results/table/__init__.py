"""The result table: its rows, types and curves, and the texts made of them."""
