"""Folders of diffusers (:mod:`samplerbench.models.checkpoints.diffusers`), as a family.

A network with a known calling convention is called directly. For other networks, their pipeline runs one step at every
evaluation. This is called loop capture, and is slow. Networks need the library (extra ``diffusers``).

Files: what ``save_pretrained`` writes: a folder with ``model_index.json``, an early one with all files in one folder,
    or a network's ``config.json`` with a ``scheduler_config.json``.
Process: from the scheduler. A table of betas for DDPM, DDIM, PNDM, LCM and their kin. A flow, with time 1000 t,
    for ``FlowMatchEulerDiscreteScheduler`` and ``use_flow_sigmas``. EDM for ``EDMEulerScheduler``,
    ``EDMDPMSolverMultistepScheduler`` and ``CMStochasticIterativeScheduler``. VE, on images in [0, 1], for
    ``ScoreSdeVeScheduler``.
Prediction: ``prediction_type``. EDM's F for the EDM schedulers (minus F for ``v_prediction``), with time ln(sigma) / 4.
    The velocity z - x0 for flows, the score for the VE. Networks of ``LCMScheduler`` and
    ``CMStochasticIterativeScheduler`` (with time 250 ln(sigma)) are few-step maps.
Say: ``embeddings=FILE`` for text to image, with the pipeline's own names, such as ``prompt_embeds`` and
    ``negative_prompt_embeds`` (one row). ``scalars.NAME`` for other inputs: ``scalars.time_ids`` (Stable Diffusion
    XL), ``scalars.guidance`` (by default 3.5 for FLUX, 8.5 for latent consistency models), or any argument of a
    pipeline in loop capture. ``event=[16,64,64]`` for another size. ``snap=`` allows fractional times.
Refused: folders without weights or scheduler, unknown schedules, predictions and schedulers, weights of another
    network, and pipelines of several networks or with their own code.
From noise alone: flows, and ``v_prediction`` or ``sample`` with ``rescale_betas_zero_snr``. No others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..diffusers.calls import CONVENTIONS, Convention
from ..diffusers.folder import DECODERS_READ, DIT, OF_TEXT, PIPELINE, Folder, read_folder
from ..diffusers.library import network
from ..diffusers.preset import own_sampling, preset_of
from ..diffusers.scheduler import PREDICTIONS, specification_fields
from ..diffusers.steps import native_levels, own_shift
from ..opening import CheckpointError, OpenedCheckpoint
from ..specification import FAMILY, FILE, Specification, process_of
from ..weights import WRAP

__all__ = ["native_levels", "network", "own_sampling", "own_shift", "recognise"]

_OF_PIPELINES = Convention(channels=0, size=None)
"""Convention of networks called by their pipeline, which has arguments and defaults of its own."""
_IN_THE_FILE = ("network", "weights", "event", "classes", "half", "embeddings", "scalars")
_IN_THE_FILE += ("boundary", "decoder", "decode", "preset")


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of a folder of diffusers; None for other checkpoints."""
    folder = read_folder(opened)
    if folder is None:
        return None
    folder = _with_caller(opened, folder)
    convention = _OF_PIPELINES if folder.by_pipeline else CONVENTIONS[folder.network]
    training = specification_fields(folder.scheduler)
    if (scale := convention.time_factor(folder.config)) != 1:
        time = {"of": "t", "scale": 1.0, **training.get("time", {})}
        training["time"] = {k: v if k == "of" else v * scale for k, v in time.items()}
    patch = int(folder.config.get("patch_size") or 1)
    tokens = 0 if folder.by_pipeline else convention.packed * patch
    preset = preset_of(folder.scheduler, folder.pipeline, tokens)
    event, limits = _sample_shape(opened, folder, convention), training.pop("limits", (-1.0, 1.0))
    is_latent = bool(folder.decoder) or event[:1] not in ((), (1,), (3,))
    spec = Specification(
        family="diffusers",
        network=_network_field(opened, folder),
        weights={"file": folder.weights, "variant": folder.variant},
        event=event,
        limits=None if is_latent else limits,
        decoder=folder.decoder,
        decode=folder.decode,
        evidence=(*_evidence(folder), _sampling_in_words(preset)),
        scalars=convention.scalars(folder.config),
        preset=preset,
        sources=_sources_of_fields(folder),
        **training,
        **_condition_fields(opened, folder, convention),
    )
    process = process_of(spec)
    t_max = process.t_max
    if spec.process.get("zero_snr") and spec.prediction == "eps":
        t_max -= 1  # at a level without signal, a predicted noise says nothing of the image
    return replace(spec, sigma_min=process.level(process.t_min), sigma_max=process.level(t_max))


def _sampling_in_words(preset: Mapping[str, Any]) -> str:
    if differs := "; ".join(preset["differs"]):
        return f"--sampler pipeline cannot sample as its scheduler does: {differs}"
    return f"--sampler pipeline is {preset['sampler']} with {preset['spacing']} levels"


