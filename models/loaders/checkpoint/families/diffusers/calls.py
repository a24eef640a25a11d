"""How the library's pipelines call a class of networks: what it takes beside the noisy state, and in
which form.

The tests compare each with the pipeline itself (``tests/parity/test_text_pipelines.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .....checkpoints.conditions import Lookup
from .folder import DIT, FLUX, SANA, SD3, UNET, UNET_TEXT

Config = Mapping[str, Any]
Conditions = Mapping[str, Tensor]
Scalars = Mapping[str, Any]
PROMPT, POOLED, MASK = "prompt_embeds", "pooled_prompt_embeds", "prompt_attention_mask"


@dataclass(frozen=True, kw_only=True)
class Convention:
    """How a class of networks is called.

    Attributes:
        channels, size: of the state, where the network's settings do not say.
        call: the network's output for a noisy state ``(batch, *event)``, times ``(batch,)``, rows of
            embeddings by name, and scalars.
        needs: names of the embeddings that a network of these settings takes.
        scalars: what else it is told, with the values that pipelines have unless told otherwise.
        packed: side of the squares of the state that the pipeline hands over as one vector.
        told: by what pipelines multiply the scheduler's time.
        refused: why a network of these settings is called in another way; "" if it is not.
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
    """Stable Diffusion 1 and 2, DeepFloyd IF; with a pooled embedding and six numbers of sizes, XL; with
    the scale of guidance, latent consistency models.
    """
    added = None
    if POOLED in rows:
        told = torch.tensor(scalars["time_ids"], dtype=x.dtype, device=x.device)
        added = {"text_embeds": rows[POOLED], "time_ids": told.expand(len(x), -1)}
    told = {}
    if "guidance" in scalars:
        told["timestep_cond"] = _of_guidance(scalars["guidance"], net, x)
    return net(x, t, rows[PROMPT], added_cond_kwargs=added, return_dict=False, **told)[0]


def _of_guidance(scale: float, net: nn.Module, x: Tensor) -> Tensor:
    """The scale less one, in thousandths, as sines and cosines of falling frequencies from 1 to 1e-4:
    what few-step networks are told of the guidance that they were distilled with.
    """
    width: int = net.config.time_cond_proj_dim  # type: ignore[union-attr, assignment]
    half = width // 2
    places = torch.arange(half, dtype=x.dtype, device=x.device)
    angles = 1000 * (scale - 1) * torch.exp(-math.log(10_000) / (half - 1) * places)
    told = torch.cat([angles.sin(), angles.cos(), angles.new_zeros(width % 2)])
    return told.expand(len(x), -1)


def _sizes_are_told(config: Config) -> bool:
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
    """Sizes in pixels, and the scale of guidance, which is LatentConsistencyModelPipeline's unless
    told otherwise.
    """
    sizes = {"time_ids": None} if _sizes_are_told(config) else {}
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
    """Squares of 2 x 2 latents are one token each, with their place; places of words are 0."""
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
        needs=lambda config: (PROMPT, POOLED) if _sizes_are_told(config) else (PROMPT,),
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
"""By the class of the network."""


class Labelled(nn.Module):
    """A ``UNet2DModel`` or ``DiTTransformer2DModel``, called as pipelines call them.

    Args:
        network: of the library.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Its output for states ``(batch, *event)``, times ``(batch,)`` and class numbers."""
        return self.network(x_t, timestep=t, class_labels=labels, return_dict=False)[0]


class Prompted(nn.Module):
    """A network that takes embeddings of prompts, called as pipelines call it.

    Args:
        network: of the library.
        convention: with a ``call``.
        tables: embeddings by name, with a row for each condition.
        scalars: what else it is told.
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
        """Its output for states ``(batch, *event)``, times ``(batch,)`` and rows ``(batch,)`` of the
        embeddings.
        """
        assert self.convention.call is not None
        return self.convention.call(self.network, x_t, t, self.lookup(labels), self.scalars)
