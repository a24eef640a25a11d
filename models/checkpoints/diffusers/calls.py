"""Calls of a class of networks in the library's pipelines: inputs besides the noisy state, and their form.

The tests compare each with the pipeline itself (``tests/parity/test_text_pipelines.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..conditions import Lookup
from .folder import DIT, FLUX, SANA, SD3, UNET, UNET_TEXT

Config = Mapping[str, Any]
Conditions = Mapping[str, Tensor]
Scalars = Mapping[str, Any]
PROMPT, POOLED, MASK = "prompt_embeds", "pooled_prompt_embeds", "prompt_attention_mask"


@dataclass(frozen=True, kw_only=True)
class Convention:
    """Calling convention of a class of networks.

    Attributes:
        channels, size: of the state, if the network's settings lack them.
        call: the network's output for a noisy state ``(batch, *event)``, times ``(batch,)``, rows of
            embeddings by name, and scalars.
        needs: names of the embeddings that a network of these settings takes.
        scalars: further inputs, with the pipelines' default values.
        packed: side of the squares of the state that the pipeline hands over as one vector.
        told: the pipelines' factor of the scheduler's time.
        refused: reason why a network of these settings has another call; "" for none.
    """

    channels: int
    size: int | None
    call: Callable[[nn.Module, Tensor, Tensor, Conditions, Scalars], Tensor] | None = None
    needs: Callable[[Config], tuple[str, ...]] = lambda _: ()
    scalars: Callable[[Config], dict[str, Any]] = lambda _: {}
    packed: int = 1
    told: Callable[[Config], float] = lambda _: 1.0
    refused: Callable[[Config], str] = lambda _: ""


def _unet(net: nn.Module, x: Tensor, t: Tensor, rows: Conditions, scalars: Scalars) -> Tensor:
    """Call Stable Diffusion 1 and 2 and DeepFloyd IF; XL with a pooled embedding and six sizes; LCMs with the
    guidance scale.
    """
    added = None
    if POOLED in rows:
        time_ids = torch.tensor(scalars["time_ids"], dtype=x.dtype, device=x.device)
        added = {"text_embeds": rows[POOLED], "time_ids": time_ids.expand(len(x), -1)}
    options = {}
    if "guidance" in scalars:
        options["timestep_cond"] = _guidance_embedding(scalars["guidance"], net, x)
    return net(x, t, rows[PROMPT], added_cond_kwargs=added, return_dict=False, **options)[0]


def _guidance_embedding(scale: float, net: nn.Module, x: Tensor) -> Tensor:
    """Return the guidance input of distilled networks: scale less one, in thousandths, as sines and cosines
    of frequencies from 1 to 1e-4.
    """
    width: int = net.config.time_cond_proj_dim  # type: ignore[union-attr, assignment]
    half = width // 2
    places = torch.arange(half, dtype=x.dtype, device=x.device)
    angles = 1000 * (scale - 1) * torch.exp(-math.log(10_000) / (half - 1) * places)
    embedding = torch.cat([angles.sin(), angles.cos(), angles.new_zeros(width % 2)])
    return embedding.expand(len(x), -1)


def _takes_sizes(config: Config) -> bool:
    return config.get("addition_embed_type") == "text_time"


def _unet_refused(config: Config) -> str:
    for key, usual in (
        ("class_embed_type", (None,)),
        ("num_class_embeds", (None,)),
        ("addition_embed_type", (None, "text", "text_time")),
        ("encoder_hid_dim_type", (None, "text_proj")),
    ):
        if config.get(key) not in usual:
            return f"its {key} is {config[key]!r}"
    return ""


def _unet_scalars(config: Config) -> dict[str, Any]:
    """Return sizes in pixels, and the guidance scale, by default LatentConsistencyModelPipeline's."""
    sizes = {"time_ids": None} if _takes_sizes(config) else {}
    guided = {"guidance": 8.5} if config.get("time_cond_proj_dim") is not None else {}
    return {**sizes, **guided}