def _with_caller(opened: OpenedCheckpoint, folder: Folder) -> Folder:
    """Return ``folder``, with a reason in ``by_pipeline`` if its convention does not apply."""
    if folder.by_pipeline or not (why := CONVENTIONS[folder.network].refused(folder.config)):
        return folder
    if not folder.pipeline:
        raise CheckpointError(
            f"{opened.path}: its {folder.network} is called in another way than usual: {why}; give the "
            f"folder of the whole pipeline, which can call it, or {WRAP}"
        )
    return replace(folder, by_pipeline=f"its {folder.network} is called in another way: {why}")


def _network_field(opened: OpenedCheckpoint, folder: Folder) -> dict[str, Any]:
    """Return ``Specification.network``: ``class``, ``folder``; ``call`` or ``pixels`` if needed."""
    entry: dict[str, Any] = {"class": folder.network, "folder": folder.part}
    if folder.by_pipeline:
        entry["call"] = PIPELINE
    elif "time_ids" in CONVENTIONS[folder.network].scalars(folder.config):
        decoder = opened.config(f"{folder.decoder['folder']}/config.json") if folder.decoder else {}
        blocks = decoder.get("block_out_channels") or [0] * 4
        entry["pixels"] = 2 ** (len(blocks) - 1)
    return entry


def _sample_shape(
    opened: OpenedCheckpoint, folder: Folder, convention: Convention
) -> tuple[int, ...]:
    """Return the shape of a sample; empty if only the user can give it."""
    is_known = "2D" in folder.network and {"in_channels", "sample_size"} <= set(folder.config)
    if folder.by_pipeline and not is_known:
        return ()
    channels = folder.config.get("in_channels", convention.channels) // convention.packed**2
    size = folder.config.get("sample_size", convention.size)
    if size is None:
        raise CheckpointError(
            f"{opened.path}: the network's config.json has no sample_size, the height of what it "
            "was trained on; write it there, in latents if it is a network of those"
        )
    height, width = size if isinstance(size, list) else (size, size)
    return (int(channels), int(height), int(width))


def _condition_fields(
    opened: OpenedCheckpoint, folder: Folder, convention: Convention
) -> dict[str, Any]:
    """Return the ``Specification`` fields about labels and embeddings, and ``half``."""
    config = folder.config
    if folder.by_pipeline:
        return {"embeddings": {"needs": []} if folder.prompts else {}}
    if folder.network in OF_TEXT:
        classes, null = 0, False
    elif folder.network == DIT:  # its table of labels has a last row for "no label"
        classes, null = int(config.get("num_embeds_ada_norm") or 1000), True
    else:
        classes, null = int(config.get("num_class_embeds") or 0), False
        if config.get("class_embed_type") is not None:
            raise CheckpointError(
                f"{opened.path}: class_embed_type {config['class_embed_type']!r} makes its labels no "
                f"class numbers; {WRAP}"
            )
    channels = int(config.get("in_channels", convention.channels))
    channels_out = int(config.get("out_channels") or channels)
    if folder.network in OF_TEXT and channels_out not in (channels, 2 * channels):
        raise CheckpointError(
            f"{opened.path}: its {folder.network} takes {channels} channels and makes {channels_out}, so it is "
            f"given more than the noisy state, such as another image; {WRAP}"
        )
    needs = convention.needs(config)
    return {
        "embeddings": {"needs": list(needs)} if needs else {},
        "classes": classes,
        "null_label": null,
        "labels": "random" if classes else "none",
        "half": "first" if channels_out == 2 * channels else "",
    }


def _evidence(folder: Folder) -> list[str]:
    scheduler = folder.scheduler
    prediction = scheduler.get("prediction_type", "")
    of = f"a {folder.pipeline} of diffusers" if folder.pipeline else "a network of diffusers"
    sentences = [
        f"{of}, with the network {folder.network}",
        f"its scheduler is a {scheduler.get('_class_name')}"
        + (f" with prediction_type {prediction}" if prediction else ""),
    ]
    if folder.by_pipeline:
        sentences.append(
            f"{folder.by_pipeline}, so the pipeline itself is run for one step at every evaluation "
            "(loop capture), which is slow"
        )
    if folder.network in OF_TEXT or (folder.by_pipeline and folder.prompts):
        sentences.append(
            "it takes embeddings of prompts, computed beforehand, from the file behind ?embeddings=; text "
            "encoders are not run"
        )
    if folder.decode:
        sentences.append(
            f"its samples are latents, which the {folder.decoder['class']} beside it makes images of "
            "before they are scored"
        )
    elif folder.decoder:
        why = f"since {folder.decoder['folder']} has no weights"
        if folder.decoder["class"] not in DECODERS_READ:
            why = f"since only {' and '.join(DECODERS_READ)} are read"
        sentences.append(
            f"its samples are latents: the {folder.decoder['class']} that makes images of them is "
            f"not applied, {why}"
        )
    return sentences


def _sources_of_fields(folder: Folder) -> Mapping[str, str]:
    scheduler = folder.scheduler
    has_rates = any(key in scheduler for key in ("beta_schedule", "trained_betas", "sigma_data"))
    predicts = scheduler.get("prediction_type") in PREDICTIONS
    sources: dict[str, str] = dict.fromkeys(_IN_THE_FILE, FILE)
    sources |= dict.fromkeys(("process", "sigma_min", "sigma_max"), FILE if has_rates else FAMILY)
    return sources | dict.fromkeys(("prediction", "factor"), FILE if predicts else FAMILY)
