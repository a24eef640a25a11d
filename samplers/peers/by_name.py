"""Samplers of other libraries by name: ``LIBRARY:NAME`` to the class."""

from __future__ import annotations

import difflib
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

from .locate import clone_file, load_script

_MODULES = {
    "diffusers": "diffusers",
    "k-diffusion": "k_diffusion",
    "azula": "azula",
    "torchsde": "torchsde",
    "dpm-solver": "official",
    "UniPC": "official",
    "diff-sampler": "official",
    "edm": "official",
}
ADAPTERS = ("scipy", "torchdiffeq")
"""Libraries whose samplers are built in under names of ours, which the registry knows:
``scipy:RK45`` is ``scipy_rk45``.
"""


def resolve(name: str) -> Any:
    """The sampler class of ``LIBRARY:NAME``.

    Raises:
        ValueError: unknown library or name (the message suggests close ones), or a library that is
            not there.
    """
    library, _, target = name.partition(":")
    if library not in _MODULES:
        raise ValueError(
            f"unknown peer library {library!r} in {name!r}; there are {', '.join([*_MODULES, *ADAPTERS])}"
        )
    targets = _names(library)
    if target not in targets:
        close = difflib.get_close_matches(target, targets, n=3)
        hint = (
            f"did you mean {' or '.join(f'{library}:{c}' for c in close)}?"
            if close
            else f"there are {', '.join(targets)}"
        )
        raise ValueError(f"peer library {library!r} has no sampler {target!r}; {hint}")
    return _make(name, _origin(library, target))


def load_peer_module(name: str, *siblings: str) -> ModuleType:
    """Return the module that holds the code of a peer, such as ``diffusers:UniPCMultistepScheduler``.

    Args:
        name: of a peer of diffusers, of k-diffusion, or of a clone.
        siblings: files beside that of a clone, which it imports by bare names.

    Raises:
        ValueError: the library is not here; the sentence says what to install or to clone.
    """
    library = name.partition(":")[0]
    if library == "diffusers":
        return _module(library).library(name)
    if library == "k-diffusion":
        return _module(library).module(name)
    return load_script(clone_file(name), *siblings)


def available() -> list[str]:
    """The names of all peers whose code is here, sorted."""
    peers = []
    for library in _MODULES:
        try:
            peers += [f"{library}:{target}" for target in _names(library)]
        except ValueError:  # the library is not here
            continue
    return sorted(peers)


def _names(library: str) -> list[str]:
    module = _module(library)
    return module.names(library) if _MODULES[library] == "official" else module.names()


def _module(library: str) -> Any:
    return import_module(f"{__package__}.{_MODULES[library]}")


def _origin(library: str, target: str) -> str:
    """Return the place of the code, on which the class of a name depends too."""
    module = _module(library)
    return module.where(f"{library}:{target}") if hasattr(module, "where") else ""


@lru_cache(maxsize=256)
def _make(name: str, origin: str) -> Any:  # noqa: ARG001 - another origin is another class
    return _module(name.partition(":")[0]).make(name)
