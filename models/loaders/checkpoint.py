"""``checkpoint:PATH``: a trained checkpoint of a known family, read without running its code.

:func:`load` makes a model of a file or folder, by the specification that
:func:`specify_checkpoint` returns. :func:`write_converted` writes a checkpoint as safetensors and
a card.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TypeVar, cast
from urllib.parse import parse_qsl

import safetensors.torch
from torch import nn

from ..checkpoints.check_cache import with_cached_answers
from ..checkpoints.checkpoint_denoiser import Checkpoint
from ..checkpoints.diffusers.library import decoder_of
from ..checkpoints.families import family, family_names
from ..checkpoints.families.converted import CARD, WEIGHTS, card_of
from ..checkpoints.opening import (
    AGAIN,
    SUFFIXES,
    CheckpointError,
    OpenedCheckpoint,
    error_in_words,
    open_checkpoint,
)
from ..checkpoints.specification import Specification, read_value
from ..checkpoints.weights import WRAP, tensor_names_by_entry
from ..denoiser import Denoiser
from . import loader

Result = TypeVar("Result")

SHOWN = 3
"""Most names of tensors, entries or files that an error message lists."""
TRANSFORMER = (
    "open it with from_single_file of the diffusers library (a file of the transformer alone: of the "
    "transformer's class, and hand it to from_pretrained of the pipeline), save_pretrained, and give the folder"
)
TRANSFORMERS = {
    "FLUX": ("double_blocks.", "single_blocks.", "img_attn.qkv."),
    "HunyuanVideo": ("double_blocks.", "single_blocks.", "img_attn_qkv."),
    "Stable Diffusion 3": ("joint_blocks.",),
    "AuraFlow": ("double_layers.", "cond_seq_linear."),
    "Lumina 2 or Z-Image": ("noise_refiner.", "cap_embedder.", "attention.qkv."),
    "Wan": ("patch_embedding.", "time_projection."),
    "LTX-Video": ("patchify_proj.",),
}
"""Name parts of tensors by which single-file transformers of these projects are recognised."""
IN_A_FOLDER = (
    "put it into a folder as diffusion_pytorch_model.safetensors, with the network's config.json and "
    "the scheduler_config.json that it was trained with"
)
DDPM = "a port of DDPM (as ermongroup/ddim and pesser/pytorch_diffusion have it)"
DDPM_SCRIPT = (
    "convert it with scripts/convert_ddpm_original_checkpoint_to_diffusers.py of the diffusers "
    "repository, which takes the arguments of its UNet2DModel as a config file, and give the folder"
)

ORIGINS = (
    (
        ("lora_",),
        "LoRA, which change a network and are none",
        "fuse them into their network with fuse_lora of the diffusers library, save_pretrained, and give "
        "the folder",
    ),
    (
        ("control_model.",),
        "a ControlNet, which steers a network and is none",
        "give the network that it steers",
    ),
    *((parts, f"{name} in a single file", TRANSFORMER) for name, parts in TRANSFORMERS.items()),
    (
        ("t_block.", "y_embedder.y_proj.", "cross_attn."),
        "PixArt in a single file",
        "convert it with scripts/convert_pixart_sigma_to_diffusers.py of the diffusers repository, or "
        "convert_pixart_alpha_to_diffusers.py, and give the folder",
    ),
    (
        ("input_blocks.", "transformer_blocks."),
        "Stable Diffusion or latent diffusion in a single file",
        "open it with from_single_file of the diffusers library, save_pretrained, and give the folder",
    ),
    (
        ("down_blocks.", ".resnets.", "time_embedding."),
        "a U-Net of diffusers without its folder",
        IN_A_FOLDER,
    ),
    (("transformer_blocks.",), "a transformer of diffusers without its folder", IN_A_FOLDER),
    (
        ("module.temb.dense.", "module.down.0.block."),
        DDPM,
        "save its last table of weights (the average, if it has one) alone, under names without module., and "
        + DDPM_SCRIPT,
    ),
    (("temb.dense.", "down.0.block."), DDPM, DDPM_SCRIPT),
    (
        ("downs.0.0.", "mid_block1."),
        "denoising-diffusion-pytorch's U-Net without the betas beside it, or from before its release 1.9",
        "save the state_dict() of the GaussianDiffusion around it, with release 1.9 or later",
    ),
    (
        ("encoder.down", "decoder.up"),
        "an autoencoder of latents",
        "give the network that was trained on its latents, and this as decoder.folder=FOLDER of diffusers",
    ),
    (("text_model.",), "a text encoder", "compute embeddings with it, and give them as embeddings"),
    (
        ("synthesis.",),
        "a generator of StyleGAN",
        "samplers are for diffusion models: there is none for it",
    ),
    (
        ("layer1.0.conv1.", "fc."),
        "a ResNet that classifies",
        "give the file of the diffusion model",
    ),
)
"""Known unsupported checkpoints: parts of tensor names, a description, and how to convert them.

