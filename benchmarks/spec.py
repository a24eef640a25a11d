"""Names with options, as the command line and suites write them: ``ddim(eta=0.5)``, ``karras(rho=5)``, ``fashion(guidance=2)``."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from ..samplers import non_default

_SPEC = re.compile(r"(?P<name>[^()]+?)\s*(?:\((?P<options>.*)\))?\s*", re.DOTALL)


def parse_spec(text: str | Mapping[str, Any]) -> dict[str, Any]:
    """A spec as a mapping with ``name`` and its options.

    >>> parse_spec("ddim(eta=0.5)")
    {'name': 'ddim', 'eta': 0.5}

    Args:
        text: ``NAME`` or ``NAME(key=value, …)`` with literal values; a mapping with a ``name`` passes through.

    Raises:
        ValueError: not of that form.
    """
    if isinstance(text, Mapping):
        if not isinstance(text.get("name"), str):
            raise ValueError(f"a table of options needs a text 'name', got {dict(text)!r}; write it as {{name = \"ddim\", eta = 0.5}}")
        return dict(text)
    match = _SPEC.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"cannot read {text!r}; write a name, or a name with options such as ddim(eta=0.5)")
    try:
        call = ast.parse(f"_({match['options'] or ''})", mode="eval").body
        assert isinstance(call, ast.Call)
        if call.args or any(keyword.arg is None for keyword in call.keywords):
            raise ValueError("options need names")
        options = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, AssertionError) as error:
        raise ValueError(f"cannot read the options of {text!r}; write them as NAME(key=value), such as ddim(eta=0.5)") from error
    return {"name": match["name"], **options}


def format_spec(spec: Mapping[str, Any]) -> str:
    """The text of a spec: the inverse of :func:`parse_spec`.

    >>> format_spec({"name": "ddim", "eta": 0.5})
    'ddim(eta=0.5)'
    """
    options = ", ".join(f"{key}={value!r}" for key, value in spec.items() if key != "name")
    return f"{spec['name']}({options})" if options else str(spec["name"])


def label_of(sampler: Any) -> str:
    """A configured sampler as the command line writes it."""
    return format_spec({"name": sampler.name, **non_default(sampler)})


def canonical(value: object) -> str:
    """JSON in which equal values are equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
