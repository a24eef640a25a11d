"""Pickles of NVIDIA's EDM (Karras et al. 2022, arXiv:2206.00364): a U-Net in a preconditioning.

The class of the preconditioning, one of four, determines the process. In names of files, such as
``edm-cifar10-32x32-uncond-vp.pkl``, ``vp`` and ``ve`` are architectures; the process of these networks is EDM's.

Files: ``.pkl``, a network snapshot with ``ema`` or a network alone. Its source is recorded, never executed.
Process: EDM at levels 0.002 to 80 (``EDMPrecond``), the file's VP (``VPPrecond``) or VE (``VEPrecond``), or the
    file's table of levels (``iDDPMPrecond``).
Prediction: EDM's F, with the time ln(sigma) / 4 (``EDMPrecond``). The noise, with the time 999 t (``VPPrecond``).
    Minus the noise, with the time ln(sigma / 2) (``VEPrecond``). The noise in the first half of the channels, with the
    number of the nearest level as time (``iDDPMPrecond``).
Say: nothing. Labels are random, unless you give ``?labels=balanced`` or ``?labels=none``. "No label" is a row of
    zeros, which only a network trained with label dropout knows.
Refused: training states, other classes than the published ones, other arguments (PFGM++ has ``D``), and weights of
    other shapes.
From noise alone: no. The network's time ln(sigma) is infinite there, or the network predicts the noise.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from ...adapters import Network
from ...nets.edm_unets import DhariwalUNet, SongUNet
from ...process import VPLinear
from ..checkpoint_denoiser import OneHot
from ..opening import AGAIN, CheckpointError, OpenedCheckpoint
from ..pickles import ObjectStandIn, PersistentObject, tensors_of
from ..processes import betas_of, edm_fields, range_of_process, ve_fields
from ..specification import FILE, Specification
from ..weights import WRAP, construct_network, fill_network

OUTER = {"img_channels", "use_fp16", "model_type", "sigma_min", "sigma_max", "sigma_data"}
OUTER |= {"beta_d", "beta_min", "M", "epsilon_t", "C_1", "C_2"}
"""Arguments that only the preconditionings have."""
NETWORKS = {"SongUNet": SongUNet, "DhariwalUNet": DhariwalUNet}


@dataclass(frozen=True)
class PersistentNetwork:
    """Preconditioned network in a pickle.

    ``entry`` is the network's key in the pickle; "" if the whole pickle is the network.
    """

    network: PersistentObject
    entry: str

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Arguments of the preconditioning, overridden by attributes that are numbers or text."""
        plain = {k: v for k, v in self.network.state.items() if isinstance(v, int | float | str)}
        return {**arguments_of(self.network), **plain}

    def evidence(self, classes: str) -> tuple[str, ...]:
        """Return sentences of evidence; ``classes`` is, say, "EDMPrecond around SongUNet"."""
        source = hashlib.sha256(self.network.source.encode()).hexdigest()
        half = "it was trained in float16 and runs in float32 here"
        return (
            f"a pickle of torch_utils.persistence with the class {classes}",
            f"the source of the class has the SHA-256 {source}, and was not executed",
            *([half] if self.arguments.get("use_fp16") else []),
        )


def persistent_network(opened: OpenedCheckpoint) -> PersistentNetwork | None:
    """Return the network in a pickle of NVIDIA, alone or as entry ``ema``; None for other files.

    Raises a CheckpointError for a training state, whose weights are not averaged.
    """
    value = opened.value
    if isinstance(value, PersistentObject) and value.state.get("_modules"):
        return PersistentNetwork(value, "")
    if isinstance(network := opened.entries.get("ema"), PersistentObject):
        return PersistentNetwork(network, "ema")
    if isinstance(opened.entries.get("net"), PersistentObject):
        problem = f"{opened.path} is the state of a training, with weights that are not averaged"
        raise CheckpointError(f"{problem}; give the network-snapshot-*.pkl beside it")
    return None


def class_and_arguments(
    opened: OpenedCheckpoint,
    outer: PersistentObject,
    attribute: str,
    networks: Mapping[str, Callable[..., Any]],
    own: Set[str],
    assumed: Mapping[str, Any] | None = None,
) -> tuple[str, dict[str, Any]]:
    """Return the class name and the arguments of the network inside a preconditioning.

    ``outer`` is the preconditioning, which holds the network as ``attribute``. ``networks`` are the
    supported classes by name, and ``own`` the names of arguments that only the preconditioning has.
    ``assumed`` are further arguments of a network that is stored without arguments. Raises a
    CheckpointError if there is no network, its class or an argument of the preconditioning is
    unknown, or the network lacks an argument.
    """
    outer_arguments, path = arguments_of(outer), opened.path
    inner = (outer.state.get("_modules") or {}).get(attribute)
    if not isinstance(inner, ObjectStandIn):
        raise CheckpointError(f"{path}: its {outer.class_name} has no network; {AGAIN}")
    is_named = isinstance(inner, PersistentObject)
    name = str(inner.class_name if is_named else outer_arguments.get("model_type"))
    if name not in networks:
        raise CheckpointError(
            f"{path}: {outer.class_name} is around a {name}, which is none of "
            f"{', '.join(networks)}, and the code in the file is not executed; {WRAP}"
        )
    parameters = inspect.signature(networks[name]).parameters
    if strange := sorted(set(outer_arguments) - set(parameters) - own):
        raise CheckpointError(
            f"{path}: its {outer.class_name} has {', '.join(strange)}, which the published one has not, "
            f"and the code in the file is not executed; {WRAP}"
        )
    outside = {key: value for key, value in outer_arguments.items() if key in parameters}
    arguments = arguments_of(inner) or {**outside, **(assumed or {})}
    needed = [key for key, p in parameters.items() if p.default is p.empty]
    if lacking := [key for key in needed if key not in arguments]:
        problem = f"{path}: its {name} does not say its {', '.join(lacking)}"
        raise CheckpointError(f"{problem}; the file is none that NVIDIA's training wrote; {WRAP}")
    return name, arguments


