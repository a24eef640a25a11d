"""How bytes get to the disk and back: whole or not at all, many at a time, quickly."""
