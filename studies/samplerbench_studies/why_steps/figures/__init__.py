"""Figures of the page of ``samplerbench explain``."""
