"""Who writes checkpoints, one family a file: how its files are recognised, what they say and do not
say, and its networks.

A family is a module with

* ``recognise(opened) -> Specification | None``: what the checkpoint is, if it is of this family,
  with every question that it leaves open. It reads, and builds nothing.
* ``network(spec, opened) -> Network``: its network, on the CPU, in evaluation mode, called in
  native coordinates with class numbers (``spec.classes`` for "no label"), or None without classes.

and, where its files say how they are to be sampled, ``own_sampling(spec, steps, scheduler) -> OwnSampling`` and
``native_levels(spec, steps)``, the levels of the evaluations.

To add one, write a file here (its name is the scheme) and a test.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Protocol, cast

from ....adapters import Network
from ....checkpoints.opening import Opened
from ....checkpoints.specification import Specification


class Family(Protocol):
    """A module of this folder."""

    @staticmethod
    def recognise(opened: Opened) -> Specification | None:
        """What the checkpoint is, if it is of this family."""
        ...

    @staticmethod
    def network(spec: Specification, opened: Opened) -> Network:
        """Its network, with the weights of the checkpoint."""
        ...


def family_names() -> list[str]:
    """Of all families, sorted."""
    return sorted(info.name for info in pkgutil.iter_modules(__path__))


def family(name: str) -> Family:
    """The family of a name.

    Raises:
        ValueError: there is none.
    """
    if name not in family_names():
        raise ValueError(
            f"there is no family {name!r} of checkpoints; there are: {', '.join(family_names())}"
        )
    return cast(Family, importlib.import_module(f"{__name__}.{name}"))


def families() -> Iterator[Family]:
    """All of them; each is imported when its turn comes."""
    return map(family, family_names())
