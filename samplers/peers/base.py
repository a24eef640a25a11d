"""The base class of peers, other libraries' samplers: options as fields, our grid and noise,
evaluations counted by a dry run.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..base import Declared
from ..grid import Grid
from ..types import Denoise, Noise, Source, StepNoise
from .by_name import resolve
from .call import Call


@dataclass(frozen=True, kw_only=True)
class Peer(Declared, ABC):
    """A sampler whose steps are another library's own code.

    The fields of a class are the peer's options.

    The peer works in its own coordinates on the levels of our grid, takes its noise from our
    source, and is evaluated through our denoiser, which counts its evaluations.

    Class attributes in addition to :class:`~samplerbench.samplers.Sampler`'s:
        target: the peer's own name for the method.
        origin: library and version, part of a result's identity.
        renamed: fields that are not called as the peer's option is.
    """

    name: ClassVar[str]
    source: ClassVar[Source]
    target: ClassVar[str]
    origin: ClassVar[str] = ""
    renamed: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def integrate(self, call: Call, x: Tensor) -> Tensor:
        """The state at the grid's last level.

        ``x`` ``(batch, *event)`` is the peer's to overwrite.
        """

    @property
    def options(self) -> dict[str, Any]:
        """The peer's options by its own names."""
        return {self.renamed.get(f.name, f.name): getattr(self, f.name) for f in fields(self)}

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """Integrate from ``grid.sigma[0]`` to ``grid.sigma[-1]``.

        The result has the state's dtype, for any dtype that the peer computes in.
        """
        return self.integrate(
            Call(denoise, grid, noise if self.stochastic else _ZeroNoise(x), x.dtype), x.clone()
        ).to(x.dtype)

    def nfe(self, grid: Grid) -> int | None:
        """Counted on a state of one number with a denoiser that costs nothing.

        None if a tolerance decides.

        Raises:
            ValueError: the peer's code fails on this grid.
        """
        return None if self.adaptive else _dry_run(self, grid)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name and options: another process makes the class again."""
        return _remake, (type(self).name, {f.name: getattr(self, f.name) for f in fields(self)})


def define(base: type[Peer], name: str, options: Mapping[str, Any], **declared: Any) -> type[Peer]:
    """The class of one peer: ``base`` with a field per option and class attributes ``declared``.

    An option ``order`` is the field ``max_order``, since ``order`` is what a sampler declares, and
    a peer declares none.
    """
    renamed = {"max_order": "order"} if "order" in options else {}
    body = {
        "name": name,
        "target": name.partition(":")[2],
        "__module__": base.__module__,
        "__doc__": base.__doc__,
        "renamed": renamed,
        **declared,
    }
    specs = [
        ("max_order" if key == "order" else key, Any, field(default=_hashable(value)))
        for key, value in options.items()
    ]
    return make_dataclass(
        re.sub(r"\W+", "_", name), specs, bases=(base,), frozen=True, kw_only=True, namespace=body
    )


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _remake(name: str, options: dict[str, Any]) -> Peer:
    return resolve(name)(**options)


class _ZeroNoise:
    """Noise that is zero: many peers draw it even where they multiply it by zero."""

    def __init__(self, x: Tensor) -> None:
        self.zero = torch.zeros_like(x)

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:  # noqa: ARG002
        return lambda draw=0, *, cur=None, nxt=None: self.zero  # noqa: ARG005


class _CountingDenoiser:
    """A closed-form denoiser that counts its evaluations."""

    def __init__(self) -> None:
        self.evaluations = 0

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        self.evaluations += 1
        return x / (1 + sigma * sigma)

    def take(self, rows: Tensor) -> Self:  # noqa: ARG002
        return self


@lru_cache(maxsize=4096)
def _dry_run(sampler: Peer, grid: Grid) -> int:
    """Evaluations of one sample of one channel."""
    counter, x = _CountingDenoiser(), torch.full((1, 1), grid.sigma[0], dtype=torch.float64)
    with torch.no_grad():
        try:
            sampler.integrate(Call(counter, grid, _ZeroNoise(x), x.dtype), x)
        except ValueError:
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}".rstrip(": ")
            raise ValueError(
                f"peer {sampler.name!r} fails on a grid of {len(grid)} steps "
                f"({message}); choose another number"
            ) from error
    return counter.evaluations
