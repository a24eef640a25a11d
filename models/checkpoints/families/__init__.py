"""Families of checkpoints, one per module, which recognise their files and make their networks.

A family here is the checkpoints of one code base or format, such as EDM's pickles.

Each family has a module of its name, with the functions of :class:`Family`. If the specification has a preset, the
module also has ``own_sampling(spec, steps, scheduler)``, ``native_levels(spec, steps)`` and ``own_shift(spec)``, as
:class:`~samplerbench.models.Denoiser` has them. To add a family, write a module and a test.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from typing import Protocol, cast

from ...adapters import Network
from ..opening import OpenedCheckpoint
from ..specification import Specification


class Family(Protocol):
    """Interface of a family's module."""

    @staticmethod
    def recognise(opened: OpenedCheckpoint) -> Specification | None:
        """Return the specification of a checkpoint of this family; None for any other checkpoint.

        Settings that the files do not contain are its open questions. The network is not built yet.

        Raises:
            CheckpointError: the checkpoint is of this family, but is damaged, changed, or of an unsupported network.
        """
        ...

    @staticmethod
    def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
        """Return the network with the checkpoint's weights, on the CPU, in evaluation mode.

        The network is called in native coordinates, with the number of a class or embedding for
        each state, or None if it takes neither. The number of all of them means "no label".

        Raises:
            CheckpointError: the weights do not fit the network.
            ValueError: a setting is missing, such as the number of classes.
        """
        ...


def family_names() -> list[str]:
    """Return the sorted names of all families."""
    return sorted(info.name for info in pkgutil.iter_modules(__path__))


def family(name: str) -> Family:
    """Return the module of the family called ``name``; raise a ValueError if there is none."""
    if name not in family_names():
        raise ValueError(
            f"there is no family {name!r} of checkpoints; there are: {', '.join(family_names())}"
        )
    return cast(Family, importlib.import_module(f"{__name__}.{name}"))


def family_facts(name: str) -> dict[str, str]:
    """Return the facts in a family's docstring by keyword, such as ``Files`` and ``Refused``.

    Raises a ValueError if there is no such family.
    """
    text = (inspect.getdoc(family(name)) or "").partition("\nFiles: ")[2]
    facts = re.findall(r"^(\w[\w ]+): (.*(?:\n {4}.*)*)", f"Files: {text}", re.MULTILINE)
    return {key: " ".join(fact.split()) for key, fact in facts}
