"""From a folder of diffusers to a specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .....checkpoints.mapping import process_of
from .....checkpoints.opening import CheckpointError, Opened
from .....checkpoints.specification import FAMILY, FILE, Specification
from .....checkpoints.weights import WRAP
from .folder import DECODERS_READ, DIT, Folder, read_folder
from .preset import preset_of
from .scheduler import PREDICTIONS, trained


def recognise(opened: Opened) -> Specification | None:
    """What a folder of diffusers is.

    Raises:
        CheckpointError: a part of it is missing, broken or not known.
    """
    folder = read_folder(opened)
    if folder is None:
        return None
    spec = Specification(
        family="diffusers",
        network={"class": folder.network, "folder": folder.part},
        weights={"file": folder.weights, "variant": folder.variant},
        event=_event(opened, folder),
        limits=None if folder.decoder else (-1.0, 1.0),
        decoder=folder.decoder,
        decode=folder.decode,
        evidence=tuple(_evidence(folder)),
        **trained(folder.scheduler),
        **_conditions(opened, folder),
    )
    return _with_levels(replace(spec, sources=_sources(folder), preset=preset_of(folder.scheduler)))


def _event(opened: Opened, folder: Folder) -> tuple[int, ...]:
    channels = folder.config.get("in_channels", 4 if folder.network == DIT else 3)
    size = folder.config.get("sample_size", 32 if folder.network == DIT else None)
    if size is None:
        raise CheckpointError(
            f"{opened.path}: the network's config.json has no sample_size, the height of what it "
            "was trained on; write it there"
        )
    height, width = size if isinstance(size, list) else (size, size)
    return (int(channels), int(height), int(width))


def _conditions(opened: Opened, folder: Folder) -> dict[str, Any]:
    """The fields ``classes``, ``null_label``, ``labels`` and ``half``."""
    config = folder.config
    if folder.network == DIT:  # its table of labels has a last row for "no label"
        classes, null = int(config.get("num_embeds_ada_norm") or 1000), True
    else:
        classes, null = int(config.get("num_class_embeds") or 0), False
        if config.get("class_embed_type") is not None:
            raise CheckpointError(
                f"{opened.path}: class_embed_type {config['class_embed_type']!r} makes its labels no "
                f"class numbers; {WRAP}"
            )
    channels = int(config.get("in_channels", 4 if folder.network == DIT else 3))
    variance_too = config.get("out_channels") == 2 * channels
    return {
        "classes": classes,
        "null_label": null,
        "labels": "random" if classes else "none",
        "half": "first" if variance_too else "",
    }


def _evidence(folder: Folder) -> list[str]:
    scheduler = folder.scheduler
    name = scheduler.get("_class_name")
    prediction = scheduler.get("prediction_type", "")
    of = f"a {folder.pipeline} of diffusers" if folder.pipeline else "a network of diffusers"
    said = [
        f"{of}, with the network {folder.network}",
        f"its scheduler is a {name}"
        + (f" with prediction_type {prediction}" if prediction else ""),
    ]
    if folder.decode:
        said.append(
            f"its samples are latents, which the {folder.decoder['class']} beside it makes images of "
            "before they are scored"
        )
    elif folder.decoder:
        said.append(
            f"its samples are latents: the {folder.decoder['class']} that makes images of them is "
            f"not applied, {_why_not(folder.decoder)}"
        )
    return said


def _why_not(decoder: Mapping[str, Any]) -> str:
    if decoder["class"] not in DECODERS_READ:
        return f"since only {' and '.join(DECODERS_READ)} are read"
    return f"since {decoder['folder']} has no weights"


def _sources(folder: Folder) -> Mapping[str, str]:
    scheduler = folder.scheduler
    told = any(key in scheduler for key in ("beta_schedule", "trained_betas", "sigma_data"))
    predicts = scheduler.get("prediction_type") in PREDICTIONS
    known: dict[str, str] = dict.fromkeys(_IN_THE_FILE, FILE)
    known |= dict.fromkeys(("process", "sigma_min", "sigma_max"), FILE if told else FAMILY)
    return known | dict.fromkeys(("prediction", "factor"), FILE if predicts else FAMILY)


_IN_THE_FILE: tuple[str, ...] = (
    "network",
    "weights",
    "event",
    "classes",
    "half",
    "decoder",
    "decode",
    "preset",
)


def _with_levels(spec: Specification) -> Specification:
    """With the range of levels of its process; noise says nothing where there is no signal at
    all, so that a network that predicts it is not called there.
    """
    process = process_of(spec)
    t_max = process.t_max
    if spec.process.get("zero_snr") and spec.prediction == "eps":
        t_max -= 1
    return replace(spec, sigma_min=process.level(process.t_min), sigma_max=process.level(t_max))