def _sd3(net: nn.Module, x: Tensor, t: Tensor, rows: Conditions, scalars: Scalars) -> Tensor:  # noqa: ARG001
    return net(
        hidden_states=x,
        timestep=t,
        encoder_hidden_states=rows[PROMPT],
        pooled_projections=rows[POOLED],
        return_dict=False,
    )[0]


def _flux(net: nn.Module, x: Tensor, t: Tensor, rows: Conditions, scalars: Scalars) -> Tensor:
    """Call FLUX with squares of 2 x 2 latents as tokens, each with its place; places of words are 0."""
    batch, channels, height, width = x.shape
    tokens = x.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    y, column = torch.meshgrid(
        torch.arange(height // 2, dtype=x.dtype, device=x.device),
        torch.arange(width // 2, dtype=x.dtype, device=x.device),
        indexing="ij",
    )
    places = torch.stack([torch.zeros_like(y), y, column], -1).reshape(-1, 3)
    guidance = scalars.get("guidance")
    out = net(
        hidden_states=tokens.reshape(batch, -1, channels * 4),
        timestep=t,
        guidance=None if guidance is None else torch.full_like(t, guidance),
        encoder_hidden_states=rows[PROMPT],
        pooled_projections=rows[POOLED],
        txt_ids=places.new_zeros(rows[PROMPT].shape[1], 3),
        img_ids=places,
        return_dict=False,
    )[0]
    squares = out.reshape(batch, height // 2, width // 2, channels, 2, 2)
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


def _sana(net: nn.Module, x: Tensor, t: Tensor, rows: Conditions, scalars: Scalars) -> Tensor:  # noqa: ARG001
    return net(
        x,
        encoder_hidden_states=rows[PROMPT],
        encoder_attention_mask=rows[MASK],
        timestep=t,
        return_dict=False,
    )[0]


CONVENTIONS = {
    UNET: Convention(channels=3, size=None),
    DIT: Convention(channels=4, size=32),
    UNET_TEXT: Convention(
        channels=4,
        size=None,
        call=_unet,
        needs=lambda config: (PROMPT, POOLED) if _takes_sizes(config) else (PROMPT,),
        scalars=_unet_scalars,
        refused=_unet_refused,
    ),
    SD3: Convention(channels=16, size=128, call=_sd3, needs=lambda _: (PROMPT, POOLED)),
    FLUX: Convention(
        channels=64,
        size=128,
        call=_flux,
        needs=lambda _: (PROMPT, POOLED),
        scalars=lambda config: {"guidance": 3.5} if config.get("guidance_embeds") else {},
        packed=2,
        told=lambda _: 1e-3,
    ),
    SANA: Convention(
        channels=32,
        size=32,
        call=_sana,
        needs=lambda _: (PROMPT, MASK),
        told=lambda config: float(config.get("timestep_scale") or 1.0),
        refused=lambda config: (
            "it is told the scale of guidance" if config.get("guidance_embeds") else ""
        ),
    ),
}
"""Conventions by the class of the network."""


class Labelled(nn.Module):
    """Network ``UNet2DModel`` or ``DiTTransformer2DModel``, called as pipelines call it.

    Args:
        network: of the library.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return its output for states ``(batch, *event)``, times ``(batch,)`` and class numbers."""
        return self.network(x_t, timestep=t, class_labels=labels, return_dict=False)[0]


class Prompted(nn.Module):
    """Network that takes embeddings of prompts, called as pipelines call it.

    Args:
        network: of the library.
        convention: with a ``call``.
        tables: embeddings by name, with a row for each condition.
        scalars: its further inputs.
    """

    def __init__(
        self,
        network: nn.Module,
        convention: Convention,
        tables: Mapping[str, Tensor],
        scalars: Scalars,
    ) -> None:
        super().__init__()
        self.network, self.lookup = network, Lookup(tables)
        self.convention, self.scalars = convention, dict(scalars)

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Return its output for states ``(batch, *event)``, times and rows of the embeddings, both
        ``(batch,)``.
        """
        assert self.convention.call is not None
        return self.convention.call(self.network, x_t, t, self.lookup(labels), self.scalars)
