"""The report of a run: one HTML page that needs no other file (:func:`.build.write_report`).

A panel is a module here, which turns rows into a dataclass, and a template, which turns that into
HTML. :mod:`.model_section` fills in the panels of one model, and ``templates/report.html`` says
where they stand (docs/adding-a-report-panel.md).
"""

from pathlib import Path

__all__ = ["TEMPLATES"]

TEMPLATES = Path(__file__).parent / "templates"
"""Folder of the templates and the stylesheet."""
