"""Conversion of measurements to named arrays and a JSON text, and back by declared types.

A measurement is a named tuple or a dataclass of numbers, texts, arrays, None, other such objects,
and sequences and mappings of all these. Sequences are read as lists. The file names no class, so
reading it creates only objects of the types that a row declares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
TEXT = "text"
"""Name of the array with the JSON text, which names the other arrays."""


def packed(value: Any) -> Arrays:
    """Return the arrays that represent ``value``.

    Raises:
        TypeError: ``value`` contains a type that the module's docstring does not list.
    """
    arrays: Arrays = {}
    text = json.dumps(_plain(value, arrays))  # NaN and infinity as Python writes and reads them
    return {TEXT: np.array(text), **arrays}


def unpacked(kind: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the value of type ``kind`` that :func:`packed` converted to ``arrays``."""
    return _typed(kind, json.loads(str(arrays[TEXT])), arrays)


def _plain(value: Any, arrays: Arrays) -> Any:
    if isinstance(value, np.ndarray):
        name = f"array_{len(arrays)}"
        arrays[name] = value
        return name
    if isinstance(value, Mapping):
        return [[_plain(key, arrays), _plain(item, arrays)] for key, item in value.items()]
    if is_dataclass(value):
        return [_plain(getattr(value, one.name), arrays) for one in fields(value)]
    if isinstance(value, list | tuple):
        return [_plain(item, arrays) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _typed(kind: Any, plain: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if NoneType in inner:
        (kind,) = (one for one in inner if one is not NoneType)
        return None if plain is None else _typed(kind, plain, arrays)
    if origin is np.ndarray:
        return arrays[plain]
    if not isinstance(plain, list):
        return origin(plain)  # an int may stand where a float is declared
    if issubclass(origin, Mapping):
        return {
            _typed(inner[0], key, arrays): _typed(inner[1], item, arrays) for key, item in plain
        }
    if inner:
        return [_typed(inner[0], item, arrays) for item in plain]
    return origin(
        *(
            _typed(hint, item, arrays)
            for hint, item in zip(get_type_hints(origin).values(), plain, strict=True)
        )
    )
