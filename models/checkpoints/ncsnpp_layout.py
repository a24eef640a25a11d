"""The architecture of score_sde's NCSN++ and DDPM++, read from the list of its modules, and the names
that the same weights have in :class:`~samplerbench.models.nets.nvidia.unets.SongUNet`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .opening import CheckpointError
from .weights import WRAP

LIST = "all_modules."
PARTS = {"GroupNorm_0": "norm0", "Conv_0": "conv0", "Dense_0": "affine", "GroupNorm_1": "norm1"}
PARTS |= {"Conv_1": "conv1", "Conv_2": "skip"}
"""Modules of a residual block, with their names in our network."""

Tensors = Mapping[str, Tensor]
Module = dict[str, Tensor]
"""Weights of one module of the list, by their names in it."""


def layout(tensors: Tensors, path: Path) -> dict[str, Any]:
    """Return the arguments of ``SongUNet`` but its image side, places of attention and filter.

    ``attention`` are the levels with attention, from 0.

    Raises:
        CheckpointError: it is another network of score_sde.
    """
    modules = _modules(tensors)
    kinds = [_kind(module) for module in modules]
    if "old" in kinds:
        raise CheckpointError(
            f"{path} is score_sde's older network, whose blocks are DDPM's; NCSN++ and DDPM++ with "
            f"blocks of BigGAN are read; {WRAP}"
        )
    try:
        return _layout(modules, kinds)
    except (ValueError, IndexError, KeyError, StopIteration):
        raise CheckpointError(
            f"{path}: its modules are not in the order of NCSN++ or DDPM++; if the file is whole, {WRAP}"
        ) from None


def _layout(modules: list[Module], kinds: list[str]) -> dict[str, Any]:
    stem = kinds.index("conv")
    resampling = [i for i, kind in enumerate(kinds) if kind == "resample"]
    levels = 1 + len(resampling) // 2
    halvings = resampling[: levels - 1]
    starts = [stem + 1, *(i + 1 for i in halvings)]
    middle = next(i for i in range(starts[-1], len(kinds)) if _is_middle(modules[i:], kinds[i:]))
    ends = [*halvings, middle]
    width = modules[stem]["weight"].shape[0]
    channels = modules[stem]["weight"].shape[1]
    widths, attention = [], []
    for level, (start, end) in enumerate(zip(starts, ends, strict=True)):
        blocks = [i for i in range(start, end) if kinds[i] == "block"]
        widths.append(modules[blocks[0]]["Conv_0.weight"].shape[0])
        if "attention" in kinds[start:end]:
            attention.append(level)
    encoder_kinds = {"residual", "combine"} & set(kinds)
    images = sum(kind == "conv" for kind in kinds) - 1
    arguments = {
        "in_channels": channels,
        "out_channels": channels,
        "model_channels": width,
        "channel_mult": [w // width for w in widths],
        "channel_mult_emb": 4,
        "num_blocks": sum(kind == "block" for kind in kinds[starts[0] : ends[0]]),
        "embedding_type": "fourier" if kinds[0] == "fourier" else "positional",
        "channel_mult_noise": 2 if kinds[0] == "fourier" else 1,
        "encoder_type": "residual"
        if "residual" in encoder_kinds
        else "skip"
        if encoder_kinds
        else "standard",
        "decoder_type": "skip" if images == levels > 1 else "standard",
        "attention": attention,
    }
    if images not in (1, levels):
        raise ValueError("neither one image nor one a level")
    return arguments


def _is_middle(modules: list[Module], kinds: list[str]) -> bool:
    """Return True if the modules begin with the middle: a block, attention and a block of equal channels,
    before a wider one.
    """
    if kinds[:4] != ["block", "attention", "block", "block"]:
        return False
    first, last, after = (modules[i]["Conv_0.weight"].shape for i in (0, 2, 3))
    return first[0] == first[1] == last[0] == last[1] < after[1]


def renamed(tensors: Tensors, network: Tensors, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights by their names in our network.

    Args:
        tensors: of the checkpoint.
        network: state of ours, whose filters are no weights of the checkpoint's.
        arguments: of ours.
    """
    own = {name: t for name, t in network.items() if name.endswith("resample_filter")}
    modules = iter(_modules(tensors))
    for name, module in zip(_names(arguments), modules, strict=False):
        own |= {f"{name}.{part}": t for part, t in _rename(module).items()}
    remaining = {f"{LIST}{part}": t for module in modules for part, t in module.items()}
    return own | remaining


def _names(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of our modules in the order of score_sde's; a block and its attention share one."""
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


def _modules(tensors: Tensors) -> list[Module]:
    """List the modules that have weights, in order."""
    modules: dict[int, Module] = {}
    for name, tensor in tensors.items():
        number, dot, part = name.removeprefix(LIST).partition(".")
        if name.startswith(LIST) and dot and number.isdigit():
            modules.setdefault(int(number), {})[part] = tensor
    return [modules[number] for number in sorted(modules)]


def _kind(module: Module) -> str:
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


def _rename(module: Module) -> Module:
    """Return the weights of one module by the names of ours."""
    kind = _kind(module)
    if kind == "attention":
        return _attention(module)
    if kind == "fourier":
        return {"freqs": module["W"]}
    if kind in ("block", "resample"):
        split = {name: name.rpartition(".") for name in module}
        return {f"{PARTS.get(p, p)}.{leaf}": module[n] for n, (p, _, leaf) in split.items()}
    return {name.rpartition(".")[2]: tensor for name, tensor in module.items()}


def _attention(module: Module) -> Module:
    """Interleave queries, keys and values channel by channel; score_sde has a transposed matrix of each."""
    c = len(module["GroupNorm_0.weight"])
    projections = [f"NIN_{i}" for i in range(3)]
    weight = torch.stack([module[f"{name}.W"].mT for name in projections], 1).reshape(
        3 * c, c, 1, 1
    )
    bias = torch.stack([module[f"{name}.b"] for name in projections], 1).reshape(3 * c)
    return {
        "norm2.weight": module["GroupNorm_0.weight"],
        "norm2.bias": module["GroupNorm_0.bias"],
        "qkv.weight": weight,
        "qkv.bias": bias,
        "proj.weight": module["NIN_3.W"].mT[..., None, None],
        "proj.bias": module["NIN_3.b"],
    }