An entry matches if each of its parts occurs in some tensor name; the first match is reported.
"""

_UNEXPECTED = (TypeError, AttributeError, LookupError, ArithmeticError)
_UNEXPECTED += (MemoryError, RecursionError, UnicodeError)
AS_IT_IS = {
    "diffusers": "is a diffusers folder, which is data already: the network is the library's own, and "
    "save_pretrained writes its weights as safetensors",
    "onnx": "is a program, which brings its own network",
    "exported": "is a program, which brings its own network",
}
"""Families whose checkpoints cannot be converted, with the reason as the end of a sentence."""


def _describe_unknown(opened: OpenedCheckpoint) -> str:
    """Return a clause about an unrecognised checkpoint: its tensors, likely origin and remedy."""
    if opened.container == "folder":
        files = sorted(p for p in opened.path.iterdir() if p.suffix in SUFFIXES and p.is_file())
        if files:
            names = ", ".join(file.name for file in files[:SHOWN])
            return f"it is a folder with {names}; give the file itself, as in {files[0]}"
        return f"it is a folder without model_index.json, config.json or weights; {WRAP}"
    entries = tensor_names_by_entry(opened)
    names = [name for table in entries.values() for name in table]
    if not names:
        keys = [str(key) for key in opened.entries][:SHOWN]
        inside = f"it holds {', '.join(keys)} and no" if keys else "it holds no"
        return f"{inside} table of tensors; save the state_dict() of the network, or {WRAP}"
    most = max(entries, key=lambda entry: len(entries[entry]))
    where = f" in its entry {most}" if most else ""
    summary = f"{len(entries[most])} tensors{where} ({', '.join(entries[most][:SHOWN])} …)"
    for parts, origin, remedy in ORIGINS:
        if all(any(part in name for name in names) for part in parts):
            return f"{summary} are those of {origin}; {remedy}, or {WRAP}"
    return f"{summary} are those of no network that is known; {WRAP}"


def specify_checkpoint(opened: OpenedCheckpoint, name: str | None = None) -> Specification:
    """Return the specification of an opened checkpoint by the family that recognises it.

    Only the family ``name`` is tried, or all families if ``name`` is None.

    Raises:
        CheckpointError: no tried family recognises the checkpoint, or several do.
        ValueError: there is no family ``name``.
    """
    names = family_names() if name is None else [name]
    by_all = _recognise_or_refuse(
        opened, lambda: [family(each).recognise(opened) for each in names]
    )
    specifications = [spec for spec in by_all if spec is not None]
    if len(specifications) > 1:
        could_be = " and ".join(spec.family for spec in specifications)
        raise CheckpointError(
            f"{opened.path} could be {could_be}; say which, as in {specifications[0].family}:{opened.path}"
        )
    if specifications:
        return specifications[0]
    if name is not None:
        raise CheckpointError(
            f"{opened.path} is no {name} checkpoint; leave out {name}: to have its family found"
        )
    raise CheckpointError(
        f"{opened.path} is of no known family ({', '.join(names)}): {_describe_unknown(opened)}"
    )


def _recognise_or_refuse(opened: OpenedCheckpoint, read: Callable[[], Result]) -> Result:
    """Return the result of ``read``; errors by unexpected content become a CheckpointError."""
    try:
        return read()
    except _UNEXPECTED as error:
        raise CheckpointError(
            f"{opened.path} says something of its network that cannot be "
            f"({error_in_words(error)}); compare its files with the source's, and {AGAIN}"
        ) from error


def build_model(spec: Specification, opened: OpenedCheckpoint) -> Checkpoint:
    """Return the model of a checkpoint, on the CPU.

    Raises:
        CheckpointError: the weights do not fit the network, or the decoder cannot be read.
        ValueError: ``spec`` leaves a setting open, or one of its values is invalid.
    """
    of = family(spec.family)
    # the shape of images follows from that of samples; without it, Checkpoint refuses the model
    decoder = decoder_of(spec, opened) if spec.event else None
    network = _recognise_or_refuse(opened, lambda: of.network(spec, opened))
    name, content = opened.path.resolve().stem, opened.sha256
    if decoder is not None and decoder.identity:
        content = hashlib.sha256(f"{content} {decoder.identity}".encode()).hexdigest()
    if spec.decoder and decoder is None:
        name = f"{name}-latents"
    scheduler = cast(ModuleType, of) if spec.preset else None
    return Checkpoint(spec, network, name, content, decoder, scheduler)


def load(path: Path, settings: Mapping[str, str], name: str | None = None) -> Checkpoint:
    """Load the model of a file or folder, on the CPU.

    Settings that the files leave open come from the user's ``settings``, then from cached answers
    of ``samplerbench check-model``. ``name`` is the family; None to recognise it.

    Raises:
        CheckpointError: the checkpoint cannot be read, or is of no known family.
        ValueError: a setting is invalid or remains open.
    """
    opened = open_checkpoint(path)
    return resolve_model(specify_checkpoint(opened, name), opened, settings)


def resolve_model(
    spec: Specification, opened: OpenedCheckpoint, settings: Mapping[str, str]
) -> Checkpoint:
    """Apply ``settings``, then cached answers, to ``spec``; return its model (:func:`load`)."""
    spec = spec.with_settings(settings)
    return build_model(with_cached_answers(spec, opened.sha256) if spec.open else spec, opened)


@loader("checkpoint", usage="checkpoint:PATH?setting=value&…")
def load_spec(rest: str) -> Denoiser:
    """Load the model of a checkpoint with its options, such as ``checkpoint:ema.pt?guidance=2``.

    ``rest`` is ``PATH?setting=value&…``; ``FAMILY:PATH?setting=value&…`` tries one family only.

    Raises:
        ValueError: as for :func:`load`, or an option that every model has is invalid.
    """
    from ..registry import EVERY_MODEL, wrap_model

    path, settings, family = split_settings(rest)
    options = {name: read_value(settings.pop(name)) for name in EVERY_MODEL if name in settings}
    return wrap_model(load(path, settings, family), **options)


def split_settings(rest: str) -> tuple[Path, dict[str, str], str | None]:
    """Split ``FAMILY:PATH?setting=value&…`` into path, settings, and family or None.

    If the whole text is an existing path, there are no settings. Raises a ValueError if the text after
    the last question mark is not ``setting=value&…``.
    """
    name, colon, remainder = rest.partition(":")
    if colon and name in family_names():
        return (*split_settings(remainder)[:2], name)
    path, mark, query = rest.rpartition("?")
    if not mark or os.path.exists(rest):  # Path.exists raises for names that are too long
        return Path(os.path.expanduser(rest)), {}, None
    try:
        # a plus means itself, as in 1e+4, and no space
        plain = query.replace("+", "%2B")
        pairs = parse_qsl(plain, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise ValueError(f"{query!r} after {path} is not setting=value&…") from None
    if len(settings := dict(pairs)) < len(pairs):
        raise ValueError(f"{query!r} after {path} has a setting twice; give each once")
    return Path(os.path.expanduser(path)), settings, None


def write_converted(
    path: Path, settings: Mapping[str, str], name: str | None, out: Path
) -> tuple[int, int]:
    """Write a checkpoint into the folder ``out``, and return the number of tensors and elements.

    ``model.safetensors`` gets the weights, and ``card.json`` the specification and origin.

    Raises:
        CheckpointError: the checkpoint cannot be read, or its network is not one of this project's.
        ValueError: a setting is open or invalid, or ``out`` is not an empty or new folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already and not empty; give another folder")
    opened = open_checkpoint(path)
    spec = specify_checkpoint(opened, name)
    if spec.family in AS_IT_IS:
        raise CheckpointError(f"{path} {AS_IT_IS[spec.family]}; use it as it is")
    model = resolve_model(spec, opened, settings)
    card = card_of(model.spec, model.network, opened)
    if card is None or not isinstance(model.network, nn.Module):
        raise CheckpointError(f"{path} has a network that is none of this project's; {WRAP}")
    state = {k: v.detach().cpu().contiguous() for k, v in model.network.state_dict().items()}
    out.mkdir(parents=True, exist_ok=True)
    (out / WEIGHTS).write_bytes(safetensors.torch.save(state))
    # the card is written last, so that an incomplete folder is not recognised
    (out / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return len(state), sum(tensor.numel() for tensor in state.values())
