"""U-Nets of OpenAI's improved-diffusion, guided-diffusion and consistency_models: a state dict.

The shapes give the sizes of the network. Open questions are the schedule, and the number of attention heads with the
order of their channels. The side of images is open too, unless a published network has the same channel multipliers.
Teachers and students of consistency models have weights of the same names; students are few-step maps.

Files: ``ema_*.pt``, ``model*.pt`` and ``*_diffusion.pt``, alone or as an entry of a training's file.
Process: a table of 1000 or 4000 betas; EDM for teachers and students of consistency models.
Prediction: the noise, with the number of the step as time; the first half of the channels if the variance is learned.
    EDM's F, with time 250 ln(sigma), for a teacher; a jump to the end for a student (``cd_*`` and ``ct_*``).
Say: ``schedule`` (``linear``, ``cosine``, ``linear-4000``, ``cosine-4000``; without a learned variance also ``edm``).
    ``attention``: num_heads (``1-head``, ``4-heads``) or num_head_channels (``64-wide``); append ``-together``
    if several heads have use_new_attention_order (always in consistency_models). ``size``, the side, unless it
    is a published one. For 4000 steps with times scaled to 1000 (rescale_timesteps, improved-diffusion's default),
    ``schedule=cosine-4000&time.scale=0.25``. For a student under another name, ``schedule=edm&kind=map``. Labels are
    random; none of them means "no label".
Refused: classifiers, and networks that enlarge images.
From noise alone: no. They predict the noise, and their highest level is finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from torch import Tensor

from ...adapters import Network
from ...nets.adm_unet import ADMUNet, HeadCountRule
from ..opening import CheckpointError, OpenedCheckpoint
from ..processes import edm_fields, schedule_fields
from ..specification import FILE, SIDES, Answers, Specification, size_answers
from ..weights import WRAP, Sets, Tensors, choice_in_words, find_sets, load_network

KEYS = ("time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.0.in_layers.0.weight")
WITHIN_LATENT = "model.diffusion_model."
"""Prefix of latent diffusion's weights (:mod:`.latent_diffusion`)."""
FLOWS = ("net_model", "lr_schedule")
"""Entries of files of flow matching, which have the same network (:mod:`.flow_matching`)."""
STUDENTS = ("cd_", "ct_")
"""Prefixes of the file names of consistency_models' students."""
RESCALED = (
    "if it was trained with 4000 steps whose times are scaled to 1000, improved-diffusion's default, say "
    "schedule=cosine-4000&time.scale=0.25 (or linear-4000): schedule=cosine is near it, but not the same"
)
"""Advice for networks that change the resolution without residual blocks, as improved-diffusion's.

It is not among the possible answers, because no check distinguishes schedules this close.
"""
PUBLISHED_SIDES = {(1, 2, 2, 2): 32, (1, 2, 3, 4): 64, (1, 1, 2, 3, 4): 128}
PUBLISHED_SIDES |= {(1, 1, 2, 2, 4, 4): 256, (0.5, 1, 1, 2, 2, 4, 4): 512}
"""Sides of the images by channel multipliers, in the libraries' published networks."""
ATTENTION = {
    "1-head": HeadCountRule(heads=1),
    "4-heads": HeadCountRule(heads=4),
    "64-wide": HeadCountRule(head_width=64),
}
"""Divisions of channels among attention heads in published networks."""
TEACHER: dict[str, Any] = {
    **edm_fields(0.5),
    "time": {"of": "log_level", "scale": 250.0},
    "sigma_min": 0.002,
    "sigma_max": 80.0,
}
STUDENT = {**TEACHER, "prediction": "consistency", "kind": "map"}
"""Fields of a consistency model's student: the teacher's network, with other c_skip and c_out."""


