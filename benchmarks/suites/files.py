"""TOML files of suites: reading, relative paths in them, and refusal of untrusted suites."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_plus

from ...samplers.spec import format_spec, parse_spec, short_repr
from .suite import Spec, Suite, check_suite

DATA_SETS = ("fashion-mnist", "digits", "emoji")
"""Data sets of real samples that a suite names instead of a file."""

_PREFIX = re.compile(r"((?:[a-z0-9][a-z0-9_-]+:)*)(.+)", re.DOTALL)
"""Schemes, as in ``truncate:inception:w.pth``, and a file; one letter is a Windows drive."""
_FILE = re.compile(
    r"\.(py(:|$)|(npy|npz|json|pth?|pt2|pkl|pickle|ckpt|bin|onnx|safetensors)(\?|$))"
    r"|(^|:)(inception|dinov2|clip|checkpoint):"
)
_SETTING = re.compile(r"(?<=[?&])(embeddings|decoder\.folder|guide)=([^&~/][^&]*)")
"""Setting of a checkpoint that names a file, a folder or a model, by a relative path."""
_PYTHON = re.compile(r"\.py(:|$)")

LARGEST_FILE = 256 << 10
MOST_DOTS = 500
"""Most bytes of a TOML file, and dots in a line: memory grows as the square of the dots."""


def built_in_suite_files() -> dict[str, Path]:
    """Return the TOML files of the built-in suites, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}


def load_suite(name: str) -> Suite:
    """Return a built-in suite by name, or the suite of a TOML file.

    Raises a ValueError if there is none, the TOML is not valid, or a key or value is wrong.
    """
    suites = built_in_suite_files()
    path = suites.get(name, Path(name))
    if not os.path.isfile(path):  # Path.is_file raises for names that are too long
        close = difflib.get_close_matches(name, suites, n=1)
        hint = f"built-in suites: {', '.join(suites)}; or give the path of a TOML file"
        if close:
            hint = f"did you mean {close[0]}?"
        raise ValueError(f"unknown suite {name!r}; {hint}")
    try:
        data = tomllib.loads(_read_toml(path))
    # numbers of thousands of digits raise the former, thousands of brackets the latter
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is not valid TOML: {error}") from error
    if name not in suites:
        data = with_resolved_paths(data, path.parent)
    return check_suite({"name": path.stem, **data}, path.name)


def _read_toml(path: Path) -> str:
    """Return a file's text. Raises a ValueError if it is no UTF-8, too large, or a line has too many dots."""
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(
            f"it has more than {LARGEST_FILE:,} bytes; put long lists into files that it names"
        )
    text = path.read_text(encoding="utf-8")
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise ValueError(f"a line has more than {MOST_DOTS} dots; write it on several lines")
    return text


