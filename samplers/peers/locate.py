"""Search for other libraries' samplers, ``LIBRARY:NAME``, in installed packages or in clones."""

from __future__ import annotations

import ast
import contextlib
import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ..types import Source

ENVIRONMENT = "SAMPLERBENCH_PEERS"
_folder: Path | None = None

_FILES = {
    "dpm-solver": ("dpm-solver/dpm_solver_pytorch.py",),
    "UniPC": ("UniPC/uni_pc.py", "UniPC/example/score_sde_pytorch/uni_pc.py"),
    "diff-sampler": (
        "diff-sampler/diff-solvers-main/solvers.py",
        "diff-sampler/amed-solver-main/solvers_amed.py",
    ),
    "edm": ("edm/generate.py",),
}
SOURCES = {
    "dpm-solver": Source(
        "lu2022dpmpp", "dpm_solver_pytorch.py", "https://github.com/LuChengTHU/dpm-solver"
    ),
    "UniPC": Source("zhao2023unipc", "uni_pc.py", "https://github.com/wl-zhao/UniPC"),
    "diff-sampler": Source("zhou2024amed", "solvers.py", "https://github.com/zju-pi/diff-sampler"),
    "edm": Source("karras2022edm", "generate.py", "https://github.com/NVlabs/edm"),
}
"""Sources of the formulas, by the library whose repository the user clones."""


def set_peers_path(folder: str | Path | None) -> None:
    """Set the folder of clones, each named like its repository; None for ``$SAMPLERBENCH_PEERS``.

    Raises:
        ValueError: there is no such folder.
    """
    global _folder
    if folder is not None and not Path(folder).is_dir():
        raise ValueError(
            f"peers path {folder} is not a folder; clone the peers into one and name that"
        )
    _folder = None if folder is None else Path(folder)


def peers_path() -> Path | None:
    """Return the folder that :func:`set_peers_path` set; None by default."""
    return _folder


def find_clone(repository: str) -> Path | None:
    """Return the folder of a repository's clone under the peers path; None if there is none."""
    root = _folder or (Path(os.environ[ENVIRONMENT]) if os.environ.get(ENVIRONMENT) else None)
    return root / repository if root is not None and (root / repository).is_dir() else None


def clone_file(name: str) -> Path:
    """Return the path of the file with the code of a peer such as ``edm:edm_sampler``, in a clone.

    Raises:
        ValueError: no clone has the file (the message says how to clone it, if that is possible).
    """
    library = name.partition(":")[0]
    if library not in _FILES:
        raise ValueError(f"peer {name!r} is in no clone; only peers of {', '.join(_FILES)} are")
    for candidate in _FILES[library]:
        repository, _, inner = candidate.partition("/")
        folder = find_clone(repository)
        if folder is not None and (folder / inner).is_file():
            return folder / inner
    raise ValueError(
        f"peer {name!r} runs from a clone: git clone {SOURCES[library].url} into a folder, "
        f"and name that with --peers-path or ${ENVIRONMENT}"
    )


def import_installed(name: str, module: str) -> ModuleType:
    """Return a module of an installed library, for the peer ``name``.

    Raises:
        ValueError: the library is missing or does not import.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing_library_error(name, module.partition(".")[0], error) from error


def missing_library_error(name: str, package: str, error: ImportError | None = None) -> ValueError:
    """Return a ValueError that names the missing package or import of the peer ``name``."""
    lacks = getattr(error, "name", None)
    is_other = lacks and lacks.partition(".")[0] != package.replace("-", "_")
    detail = f" (which lacks {lacks})" if is_other else ""
    return ValueError(
        f"peer {name!r} needs the {package} package{detail}: pip install 'samplerbench[peers]'"
    )


def version_of_package(package: str) -> str:
    """Return ``package`` with its version; "" if it is not installed."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def name_and_hash_of_file(path: Path) -> str:
    """Return a file's name and the start of its SHA-256, the version of a clone."""
    return f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


def import_without_package(package: Path, module: str) -> ModuleType:
    """Return a module of a package folder, imported without running the package's ``__init__``."""
    alias = f"samplerbench_peer_{hashlib.sha256(str(package.resolve()).encode()).hexdigest()[:12]}"
    if alias not in sys.modules:
        parent = ModuleType(alias)
        parent.__path__ = [str(package)]
        sys.modules[alias] = parent
    return importlib.import_module(f"{alias}.{module}")


