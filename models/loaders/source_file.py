"""Functions of a user's file, ``file.py:function``, and the files that their results depend on.

These files are the function's source, the user's modules that it imports, and the data that it reads.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import inspect
import json
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import accumulate
from numbers import Integral, Real
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch

from .user_files import (
    FileRecorder,
    FilesRead,
    file_hash,
    is_users_file,
    module_file,
    named_hashes,
    record_files,
)

_fresh: weakref.WeakSet[ModuleType] = weakref.WeakSet()
_importing = threading.RLock()


def hashes_of_code(module: ModuleType, own: str | None = None) -> dict[str, str]:
    """Return the SHA-256 of each source file of a module and of the user's modules that it imports.

    Keys are paths relative to the folder that holds the module or, for a module in a package, the
    top package. Of installed packages, only ``own`` counts, by default the package of the module.
    """
    package, dot, _ = module.__name__.partition(".")
    top = Path(module_file(package) or module_file(module.__name__) or ".")
    folder = top.parent.parent if dot and top.name == "__init__.py" else top.parent
    return named_hashes(files_of_modules(module, own), folder)


def files_of_modules(module: ModuleType, package: str | None = None) -> list[str]:
    """List the source files of a module, and of loaded user modules that its code imports anywhere.

    Imports in these modules count too. Of installed packages, only ``package`` counts, by
    default the package of the module.
    """
    if package is None:
        package = module.__name__.partition(".")[0] if "." in module.__name__ else ""
    files: dict[str, str] = {}
    todo = [module.__name__]
    while todo:
        name = todo.pop()
        file = module_file(name)
        if name in files or file is None:
            continue
        own = bool(package) and name.partition(".")[0] == package and os.path.isfile(file)
        if own or is_users_file(file):
            files[name] = file
            outer = str(getattr(sys.modules[name], "__package__", "") or "")
            todo += [name for name in imported_names(file, outer) if name in sys.modules]
    return sorted(set(files.values()))


def imported_names(file: str, package: str) -> list[str]:
    """List dotted names of modules that a file of ``package`` may import; [] if it is no Python."""
    stamp = file_hash(file)
    return list(_cached_imports(file, package, stamp)) if stamp and file.endswith(".py") else []


@lru_cache(maxsize=1024)
def _cached_imports(file: str, package: str, stamp: str) -> tuple[str, ...]:  # noqa: ARG001 - the stamp tells an edited file
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ()
    names = (name for node in ast.walk(tree) for name in _imported_names_in(node, package))
    return tuple(dict.fromkeys(names))


def _imported_names_in(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from accumulate(alias.name.split("."), "{}.{}".format)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".") if package else []
        outer = parts[: len(parts) - node.level + 1] if node.level else []
        base = [*outer, *(node.module.split(".") if node.module else [])]
        yield from accumulate(base, "{}.{}".format)
        yield from (".".join([*base, alias.name]) for alias in node.names)


class LoadedValue(NamedTuple):
    """Result of a function, and the user's files that it was made of.

    ``default_dtype`` is torch's default dtype when the function had returned.
    """

    value: Any
    read: FilesRead
    default_dtype: torch.dtype | None = None


def identity_of_options(params: dict[str, Any]) -> str:
    """Return options as text for an identity: JSON with sorted keys, or "" without options.

    A path is shortened to its last part; the hashes of the files that were read identify the content.
    """
    short = {k: short_path(v) if isinstance(v, str) else v for k, v in params.items()}
    return json.dumps(short, sort_keys=True, default=repr) if params else ""


def short_path(text: str) -> str:
    """Return the last part of an absolute or existing path; return other text unchanged."""
    is_path = os.path.isabs(text) or (os.sep in text and os.path.exists(text))
    return os.path.basename(os.path.normpath(text)) if is_path else text


@contextlib.contextmanager
def with_default_dtype(dtype: torch.dtype | None) -> Iterator[None]:
    """Make ``dtype`` torch's default dtype in this context; None leaves it as it is."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype or before)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


_PLAIN: dict[str, tuple[type, str]] = {
    "bool": (bool, "True or False"),
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
}


def check_options(
    what: str, load: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any], more: str
) -> None:
    """Raise a ValueError if a loader does not take these arguments and options.

    The error begins with ``what``. For an unknown option it lists the options, followed by ``more``. A
    value is checked if its option is annotated as a number or truth value. A loader without a
    signature passes.
    """
    try:
        signature = inspect.signature(load)
    except (TypeError, ValueError):  # no signature, such as a class of an extension module
        return
    try:
        signature.bind(*args, **options)
    except TypeError as error:
        takes = ", ".join(list(signature.parameters)[len(args) :]) or "none"
        raise ValueError(f"{what}: {error}; its parameters are: {takes}{more}") from None
    for name, value in options.items():
        known = signature.parameters.get(name)
        annotation = known and getattr(known.annotation, "__name__", known.annotation)
        plain, optional, others = str(annotation).partition(" | None")
        if not known or plain not in _PLAIN or others:
            continue
        if value is None and (optional or known.default is None):
            continue
        kind, words = _PLAIN[plain]
        if isinstance(value, bool) != (kind is bool) or not isinstance(value, kind):
            raise ValueError(f"{what}: {name} must be {words}, got {value!r}")


