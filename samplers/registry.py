"""Registry of samplers by name: built in, from installed plugins, or from a user's file."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import MISSING, dataclass, fields
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from .base import Declared, Sampler, default_of, non_default
from .spec import as_option, parse_spec, short_repr
from .types import Source

ENTRY_POINTS = "samplerbench.samplers"
_REGISTRY: dict[str, Any] = {}
_UNLISTED: dict[str, Any] = {}
_ORIGIN: dict[str, str] = {}
_PLUGIN_FILE: dict[str, Path] = {}
_IMPORT_OBSERVATIONS: dict[str, Any] = {}
_FOLDER = Path(__file__).parent
_DECLARATIONS = [name for name in Sampler.__annotations__ if hasattr(Sampler, name)]
"""Declarations of a sampler that have a default."""

Watch = Callable[[], AbstractContextManager[Any]]
"""Function that returns the context manager around a plugin's import (:func:`seen_at_import`)."""


class PluginError(ValueError):
    """Error that says in one sentence why a plugin cannot be loaded."""


def register(cls: Any) -> Any:
    """Class decorator: make a sampler known under its ``name``.

    Raises:
        PluginError: the class is not a sampler (a frozen dataclass with all that
            :class:`~.base.Sampler` lists), or another class has the name.
    """
    if lack := _missing_part(cls):
        raise PluginError(f"{getattr(cls, '__qualname__', repr(cls))} is not a sampler: {lack}")
    name = cls.name
    # not getattr: a subclass without the decorator inherits the parameters
    params = vars(cls).get("__dataclass_params__")
    if params is None or not params.frozen:
        raise PluginError(
            f"sampler {name!r} must be a frozen dataclass: decorate it with "
            "@dataclass(frozen=True, kw_only=True)"
        )
    if not cls.__module__.startswith(f"{__package__}."):
        _import_built_in(name)
    other = _REGISTRY.get(name, _UNLISTED.get(name))
    if other is not None and other is not cls:
        raise PluginError(
            f"two samplers are called {name!r}: {other.__module__}.{other.__qualname__} "
            f"and {cls.__module__}.{cls.__qualname__}"
        )
    _REGISTRY[name] = cls
    return cls


def spec_of(sampler: Any) -> dict[str, Any]:
    """Return the name and non-default options of a sampler, and register its class if necessary.

    A class that a notebook redefines replaces the earlier one. Samplers of other libraries
    (``library:name``) are not registered.

    Raises:
        PluginError: the class cannot be registered (:func:`register`).
    """
    cls = type(sampler)
    name = getattr(cls, "name", "")
    other, place = _REGISTRY.get(name, cls), (cls.__module__, cls.__qualname__)
    if other is not cls and (other.__module__, other.__qualname__) == place:
        # samplers that name it, such as cfgpp, equal those made before
        from .loop import forget_plans

        del _REGISTRY[name]
        make_once.cache_clear()
        forget_plans()
    if ":" not in name and _UNLISTED.get(name) is not cls:
        register(cls)
    return {"name": name, **non_default(sampler)}


def register_unlisted(cls: Any) -> Any:
    """Class decorator: make a sampler known under its ``name``, but not among :func:`names`."""
    _UNLISTED[cls.name] = cls
    return cls


def register_family(base: type, name: str, *, title: str = "", **declared: object) -> None:
    """Register, as ``name``, a new subclass of ``base`` with ``declared`` attributes and defaults.

    So that it can be pickled, the class lives in the module that calls this function. Its name there
    is ``title``, by default ``name`` in CamelCase.
    """
    home = sys._getframe(1).f_globals["__name__"]
    title = title or "".join(part.capitalize() for part in name.split("_"))
    body = {"name": name, "__module__": home, "__doc__": base.__doc__, **declared}
    # a dataclass takes a new default of an inherited field only with its annotation
    body["__annotations__"] = {f.name: f.type for f in fields(base) if f.name in declared}
    cls = dataclass(frozen=True, kw_only=True)(type(title, (base,), body))
    setattr(sys.modules[home], title, register(cls))


