"""Pipelines of text to image with tiny networks of diffusers' own classes, as folders, without any text
encoder; and files of embeddings for them.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

PROMPTS, WORDS = 5, 7


def unet(**changed) -> torch.nn.Module:
    import diffusers

    settings = {
        "sample_size": 8, "in_channels": 4, "out_channels": 4, "block_out_channels": (8, 16),
        "layers_per_block": 1, "norm_num_groups": 4, "cross_attention_dim": 8,
        "attention_head_dim": 2, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }  # fmt: skip
    return diffusers.UNet2DConditionModel(**settings | changed)


def xl() -> torch.nn.Module:
    return unet(
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 + 6 * 4,
    )


def lcm() -> torch.nn.Module:
    """Told the scale of guidance."""
    return unet(time_cond_proj_dim=8)


def sd3() -> torch.nn.Module:
    import diffusers

    return diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=8, caption_projection_dim=16,
        pooled_projection_dim=6, out_channels=4, pos_embed_max_size=8,
    )  # fmt: skip


def flux() -> torch.nn.Module:
    import diffusers

    return diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=8, pooled_projection_dim=6,
        guidance_embeds=True, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip


def sana() -> torch.nn.Module:
    import diffusers

    return diffusers.SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=8,
        num_cross_attention_heads=2, cross_attention_head_dim=8, cross_attention_dim=16,
        caption_channels=8, sample_size=16, patch_size=1, timestep_scale=0.5,
    )  # fmt: skip


PIPELINES = {
    "sd": ("StableDiffusionPipeline", "unet", unet),
    "xl": ("StableDiffusionXLPipeline", "unet", xl),
    "sd3": ("StableDiffusion3Pipeline", "transformer", sd3),
    "flux": ("FluxPipeline", "transformer", flux),
    "sana": ("SanaPipeline", "transformer", sana),
    "lcm": ("LatentConsistencyModelPipeline", "unet", lcm),
}
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SCHEDULERS = {
    "sd": ("DDIMScheduler", SD | {"prediction_type": "v_prediction", "clip_sample": False,
                                  "steps_offset": 1, "set_alpha_to_one": False}),
    "xl": ("DDIMScheduler", SD | {"clip_sample": False, "steps_offset": 1}),
    "sd3": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
    "flux": ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}),
    "sana": ("DPMSolverMultistepScheduler",
             {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}),
    "lcm": ("LCMScheduler", {}),
}  # fmt: skip
NEEDS = {
    "sd": ("prompt_embeds",),
    "xl": ("prompt_embeds", "pooled_prompt_embeds"),
    "sd3": ("prompt_embeds", "pooled_prompt_embeds"),
    "flux": ("prompt_embeds", "pooled_prompt_embeds"),
    "sana": ("prompt_embeds", "prompt_attention_mask"),
    "lcm": ("prompt_embeds",),
}
SETTINGS = {"flux": {"event": "[4,8,8]"}}
"""What a folder does not say: how large FLUX's latents are, unless they are 128 a side."""


def folder(path: Path, name: str, scheduler: tuple[str, dict] | None = None) -> Path:
    """A folder as the library's pipeline saves it, with an untrained network and a decoder."""
    import diffusers

    torch.manual_seed(0)
    pipeline, part, made = PIPELINES[name]
    kind, settings = scheduler or SCHEDULERS[name]
    made().save_pretrained(path / part)
    vae = "AutoencoderDC" if name == "sana" else "AutoencoderKL"
    decoder(vae).save_pretrained(path / "vae")
    getattr(diffusers, kind)(**settings).save_pretrained(path / "scheduler")
    parts = {part: type(made()).__name__, "vae": vae, "scheduler": kind}
    index = {"_class_name": pipeline, "_diffusers_version": diffusers.__version__}
    index |= {k: ["diffusers", v] for k, v in parts.items()}
    index |= {k: [None, None] for k in ("text_encoder", "tokenizer")}
    if name in ("xl", "sd3", "flux"):
        index |= {f"{k}_2": [None, None] for k in ("text_encoder", "tokenizer")}
    if name == "sd3":
        index |= {f"{k}_3": [None, None] for k in ("text_encoder", "tokenizer")}
    if name in ("sd", "lcm"):
        index |= {k: [None, None] for k in ("safety_checker", "feature_extractor")}
        index["requires_safety_checker"] = False
    (path / "model_index.json").write_text(json.dumps(index))
    return path


def decoder(kind: str) -> torch.nn.Module:
    import diffusers

    if kind == "AutoencoderKL":
        return diffusers.AutoencoderKL(
            block_out_channels=(4,), norm_num_groups=4, latent_channels=4, shift_factor=0.1
        )
    return diffusers.AutoencoderDC(
        latent_channels=4, attention_head_dim=2,
        encoder_block_types=("ResBlock", "ResBlock"), decoder_block_types=("ResBlock", "ResBlock"),
        encoder_block_out_channels=(4, 4), decoder_block_out_channels=(4, 4),
        encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), ()), decoder_qkv_multiscales=((), ()),
    )  # fmt: skip


def embeddings(name: str) -> dict[str, Tensor]:
    """Of five prompts of seven words, and of the negative prompt."""
    generator = torch.Generator().manual_seed(4)
    shapes = {"prompt_embeds": (WORDS, 8), "pooled_prompt_embeds": (6,)}
    made: dict[str, Tensor] = {}
    for need in NEEDS[name]:
        if need == "prompt_attention_mask":
            mask = (torch.arange(WORDS) < torch.arange(3, 3 + PROMPTS)[:, None]).float()
            made |= {need: mask, f"negative_{need}": mask[:1].clone()}
        else:
            made |= {
                key: torch.randn(rows, *shapes[need], generator=generator)
                for key, rows in ((need, PROMPTS), (f"negative_{need}", 1))
            }
    return made


def saved(path: Path, name: str) -> tuple[Path, dict[str, str], dict[str, Tensor]]:
    """A folder, the settings that its model is loaded with, and its embeddings."""
    tables = embeddings(name)
    file = path / "prompts.safetensors"
    save_file(tables, file)
    settings = {"embeddings": str(file), **SETTINGS.get(name, {})}
    return folder(path / name, name), settings, tables
