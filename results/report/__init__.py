"""Report of a run: one HTML page that needs no other file (:func:`.build.write_report`).

A panel is a module and a template (docs/how-to/adding-a-report-panel.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["TEMPLATES", "template_environment"]

TEMPLATES = Path(__file__).parent / "templates"
"""Folder of the report's templates, scripts and stylesheets."""


def template_environment(*folders: Path) -> Environment:
    """Return a Jinja environment of the templates in ``folders`` and of the report's.

    It escapes texts, drops their control characters, and raises on unknown names.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from ..text import strip_control_characters

    return Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: strip_control_characters(value) if type(value) is str else value,
    )