def _missing_part(cls: Any) -> str:
    """Return a sentence on the missing part of a sampler class, with the remedy; "" if complete."""
    if not inspect.isclass(cls):
        return "register a class, a frozen dataclass that inherits samplers.Declared"
    if not isinstance(getattr(cls, "name", None), str):
        return "it needs a class attribute 'name', its registry name as text"
    if not isinstance(getattr(cls, "source", None), Source):
        return (
            "it needs a class attribute 'source', a samplers.Source that says where "
            "its formulas come from"
        )
    methods = {"sample": Sampler.sample, "nfe": Sampler.nfe}
    if getattr(cls, "sample", None) is Declared.sample:
        methods["solve"] = Declared.solve
    for method, placeholder in methods.items():
        own = getattr(cls, method, None)
        if not callable(own) or own is placeholder:
            return (
                f"it needs a method {method!r} (docs/how-to/adding-a-sampler.md has the contract)"
            )
    for declaration in _DECLARATIONS:
        if not hasattr(cls, declaration):
            return (
                f"it does not declare {declaration!r}; inherit samplers.Declared, "
                "which has the defaults"
            )
    return ""


def _import_built_in(name: str) -> None:
    """Import the file of ``methods`` that has ``name = "..."``, unless the name is known; else all."""
    if name in _REGISTRY or name in _UNLISTED:
        return
    for file in _FOLDER.glob("methods/*.py"):
        if f'\n    name = "{name}"\n' in file.read_text(encoding="utf-8"):
            importlib.import_module(f".methods.{file.stem}", __package__)
    if name not in _REGISTRY and name not in _UNLISTED:
        _import_all_built_in()


@cache
def _import_all_built_in() -> None:
    for package in ("families", "methods"):
        for module in pkgutil.iter_modules([str(_FOLDER / package)]):
            importlib.import_module(f".{package}.{module.name}", __package__)


def names(*, complete: bool = False) -> list[str]:
    """Return the names of all listed samplers, sorted.

    With ``complete``, those with a required option are left out.
    """
    _import_all_built_in()
    return sorted(
        name
        for name, cls in _REGISTRY.items()
        if not complete or all(default_of(f) is not MISSING for f in fields(cls))
    )


def get(name: str) -> Any:
    """Return the sampler class of a name; ``LIBRARY:NAME`` is another library's (:mod:`.peers`).

    Raises:
        ValueError: the name is unknown (the message suggests close ones), or its library is not
            installed or cloned.
    """
    if ":" in name:
        from .peers import ADAPTERS, resolve

        library, _, target = name.partition(":")
        if library in ADAPTERS:
            return get(f"{library}_{target.lower()}")
        cls = resolve(name)
        _ORIGIN[name] = getattr(cls, "origin", "")
        return cls
    _import_built_in(name)
    if name in _UNLISTED:
        return _UNLISTED[name]
    if name not in _REGISTRY:
        hint = "samplerbench list samplers shows what there is"
        if close := difflib.get_close_matches(name, _REGISTRY, n=3):
            hint = f"did you mean {' or '.join(close)}?"
        from .other_names import describe_other_name

        known = _loading_hint(name) or describe_other_name("sampler", name)
        raise ValueError(f"unknown sampler {name!r}; {known or hint}")
    return _REGISTRY[name]


def _loading_hint(name: str) -> str:
    """Return how to load a file or package ``name`` of the current folder; "" if there is none."""
    if not name.isidentifier():
        return ""
    if Path(name, "pyproject.toml").is_file():
        return f"the package in the folder {name} is not installed: pip install -e {name}"
    return f"give --plugin {name}.py" if Path(f"{name}.py").is_file() else ""


def make(spec: str | Mapping[str, Any], **options: Any) -> Sampler:
    """Return a sampler from its name and options.

    Options may be keywords, part of the text, or items of a mapping with ``name``. A name may also
    be another program's, such as ComfyUI's, if it is none of ours (:mod:`.other_names`).

    >>> make("ddim(eta=0.5)") == make("ddim", eta=0.5) == make({"name": "ddim", "eta": 0.5})
    True

    Raises:
        ValueError: a name or an option is unknown, an option is given twice, or a value is of the
            wrong type or out of range.
    """
    if isinstance(spec, str):
        values = parse_spec(spec)
    elif isinstance(spec, Mapping) and isinstance(spec.get("name"), str):
        values = dict(spec)
    else:
        raise ValueError(f"a sampler is a name or a table with a name, got {short_repr(spec)}")
    if twice := sorted(values.keys() & options.keys()):
        raise ValueError(f"option {twice[0]!r} of {spec!r} is given twice; leave one out")
    values |= options
    name = values.pop("name")
    _import_built_in(name)
    if name not in _REGISTRY:
        from .other_names import spec_of_other_name

        if elsewhere := spec_of_other_name("sampler", name):
            name, values = elsewhere.pop("name"), elsewhere | values
    cls = get(name)
    options_of = {f.name: f for f in fields(cls) if not f.metadata.get("found")}
    for key, value in values.items():
        if key not in options_of:
            names_of = ", ".join(options_of) or "none"
            raise ValueError(f"sampler {cls.name!r} has no option {key!r}; its options: {names_of}")
        values[key] = as_option(
            cls, options_of[key], value, f"sampler {cls.name!r}: option {key!r}"
        )
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"sampler {cls.name!r}: {error}") from error


