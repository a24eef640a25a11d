"""Checkpoints of NCSN++ and DDPM++ of score_sde in PyTorch (Song et al. 2021, arXiv:2011.13456).

A file has the weights, and their average as a list in the order of the parameters. The shapes give the network, except
for the filter of its changes of resolution. The shapes give the side of the images only if a single resolution has
attention. Networks with random Fourier features have the VE process; other networks leave the process open.

Files: ``checkpoint_*.pth`` with ``optimizer``, ``model``, ``ema`` and ``step``. The average is taken.
Process: the answer to ``training``. The range of the VE is from ``sigmas`` in the file, else CIFAR-10's, 0.01 to 50.
Prediction: the noise, with time 999 t, for VP and subVP. Minus the noise for the VE, with time ln(sigma), or for
    ``VE-1000`` with the number of the noise level, counted from the highest.
Say: ``training`` (``VP``, ``subVP``, ``VE-1000``), if the network has sinusoidal times. ``filter`` (``smooth`` for
    NCSN++, ``box`` for DDPM++), unless a convolution reduces the image. ``size``, unless a single resolution has
    attention. Say ``training=VE-1000`` before a check with images: networks of the VE take images in [0, 1].
Refused: DDPM's own blocks (``ddpm``), older networks, and networks that join features by ``cat``.
From noise alone: no. They predict the noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...adapters import Network
from ...nets.edm_unets import SongUNet
from ...process import SubVP
from ..opening import CheckpointError, OpenedCheckpoint
from ..processes import VP_LINEAR, range_of_process, ve_fields
from ..specification import FILE, Answers, Specification, size_answers
from ..weights import (
    WRAP,
    Sets,
    Tensors,
    choice_in_words,
    construct_network,
    fill_network,
    find_sets,
    weight_set_by_name,
)

LIST = "all_modules."
PARTS = {"GroupNorm_0": "norm0", "Conv_0": "conv0", "Dense_0": "affine", "GroupNorm_1": "norm1"}
PARTS |= {"Conv_1": "conv1", "Conv_2": "skip"}
"""Names in our network of the parts of score_sde's residual block."""

Module = dict[str, Tensor]
"""Weights of one module of the list ``all_modules``, by their names in it."""

ATTENDS = 16
"""Side of the feature maps to which all published networks apply attention."""
LARGE = 1024
SIDES = (4, 8, 16, 28, 32, 64, 128, 256, LARGE)
FILTERS = {"smooth": [1, 3, 3, 1], "box": [1, 1]}
"""Filters for changes of resolution in NCSN++ and DDPM++."""
STEPS = 1000


def read_unet_arguments(tensors: Tensors, path: Path) -> dict[str, Any]:
    """Return the arguments of ``SongUNet``, except its image side, sides with attention and filter.

    The entry ``attention`` lists the levels with attention, from 0 for the full resolution.
    Raises a CheckpointError if the weights are of another network of score_sde.
    """
    modules = _modules_with_weights(tensors)
    kinds = [_kind_of_module(module) for module in modules]
    if "old" in kinds:
        raise CheckpointError(
            f"{path} is score_sde's older network, whose blocks are DDPM's; NCSN++ and DDPM++ with "
            f"blocks of BigGAN are read; {WRAP}"
        )
    try:
        return _read_unet_arguments(modules, kinds)
    except (ValueError, IndexError, KeyError, StopIteration):
        raise CheckpointError(
            f"{path}: its modules are not in the order of NCSN++ or DDPM++; if the file is whole, {WRAP}"
        ) from None


