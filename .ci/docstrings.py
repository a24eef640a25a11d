"""Docstrings as Markdown for the site's API reference: doctests become code, references to
names become code type.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:func|class|meth|mod|attr|data):`~?\.*([\w.]+)`")
"""A reference in the docstrings' own notation, as ``:func:`..curves.problems```."""
DOCTEST = re.compile(r"^( *)>>> .*(?:\n(?=[^\n]*\S).*)*", re.MULTILINE)
"""Lines from a prompt to the next empty line, at the depth of the prompt."""

BOUND = re.compile(r"(?<=: )>(?==? )")
"""The sign of a range that begins a description, as in ``rho: > 0``.

At its beginning it would quote.
"""


class Docstrings(griffe.Extension):
    """Rewrite every docstring as it is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """See the class."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    r"""A docstring's text, with roles as code type, doctests in fences, and no quotations.

    >>> markdown("See :func:`..loop.integrate`.")
    'See `integrate`.'
    >>> print(markdown("rho: > 0; larger is finer."))
    rho: \> 0; larger is finer.
    >>> markdown("Two:\n\n>>> 1 + 1\n2\n\nDone.").splitlines()
    ['Two:', '', '```pycon', '>>> 1 + 1', '2', '```', '', 'Done.']
    """
    text = ROLE.sub(lambda found: f"`{found[1].rsplit('.', 1)[-1]}`", text)
    text = BOUND.sub(r"\>", text)
    return DOCTEST.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)