def read_unet_arguments(tensors: Tensors, path: Path) -> dict[str, Any]:
    """Return the arguments of :class:`~samplerbench.models.nets.adm_unet.ADMUNet` except its heads.

    Raises a CheckpointError if blocks are missing. Loading the weights checks the other shapes.
    """
    try:
        return _read_unet_arguments(tensors)
    except (KeyError, IndexError):
        problem = f"{path}: its U-Net lacks blocks, or is not in the order of OpenAI's"
        raise CheckpointError(f"{problem}; if the file is whole, {WRAP}") from None


def _read_unet_arguments(tensors: Tensors) -> dict[str, Any]:
    embedding = tensors["time_embed.0.weight"].shape[1]
    numbers = {int(name.split(".")[1]) for name in tensors if name.startswith("input_blocks.")}
    # blocks without weights, where the resolution changes
    plain = sorted(set(range(max(numbers))) - numbers)
    up = {int(name.split(".")[1]) for name in tensors if name.startswith("output_blocks.")}
    rising = [_doubles_resolution(tensors, i) for i in range(1 + max(up))]
    stages = rising.index(True) + 1 if True in rising else len(rising)
    stages = plain[0] if plain else stages
    firsts = [1 + level * stages for level in range(len(rising) // stages)]
    halved = [f"input_blocks.{first - 1}.0" for first in firsts[1:]]
    widths = [tensors[f"input_blocks.{i}.0.out_layers.3.weight"].shape[0] for i in firsts]
    modulation = tensors["middle_block.0.emb_layers.1.weight"].shape[0]
    labels = tensors.get("label_emb.weight")
    attention = [n for n, i in enumerate(firsts) if f"input_blocks.{i}.1.qkv.weight" in tensors]
    return {
        "in_channels": tensors["input_blocks.0.0.weight"].shape[1],
        "out_channels": tensors["out.2.weight"].shape[0],
        "embedding": embedding,
        "stem": tensors["input_blocks.0.0.weight"].shape[0],
        "widths": widths,
        "blocks": stages - 1,
        "attention": attention,
        "scale_shift": modulation == 2 * widths[-1],
        "resample_blocks": bool(halved) and f"{halved[0]}.in_layers.2.weight" in tensors,
        **({"resample_plain": True} if plain else {}),
        "classes": 0 if labels is None else len(labels),
    }


def _doubles_resolution(tensors: Tensors, block: int) -> bool:
    """Return True if an output block has a part for upsampling: a convolution or a second block."""
    names = [f"output_blocks.{block}.{i}" for i in (1, 2)]
    return any(f"{n}.conv.weight" in tensors or f"{n}.in_layers.0.weight" in tensors for n in names)


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of OpenAI's U-Net, alone or an entry such as ``ema``; else None."""
    if any(name in opened.entries for name in FLOWS):
        return None
    sets = find_sets(opened, KEYS)
    latent = find_sets(opened, [WITHIN_LATENT + key for key in KEYS])
    of_text = any(".transformer_blocks." in name for tensors in sets.values() for name in tensors)
    if not sets or latent or of_text:
        return None
    path = opened.path
    entry, tensors = next(iter(sets.items()))
    if not any(name.startswith("output_blocks.") for name in tensors):
        problem = f"{path} is a classifier that guides a diffusion model, and no diffusion model"
        raise CheckpointError(f"{problem}; give the file of that")
    arguments = read_unet_arguments(tensors, path)
    channels, doubled = arguments["in_channels"], arguments["out_channels"]
    if channels == 6:
        problem = f"{path} enlarges images (6 channels in: the noisy image and a small one)"
        raise CheckpointError(f"{problem} and cannot be sampled alone; {WRAP}")
    if doubled not in (channels, 2 * channels):
        problem = f"{path}: its U-Net gives {doubled} channels of {channels}"
        raise CheckpointError(f"{problem}, neither as many nor twice as many; {WRAP}")
    student = path.name.startswith(STUDENTS)
    attention = head_answers_of(arguments)
    schedules = _schedule_answers(learned_variance=doubled == 2 * channels)
    return Specification(
        family="openai",
        network=next(iter(attention.values()))["network"],
        weights={"file": str(path), "entry": entry},
        event=(channels, 0, 0),
        process={"name": "discrete"},
        prediction="eps",
        half="first" if doubled == 2 * channels else "",
        classes=arguments["classes"],
        labels="random" if arguments["classes"] else "none",
        kind="map" if student else "denoiser",
        evidence=(*_evidence(arguments, student=student), *choice_in_words(sets)),
        sources=dict.fromkeys(("network", "weights", "half", "classes"), FILE),
        open={
            "schedule": {"consistency": STUDENT} if student else schedules,
            "attention": attention,
            "size": size_answers_of(arguments),
        },
    ).with_forced_answers()


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the U-Net with its weights."""
    return make_unet(spec, opened, find_sets(opened, KEYS))


def make_unet(spec: Specification, opened: OpenedCheckpoint, sets: Sets) -> Network:
    """Return the U-Net with weights from ``sets``; attention may be stored as 2-D convolutions.

    Raises a CheckpointError if the weights do not fit the network.
    """

    def in_one_dimension(tensors: Tensors) -> dict[str, Tensor]:
        attention = (".qkv.weight", ".proj_out.weight")
        return {
            name: t.reshape(*t.shape[:2], 1) if name.endswith(attention) else t
            for name, t in tensors.items()
        }

    return load_network(ADMUNet, spec, opened, sets, in_one_dimension)


def _evidence(unet_arguments: Mapping[str, Any], *, student: bool) -> tuple[str, ...]:
    channels = unet_arguments["out_channels"]
    learned = channels == 2 * unet_arguments["in_channels"]
    return (
        "the names of its weights are those of OpenAI's U-Net",
        f"out.2 has {channels} rows for {unet_arguments['in_channels']} channels: "
        + ("eps, then a learned variance" if learned else "no learned variance"),
        *(["its name begins as those of consistency models do"] if student else []),
        *([] if student or unet_arguments["resample_blocks"] else [RESCALED]),
    )


def size_answers_of(unet_arguments: Mapping[str, Any]) -> Answers:
    """Return answers to ``size``: one side for published channel multipliers, else several."""
    multipliers = tuple(width / unet_arguments["embedding"] for width in unet_arguments["widths"])
    published = PUBLISHED_SIDES.get(multipliers)
    sides = (published,) if published else SIDES
    return size_answers(unet_arguments["in_channels"], sides, len(unet_arguments["widths"]))


def _schedule_answers(*, learned_variance: bool) -> Answers:
    """Return the possible schedules: linear and cosine with 1000 and 4000 steps, perhaps EDM's."""
    answers: Answers = {}
    for steps, name in product((1000, 4000), ("linear", "cosine")):
        ends = {} if name == "cosine" else {"start": 0.1 / steps, "end": 20.0 / steps}
        key = name if steps == 1000 else f"{name}-{steps}"
        answers[key] = schedule_fields(name, steps, **ends)
    return answers if learned_variance else {**answers, "edm": TEACHER}


def head_answers_of(unet_arguments: Mapping[str, Any]) -> Answers:
    """Return answers to ``attention``: distinct divisions of channels among heads, by name."""
    widths = {unet_arguments["widths"][level] for level in (*unet_arguments["attention"], -1)}
    answers: Answers = {}
    equivalences = set()
    for (name, heads), together in product(ATTENTION.items(), (False, True)):
        try:
            counts = tuple(heads.count_heads(width) for width in sorted(widths))
        except ValueError:
            continue
        equivalence = (counts, together and set(counts) != {1})
        if equivalence not in equivalences:
            equivalences.add(equivalence)
            arguments = {**unet_arguments, **asdict(heads), "together": together}
            network = {"class": "ADMUNet", "arguments": arguments}
            answers[f"{name}-together" if together else name] = {"network": network}
    return answers