def arguments_of(network: ObjectStandIn) -> dict[str, Any]:
    """Return the arguments of a pickled network's constructor as values of JSON; {} without any."""
    state = network.state if isinstance(network.state, dict) else {}
    return {key: _plain_value(value) for key, value in (state.get("_init_kwargs") or {}).items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain_value(item) for item in value]
    return value if isinstance(value, int | float | str | None) else repr(value)


def _edm_fields(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return EDM's ``Specification`` fields (Karras et al., Table 1), levels in [0.002, 80]."""
    return {
        **edm_fields(arguments.get("sigma_data", 0.5)),
        "sigma_min": max(0.002, arguments.get("sigma_min", 0.0)),
        "sigma_max": min(80.0, arguments.get("sigma_max", math.inf)),
    }


def _vp_fields(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``Specification`` fields for VP. Output: noise; time input: 999 t (EDM, Table 1)."""
    of_process = {
        "beta_d": arguments.get("beta_d", 19.9),
        "beta_min": arguments.get("beta_min", 0.1),
        "t_min": arguments.get("epsilon_t", 1e-5),
    }
    return {
        "process": {"name": "vp_linear", **of_process},
        "prediction": "eps",
        "time": {"of": "t", "scale": arguments.get("M", 1000) - 1.0},
        **range_of_process(VPLinear(**of_process)),
    }


def _ve_fields(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``Specification`` fields for VE. Output: minus noise; time input: ln(sigma / 2)."""
    fields = ve_fields(arguments.get("sigma_min", 0.02), arguments.get("sigma_max", 100.0))
    return {**fields, "time": {"of": "log_level", "scale": 1.0, "offset": -math.log(2)}}


def _iddpm_fields(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``Specification`` fields for iDDPM; the table ``u`` falls from the highest level."""
    table = arguments["u"].double().numpy()[-2::-1]
    steps = len(table)
    signal_power = np.cumprod(1 - np.asarray(betas_of("cosine", steps)))
    cosine = np.allclose(table, np.sqrt(1 / signal_power - 1), rtol=1e-3)
    schedule = {"schedule": "cosine", "steps": steps} if cosine else {"levels": table.tolist()}
    return {
        "process": {"name": "discrete", **schedule},
        "prediction": "eps",
        "half": "first",
        "snap": "nearest_level",
        "sigma_min": float(table[0]),
        "sigma_max": float(table[-1]),
    }


PRECONDITIONINGS = {
    "EDMPrecond": _edm_fields,
    "VPPrecond": _vp_fields,
    "VEPrecond": _ve_fields,
    "iDDPMPrecond": _iddpm_fields,
}


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of an EDM pickle with a known preconditioning; else None."""
    persistent = persistent_network(opened)
    if persistent is None or persistent.network.class_name not in PRECONDITIONINGS:
        return None
    outer = persistent.network
    channels = persistent.arguments.get("img_channels")
    doubled = 2 if outer.class_name == "iDDPMPrecond" else 1
    sizes = {"in_channels": channels, "out_channels": channels * doubled} if channels else {}
    class_name, arguments = class_and_arguments(opened, outer, "model", NETWORKS, OUTER, sizes)
    of_preconditioning = {**persistent.arguments, **_level_table(opened.path, outer)}
    classes, side = int(arguments.get("label_dim", 0)), arguments["img_resolution"]
    read = ("network", "weights", "event", "process", "prediction", "half", "classes", "null_label")
    return Specification(
        family="edm",
        network={"class": class_name, "arguments": arguments},
        weights={"file": str(opened.path), "entry": persistent.entry},
        event=(arguments["in_channels"], side, side),
        classes=classes,
        null_label=classes > 0 and arguments.get("label_dropout", 0) > 0,
        labels="random" if classes else "none",
        evidence=persistent.evidence(f"{outer.class_name} around {class_name}"),
        sources=dict.fromkeys(read, FILE),
        **PRECONDITIONINGS[outer.class_name](of_preconditioning),
    )


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the network with its weights, without the preconditioning around it."""
    return raw_network(spec, opened, NETWORKS, "model")


def raw_network(
    spec: Specification,
    opened: OpenedCheckpoint,
    networks: Mapping[str, type[nn.Module]],
    attribute: str,
) -> OneHot:
    """Return the network in ``attribute`` of the preconditioning, to call with class numbers.

    Raises a CheckpointError if the weights do not fit the network.
    """
    persistent = persistent_network(opened)
    assert persistent is not None
    raw = construct_network(networks[spec.network["class"]], spec.network["arguments"], opened.path)
    tensors = tensors_of(persistent.network.state["_modules"][attribute])
    return OneHot(fill_network(raw, tensors, opened.path), spec.classes)


def _level_table(path: Path, outer: PersistentObject) -> dict[str, Tensor]:
    """Return {"u": table of noise levels} of an iDDPMPrecond; {} for other preconditionings."""
    if outer.class_name != "iDDPMPrecond":
        return {}
    table = tensors_of(outer).get("u")
    if table is None or table.ndim != 1 or len(table) < 3 or not (table[:-1] > table[1:]).all():
        raise CheckpointError(f"{path}: its iDDPMPrecond has no table u of falling levels; {AGAIN}")
    return {"u": table}