def load_script(path: Path, *siblings: str) -> ModuleType:
    """Return a clone's file as a module; it can import the modules ``siblings`` in its folder."""
    alias = f"samplerbench_peer_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if alias not in sys.modules:
        spec = importlib.util.spec_from_file_location(alias, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with _import_siblings(path.parent, siblings):
            spec.loader.exec_module(module)
        sys.modules[alias] = module
    return sys.modules[alias]


@contextlib.contextmanager
def _import_siblings(folder: Path, siblings: tuple[str, ...]) -> Iterator[None]:
    """Let a script import the modules ``siblings`` in its folder inside this context."""
    modules = {name: sys.modules.pop(name) for name in siblings if name in sys.modules}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in siblings:
            sys.modules.pop(name, None)
        sys.modules.update(modules)


def load_functions(path: Path, **given: Any) -> dict[str, Any]:
    """Return a script's undecorated functions, with globals ``given``; the script is not run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.decorator_list
    ]
    space = dict(given)
    exec(compile(tree, str(path), "exec"), space)
    return {key: value for key, value in space.items() if inspect.isfunction(value)}


_MODULES = {
    "diffusers": "diffusers",
    "k-diffusion": "k_diffusion",
    "azula": "azula",
    "torchsde": "torchsde",
    **dict.fromkeys(SOURCES, "official"),
}
ADAPTERS = ("scipy", "torchdiffeq")
"""Libraries whose samplers are built in under other names: ``scipy:RK45`` is ``scipy_rk45``."""


def resolve(name: str) -> Any:
    """Return the sampler class of ``LIBRARY:NAME``.

    Raises:
        ValueError: the library or the name is unknown (the message suggests close ones), or the
            library is not installed or cloned.
    """
    library, _, target = name.partition(":")
    if library not in _MODULES:
        raise ValueError(
            f"unknown peer library {library!r} in {name!r}; there are {', '.join([*_MODULES, *ADAPTERS])}"
        )
    targets = _sampler_names(library)
    if target not in targets:
        hint = f"there are {', '.join(targets)}"
        if close := difflib.get_close_matches(target, targets, n=3):
            hint = f"did you mean {' or '.join(f'{library}:{c}' for c in close)}?"
        raise ValueError(f"peer library {library!r} has no sampler {target!r}; {hint}")
    return _make_class(name, _path_of_code(library, target))


def load_peer_module(name: str, *siblings: str) -> ModuleType:
    """Return the module with a peer's code: of diffusers, of k-diffusion or of a clone.

    ``siblings`` are modules in the folder of a clone's file, which that file imports by bare names.

    Raises:
        ValueError: the library is none of these, or is not installed or cloned.
    """
    library = name.partition(":")[0]
    if library == "diffusers":
        return _adapter_module(library).load_library(name)
    if library == "k-diffusion":
        return _adapter_module(library).load_sampling(name)
    return load_script(clone_file(name), *siblings)


def available() -> list[str]:
    """Return the sorted names of all peers whose code is installed or cloned."""
    peers = []
    for library in _MODULES:
        try:
            peers += [f"{library}:{target}" for target in _sampler_names(library)]
        except ValueError:  # the library is not here
            continue
    return sorted(peers)


def _sampler_names(library: str) -> list[str]:
    module = _adapter_module(library)
    return module.names(library) if library in SOURCES else module.names()


def _adapter_module(library: str) -> Any:
    return importlib.import_module(f"{__package__}.{_MODULES[library]}")


def _path_of_code(library: str, target: str) -> str:
    """Return the path of a peer's code if its library may be a clone; "" for other libraries."""
    if library in SOURCES:
        return str(clone_file(f"{library}:{target}"))
    if library == "k-diffusion":
        return str(_adapter_module(library).package_folder(f"{library}:{target}"))
    return ""


@lru_cache(maxsize=256)
def _make_class(name: str, origin: str) -> Any:  # noqa: ARG001 - another origin is another class
    """Return the class of a peer, made once for each name and path ``origin`` of its code."""
    return _adapter_module(name.partition(":")[0]).make_class(name)
