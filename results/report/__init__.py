"""Report of a run: one HTML page that needs no other file (:func:`.build.write_report`).

A panel is a module and a template (docs/how-to/adding-a-report-panel.md).
"""

from pathlib import Path

__all__ = ["TEMPLATES"]

TEMPLATES = Path(__file__).parent / "templates"
"""Folder of the report's templates, scripts and stylesheets."""
