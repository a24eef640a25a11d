"""A specification and its network as a Denoiser."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..adapters import Boundary, NativeDenoiser, Network, NetworkTime
from ..decoder import Decoder
from ..denoiser import labels_for
from ..own_sampling import OwnSampling
from ..process import (
    EDM,
    VE,
    Cosine,
    Discrete,
    FloatArray,
    Process,
    RectifiedFlow,
    SubVP,
    Trigonometric,
    VPLinear,
)
from .specification import USER, Specification


def betas_of(schedule: str, steps: int, start: float = 1e-4, end: float = 0.02) -> list[float]:
    """The rates of a named schedule, ``steps`` of them.

    Args:
        schedule: between ``start`` and ``end``: ``linear`` (Ho et al. 2020, arXiv:2006.11239);
            ``scaled_linear``, linear in the square root (Rombach et al. 2022, arXiv:2112.10752);
            ``sigmoid`` (Xu et al. 2022, arXiv:2203.02923). Of what is left of the signal, and
            capped at 0.999: ``cosine`` (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17);
            ``laplace`` (Hang et al. 2024, arXiv:2407.03297) and ``exponential``, as diffusers has
            them.
        steps: times, >= 2.
        start: first rate, of the first three; of ``sigmoid`` about 0.
        end: last rate.

    Raises:
        ValueError: no such schedule.
    """
    if schedule in _RATES:
        return _RATES[schedule](steps, start, end).tolist()
    if schedule in _KEPT:
        kept = _KEPT[schedule](np.arange(steps + 1) / steps)
        return np.minimum(1 - kept[1:] / kept[:-1], 0.999).tolist()
    raise ValueError(
        f"there is no schedule of betas {schedule!r}; choose one of {', '.join([*_RATES, *_KEPT])}"
    )


def _sigmoid(steps: int, start: float, end: float) -> FloatArray:
    return start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, steps)))


_RATES: dict[str, Callable[[int, float, float], FloatArray]] = {
    "linear": lambda steps, start, end: np.linspace(start, end, steps),
    "scaled_linear": lambda steps, start, end: np.linspace(start**0.5, end**0.5, steps) ** 2,
    "sigmoid": _sigmoid,
}


def _laplace(t: FloatArray) -> FloatArray:
    log_snr = 0.5 * np.where(t > 0.5, 1.0, -1.0) * np.log(1 - 2 * np.abs(0.5 - t) + 1e-6)
    return 1 / np.sqrt(1 + np.exp(-log_snr))


_KEPT: dict[str, Callable[[FloatArray], FloatArray]] = {
    "cosine": lambda t: np.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2,
    "laplace": _laplace,
    "exponential": lambda t: np.exp(-12 * t),
}
"""What is left of the signal's power at times from 0 to 1."""


def _discrete(
    *,
    schedule: str = "",
    steps: int = 1000,
    start: float = 1e-4,
    end: float = 0.02,
    betas: list[float] | None = None,
    levels: list[float] | None = None,
    zero_snr: bool = False,
    cap: float = math.inf,
) -> Discrete:
    """A table of levels, or of betas, or of a named schedule's betas; betas with ``zero_snr`` are
    rescaled so that alphas_cumprod ends at 0 (Lin et al. 2024, arXiv:2305.08891, algorithm 1),
    where the level is ``cap``.
    """
    if levels is not None:
        return Discrete(levels=tuple(levels))
    rates = np.asarray(betas if betas is not None else betas_of(schedule, steps, start, end))
    if not zero_snr:
        return Discrete.of_betas(rates)
    root = np.sqrt(np.cumprod(1 - rates))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    with np.errstate(divide="ignore"):
        rescaled = np.sqrt(np.maximum(1 / root**2 - 1, 0))
    # levels rise: of 1000 linear betas the last but one is above 10,000 already
    return Discrete(levels=(*rescaled[:-1].tolist(), max(cap, 2 * float(rescaled[-2]))))


CAP = 1e4
"""Where what needs a finite level begins if a model's highest is infinite."""

PROCESSES: dict[str, Callable[..., Process]] = {
    "ve": VE,
    "edm": EDM,
    "vp_linear": VPLinear,
    "sub_vp": SubVP,
    "vp_cosine": Cosine,
    "discrete": _discrete,
    "flow": RectifiedFlow,
    "trigonometric": Trigonometric,
}
"""Name in a specification to the process; the arguments are its other entries."""


MOST_STEPS = 1_000_000
"""Times of a table: each is a number in memory."""


def process_of(spec: Specification) -> Process:
    """The process of a specification.

    Raises:
        ValueError: no such process, or an argument that it does not take.
    """
    arguments = dict(spec.process)
    name = arguments.pop("name")
    if math.isinf(spec.sigma_max) and arguments.get("zero_snr"):
        arguments["cap"] = math.inf
    if name not in PROCESSES:
        raise ValueError(
            f"there is no process {name!r}; choose one of {', '.join(PROCESSES)} as process.name"
        )
    takes = inspect.signature(PROCESSES[name]).parameters
    if (
        spec.source("process.name") == USER
    ):  # what is left of the process before, the user did not say
        arguments = {
            k: v for k, v in arguments.items() if k in takes or spec.source(f"process.{k}") == USER
        }
    if others := [key for key in arguments if key not in takes]:
        raise ValueError(
            f"process {name}: it takes {', '.join(takes)}, and no {' or '.join(others)}"
        )
    try:
        if not 1 <= int(arguments.get("steps", 1)) <= MOST_STEPS:
            raise ValueError(f"process.steps is {arguments['steps']}; it is 1 to {MOST_STEPS:,}")
        return PROCESSES[name](**arguments)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"process {name}: {error}") from None


