"""Training settings in a scheduler's file: process, prediction and time input of the network.

The other settings are about sampling (:mod:`.preset`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...denoiser import CAP
from ..opening import CheckpointError
from ..processes import edm_fields

SCHEDULER = "scheduler_config.json"

Settings = Mapping[str, Any]
"""Settings in a scheduler's file, with its class as ``_class_name``."""

LATENT_BETAS = ("HeunDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete", "DPMSolverSDE")
TABLE = (
    *("DDPM", "DDPMParallel", "DDIM", "DDIMParallel", "PNDM", "LMSDiscrete", "EulerDiscrete"),
    *("EulerAncestralDiscrete", "DPMSolverMultistep", "DPMSolverSinglestep", "DEISMultistep"),
    *("UniPCMultistep", "SASolver", *LATENT_BETAS),
)
"""Schedulers (without "Scheduler") of networks that were trained at the times of a table."""
SCHEDULES = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "squaredcos_cap_v2": "cosine",
    "sigmoid": "sigmoid",
    "laplace": "laplace",
    "exp": "exponential",
}
"""Schedules of betas: this project's names by the library's."""
PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0", "flow_prediction": "flow"}


def specification_fields(scheduler: Settings) -> dict[str, Any]:
    """Return the ``Specification`` fields that a scheduler's settings or their defaults determine.

    >>> specification_fields({"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction"})["factor"]
    -1.0

    Raises a CheckpointError if the scheduler, its schedule or its prediction is unknown.
    """
    kind = scheduler_class_stem(scheduler.get("_class_name"))
    if kind in _TRAININGS:
        return _TRAININGS[kind](scheduler)
    if kind not in TABLE:
        raise CheckpointError(
            f"the scheduler {scheduler.get('_class_name')} is none that is read "
            f"({', '.join((*TABLE, *_TRAININGS))}); put the file of the one "
            f"that the network was trained with, such as DDPMScheduler, in the place of {SCHEDULER}"
        )
    prediction = _look_up(scheduler, "prediction_type", PREDICTIONS)
    if prediction == "flow" or scheduler.get("use_flow_sigmas"):
        if prediction == "v":
            raise CheckpointError(
                f"prediction_type v_prediction with use_flow_sigmas is no training that is known; write "
                f"the one that the network was trained with into {SCHEDULER}"
            )
        return _flow_fields(scheduler) | {"prediction": prediction}
    if prediction == "v" and scheduler.get("timestep_type") == "continuous":
        return _continuous_fields(scheduler)
    return _table_fields(scheduler, kind, prediction)


def scheduler_class_stem(class_name: Any) -> str:
    """Return a scheduler's class name without "Scheduler"."""
    return str(class_name).removesuffix("Scheduler")


def _look_up(scheduler: Settings, key: str, names: Mapping[str, Any]) -> Any:
    """Return ``names[scheduler[key]]``; refuse unknown settings. The first name is the default."""
    setting = scheduler.get(key, next(iter(names)))
    if setting not in names:
        raise CheckpointError(
            f"{key} {setting!r} of {scheduler.get('_class_name')} is none of {', '.join(names)}; "
            f"write the one that the network was trained with into {SCHEDULER}"
        )
    return names[setting]


def _table_fields(scheduler: Settings, kind: str, prediction: str) -> dict[str, Any]:
    process: dict[str, Any] = {"name": "discrete"}
    if scheduler.get("trained_betas") is not None:
        process["betas"] = [float(beta) for beta in scheduler["trained_betas"]]
    else:
        latent = kind in (*LATENT_BETAS, "LCM")
        start, end = (0.00085, 0.012) if latent else (1e-4, 0.02)
        usual = {"beta_schedule": "scaled_linear"} if kind == "LCM" else {}
        process |= {
            "schedule": _look_up({**usual, **scheduler}, "beta_schedule", SCHEDULES),
            "steps": int(scheduler.get("num_train_timesteps", 1000)),
            "start": float(scheduler.get("beta_start", start)),
            "end": float(scheduler.get("beta_end", end)),
        }
    if scheduler.get("rescale_betas_zero_snr"):
        process |= {"zero_snr": True, "cap": CAP}
    return {"process": process, "prediction": prediction, "snap": "nearest"}


def _flow_fields(scheduler: Settings) -> dict[str, Any]:
    """Return ``Specification`` fields of straight paths, time input t × ``num_train_timesteps``."""
    steps = int(scheduler.get("num_train_timesteps", 1000))
    fields: dict[str, Any] = {
        "process": {"name": "flow", "t_min": 1 / steps},
        "prediction": "flow",
        "time": {"of": "t", "scale": float(steps)},
    }
    if scheduler.get("invert_sigmas"):  # time 1 at the data, output x0 - z
        reverse = {"of": "t", "scale": -float(steps), "offset": float(steps)}
        fields |= {"factor": -1.0, "time": reverse}
    return fields


def _score_fields(scheduler: Settings) -> dict[str, Any]:
    low, high = scheduler.get("sigma_min", 0.01), scheduler.get("sigma_max", 1348.0)
    return {
        "process": {"name": "ve", "t_min": float(low), "t_max": float(high)},
        "prediction": "score",
        "time": {"of": "level"},
        "limits": (0.0, 1.0),
    }


def _edm_fields(scheduler: Settings) -> dict[str, Any]:
    signs = {"epsilon": 1.0, "v_prediction": -1.0}
    low, high = scheduler.get("sigma_min", 0.002), scheduler.get("sigma_max", 80.0)
    fields = edm_fields(float(scheduler.get("sigma_data", 0.5)))
    fields["process"] |= {"t_min": float(low), "t_max": float(high)}
    return {**fields, "factor": _look_up(scheduler, "prediction_type", signs)}


def _consistency_fields(scheduler: Settings) -> dict[str, Any]:
    return {
        **_edm_fields({**scheduler, "prediction_type": "epsilon"}),
        "prediction": "consistency",
        "time": {"of": "log_level", "scale": 250.0},
        "kind": "map",
    }


def _latent_consistency_fields(scheduler: Settings) -> dict[str, Any]:
    prediction = _look_up(scheduler, "prediction_type", PREDICTIONS)
    if prediction == "flow":
        raise CheckpointError(
            f"prediction_type flow_prediction of {scheduler.get('_class_name')} is none that the "
            f"library has; write the one that the network was trained with into {SCHEDULER}"
        )
    return {
        **_table_fields(scheduler, "LCM", prediction),
        "kind": "map",
        "boundary": {"scale": float(scheduler.get("timestep_scaling", 10.0)), "sigma_data": 0.5},
    }


def _continuous_fields(scheduler: Settings) -> dict[str, Any]:
    """Return ``Specification`` fields for v at any noise level, with time input ln(sigma) / 4."""
    fields = edm_fields(1.0)
    for end, key in (("t_min", "sigma_min"), ("t_max", "sigma_max")):
        if scheduler.get(key) is not None:
            fields["process"][end] = float(scheduler[key])
    return {**fields, "prediction": "v"}


_TRAININGS: dict[str, Callable[[Settings], dict[str, Any]]] = {
    "FlowMatchEulerDiscrete": _flow_fields,
    "FlowMatchHeunDiscrete": _flow_fields,
    "EDMEuler": _edm_fields,
    "EDMDPMSolverMultistep": _edm_fields,
    "ScoreSdeVe": _score_fields,
    "CMStochasticIterative": _consistency_fields,
    "LCM": _latent_consistency_fields,
}
"""Functions that return specification fields, by scheduler that is not in :data:`TABLE`."""
