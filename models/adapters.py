"""Adapters from a network's prediction at its native time to a denoiser, or to a few-step map.

A network sees x_t = alpha x0 + sigma_t z, with clean data x0 and standard normal noise z, at its
process's native time t. It predicts one of several quantities (:data:`Prediction`). A sampler sees
x = x_t / alpha at the level sigma = sigma_t / alpha, and wants d = E[x0 | x]. Every prediction p is
linear in x0 and z. So d = a x + b p, with a and b that depend on the level alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor, nn

from .denoiser import Denoiser, Kind, highest_finite_level, level_column
from .label_draws import labels_for
from .networks import check_call, check_shape, check_tensor, copy_to_device
from .process import VE, Discrete, FloatArray, Process

Prediction = Literal["x0", "eps", "v", "flow", "velocity", "score", "edm", "consistency"]
Half = Literal["first", "second"]
Weights = tuple[FloatArray, FloatArray]


class Network(Protocol):
    """Callable from noisy states, times and labels to predictions, such as an ``nn.Module``."""

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor | None, /) -> Tensor:
        """Return the prediction for states ``x_t`` ``(batch, *event)`` at times ``t`` ``(batch,)``.

        The prediction has the shape of ``x_t``, with twice as many channels if a variance is
        learned. ``labels`` are int64 ``(batch,)``: numbers of classes or conditions, from 0. The
        number of all classes or conditions means "no label". A network without labels gets None.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class NetworkTime:
    """Formula ``offset + scale * q`` of a network's time input, where ``of`` names the quantity q.

    >>> NetworkTime(of="log_level", scale=0.25).network_input(np.array([1.0]), np.array([1.0])).item()
    0.0

    Attributes:
        of: ``t`` for the native time of the process, ``level`` for the noise level, ``log_level``
            for the level's natural logarithm.
        scale: 0.25 for EDM's ln(sigma) / 4; 1000 for times in thousandths; -1, with an offset of 1,
            for a time that runs from noise to data.
        offset: added constant.
    """

    of: Literal["t", "level", "log_level"] = "t"
    scale: float = 1.0
    offset: float = 0.0

    def network_input(self, t: FloatArray, level: FloatArray) -> FloatArray:
        """Return the time inputs for native times ``t`` and their noise levels ``level``."""
        of = {"t": t, "level": level, "log_level": np.log(level)}[self.of]
        return self.offset + self.scale * of


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """Boundary condition of latent consistency models, which return c_skip x_t + c_out d.

    d is the network's estimate of the clean image (Luo et al. 2023, arXiv:2310.04378, section 4).
    At native time t, let s = ``scale`` t and r² = s² + ``sigma_data``². Then c_skip = sigma_data² /
    r² and c_out = s / r.

    >>> Boundary().weights(np.array([0.0]))
    (array([1.]), array([0.]))
    """

    scale: float = 10.0
    sigma_data: float = 0.5

    def weights(self, t: FloatArray) -> Weights:
        """Return (c_skip, c_out) at native times ``t``, each of the shape of ``t``."""
        total = np.hypot(self.scale * t, self.sigma_data)
        return (self.sigma_data / total) ** 2, self.scale * t / total


def _prediction_weights(
    prediction: Prediction, level: FloatArray, alpha: FloatArray, process: Any
) -> Weights:
    """Return (a, b) such that a x + b p is the denoised image of state x with prediction p.

    Both weights have the shape of ``level``. ``alpha`` is the scale alpha of x_t at these levels.
    """
    match prediction:
        case "x0":
            return np.zeros_like(level), np.ones_like(level)
        case "eps":  # x = d + level p
            return np.ones_like(level), -level
        case "v":  # p = alpha z - sigma_t x0 (Salimans & Ho 2022, arXiv:2202.00512)
            total = 1 + level**2
            return 1 / total, -level / (alpha * total)
        case "flow":  # p = nu z - x0, nu the noise scale (Liu et al. 2023, arXiv:2209.03003)
            nu = getattr(process, "noise_scale", 1.0)
            return nu / (nu + level), -level / (nu + level)
        case "velocity":  # p = dx_t / dt by native time (Ma et al. 2024, arXiv:2401.08740, eq. 5)
            alpha_speed, sigma_speed = process.speeds(process.t_of(level))
            total = sigma_speed - level * alpha_speed
            return sigma_speed / total, -level / total
        case "score":  # p = -z / sigma_t (Song et al. 2021, arXiv:2011.13456), by Tweedie
            return np.ones_like(level), alpha * level**2
        case "edm":  # c_skip and c_out of Karras et al. 2022 (arXiv:2206.00364, Table 1)
            total = np.hypot(level, process.sigma_data)
            return (process.sigma_data / total) ** 2, process.sigma_data * (level / total)
        case "consistency":  # Song et al. 2023 (arXiv:2303.01469, app. C): (1, 0) at t_min
            data, above = process.sigma_data, level - process.t_min
            return data**2 / (above**2 + data**2), data * (above / np.hypot(level, data))


