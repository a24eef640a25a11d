"""Families of checkpoints, one a file: recognition of their files, open questions and networks.

A family is a module with the functions of :class:`Family` and, if its files have a scheduler,
``own_sampling(spec, steps, scheduler) -> OwnSampling`` and ``native_levels(spec, steps)``, the levels of the
evaluations.

To add one, write a file here (its name is the scheme) and a test.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol, cast

from ...adapters import Network
from ..opening import Opened
from ..specification import Specification


class Family(Protocol):
    """Module of this folder."""

    @staticmethod
    def recognise(opened: Opened) -> Specification | None:
        """Return the checkpoint's specification with its open questions, if it is of this family. It builds
        nothing.

        Raises:
            CheckpointError: it is, but damaged, changed, or a network that is not supported.
        """
        ...

    @staticmethod
    def network(spec: Specification, opened: Opened) -> Network:
        """Return its network with the weights of the checkpoint, on the CPU, in evaluation mode, called in native
        coordinates with class numbers (``spec.classes`` for "no label"), or None without classes.

        Raises:
            CheckpointError: its weights do not fit it.
            ValueError: a setting is missing, such as the number of classes.
        """
        ...


def family_names() -> list[str]:
    """List the names of all families, sorted."""
    return sorted(info.name for info in pkgutil.iter_modules(__path__))


def family(name: str) -> Family:
    """Import the family of a name.

    Raises:
        ValueError: there is none.
    """
    if name not in family_names():
        raise ValueError(
            f"there is no family {name!r} of checkpoints; there are: {', '.join(family_names())}"
        )
    return cast(Family, importlib.import_module(f"{__name__}.{name}"))
