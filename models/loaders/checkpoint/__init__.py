"""``checkpoint:PATH``: a checkpoint that somebody trained, of any family that is known
without executing anything of it.

:func:`~.loading.probe` says what a file or folder is, :func:`~.loading.load` makes a model of it.
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
    """The model of a checkpoint, such as ``checkpoint:ema.pt?schedule=linear``, under guidance if that is
    among its settings, such as ``guidance=2`` (:func:`samplerbench.models.registry.guided`).

    Args:
        rest: path of the file or folder, what its file does not say behind ``?``, and before it,
            with a colon, the family, if the file does not tell.

    Raises:
        ValueError: it cannot be read, is of no known family, leaves a question open, or has no such
            setting.
    """
    from ...registry import GUIDANCE, guided
    from . import loading

    path, given, family = split(rest)
    guidance = {name: _value(given.pop(name)) for name in GUIDANCE if name in given}
    return guided(loading.load(path, given, family), **guidance)


def _value(text: str) -> Any:
    """A number or list as JSON writes it, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def split(rest: str) -> tuple[Path, dict[str, str], str | None]:
    """The path, the settings behind its last question mark, and the family before its colon.

    Raises:
        ValueError: what stands behind the question mark is no ``setting=value&…``.
    """
    from .families import family_names

    name, colon, behind = rest.partition(":")
    if colon and name in family_names():
        return (*split(behind)[:2], name)
    path, mark, query = rest.rpartition("?")
    if not mark or os.path.exists(rest):  # Path.exists raises for names that are too long
        return Path(os.path.expanduser(rest)), {}, None
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise ValueError(f"{query!r} behind {path} is not setting=value&…") from None
    return Path(os.path.expanduser(path)), dict(pairs), None
