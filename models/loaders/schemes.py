"""Tables of loaders by scheme, which is the text before the colon of ``perturbed:gmm-2d``.

A scheme's loader is a function in a module of its own, or an installed package's entry point, imported on demand.
There are two tables: of models (:mod:`samplerbench.models.loaders`) and of feature spaces
(:mod:`samplerbench.models.extractors`).
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from .source_file import LoadedValue, files_of_modules, short_path
from .user_files import FileRecorder, FilesRead, module_file, record_files

Load = TypeVar("Load", bound=Callable[..., Any])


@dataclass(frozen=True)
class Scheme:
    """Loader of one scheme, such as ``perturbed`` for ``perturbed:gmm-2d``.

    Attributes:
        name: text before the colon of a spec.
        load: function of the text after the colon ("" without a colon). A model's loader also takes options,
            and an extractor's loader :class:`samplerbench.models.extractors.Samples`.
        usage: syntax for messages, such as ``perturbed:MODEL``.
        origin: distribution and version of the loader's package; "" for this package.
        opened: files that were opened when the loader's module was imported.
    """

    name: str
    load: Callable[..., Any]
    usage: str
    origin: str = ""
    opened: frozenset[str] = frozenset()

    def load_value(self, rest: str, *args: Any, **options: Any) -> LoadedValue:
        """Return an installed loader's result, with the files that the result was made of.

        Raises a ValueError if the loader raises an exception, or ends the program.
        """
        with record_files() as recorder:
            try:
                value = self.load(rest, *args, **options)
            except (Exception, SystemExit) as error:
                what = f"{self.origin} raised {type(error).__name__}: {error}"
                raise ValueError(f"{self.name}:{rest}: {what}") from error
        return LoadedValue(value, self._files(recorder))

    def identity(self, rest: str, digest: str) -> str:
        """Return a result's identity: short spec, package, version, and ``digest`` of its files."""
        return f"{self.short_spec(rest)}-{self.origin.replace(' ', '-')}-{digest}"

    def short_spec(self, rest: str) -> str:
        """Return the spec ``name:rest``, without the folders if ``rest`` is a path."""
        return f"{self.name}:{short_path(rest)}" if rest else self.name

    def _files(self, recorder: FileRecorder) -> FilesRead:
        """Return a result's files: modules of the package and of the user, and data they read."""
        loader = getattr(self.load, "__module__", None) or type(self.load).__module__
        module = sys.modules.get(loader)
        if module is None:
            return FilesRead(Path.cwd(), recorder.paths)
        package = module.__name__.partition(".")[0]
        path = Path(module_file(package) or module_file(module.__name__) or os.devnull)
        root = path.parent if path.name == "__init__.py" else path
        opened = {p for p in self.opened | set(recorder.opened) if is_package_data(p, root)}
        modules = files_of_modules(module, package)
        return FilesRead(root.parent, recorder.paths.union(modules, opened))


def is_package_data(path: str, root: Path) -> bool:
    """Return True for a file below ``root`` that is not Python code.

    Modules are found by their imports instead, since a process opens each module only once.
    """
    inside = os.path.realpath(path).startswith(os.path.realpath(root) + os.sep)
    return inside and not path.endswith((".py", ".pyc", ".pyo")) and os.path.isfile(path)