def _read_unet_arguments(modules: list[Module], kinds: list[str]) -> dict[str, Any]:
    stem = kinds.index("conv")
    resampling = [i for i, kind in enumerate(kinds) if kind == "resample"]
    levels = 1 + len(resampling) // 2
    halvings = resampling[: levels - 1]
    starts = [stem + 1, *(i + 1 for i in halvings)]
    middle = next(i for i in range(starts[-1], len(kinds)) if _is_middle(modules[i:], kinds[i:]))
    ends = [*halvings, middle]
    width, channels = modules[stem]["weight"].shape[:2]
    firsts = [kinds.index("block", start, end) for start, end in zip(starts, ends, strict=True)]
    widths = [modules[i]["Conv_0.weight"].shape[0] for i in firsts]
    attention = [n for n in range(levels) if "attention" in kinds[starts[n] : ends[n]]]
    encoder_kinds = {"residual", "combine"} & set(kinds)
    images = sum(kind == "conv" for kind in kinds) - 1
    if images not in (1, levels):
        raise ValueError("neither one image nor one a level")
    encoder = "skip" if encoder_kinds else "standard"
    return {
        "in_channels": channels,
        "out_channels": channels,
        "model_channels": width,
        "channel_mult": [w // width for w in widths],
        "channel_mult_emb": 4,
        "num_blocks": sum(kind == "block" for kind in kinds[starts[0] : ends[0]]),
        "embedding_type": "fourier" if kinds[0] == "fourier" else "positional",
        "channel_mult_noise": 2 if kinds[0] == "fourier" else 1,
        "encoder_type": "residual" if "residual" in encoder_kinds else encoder,
        "decoder_type": "skip" if images == levels > 1 else "standard",
        "attention": attention,
    }


def _is_middle(modules: list[Module], kinds: list[str]) -> bool:
    """Return True if the lists begin with the U-Net's middle: two blocks, attention between."""
    if kinds[:4] != ["block", "attention", "block", "block"]:
        return False
    first, last, after = (modules[i]["Conv_0.weight"].shape for i in (0, 2, 3))
    return first[0] == first[1] == last[0] == last[1] < after[1]


def rename_weights(
    tensors: Tensors, network: Tensors, arguments: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Return ``tensors`` under SongUNet's names, with filters of its state dict ``network``."""
    own = {name: t for name, t in network.items() if name.endswith("resample_filter")}
    modules = iter(_modules_with_weights(tensors))
    for name, module in zip(_module_names(arguments), modules, strict=False):
        own |= {f"{name}.{part}": t for part, t in _rename_module(module).items()}
    remaining = {f"{LIST}{part}": t for module in modules for part, t in module.items()}
    return own | remaining


def _module_names(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yield SongUNet's module names in score_sde's order, twice for a block with attention."""
    sides = [arguments["img_resolution"] >> i for i in range(len(arguments["channel_mult"]))]
    blocks, coarsest = arguments["num_blocks"], sides[-1]
    if arguments["embedding_type"] == "fourier":
        yield "map_noise"
    yield from ("map_layer0", "map_layer1", f"enc.{sides[0]}x{sides[0]}_conv")
    aux = {"residual": "_aux_residual", "skip": "_aux_skip"}.get(arguments["encoder_type"])
    attends = set(arguments["attn_resolutions"])
    for side in sides:
        at = f"enc.{side}x{side}"
        if side != sides[0]:
            yield f"{at}_down"
            if aux:
                yield f"{at}{aux}"
        for n in range(blocks):
            yield f"{at}_block{n}"
            if side in attends:
                yield f"{at}_block{n}"
    yield from (f"dec.{coarsest}x{coarsest}_in{n}" for n in (0, 0, 1))
    for side in reversed(sides):
        at = f"dec.{side}x{side}"
        if side != coarsest:
            yield f"{at}_up"
        yield from (f"{at}_block{n}" for n in range(blocks + 1))
        if side in attends:
            yield f"{at}_block{blocks}"
        if arguments["decoder_type"] == "skip" or side == sides[0]:
            yield from (f"{at}_aux_norm", f"{at}_aux_conv")


def _modules_with_weights(tensors: Tensors) -> list[Module]:
    """Return the weights of each module of ``all_modules`` that has any, in order."""
    modules: dict[int, Module] = {}
    for name, tensor in tensors.items():
        number, dot, part = name.removeprefix(LIST).partition(".")
        if name.startswith(LIST) and dot and number.isdigit():
            modules.setdefault(int(number), {})[part] = tensor
    return [modules[number] for number in sorted(modules)]


def _kind_of_module(module: Module) -> str:
    if "NIN_3.W" in module:
        return "attention"
    if "Conv_1.weight" in module:
        c_out, c_in = module["Conv_0.weight"].shape[:2]
        if "NIN_0.W" in module:
            return "old"
        return "resample" if c_in == c_out and "Conv_2.weight" in module else "block"
    if "Conv2d_0.weight" in module:
        return "residual"
    if "Conv_0.weight" in module or "Conv.weight" in module:
        bare = module.get("Conv.weight", module.get("Conv_0.weight"))
        return "combine" if bare is not None and bare.shape[-1] == 1 else "old"
    if "W" in module:
        return "fourier"
    return {4: "conv", 2: "linear", 1: "norm"}.get(module["weight"].ndim, "old")


def _rename_module(module: Module) -> Module:
    kind = _kind_of_module(module)
    if kind == "attention":
        return _interleaved_attention(module)
    if kind == "fourier":
        return {"freqs": module["W"]}
    if kind in ("block", "resample"):
        split = {name: name.rpartition(".") for name in module}
        return {f"{PARTS.get(p, p)}.{leaf}": module[n] for n, (p, _, leaf) in split.items()}
    return {name.rpartition(".")[2]: tensor for name, tensor in module.items()}


def _interleaved_attention(module: Module) -> Module:
    """Return an attention module's weights for SongUNet, with queries, keys, values interleaved."""
    c = len(module["GroupNorm_0.weight"])
    weights, biases = ([module[f"NIN_{i}.{part}"] for i in range(3)] for part in "Wb")
    return {
        "norm2.weight": module["GroupNorm_0.weight"],
        "norm2.bias": module["GroupNorm_0.bias"],
        "qkv.weight": torch.stack([w.mT for w in weights], 1).reshape(3 * c, c, 1, 1),
        "qkv.bias": torch.stack(biases, 1).reshape(3 * c),
        "proj.weight": module["NIN_3.W"].mT[..., None, None],
        "proj.bias": module["NIN_3.b"],
    }


_NOISE: dict[str, Any] = {"prediction": "eps", "time": {"of": "t", "scale": 999.0}}
TRAININGS = {
    "VP": {**_NOISE, **VP_LINEAR},
    "subVP": {**_NOISE, "process": {"name": "sub_vp"}, **range_of_process(SubVP())},
}
"""Specification fields of the trainings that predict the noise, with time input 999 t."""


class CentredNetwork(nn.Module):
    """Network called with images in [0, 1], around a network for images in [-1, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return the inner network's output for states ``x`` with data in [0, 1]."""
        return self.network(2 * x - 1, t, labels)


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of an NCSN++ or DDPM++ checkpoint; None for other files."""
    sets = _weight_sets(opened)
    if not sets:
        return None
    entry, tensors = next(iter(sets.items()))
    arguments = read_unet_arguments(tensors, opened.path)
    trainings = _training_answers(tensors, arguments["embedding_type"])
    filters, attention = _filter_answers(arguments), arguments["attention"]
    sides = (ATTENDS << attention[0],) if len(attention) == 1 else SIDES
    channels, levels = arguments["in_channels"], len(arguments["channel_mult"])
    return Specification(
        family="score_sde",
        network=next(iter(filters.values()))["network"],
        weights={"file": str(opened.path), "entry": entry},
        event=(channels, 0, 0),
        process={"name": ""},
        prediction="eps",
        evidence=(*_evidence(arguments), *choice_in_words(sets)),
        sources=dict.fromkeys(("network", "weights"), FILE),
        open={
            "training": trainings,
            "filter": filters,
            "size": size_answers(channels, sides, levels),
        },
    ).with_forced_answers()


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the U-Net with its weights, in a CentredNetwork if ``limits`` are [0, 1]."""
    arguments = dict(spec.network["arguments"])
    side = spec.event[-1] or LARGE  # the side only sets the names of layers while it is unknown
    arguments["attn_resolutions"] = [side >> level for level in arguments.pop("attention")]
    arguments["img_resolution"] = side
    raw = construct_network(SongUNet, arguments, opened.path)
    tensors = weight_set_by_name(_weight_sets(opened), spec.weights["entry"], opened)
    full = fill_network(raw, rename_weights(tensors, raw.state_dict(), arguments), opened.path)
    return CentredNetwork(full).eval() if spec.limits == (0.0, 1.0) else full


def _weight_sets(opened: OpenedCheckpoint) -> Sets:
    return find_sets(opened, (f"{LIST}0.W",)) or find_sets(opened, (f"{LIST}0.weight",))


def _evidence(unet_arguments: Mapping[str, Any]) -> tuple[str, ...]:
    name = "NCSN++" if unet_arguments["encoder_type"] != "standard" else "DDPM++"
    time = "its time input is sinusoidal: VP, subVP, or VE at 1000 levels"
    if unet_arguments["embedding_type"] == "fourier":
        time = "its level input has random Fourier features: the VE process"
    order = f"they are in the order of {name}"
    return ("the names of its weights are those of score_sde's list of modules", order, time)


def _training_answers(tensors: Tensors, embedding: str) -> Answers:
    """Return the possible trainings: VE for Fourier features of time, else VP, subVP, VE-1000."""
    low, high = 0.01, 50.0  # of the published networks for CIFAR-10, whose data are in [0, 1]
    if (levels := tensors.get("sigmas")) is not None and levels.ndim == 1 and len(levels) > 1:
        low, high = float(levels.min()), float(levels.max())
    exploding = {**ve_fields(low, high), "limits": [0.0, 1.0]}
    if embedding == "fourier":
        return {"VE": exploding}
    per_log_level = (STEPS - 1) / math.log(high / low)
    time = {"of": "log_level", "scale": -per_log_level, "offset": per_log_level * math.log(high)}
    return {**TRAININGS, "VE-1000": {**exploding, "time": time}}


def _filter_answers(unet_arguments: Mapping[str, Any]) -> Answers:
    """Return the possible filters: only ``smooth`` for a residual encoder or a single level."""
    names = ["smooth"] if unet_arguments["encoder_type"] == "residual" else list(FILTERS)
    if len(unet_arguments["channel_mult"]) == 1:
        names = names[:1]
    arguments = {n: {**unet_arguments, "resample_filter": FILTERS[n]} for n in names}
    return {n: {"network": {"class": "SongUNet", "arguments": a}} for n, a in arguments.items()}
