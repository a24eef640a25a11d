"""Checkpoints of score_sde's NCSN++ and DDPM++ (Song et al. 2021, arXiv:2011.13456), in its PyTorch version.

A file has the weights, and their average as a list in the order of the parameters. The shapes give the
network, but for the filter of its changes of resolution and, without attention, the side of its images.
They give the process only with sines of random frequencies: then it is the VE.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ....adapters import Network
from ....checkpoints.entries import Sets, choice_among, entries_of, entry_named
from ....checkpoints.ncsnpp_layout import LIST, layout, renamed
from ....checkpoints.opening import Opened
from ....checkpoints.specification import FAMILY, FILE, Specification
from ....checkpoints.weights import built, filled
from ....nets.nvidia.unets import SongUNet
from ....process import SubVP, VPLinear

ATTENDS = 16
"""Side at which all published networks attend."""
LARGE = 1024
SIDES = (4, 8, 16, 28, 32, 64, 128, 256, LARGE)
FILTERS = {"smooth": [1, 3, 3, 1], "box": [1, 1]}
"""Filters of NCSN++ and DDPM++."""
CIFAR = (0.01, 50.0)
"""Levels of its VE networks of CIFAR-10, whose data are in [0, 1]."""
STEPS = 1000


def _preserving(name: str, process: VPLinear) -> dict[str, Any]:
    return {
        "process": {"name": name},
        "prediction": "eps",
        "time": {"of": "t", "scale": 999.0},
        "sigma_min": process.level(process.t_min),
        "sigma_max": process.level(process.t_max),
    }


TRAININGS = {"VP": _preserving("vp_linear", VPLinear()), "subVP": _preserving("sub_vp", SubVP())}
"""Trainings that predict the noise, with the time input 999 t."""

Answers = dict[str, dict[str, Any]]


class Centred(nn.Module):
    """Network of images in [-1, 1], called with images in [0, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """See :class:`~samplerbench.models.adapters.Network`."""
        return self.network(2 * x - 1, t, labels)


def recognise(opened: Opened) -> Specification | None:
    """Recognise a file of a training, or a state dict of the network.

    Raises:
        CheckpointError: it is another network of the library.
    """
    sets = _sets(opened)
    if not sets:
        return None
    entry, tensors = next(iter(sets.items()))
    arguments = layout(tensors, opened.path)
    exploding = arguments["embedding_type"] == "fourier"
    filters = _filters(arguments)
    questions = {
        "training": {"VE": _exploding(tensors)} if exploding else _positional(tensors),
        "filter": filters,
        "size": _sizes(arguments),
    }
    spec = Specification(
        family="score_sde",
        network=next(iter(filters.values()))["network"],
        weights={"file": str(opened.path), "entry": entry},
        event=(arguments["in_channels"], 0, 0),
        process={"name": ""},
        prediction="eps",
        evidence=(*_evidence(arguments), *choice_among(sets)),
        sources=dict.fromkeys(("network", "weights"), FILE),
        open=questions,
    )
    for question, answers in questions.items():
        if len(answers) == 1:
            spec = spec.answered(question, next(iter(answers)), FAMILY)
    return spec


def network(spec: Specification, opened: Opened) -> Network:
    """Make the U-Net, which takes data in the range of the specification.

    Raises:
        CheckpointError: its weights do not fit it.
    """
    arguments = dict(spec.network["arguments"])
    side = spec.event[-1] or LARGE  # unknown, it names the layers alone
    arguments["attn_resolutions"] = [side >> level for level in arguments.pop("attention")]
    arguments["img_resolution"] = side
    raw = built(SongUNet, arguments, opened.path)
    tensors = entry_named(_sets(opened), spec.weights["entry"], opened)
    full = filled(raw, renamed(tensors, raw.state_dict(), arguments), opened.path)
    return Centred(full).eval() if spec.limits == (0.0, 1.0) else full


def _sets(opened: Opened) -> Sets:
    """Return sets of weights by entry, the average first.

    Raises:
        CheckpointError: the average belongs to another network.
    """
    exploding = entries_of(opened, (f"{LIST}0.W",))
    return exploding or entries_of(opened, (f"{LIST}0.weight",))


def _evidence(unet_arguments: Mapping[str, Any]) -> tuple[str, ...]:
    name = "NCSN++" if unet_arguments["encoder_type"] != "standard" else "DDPM++"
    sentences = {
        "fourier": "it is told the level by sines of random frequencies: the VE process",
        "positional": "it is told the time by sines in order: VP, subVP, or VE at 1000 levels",
    }
    return (
        "the names of its weights are those of score_sde's list of modules",
        f"they are in the order of {name}",
        sentences[unet_arguments["embedding_type"]],
    )


def _ends(tensors: Mapping[str, Tensor]) -> tuple[float, float]:
    """Return the levels of the VE process, which the file may have."""
    if (levels := tensors.get("sigmas")) is None or levels.ndim != 1 or len(levels) < 2:
        return CIFAR
    return float(levels.min()), float(levels.max())


def _exploding(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the VE training: the network's output, divided by the level, is the score, so it is minus the
    noise.
    """
    low, high = _ends(tensors)
    return {
        "process": {"name": "ve", "t_min": low, "t_max": high},
        "prediction": "eps",
        "factor": -1.0,
        "time": {"of": "log_level"},
        "sigma_min": low,
        "sigma_max": high,
        "limits": [0.0, 1.0],
    }


def _positional(tensors: Mapping[str, Tensor]) -> Answers:
    """Return the possible trainings for the time input 999 t, or a level's number from the highest."""
    low, high = _ends(tensors)
    per_log_level = (STEPS - 1) / math.log(high / low)
    time = {"of": "log_level", "scale": -per_log_level, "offset": per_log_level * math.log(high)}
    return {**TRAININGS, "VE-1000": {**_exploding(tensors), "time": time}}


def _sizes(unet_arguments: Mapping[str, Any]) -> Answers:
    """Return the possible sides of the images; with attention, the one with its level at 16."""
    attention = unet_arguments["attention"]
    halvings = 2 ** (len(unet_arguments["channel_mult"]) - 1)
    sides = (ATTENDS << attention[0],) if len(attention) == 1 else SIDES
    channels = unet_arguments["in_channels"]
    return {str(s): {"event": [channels, s, s]} for s in sides if s % halvings == 0}


def _filters(unet_arguments: Mapping[str, Any]) -> Answers:
    """Return the filters of changes of resolution, if any. Convolutions that reduce the image have the smooth
    one.
    """
    names = ["smooth"] if unet_arguments["encoder_type"] == "residual" else list(FILTERS)
    if len(unet_arguments["channel_mult"]) == 1:
        names = names[:1]
    arguments = {n: {**unet_arguments, "resample_filter": FILTERS[n]} for n in names}
    return {n: {"network": {"class": "SongUNet", "arguments": a}} for n, a in arguments.items()}
