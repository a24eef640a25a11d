"""Functions in files of the user's: ``file.py:function``."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class SourceFunction:
    """A function of a user's file.

    Attributes:
        spec: as the user wrote it.
        called: ``file.py:function``, without the folder.
        digest: 16 hexadecimal digits of the file's SHA-256.
        function: itself.
    """

    spec: str
    called: str
    digest: str
    function: Callable[..., Any]

    def call(self, **params: Any) -> Any:
        """What the function returns.

        Raises:
            ValueError: it raises.
        """
        try:
            return self.function(**params)
        except (Exception, SystemExit) as error:  # a script calls sys.exit
            raise ValueError(f"{self.spec}: {self.called.rpartition(':')[2]}() raised {type(error).__name__}: {error}") from error


def source_function(spec: str, makes: str) -> SourceFunction:
    """The function that ``path/to/file.py:function`` names.

    Args:
        spec: path and name.
        makes: what the function makes, in a word, for messages.

    Raises:
        ValueError: no such file or function, or the file raises when it is imported.
    """
    path_text, _, name = spec.rpartition(":") if ".py:" in spec else (spec, "", "")
    path = Path(path_text)
    if not name:
        raise ValueError(f"{spec} does not say which function makes the {makes}; write {spec}:FACTORY")
    if not path.is_file():
        raise ValueError(f"{spec}: there is no file {path}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    function = getattr(_imported(path, f"samplerbench_{makes}_{digest}"), name, None)
    if not callable(function):
        raise ValueError(f"{spec}: {path.name} has no function {name}")
    return SourceFunction(spec, f"{path.name}:{name}", digest, function)


def _imported(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up by name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ValueError(f"{path} raised {type(error).__name__} when it was imported: {error}") from error
    return module
