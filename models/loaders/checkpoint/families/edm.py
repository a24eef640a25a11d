"""Pickles of NVIDIA's EDM (Karras et al. 2022, arXiv:2206.00364): a network with one of four
preconditionings around a U-Net.

The class of the preconditioning decides the process, not the name of the file: ``vp`` and ``ve`` in
``edm-cifar10-32x32-uncond-vp.pkl`` are architectures, and both networks are EDM's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ....adapters import Network
from ....checkpoints.mapping import OneHot
from ....checkpoints.opening import AGAIN, CheckpointError, Opened
from ....checkpoints.persistent import persistent_network, raw_network
from ....checkpoints.pickles import PersistentObject, tensors_of
from ....checkpoints.processes import betas_of
from ....checkpoints.specification import FILE, Specification
from ....checkpoints.weights import built, filled
from ....nets.nvidia.unets import DhariwalUNet, SongUNet
from ....process import VPLinear

OUTER = frozenset(
    (
        *("img_channels", "use_fp16", "model_type"),
        *("sigma_min", "sigma_max", "sigma_data", "beta_d", "beta_min", "M", "epsilon_t"),
        *("C_1", "C_2"),
    )
)
"""Arguments of the preconditionings alone."""

NETWORKS = {"SongUNet": SongUNet, "DhariwalUNet": DhariwalUNet}

Fields = dict[str, Any]
Given = Mapping[str, Any]


def _edm(precond_arguments: Given) -> Fields:
    """Return Table 1, last column. The class claims every level; the paper samples from 80 to 0.002."""
    return {
        "process": {"name": "edm", "sigma_data": precond_arguments.get("sigma_data", 0.5)},
        "prediction": "edm",
        "time": {"of": "log_level", "scale": 0.25},
        "sigma_min": max(0.002, precond_arguments.get("sigma_min", 0.0)),
        "sigma_max": min(80.0, precond_arguments.get("sigma_max", math.inf)),
    }


def _vp(precond_arguments: Given) -> Fields:
    """Return Table 1, column VP: the noise z at the time input 999 t."""
    arguments = {
        "beta_d": precond_arguments.get("beta_d", 19.9),
        "beta_min": precond_arguments.get("beta_min", 0.1),
        "t_min": precond_arguments.get("epsilon_t", 1e-5),
    }
    process = VPLinear(**arguments)
    return {
        "process": {"name": "vp_linear", **arguments},
        "prediction": "eps",
        "time": {"of": "t", "scale": precond_arguments.get("M", 1000) - 1.0},
        "sigma_min": process.level(process.t_min),
        "sigma_max": process.level(process.t_max),
    }


def _ve(precond_arguments: Given) -> Fields:
    """Return Table 1, column VE: minus the noise z at the time input ln(sigma / 2)."""
    low, high = precond_arguments.get("sigma_min", 0.02), precond_arguments.get("sigma_max", 100.0)
    return {
        "process": {"name": "ve", "t_min": low, "t_max": high},
        "prediction": "eps",
        "factor": -1.0,
        "time": {"of": "log_level", "scale": 1.0, "offset": -math.log(2)},
        "sigma_min": low,
        "sigma_max": high,
    }


def _iddpm(precond_arguments: Given) -> Fields:
    """Return Table 1, column iDDPM: the noise z in the first half of the channels. The time input is the
    index of the nearest level of the file's table ``u``, from the highest down to 0.
    """
    table = precond_arguments["u"].double().numpy()[-2::-1]
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


PRECONDITIONINGS: dict[str, Callable[[Given], Fields]] = {
    "EDMPrecond": _edm,
    "VPPrecond": _vp,
    "VEPrecond": _ve,
    "iDDPMPrecond": _iddpm,
}


def recognise(opened: Opened) -> Specification | None:
    """Recognise a pickle with one of the four preconditionings around a SongUNet or a DhariwalUNet.

    Raises:
        CheckpointError: it is one of them and changed, or the state of a training.
    """
    persistent = persistent_network(opened)
    if persistent is None or persistent.network.class_name not in PRECONDITIONINGS:
        return None
    outer = persistent.network
    channels = persistent.given.get("img_channels")
    doubled = 2 if outer.class_name == "iDDPMPrecond" else 1
    sizes = {"in_channels": channels, "out_channels": channels * doubled} if channels else {}
    raw, arguments = raw_network(opened, outer, "model", NETWORKS, OUTER, sizes)
    fields = PRECONDITIONINGS[outer.class_name]({**persistent.given, **_table(opened, outer)})
    classes = int(arguments.get("label_dim", 0))
    fields_of_file = (
        "network",
        "weights",
        "event",
        "process",
        "prediction",
        "half",
        "classes",
        "null_label",
    )
    return Specification(
        family="edm",
        network={"class": raw, "arguments": arguments},
        weights={"file": str(opened.path), "entry": persistent.entry},
        event=(arguments["in_channels"], arguments["img_resolution"], arguments["img_resolution"]),
        classes=classes,
        null_label=classes > 0 and arguments.get("label_dropout", 0) > 0,
        labels="random" if classes else "none",
        evidence=persistent.evidence(f"{outer.class_name} around {raw}"),
        sources=dict.fromkeys(fields_of_file, FILE),
        **fields,
    )


def network(spec: Specification, opened: Opened) -> Network:
    """Make the raw network of the checkpoint, without its preconditioning.

    Raises:
        CheckpointError: its arguments or weights do not fit its class.
    """
    persistent = persistent_network(opened)
    assert persistent is not None
    kind = NETWORKS[spec.network["class"]]
    raw = built(kind, spec.network["arguments"], opened.path)
    tensors = tensors_of(persistent.network.state["_modules"]["model"])
    return OneHot(filled(raw, tensors, opened.path), spec.classes)


def _table(opened: Opened, outer: PersistentObject) -> dict[str, Tensor]:
    """Return the levels of an iDDPMPrecond, as ``u``; empty for the others."""
    if outer.class_name != "iDDPMPrecond":
        return {}
    table = tensors_of(outer).get("u")
    if table is None or table.ndim != 1 or len(table) < 3 or not (table[:-1] > table[1:]).all():
        raise CheckpointError(
            f"{opened.path}: its iDDPMPrecond has no table u of falling levels; {AGAIN}"
        )
    return {"u": table}