@lru_cache(maxsize=256)
def make_once(spec: str) -> Any:
    """Return :func:`make` of a text: the same object until a notebook redefines a class."""
    return make(spec)


def origin(name: str) -> str:
    """Return the package or file of a loaded plugin or peer, with version or hash; else ""."""
    return _ORIGIN.get(name, "")


def plugin_origins() -> dict[str, str]:
    """Return the origins of all loaded plugins by name, sorted."""
    return {name: _ORIGIN[name] for name in sorted(_ORIGIN) if name in _REGISTRY}


def plugin_file(name: str) -> Path | None:
    """Return the file that a sampler was loaded from, as given to :func:`load_file`, or None."""
    return _PLUGIN_FILE.get(name)


def plugin_files() -> tuple[Path, ...]:
    """Return the absolute paths of the files that :func:`load_file` loaded, each once."""
    return tuple(dict.fromkeys(path.absolute() for path in _PLUGIN_FILE.values()))


def seen_at_import(module: str) -> Any:
    """Return what ``watch()`` yielded at the import of a plugin's ``module``; None for others."""
    return _IMPORT_OBSERVATIONS.get(module)


def load_plugins(watch: Watch = nullcontext) -> dict[str, str]:
    """Load every installed plugin (entry-point group ``samplerbench.samplers``).

    Each is imported in a context ``watch()`` (:func:`seen_at_import`). A broken one stops no other.

    Returns:
        A sentence for each plugin that could not be loaded, by entry point.
    """
    failures = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            with watch() as observation:
                cls = point.load()
            dist = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
            module = sys.modules.get(getattr(cls, "__module__", ""))
            source = f"{dist} sha256:{_hash_of_file(getattr(module, '__file__', None))}"
            _ORIGIN[register(cls).name] = source
            _IMPORT_OBSERVATIONS.setdefault(cls.__module__, observation)
        except KeyboardInterrupt:
            raise
        # a script calls sys.exit at import; pytest's outcomes are no Exceptions either
        except BaseException as error:
            failures[point.name] = (
                f"plugin {point.name!r} ({point.value}) failed to "
                f"load: {type(error).__name__}: {error}"
            )
    return failures


def load_file(path: str | Path, watch: Watch = nullcontext) -> list[str]:
    """Register every sampler class that a Python file defines; return their names.

    The file is imported in a context ``watch()``, whose value :func:`seen_at_import` returns.

    Raises:
        PluginError: there is no such file, it raises at import, or a sampler is missing or invalid.
    """
    path = Path(path)
    if not path.is_file():
        raise PluginError(f"plugin file {path} not found")
    module = _import_file(path, watch)
    classes: list[Any] = [
        cls
        for cls in vars(module).values()
        if inspect.isclass(cls)
        and cls.__module__ == module.__name__
        and "name" in vars(cls)
        and not inspect.isabstract(cls)
    ]
    if not classes:
        raise PluginError(
            f"plugin file {path} defines no sampler: a class with 'name' "
            "and 'sample' (see docs/how-to/adding-a-sampler.md)"
        )
    for cls in classes:
        register(cls)
        _ORIGIN[cls.name] = f"{path.name} sha256:{_hash_of_file(path)}"
        _PLUGIN_FILE[cls.name] = path
    return [cls.name for cls in classes]


def _import_file(path: Path, watch: Watch) -> ModuleType:
    """Return a plugin file's module, imported once for each content; PluginError if it fails."""
    name = f"samplerbench_plugin_{path.stem}_{_hash_of_file(path.resolve())}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin file {path} is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with watch() as observation:
            spec.loader.exec_module(module)
        _IMPORT_OBSERVATIONS[name] = observation
    except BaseException as error:  # a script calls sys.exit
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(
            f"plugin file {path} failed at import: {type(error).__name__}: {error}"
        ) from error
    return module


def _hash_of_file(file: str | Path | None) -> str:
    """Return the first 12 hexadecimal digits of a file's SHA-256; "unknown" without a file."""
    if not file or not Path(file).is_file():
        return "unknown"
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
