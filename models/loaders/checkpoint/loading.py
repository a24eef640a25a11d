"""Loading of a checkpoint from its path to a Denoiser."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from ...checkpoints.answers import with_answers
from ...checkpoints.mapping import Checkpoint
from ...checkpoints.opening import AGAIN, CheckpointError, Opened, open_checkpoint
from ...checkpoints.origins import described
from ...checkpoints.specification import Specification
from .decoding import decoder_of
from .families import families, family, family_names

Value = TypeVar("Value")


def probe(opened: Opened, name: str | None = None) -> Specification:
    """Return the specification of a checkpoint.

    Args:
        opened: of :func:`open_checkpoint`.
        name: of its family; None asks all.

    Raises:
        CheckpointError: no family, or not this one, or more than one recognises it.
        ValueError: there is no such family.
    """
    if name is not None:
        spec = _read(opened, lambda: family(name).recognise(opened))
        if spec is None:
            raise CheckpointError(
                f"{opened.path} is no {name} checkpoint; leave out {name}: to have its family found"
            )
        return spec
    specifications = [
        spec for spec in _read(opened, lambda: _recognise_by_all(opened)) if spec is not None
    ]
    if len(specifications) > 1:
        names = " and ".join(spec.family for spec in specifications)
        raise CheckpointError(
            f"{opened.path} could be {names}; say which, as in {specifications[0].family}:{opened.path}"
        )
    if not specifications:
        raise CheckpointError(
            f"{opened.path} is of no known family ({', '.join(family_names())}): {described(opened)}"
        )
    return specifications[0]


def _recognise_by_all(opened: Opened) -> list[Specification | None]:
    return [candidate.recognise(opened) for candidate in families()]


def _read(opened: Opened, read: Callable[[], Value]) -> Value:
    """Return the result of ``read``.

    Raises:
        CheckpointError: also for unexpected content of the files.
        ValueError: as ``read`` raises it.
    """
    try:
        return read()
    except (
        *(TypeError, AttributeError, LookupError, ArithmeticError),
        *(MemoryError, RecursionError, UnicodeError),
    ) as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise CheckpointError(
            f"{opened.path} says something of its network that cannot be ({what}); compare its "
            f"files with the source's, and {AGAIN}"
        ) from error


def build(spec: Specification, opened: Opened) -> Checkpoint:
    """Make the model of a checkpoint, on the CPU.

    Raises:
        CheckpointError: its weights do not fit its network.
        ValueError: a question is open, or a value of the specification is invalid.
    """
    of, decoder = family(spec.family), decoder_of(spec, opened)
    network = _read(opened, lambda: of.network(spec, opened))
    name, content = opened.path.resolve().stem, opened.content
    if decoder is not None and decoder.identity:
        content = hashlib.sha256(f"{content} {decoder.identity}".encode()).hexdigest()
    if spec.decoder and decoder is None:
        name = f"{name}-latents"
    sampling, levels = getattr(of, "own_sampling", None), getattr(of, "native_levels", None)
    return Checkpoint(spec, network, name, content, sampling, decoder, levels)


def load(path: Path, given: Mapping[str, str], name: str | None = None) -> Checkpoint:
    """Load the model of a checkpoint with the user's settings, on the CPU; open questions take cached answers
    of ``samplerbench check-model``.

    Args:
        path: of a file or folder.
        given: settings by name, as :meth:`Specification.overridden` takes them.
        name: of its family; None to recognise it.

    Raises:
        CheckpointError: it cannot be read, or is of no known family.
        ValueError: an invalid setting, or an open question.
    """
    opened = open_checkpoint(path)
    return resolved(probe(opened, name), opened, given)


def resolved(spec: Specification, opened: Opened, given: Mapping[str, str]) -> Checkpoint:
    """Make the model of a specification with the user's settings and cached answers; see :func:`load`."""
    spec = spec.overridden(given)
    return build(with_answers(spec, opened.content) if spec.open else spec, opened)