class Schemes:
    """Table of all schemes of one kind.

    Args:
        kind: noun for the loaded objects in messages, such as ``model``.
        group: group of the entry points by which installed packages add schemes. The entry point's name is the scheme.
        package: package that contains this project's schemes; the scheme ``some-net`` is in its file ``some_net.py``.
        **modules: other files by the names of their schemes, such as ``round="quantised"``.
    """

    def __init__(self, kind: str, group: str, package: str, **modules: str) -> None:
        self._kind, self._group, self._package, self._modules = kind, group, package, modules
        self._known: dict[str, Scheme] = {}
        self._loaded: dict[tuple[str, str, str], Scheme] = {}

    def register(self, name: str, usage: str) -> Callable[[Load], Load]:
        """Return a decorator that registers a function of this package as the loader of ``name``.

        :class:`Schemes` says how the function's module is called. ``usage`` is the syntax for
        messages; without a colon, the scheme takes no text. A name that another module registered
        raises a ValueError.
        """

        def registered(load: Load) -> Load:
            earlier = self._known.get(name)
            if earlier is not None and earlier.load.__module__ != load.__module__:
                raise self._ambiguity_error(name, [earlier.load.__module__, load.__module__])
            self._known[name] = Scheme(name, load, usage)
            return load

        return registered

    def __contains__(self, spec: str) -> bool:
        """Return True if the scheme of ``spec``, ``scheme`` or ``scheme:rest``, exists."""
        name = spec.partition(":")[0]
        return self._built_in(name) is not None or name in self.installed()

    def find(self, spec: str) -> tuple[Scheme, str]:
        """Return the scheme of ``spec``, ``scheme:rest`` or ``scheme``, and ``rest`` or "".

        Raises a ValueError if a text after the colon is missing, or the scheme takes none, or
        :meth:`get` finds no single scheme.
        """
        name, colon, rest = spec.partition(":")
        scheme = self.get(name)
        # the text is optional for installed loaders, and if its syntax is in brackets
        is_needed = not scheme.origin and ":" in scheme.usage and "[" not in scheme.usage
        if not rest and (colon or is_needed):
            what = (
                f"nothing follows the colon of {spec!r}"
                if colon
                else f"{name} alone is no {self._kind}"
            )
            raise ValueError(f"{what}; write {scheme.usage}")
        if rest and ":" not in scheme.usage:
            raise ValueError(f"{name} takes nothing after a colon; write {name}")
        return scheme, rest

    def get(self, name: str) -> Scheme:
        """Return the scheme called ``name``; only the module of this scheme is imported.

        Raises a ValueError if no scheme or two have the name, or the package cannot be imported.
        """
        built_in, points = self._built_in(name), list(entry_points(group=self._group, name=name))
        origins = ["samplerbench itself"] * (built_in is not None)
        origins += [f"{origin_of(p)} ({p.value})" for p in points]
        if len(origins) > 1:
            raise self._ambiguity_error(name, origins)
        if built_in is not None:
            return built_in
        if not points:
            raise ValueError(f"there is no {self._kind} scheme {name!r}")
        return self._import(points[0])

    def installed(self) -> dict[str, str]:
        """Return ``{scheme: "distribution version"}`` of installed packages; imports nothing."""
        return {point.name: origin_of(point) for point in entry_points(group=self._group)}

    def built_in(self) -> list[Scheme]:
        """Import and list all schemes of this package, sorted by their syntax."""
        for info in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
            importlib.import_module(f"{self._package}.{info.name}")
        return sorted(self._known.values(), key=lambda scheme: scheme.usage)

    def usages(self) -> list[str]:
        """List the syntax of all schemes: this package's, then installed packages' with origin."""
        own = [scheme.usage for scheme in self.built_in()]
        return own + [f"{name}:… ({origin})" for name, origin in self.installed().items()]

    def suggestion_for(self, spec: str, others: Collection[str] = ()) -> str:
        """Return ``did you mean …? `` with the likeliest of schemes and ``others``; "" for none."""
        self.built_in()
        name = spec.partition(":")[0]
        matches = difflib.get_close_matches(name, [*others, *self._known, *self.installed()], n=1)
        return f"did you mean {matches[0]!r}? " if matches else ""

    def _built_in(self, name: str) -> Scheme | None:
        module = self._modules.get(name, name.replace("-", "_"))
        file = f"{self._package}.{module}"
        if module.isidentifier() and importlib.util.find_spec(file) is not None:
            importlib.import_module(file)
        return self._known.get(name)

    def _ambiguity_error(self, name: str, origins: list[str]) -> ValueError:
        return ValueError(
            f"two {self._kind} schemes are called {name!r}: {' and '.join(origins)}; uninstall one"
        )

    def _import(self, point: EntryPoint) -> Scheme:
        origin = origin_of(point)
        key = (point.name, point.value, origin)
        if key not in self._loaded:
            failed = f"{self._kind} scheme {point.name!r} of {origin} ({point.value})"
            try:
                with record_files() as recorder:
                    load = point.load()
            except (Exception, SystemExit) as error:
                what = f"{type(error).__name__}: {error}"
                raise ValueError(f"{failed} failed to load: {what}") from error
            if not callable(load):
                raise ValueError(f"{failed} is a {type(load).__name__}; it must be a function")
            opened = frozenset(recorder.opened)
            self._loaded[key] = Scheme(point.name, load, f"{point.name}:…", origin, opened)
        return self._loaded[key]


def origin_of(point: EntryPoint) -> str:
    """Return an entry point's distribution and version; if unknown, its ``module:function``."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