def with_resolved_paths(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a suite's data with relative paths of files resolved against the file's ``folder``.

    If ``folder`` is the working directory, the paths and so the suite's digest do not change.
    """
    placed = dict(data)
    if folder.resolve() == Path.cwd():
        return placed
    for axis in ("models", "schedules"):
        if isinstance(placed.get(axis), list):
            placed[axis] = [_resolve_entry(entry, folder) for entry in placed[axis]]
    for key in ("extractor", "reference", "real"):
        source = placed.get(key)
        if isinstance(source, str):
            placed[key] = _resolve(source, folder)
            is_images = key != "extractor" and source not in DATA_SETS
            if is_images and (folder / source).is_dir():
                placed[key] = str(folder / source)
    return placed


def _resolve_entry(entry: Any, folder: Path) -> Any:
    """Return an entry of ``models`` or ``schedules`` with relative paths resolved in ``folder``."""
    if isinstance(entry, str):
        try:
            spec = parse_spec(entry)
        except ValueError:
            return entry  # an error when the suite is checked
        moved = _resolve(spec, folder)
        return entry if moved == spec else format_spec(moved)
    return _resolve(entry, folder) if isinstance(entry, Mapping) else entry


def _resolve(value: Any, folder: Path) -> Any:
    """Return a text, or a table of texts, with relative paths of files joined to ``folder``."""
    if isinstance(value, Mapping):
        return {key: _resolve(item, folder) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    is_folder = "/" in value and (folder / value.partition("?")[0]).is_dir()
    if not (is_folder or _FILE.search(value)):
        return value
    match = _PREFIX.fullmatch(value)
    if match is not None and match[2][0] != "~":
        value = match[1] + str(folder / match[2])
    return _SETTING.sub(partial(_resolve_setting, folder), value)


def _resolve_setting(folder: Path, match: re.Match[str]) -> str:
    """Return ``name=value`` with a relative path joined to ``folder``, encoded as in a URL."""
    name, value = match[1], unquote_plus(match[2])
    placed = _resolve(value, folder) if name == "guide" else str(folder / value)
    # a decoder's folder may be inside the checkpoint
    if placed == value or (name != "guide" and not os.path.exists(placed)):
        return match[0]
    return f"{name}={quote(placed, safe='/:')}"


def _named_specs(suite: Suite, schedules: Sequence[Spec] = ()) -> Iterator[tuple[str, str]]:
    """Yield (key of the suite, text) for all names and options of models, extractors, ``schedules``."""
    for entry in suite.models:
        yield from (("models", text) for text in _texts(parse_spec(entry.name)))
    for spec in schedules:
        table = parse_spec(spec) if isinstance(spec, str) else spec
        yield from (("schedules", text) for text in _texts(table))
    yield "extractor", suite.extractor
    yield from (("extractor", entry.extractor) for entry in suite.models if entry.extractor)


def python_files(suite: Suite) -> Iterator[tuple[str, str]]:
    """Yield (key in the suite, spec with the path) of each Python file in a suite."""
    return (
        (key, text) for key, text in _named_specs(suite) if any(map(_PYTHON.search, _parts(text)))
    )


def outside_files(suite: Suite, file: Path) -> Iterator[tuple[str, str]]:
    """Yield (key in the suite, spec with the path) of each file outside the suite's folder.

    Links in the folder are allowed: the owner of the folder made them, and their targets are read as data.
    """
    folder = os.path.abspath(file.parent)
    texts = [*_named_specs(suite, suite.schedules or ()), ("reference", suite.reference or "")]
    for key, text in texts:
        for part in _parts(text):
            match = _PREFIX.fullmatch(part)
            path = part if match is None else match[2]
            leads = os.path.isabs(path) or path.startswith("~") or ".." in Path(path).parts
            inside = os.path.abspath(path).startswith(folder.rstrip(os.sep) + os.sep)
            if leads and (path.startswith("~") or not inside):
                yield key, text


def _parts(text: str) -> Iterator[str]:
    """Yield a spec's path and settings, as written and decoded: a checkpoint's settings name files."""
    waiting = [text]
    while waiting:
        part = waiting.pop()
        inside = re.split(r"[?&=]", part)
        if len(inside) > 1:
            waiting.extend(inside)
            continue
        yield part
        decoded = unquote_plus(part)
        if decoded != part:
            waiting.append(decoded)


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in nested tables and lists, such as a spec's name and its options."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def refuse_untrusted(suite: Suite, where: str, replaced: Collection[str] = ()) -> None:
    """Raise a ValueError if a suite would run Python files, or reads files outside its folder.

    ``where`` is a built-in suite or the suite's file, as the user named it. ``replaced`` are keys that the
    command line replaces: the user named the files under these keys.
    """
    outside = () if where in built_in_suite_files() else outside_files(suite, Path(where))
    for named, words in (
        (python_files(suite), "the Python file {}, which would run"),
        (outside, "{}, which is outside its folder"),
    ):
        text = next((text for key, text in named if key not in replaced), None)
        if text is not None:
            raise ValueError(
                f"{where} names {words.format(short_repr(text, 300))}; look at it, and add "
                "--trust-suite, or name it yourself with an option, such as --model or --extractor"
            )
