"""Figures for papers and pages, by matplotlib without a display. Importing this package is slow."""

from .axes import spread_labels
from .ecdf import ecdf, profile
from .export import FORMATS, KINDS, Kind, draw, write_figures
from .ranking import ranking, timing
from .samples import samples
from .typography import Sheet, Width, inline_svg, save
from .work_precision import front, work_precision

__all__ = [
    "FORMATS",
    "KINDS",
    "Kind",
    "Sheet",
    "Width",
    "draw",
    "ecdf",
    "front",
    "inline_svg",
    "profile",
    "ranking",
    "samples",
    "save",
    "spread_labels",
    "timing",
    "work_precision",
    "write_figures",
]