class Checkpoint(NativeDenoiser):
    """A network of a checkpoint as a Denoiser.

    Args:
        spec: with nothing open.
        network: in its native coordinates; labels are class numbers (:class:`Network`).
        name: what tables call it.
        content: hexadecimal digest of all that was read; with the specification it is the identity.
        sampling: what the checkpoint's own scheduler does, by the specification and the steps.
        decoder: makes images of its samples; None where samples are what is scored.

    Raises:
        ValueError: a question is open, a value of the specification cannot be, or the network needs
            labels and is to be sampled without.
    """

    spec: Specification

    def __init__(
        self,
        spec: Specification,
        network: Network,
        name: str,
        content: str,
        sampling: Callable[[Specification, int], OwnSampling] | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        if spec.open:
            asked = "; ".join(f"{q}={'|'.join(a)}" for q, a in spec.open.items())
            raise ValueError(
                f"{name}: the checkpoint ({spec.family}) does not say everything: {asked}. Say it behind "
                "the path, as in PATH?schedule=linear, or let samplerbench check-model find out"
            )
        if not spec.event:
            raise ValueError(
                f"{name}: the checkpoint does not say of which shape its samples are; say it behind the "
                "path, as in PATH?event=[4,64,64]"
            )
        if spec.embeddings and spec.labels == "none" and not spec.null_label:
            raise ValueError(
                f"{name}: labels=none, but {spec.embeddings['file']} has nothing for no condition; "
                "give negative_prompt_embeds in it, or choose labels=random or labels=balanced"
            )
        if spec.classes and spec.labels == "none" and not spec.null_label:
            raise ValueError(
                f"{name}: labels=none, but the network was trained with labels alone; choose "
                "labels=random or labels=balanced"
            )
        process = process_of(spec)
        super().__init__(
            network,
            process,
            spec.prediction,  # type: ignore[arg-type]
            name=name,
            event=spec.event,
            identity=f"{name}-{content[:16]}-{digest(meaning(spec))[:8]}",
            classes=spec.classes,
            times=_known(process) if spec.snap else None,
            nearest="level" if spec.snap == "nearest_level" else "time",
            time=NetworkTime(**spec.time),
            factor=spec.factor,
            half=spec.half or None,  # type: ignore[arg-type]
            sigma_min=spec.sigma_min,
            sigma_max=_finite_top(spec, process),
            infinite=math.isinf(spec.sigma_max),
            limits=spec.limits,
            kind=spec.kind,
            boundary=Boundary(**spec.boundary) if spec.boundary and spec.kind == "map" else None,
            conditions=spec.embeddings.get("rows", 0),
            null_label=spec.null_label,
        )
        self.spec, self.decoder, self._sampling = spec, decoder, sampling

    def own_sampling(self, steps: int) -> OwnSampling | None:
        """What the scheduler of the checkpoint's own folder does."""
        if self._sampling is None or not self.spec.preset:
            return None
        return self._sampling(self.spec, steps)

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor | None:
        """As the specification says: ``random``, each class or condition as likely; ``balanced``,
        sample number modulo classes, or conditions; None for ``none``.
        """
        count = self.classes or self.conditions
        if self.spec.labels == "none":
            return None
        if self.spec.labels == "balanced":
            return ids % count
        return labels_for(ids, seed, [1.0] * count)


def _finite_top(spec: Specification, process: Process) -> float:
    """The highest finite level, for all that begins at one: of a table its last, else :data:`CAP`."""
    if math.isfinite(spec.sigma_max):
        return spec.sigma_max
    levels = [s for s in getattr(process, "levels", ()) if math.isfinite(s)]
    return min([CAP, *levels[-1:]])


def _known(process: Process) -> Any:
    return np.arange(process.t_min, process.t_max + 1)


def meaning(spec: Specification) -> dict[str, Any]:
    """What of a specification decides the numbers."""
    plain = spec.as_json()
    for name in ("preset", "evidence", "sources", "open"):
        del plain[name]
    del plain["weights"]["file"]
    plain["embeddings"].pop("file", None)  # its hash stays
    for name in ("embeddings", "scalars", "boundary"):  # that most have none of changes nothing
        if not plain[name]:
            del plain[name]
    if not plain["decode"]:
        del plain["decode"]
    plain["decoder"].pop("batch", None)
    if spec.source("decoder.folder") == USER:  # its content is in the identity, wherever it lies
        plain["decoder"].pop("folder", None)
    return plain


def digest(value: Any) -> str:
    """SHA-256 of a plain value, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def one_hot(labels: Tensor | None, classes: int, like: Tensor) -> Tensor | None:
    """Rows of an identity matrix, ``(batch, classes)`` of ``like``'s dtype; zeros for the label
    ``classes``. None without labels.
    """
    if labels is None or not classes:
        return None
    return torch.eye(classes + 1, classes, dtype=like.dtype, device=like.device)[labels]


class OneHot(nn.Module):
    """A network that takes labels as :func:`one_hot` makes them, called with class numbers."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """See :class:`~samplerbench.models.adapters.Network`."""
        return self.network(x, t, one_hot(labels, self.classes, x))
