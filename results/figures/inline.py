"""SVG files as elements of a page, in the colours of its theme."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping


def inline_svg(svg: str, variables: Mapping[str, str]) -> str:
    """An SVG file as an element: no prologue, colours from CSS variables, ids that no other
    figure has, as wide as there is room.

    Args:
        svg: the file's text.
        variables: colour as the file writes it: the name of the CSS variable that replaces it,
            without its dashes.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    mark = "f" + hashlib.sha256(body.encode()).hexdigest()[:6]
    body = re.sub(r'\bid="', f'id="{mark}-', body)
    body = re.sub(r'(url\(#|href="#)', rf"\1{mark}-", body)
    for colour, name in variables.items():
        body = body.replace(colour, f"var(--{name})")
    return body
