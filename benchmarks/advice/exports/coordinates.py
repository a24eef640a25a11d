"""Coordinates of a diffusers pipeline: the scale of its states, and the times that its network gets.

Ours are x = x0 + sigma z. A pipeline's state is ``scale`` times that, which is what the network takes:
alpha x of a variance preserving process, (1 - t) x of a flow, x / sqrt(sigma² + sigma_data²) of EDM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ....models import Denoiser
from ....models.adapters import NativeDenoiser
from ....models.denoiser import innermost
from ....models.process import EDM, Discrete, RectifiedFlow

Kind = Literal["table", "flow", "edm"]


@dataclass(frozen=True)
class Coordinates:
    """Coordinates of one model.

    Attributes:
        kind: ``table`` for a network trained at a table of times, ``flow``, or ``edm``.
        model: the network.
    """

    kind: Kind
    model: NativeDenoiser

    def scale(self, sigma: float) -> float:
        """Return the factor that takes a state x0 + sigma z to the pipeline's."""
        if self.kind == "table":
            return 1 / math.hypot(1, sigma)
        if self.kind == "flow":
            return 1 / (1 + sigma)
        return 1 / math.hypot(sigma, self._process.sigma_data)

    def level(self, sigma: float) -> float:
        """Return the level in the schedulers' terms: t of a flow, sigma of all others."""
        return sigma / (1 + sigma) if self.kind == "flow" else sigma

    def time(self, sigma: float) -> float:
        """Return the network's time in the scheduler's units: the nearest time of a table, t times the
        number of training steps, or ln(sigma) / 4.
        """
        if self.kind == "edm":
            return math.log(sigma) / 4
        if self.kind == "flow":
            return self.level(sigma) * round(1 / self._process.t_min)
        time = float(self._process.t_of(sigma))
        times = self.model.times
        return time if times is None else float(times[np.abs(times - time).argmin()])

    def denoised(self, sigma: float) -> tuple[float, float]:
        """Return the weights p and q of the clean image d = p x + q output at x = x0 + sigma z."""
        alpha, prediction = self.scale(sigma), self.model.prediction
        if self.kind == "edm":
            data = self._process.sigma_data
            return (data * alpha) ** 2, sigma * data * alpha * self.model.factor
        if prediction == "eps":
            return 1.0, -sigma
        if prediction == "v":
            return alpha**2, -sigma * alpha
        return (alpha, -sigma * alpha) if prediction == "flow" else (0.0, 1.0)

    @property
    def words(self) -> str:
        """Library's word for the network's prediction."""
        if self.kind == "edm":
            return "epsilon" if self.model.factor > 0 else "v_prediction"
        return _WORDS[self.model.prediction]

    @property
    def pipeline(self) -> str:
        """Class of the pipeline that the model comes from; "" where it is unknown."""
        spec = getattr(self.model, "spec", None)
        return "" if spec is None else str(spec.preset.get("pipeline", ""))

    @property
    def is_pipeline(self) -> bool:
        """Return True if the model comes from a folder of diffusers."""
        return getattr(getattr(self.model, "spec", None), "family", "") == "diffusers"

    @property
    def _process(self) -> Any:
        return self.model.process


_WORDS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample", "flow": "flow_prediction"}
_NONE = "diffusers has no scheduler for"


def unknown(model: Denoiser) -> str:
    """Return why diffusers has no coordinates for a model, in a short sentence; "" if it has."""
    network = innermost(model)
    if not isinstance(network, NativeDenoiser):
        return f"{model.name} is no network of diffusers"
    process, prediction = network.process, network.prediction
    if network.kind == "map":
        return f"{model.name} is a few-step map, which this library samples in its own way"
    if network.factor != 1 and prediction != "edm":
        return f"{_NONE} a network that gives the opposite of what it predicts"
    if isinstance(process, Discrete) and prediction in ("eps", "v", "x0"):
        return ""
    if isinstance(process, RectifiedFlow) and process.noise_scale == 1 and prediction == "flow":
        return ""
    if isinstance(process, EDM) and prediction == "edm" and abs(network.factor) == 1:
        return ""
    return f"{_NONE} the process {type(process).__name__} with prediction {prediction}"


def coordinates_of(model: Denoiser) -> Coordinates:
    """Return the coordinates of a model.

    Raises:
        ValueError: diffusers has none for it.
    """
    if reason := unknown(model):
        raise ValueError(reason)
    network = innermost(model)
    assert isinstance(network, NativeDenoiser)
    return Coordinates(_kind(network), network)


def _kind(model: NativeDenoiser) -> Kind:
    if isinstance(model.process, RectifiedFlow):
        return "flow"
    return "edm" if isinstance(model.process, EDM) else "table"


def is_flow(model: Denoiser) -> bool:
    """Return True if a model's process is a straight path to noise of standard deviation 1."""
    process = getattr(innermost(model), "process", None)
    return isinstance(process, RectifiedFlow) and process.noise_scale == 1
