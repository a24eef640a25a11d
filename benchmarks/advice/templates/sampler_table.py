"""Node for ComfyUI: a sampler as a table of numbers, from any JSON file in this folder.

``samplerbench export --to comfyui-node --out FOLDER`` writes this file and a table. Put FOLDER into custom_nodes/, and
more tables beside this file. The node only calls the model and the callback, as samplers of ComfyUI do.
"""

import json
import math
from pathlib import Path

import torch
from comfy.k_diffusion.sampling import default_noise_sampler
from comfy.samplers import KSAMPLER

FOLDER = Path(__file__).parent


def describe(table):
    """Return what a table is and what it was made for, in a sentence."""
    shift = f" (shift {table['shift']:g})" if table["shift"] else ""
    guidance = f" at CFG {table['guidance']:g}" if table["guidance"] else ""
    return (
        f"{table['solver']} in {len(table['levels']) - 1} steps, {len(table['rows'])} evaluations, "
        f"for {table['model']}{shift}{guidance}"
    )


def why_not(table, guider, sigmas, any_guidance=False):
    """Return in a sentence why a table cannot run on a guider's model; "" if it can."""
    sampling = guider.inner_model.model_sampling
    kinds = {cls.__name__ for cls in type(sampling).__mro__}
    names = ("EDM", "V_PREDICTION", "X0", "EPS", "CONST")  # classes before their bases
    kind = next((name for name in names if name in kinds), type(sampling).__name__)
    highest, levels, cfg = float(sampling.sigma_max), table["levels"], getattr(guider, "cfg", 1.0)
    fitted, first = table["fitted"], max(level for level, *_ in table["rows"])
    scale, own = getattr(sampling, "noise_scale", 1.0), sigmas.cpu().new_tensor(levels)
    is_for = "flows" if table["flow"] else "noise levels"
    checks = [
        (table["flow"] != (kind == "CONST"), f"it is for {is_for}, and this model is {kind}"),
        (scale != 1, f"its noise has scale 1, and this model's {scale:g}"),
        (
            fitted and table["kind"] not in ("", kind),
            f"it was fitted to a model of type {table['kind']}, and this one is {kind}",
        ),
        (
            first > highest * 1.01,
            f"it calls the model at sigma {first:g}, and this one ends at {highest:g}",
        ),
        (
            fitted and not math.isclose(table["sigma_max"], highest, rel_tol=0.01),
            f"its model has sigma_max {table['sigma_max']:g}, and this one {highest:g}",
        ),
        (
            fitted and not any_guidance and cfg != (table["guidance"] or cfg),
            f"this is CFG {cfg:g}, so set any_guidance to try it there",
        ),
        (
            sigmas.shape != own.shape or not torch.allclose(sigmas.cpu(), own),
            "it runs on its own sigmas: connect the node's second output",
        ),
    ]
    reason = next((words for wrong, words in checks if wrong), "")
    return reason and f"SamplerTable: this table is {describe(table)}; {reason}."


def combine(weights, tensors):
    """Return the weighted sum of tensors; the weights may be fewer."""
    return sum(weight * tensor for weight, tensor in zip(weights, tensors) if weight)


def endless_noise(x, seed):
    """Yield draws of noise like ``x``, as ComfyUI's own samplers draw them."""
    draw = default_noise_sampler(x, seed=seed)
    while True:
        yield draw(None, None)


@torch.no_grad()
def sample_table(
    model, x, sigmas, extra_args=None, callback=None, disable=None, table=None, any_guidance=False
):
    """Return the latents after a table's steps; raise a ValueError if the table is not for this model."""
    if reason := why_not(table, model.inner_model, sigmas, any_guidance):
        raise ValueError(reason)
    extra_args, rows, steps = extra_args or {}, table["rows"], len(sigmas) - 1
    outputs, draws, source = [], [], endless_noise(x, extra_args.get("seed"))

    def noise(weights):
        while len(draws) < len(weights):
            draws.append(next(source))
        return combine(weights, draws)

    x = table["start"] * x + noise(table["noise"])
    for n, (level, a, b, c) in enumerate(rows, 1):
        denoised = model(x, x.new_full([len(x)], level), **extra_args)
        if callback is not None:
            step = max(n * steps // len(rows) - 1, 0)
            callback({"x": x, "i": step, "sigma": level, "sigma_hat": level, "denoised": denoised})
        outputs.insert(0, denoised)
        x = a * x + combine(b, outputs) + noise(c)
    return x


class TableSampler(KSAMPLER):
    """Sampler of ComfyUI that begins with sigma z at the highest level too, not with sqrt(1 + sigma²) z."""

    def max_denoise(self, model_wrap, sigmas):
        return False


class SamplerTable:
    """Node that gives a table's sampler, its noise levels, and a sentence on both."""

    CATEGORY, FUNCTION = "sampling/custom_sampling/samplers", "load"
    RETURN_TYPES, RETURN_NAMES = ("SAMPLER", "SIGMAS", "STRING"), ("sampler", "sigmas", "about")
    DESCRIPTION = "A solver with its noise levels, as numbers that samplerbench has exported."

    @classmethod
    def INPUT_TYPES(cls):
        guidance = ("BOOLEAN", {"default": False, "tooltip": "Run at any other CFG too."})
        names = sorted(path.name for path in FOLDER.glob("*.json"))
        return {"required": {"table": (names,), "any_guidance": guidance}}

    @classmethod
    def IS_CHANGED(cls, table, any_guidance):
        return (FOLDER / table).stat().st_mtime

    def load(self, table, any_guidance=False):
        content = json.loads((FOLDER / table).read_text(encoding="utf-8"))
        sampler = TableSampler(sample_table, {"table": content, "any_guidance": any_guidance})
        return sampler, torch.tensor(content["levels"]), describe(content)


NODE_CLASS_MAPPINGS = {"SamplerTable": SamplerTable}
NODE_DISPLAY_NAME_MAPPINGS = {"SamplerTable": "Sampler from a table (samplerbench)"}
