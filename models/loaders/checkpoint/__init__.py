"""``checkpoint:PATH``: a trained checkpoint of a known family, read without executing anything of it.

:func:`~.loading.probe` specifies a file or folder, :func:`~.loading.load` makes a model of it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .. import loader

if TYPE_CHECKING:
    from ...denoiser import Denoiser


@loader("checkpoint", usage="checkpoint:PATH?setting=value&…")
def load(rest: str) -> Denoiser:
    """Load the model of a checkpoint, under guidance if a setting asks for it, as in
    ``checkpoint:ema.pt?guidance=2``.

    Args:
        rest: path of the file or folder, then settings after ``?``, guidance's among them
            (:func:`samplerbench.models.registry.guided`); before it, with a colon, the family, if the
            file does not determine it.

    Raises:
        ValueError: it cannot be read, is of no known family, leaves a question open, or has no such
            setting.
    """
    from ...registry import GUIDANCE, guided
    from . import loading

    path, settings, family = split(rest)
    guidance = {name: _value(settings.pop(name)) for name in GUIDANCE if name in settings}
    return guided(loading.load(path, settings, family), **guidance)


def _value(text: str) -> Any:
    """Return a number or list as JSON writes it, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def split(rest: str) -> tuple[Path, dict[str, str], str | None]:
    """Split off the settings after the last question mark, and the family before the colon.

    Raises:
        ValueError: the text after the question mark is no ``setting=value&…``.
    """
    from .families import family_names

    name, colon, remainder = rest.partition(":")
    if colon and name in family_names():
        return (*split(remainder)[:2], name)
    path, mark, query = rest.rpartition("?")
    if not mark or os.path.exists(rest):  # Path.exists raises for names that are too long
        return Path(os.path.expanduser(rest)), {}, None
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise ValueError(f"{query!r} behind {path} is not setting=value&…") from None
    return Path(os.path.expanduser(path)), dict(pairs), None