def call_function(spec: str, makes: str, /, **params: Any) -> LoadedValue:
    """Return the result of the function that ``spec``, ``path/to/file.py:function``, names.

    The file is executed, and the function called with ``params``. Both may import modules from the
    file's folder. ``makes`` is a word for the result in messages. Raises a ValueError if there is
    no such file or function, if it does not take ``params`` (:func:`check_options`), or if
    one of them raises an exception or ends the program.
    """
    path_text, _, name = spec.rpartition(":") if ".py:" in spec else (spec, "", "")
    path = Path(path_text)
    if not name:
        raise ValueError(
            f"{spec} does not say which function makes the {makes}; write {spec}:FACTORY"
        )
    if not path.is_file():
        raise ValueError(f"{spec}: there is no file {path}")
    folder = Path(os.path.abspath(path)).parent
    with importing_from(folder), record_files() as recorder:
        module = _import_file(path, makes)
        read = FilesRead(folder, recorder.paths | {os.path.abspath(path)})
        own = torch.get_default_dtype()
    function = getattr(module, name, None)
    if not callable(function):
        raise ValueError(f"{spec}: {path.name} has no function {name}")
    check_options(f"{makes} {spec}", function, (), params, "")
    with importing_from(folder), record_files() as recorder:
        torch.set_default_dtype(own)
        try:
            value = function(**params)
        except (Exception, SystemExit) as error:
            what = f"raised {type(error).__name__}: {error}"
            if isinstance(error, SystemExit):
                what = f"called sys.exit({error.code!r}); let it return a value or raise"
            raise ValueError(f"{spec}: {name}() {what}") from error
        read |= recorder.paths | frozenset(files_of_modules(module))
        own = torch.get_default_dtype()
    return LoadedValue(value, read, own)


def _import_file(path: Path, makes: str) -> ModuleType:
    content = hashlib.sha256(os.path.abspath(path).encode() + path.read_bytes()).hexdigest()[:16]
    name = f"samplerbench_{makes}_{content}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up by name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ValueError(
            f"{path} raised {type(error).__name__} when it was imported: {error}"
        ) from error
    return module


@contextlib.contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Make the modules of ``folder`` importable in this context, with their files' present content.

    Modules of the same names from other folders are removed, and restored on exit. So two models
    may have helpers of one name, and a helper may have been edited since its last import. The working
    folder is restored too, on which paths such as the run directory's depend, and torch's default
    dtype, on which other models and extractors depend.
    """
    with _importing, with_default_dtype(None), contextlib.ExitStack() as restored:
        with contextlib.suppress(FileNotFoundError):  # it is deleted
            restored.enter_context(contextlib.chdir("."))
        names = _importable_names(folder)
        aside = {
            name: sys.modules.pop(name)
            for name in tuple(sys.modules)
            if name.partition(".")[0] in names and _is_replaceable(name)
        }
        # without bytecode: a cached one would hide a second edit within the same second
        writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):  # the user's code may have replaced the path
                sys.path.remove(str(folder))
            sys.dont_write_bytecode = writes
            _restore_modules(folder, names, aside)


@contextlib.contextmanager
def record_import(file: Path) -> Iterator[FileRecorder]:
    """Make the modules beside ``file`` importable; yield a recorder of the files that are read."""
    with importing_from(Path(os.path.abspath(file)).parent), record_files() as recorder:
        yield recorder


def _restore_modules(folder: Path, names: set[str], aside: dict[str, ModuleType]) -> None:
    prefix = str(folder) + os.sep
    _fresh.update(
        m
        for name, m in sys.modules.copy().items()
        if name.partition(".")[0] in names and (module_file(name) or "").startswith(prefix)
    )
    for name, module in aside.items():
        is_inside = str(getattr(module, "__file__", "")).startswith(prefix)
        if (module not in _fresh and not is_inside) or name not in sys.modules:
            sys.modules[name] = module


def _importable_names(folder: Path) -> set[str]:
    try:
        entries = [entry for entry in folder.iterdir() if entry.suffix == ".py" or entry.is_dir()]
    except OSError:
        return set()
    return {entry.stem if entry.suffix == ".py" else entry.name for entry in entries}


def _is_replaceable(name: str) -> bool:
    """Return True for a module of the user or of a deleted file, and for a namespace package."""
    module, file = sys.modules[name], module_file(name)
    top, own = name.partition(".")[0], __name__.partition(".")[0]
    if top in ("__main__", own) or not isinstance(module, ModuleType):
        return False
    if not file:
        return hasattr(module, "__path__")
    return is_users_file(file) or not os.path.exists(file)
