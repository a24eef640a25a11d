"""The page of an answer: one self-contained HTML file (:func:`write_page`)."""

from .build import render, write_page

__all__ = ["render", "write_page"]
