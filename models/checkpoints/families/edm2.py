"""Pickles of NVIDIA's EDM2 (Karras et al. 2024, arXiv:2312.02696), for images or latents.

A pickle holds a U-Net that preserves magnitudes, inside EDM's preconditioning.

Files: ``.pkl``, a network snapshot with ``ema`` or a network alone. Its source is recorded, never executed.
Process: EDM at levels 0.002 to 80.
Prediction: EDM's F, with the time ln(sigma) / 4.
Say: nothing for images. For latents, ``decoder.folder=FOLDER`` names the autoencoder, whose scaling is in the pickle.
Refused: unknown encoders, and what :mod:`.edm` refuses.
From noise alone: no. The network's time ln(sigma) is infinite there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...adapters import Network
from ...nets.edm2_unet import EDM2UNet
from ..opening import CheckpointError, OpenedCheckpoint
from ..pickles import PersistentObject
from ..processes import edm_fields
from ..specification import FILE, Specification
from ..weights import WRAP
from .edm import class_and_arguments, persistent_network, raw_network

NETWORKS = {"UNet": EDM2UNet}
OUTER = {"use_fp16", "sigma_data", "logvar_channels"}
"""Arguments that only the preconditioning has."""


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of an EDM2 pickle, a ``Precond`` around a UNet; else None."""
    persistent = persistent_network(opened)
    if persistent is None or persistent.network.class_name != "Precond":
        return None
    class_name, arguments = class_and_arguments(opened, persistent.network, "unet", NETWORKS, OUTER)
    side, classes = arguments["img_resolution"], int(arguments["label_dim"])
    decoder = _decoder_fields(opened)
    fields_of_file = ("network", "weights", "event", "process", "classes", "decoder")
    return Specification(
        family="edm2",
        network={"class": class_name, "arguments": arguments},
        weights={"file": str(opened.path), "entry": persistent.entry},
        event=(arguments["img_channels"], side, side),
        **edm_fields(persistent.arguments.get("sigma_data", 0.5)),
        classes=classes,
        labels="random" if classes else "none",
        limits=None if decoder or arguments["img_channels"] != 3 else (-1.0, 1.0),
        decoder=decoder,
        evidence=persistent.evidence(f"Precond around {class_name}"),
        sources=dict.fromkeys(fields_of_file, FILE),
    )


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the network with its weights, without the preconditioning around it."""
    return raw_network(spec, opened, NETWORKS, "unet")


def _decoder_fields(opened: OpenedCheckpoint) -> dict[str, Any]:
    encoder = opened.entries.get("encoder")
    if not isinstance(encoder, PersistentObject) or encoder.class_name == "StandardRGBEncoder":
        return {}
    scale, bias = (encoder.state.get(name) for name in ("scale", "bias"))
    if encoder.class_name != "StabilityVAEEncoder" or scale is None or bias is None:
        raise CheckpointError(
            f"{opened.path}: its encoder {encoder.class_name} is unknown, and the code in the file is "
            f"not executed; {WRAP}"
        )
    scale, bias = (np.asarray(v, dtype=np.float64).flatten() for v in (scale, bias))
    return {
        "class": "AutoencoderKL",
        "folder": str(encoder.state.get("vae_name", "stabilityai/sd-vae-ft-mse")),
        "scale": scale.tolist(),
        "shift": (-bias / scale).tolist(),
        "limits": [0.0, 1.0],  # the autoencoder's images are in this range
    }