class NativeDenoiser(Denoiser):
    """Denoiser around a network that takes states x_t at native times of its process.

    Only the network computes in ``network_dtype``. Scaling before it and sums after it use the
    state's dtype, such as float64. An ``nn.Module`` is put in evaluation mode and frozen, so that a
    run builds no graph of its parameters.

    Args:
        network: see :class:`Network`.
        process: the noising process of the network's training.
        prediction: the network's output: ``x0``; ``eps``, the noise z; ``v`` = alpha z - sigma_t
            x0; ``flow`` = nu z - x0, with nu the process's ``noise_scale`` or 1; ``velocity`` = dx_t
            / dt, for a process with ``speeds``; ``score`` = grad log p_t(x_t); ``edm`` or
            ``consistency``, the raw output F of EDM or of a consistency model, for an
            :class:`~samplerbench.models.process.EDM` process.
        name, event, classes, identity: as in :class:`Denoiser`.
        times: native times at which the network was trained; None if it takes any time. The network
            is called at the nearest of them, and its output gets the weights of the exact level.
        nearest: ``time`` for the trained time nearest in time, ``level`` for nearest in level.
        time: formula of the network's time input; None for the native time.
        factor: multiplier of the network's output that gives the prediction, such as -1.
        half: half of the output channels that holds the prediction, ``first`` or ``second``, for a
            network that also learned a variance; None for all channels.
        network_dtype: dtype of the network's inputs.
        dtype: dtype of the state unless a run sets one; by default ``network_dtype``.
        sigma_min, sigma_max: ends of the levels that the network knows; by default the process's. An
            infinite ``sigma_max`` becomes the last finite level of a table, and 10,000 at most.
        infinite: True if the network was trained up to an infinite level. The process must reach it
            at a finite time, ``time.of`` must be ``t``, and ``prediction`` x0, v or flow.
        limits: range of the values of the data, as in :class:`Denoiser`.
        kind: ``map`` for a few-step map. It ends at level 0, but for the prediction ``consistency``
            at ``sigma_min``.
        boundary: :class:`Boundary` of a latent consistency model; None for other networks.
        class_weights: relative frequency of each of the ``classes`` in the data. Samples draw their
            labels by these frequencies. Without frequencies, all samples get the label ``classes``,
            "no label", which the network must know.
        conditions: number of conditions of a network without classes, such as rows of a table of
            prompts (:mod:`samplerbench.models.checkpoints.conditions`). Sample i gets condition i
            modulo ``conditions``.
        null_label: True if the label ``classes``, or ``conditions``, means "no label".

    Raises:
        ValueError: the network does not take (x_t, t, labels); the prediction is unknown or unfit
            for the process; both classes and conditions are given; ``class_weights`` are not one
            for each class; the lowest level is 0; or ``infinite`` is set, but is impossible or
            ``kind`` is ``map``.
    """

    capturable = False  # the process's native times are computed on the host

    def __init__(
        self,
        network: Network,
        process: Process,
        prediction: Prediction,
        *,
        name: str,
        event: tuple[int, ...],
        identity: str,
        classes: int = 0,
        times: FloatArray | None = None,
        nearest: Literal["time", "level"] = "time",
        time: NetworkTime | None = None,
        factor: float = 1.0,
        half: Half | None = None,
        network_dtype: torch.dtype = torch.float32,
        dtype: torch.dtype | None = None,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        infinite: bool = False,
        limits: tuple[float, float] | None = None,
        kind: Kind = "denoiser",
        boundary: Boundary | None = None,
        class_weights: Sequence[float] | None = None,
        conditions: int = 0,
        null_label: bool = True,
    ) -> None:
        if class_weights is not None and len(class_weights) != classes:
            raise ValueError(
                f"model {name}: {len(class_weights)} class_weights for "
                f"{classes} classes; give one for each"
            )
        if classes and conditions:
            raise ValueError(f"model {name}: give classes or conditions, not both")
        if prediction not in get_args(Prediction):
            raise ValueError(
                f"model {name}: unknown prediction {prediction!r}; choose "
                f"one of {', '.join(get_args(Prediction))}"
            )
        if prediction in ("edm", "consistency") and not hasattr(process, "sigma_data"):
            raise ValueError(
                f"model {name}: prediction {prediction!r} needs an EDM process, for sigma_data"
            )
        if prediction == "velocity" and not hasattr(process, "speeds"):
            raise ValueError(
                f"model {name}: prediction 'velocity' needs a process that knows its speeds, VPLinear "
                "or SubVP; on a straight path say 'flow', on a circle 'v' with a factor of 2 / pi"
            )
        check_call(f"model {name}: its network", network, ("x_t", "t", "labels"))
        if isinstance(network, nn.Module):
            network.eval().requires_grad_(False)
        self.network, self.process = network, process
        self.prediction: Prediction = prediction
        self.name, self.event, self.identity, self.classes = name, event, identity, classes
        self.limits, self.class_weights, self.kind = limits, class_weights, kind
        self.map_end = None if prediction == "consistency" else 0.0
        self.boundary = boundary
        self.conditions, self.null_label = conditions, null_label
        self.times = None if times is None else np.sort(np.asarray(times, dtype=np.float64))
        self.nearest = nearest
        self.time, self.factor, self.half = time or NetworkTime(), factor, half
        self.network_dtype = network_dtype
        self.dtype = network_dtype if dtype is None else dtype
        self.infinite = infinite
        if infinite:
            if kind == "map":
                raise ValueError(
                    f"model {name}: a few-step map begins at a finite level, since its jumps are from "
                    "noisy data; leave out sigma_max=inf"
                )
            self._infinity_terms = self._terms_at_infinity()
        self.sigma_min = process.level(process.t_min) if sigma_min is None else sigma_min
        top = process.level(process.t_max) if sigma_max is None else sigma_max
        self.sigma_max = highest_finite_level(process, top)
        if not self.sigma_min > 0:
            raise ValueError(
                f"model {name}: its lowest level is {self.sigma_min} (t_min={process.t_min}); give "
                "its process a t_min whose level is above 0"
            )

    def native_levels(self, steps: int) -> tuple[float, ...] | None:
        """Return ``steps`` falling levels at evenly spaced native times; None for VE and EDM.

        VE and EDM define only a range of levels. Levels of a :class:`Discrete` process end at
        ``sigma_min``. They are at whole times if ``times`` are set and enough whole times exist
        (Nichol & Dhariwal 2021, arXiv:2102.09672). The last time of other processes is one spacing
        above 0. No level is below ``sigma_min``.
        """
        process = self.process
        if isinstance(process, VE):
            return None
        first, last = process.t_of(self.sigma_max), process.t_of(self.sigma_min)
        if isinstance(process, Discrete):
            times = np.linspace(first, last, steps)
            whole = steps <= abs(first - last) and self.times is not None
            levels = process.level(times.round() if whole else times)
        else:
            levels = process.level(first * (1 - np.arange(steps) / steps))
        inner = np.clip(levels, self.sigma_min, self.sigma_max)[1:].tolist()
        return (self.sigma_max, *inner)

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor | None:
        """Return classes drawn by ``class_weights``, or ids modulo ``conditions``; else None."""
        if self.conditions:
            return ids % self.conditions
        return None if self.class_weights is None else labels_for(ids, seed, self.class_weights)

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Estimate E[x0 | x] from the network's prediction; see :meth:`Denoiser.denoise`.

        If ``sigma`` has an attribute ``time``, the network is called at that native time. The level
        inf needs ``infinite``; ``x`` is then noise of standard deviation 1.
        """
        if not isinstance(sigma, Tensor) and math.isinf(sigma):
            if not self.infinite:
                raise ValueError(f"model {self.name} has no infinite level (infinite=True)")
            scale, network_time, skip_weight, output_weight = self._infinity_terms
            output = self._network_output(scale * x, network_time, labels)
            return skip_weight * x + output_weight * output
        level = (
            sigma.detach().double().cpu().numpy()
            if isinstance(sigma, Tensor)
            else np.array([sigma], dtype=np.float64)
        )
        time = self.process.t_of(level)
        alpha = self.process.alpha(time)
        a, b = _prediction_weights(self.prediction, level, alpha, self.process)
        requested = getattr(sigma, "time", None)
        called = self._snap_time(time, level) if requested is None else np.array([requested])
        if self.boundary is not None:
            skip, out = self.boundary.weights(called)
            a, b = skip * alpha + out * a, out * b
        scale, skip_weight, output_weight = (
            level_column(torch.from_numpy(value).to(x.device), x)
            for value in (alpha, a, b * self.factor)
        )
        if requested is None and self.times is not None:
            level = self.process.level(called)
        network_time = self.time.network_input(called, level)
        output = self._network_output(x * scale, network_time, labels)
        return skip_weight * x + output_weight * output

    def _network_output(
        self, x_t: Tensor, network_time: FloatArray, labels: Tensor | None
    ) -> Tensor:
        """Return the network's prediction for states ``x_t``, in the dtype of ``x_t``."""
        t = torch.from_numpy(network_time).to(x_t.device, self.network_dtype).expand(len(x_t))
        if labels is None and (none := self.classes or self.conditions):
            if not self.null_label:
                raise ValueError(
                    f"model {self.name} has nothing that means no condition; give labels, or "
                    "class_weights"
                )
            labels = torch.full((len(x_t),), none, dtype=torch.int64, device=x_t.device)
        output = self.network(x_t.to(self.network_dtype), t, labels)
        check_tensor(f"model {self.name}: its network", output)
        if self.half is not None:
            if output.shape[1] != 2 * x_t.shape[1]:
                raise ValueError(
                    f"half={self.half}, but the network gives {output.shape[1]} channels for "
                    f"{x_t.shape[1]}, and not twice as many; leave out half"
                )
            first, second = output.chunk(2, 1)
            output = first if self.half == "first" else second
        check_shape(f"model {self.name}: its network", output, x_t)
        return output.to(x_t.dtype)

    def _terms_at_infinity(self) -> tuple[float, FloatArray, float, float]:
        """Return (s, t, A, B): at level inf, noise z is denoised to A z + B F(s z, t).

        F is the network. Raises a ValueError if the process has no time for level inf, the
        prediction has no limit there, or the time input t depends on the level.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            time = self.process.t_of(math.inf)
            ends = math.isfinite(time) and math.isinf(self.process.level(time))
        if not ends or self.time.of != "t":
            raise ValueError(
                f"model {self.name}: it has no infinite level: its process ends before, or the network "
                "takes the level itself; give a finite sigma_max"
            )
        nu = float(getattr(self.process, "noise_scale", 1.0))
        limits = {"x0": (0.0, 1.0), "v": (0.0, -1.0), "flow": (nu, -1.0)}
        if self.prediction not in limits:
            raise ValueError(
                f"model {self.name}: prediction {self.prediction!r} has no limit at an infinite level; v, "
                "flow and x0 have one"
            )
        skip_weight, output_weight = limits[self.prediction]
        network_time = self.time.network_input(np.array([time]), np.array([1.0]))
        return self.process.sigma(time), network_time, skip_weight, output_weight * self.factor

    def _snap_time(self, time: FloatArray, level: FloatArray) -> FloatArray:
        """Return trained times, nearest to ``time`` or ``level``; ``time`` if all are allowed."""
        if self.times is None:
            return time
        by_level = self.nearest == "level"
        choices = self.process.level(self.times) if by_level else self.times
        wanted = level if by_level else time
        after = np.searchsorted(choices, wanted).clip(1, len(choices) - 1)
        is_before = wanted - choices[after - 1] <= choices[after] - wanted
        return self.times[np.where(is_before, after - 1, after)]

    def to(self, device: torch.device | str) -> NativeDenoiser:
        """Return a copy of this model with its network and decoder on ``device``."""
        twin = copy.copy(self)
        twin.network = copy_to_device(self.network, device)
        twin.decoder = self.decoder and self.decoder.to(device)
        return twin
