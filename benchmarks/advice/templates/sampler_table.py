"""Node for ComfyUI: samplers as tables of numbers, one in each JSON file next to this file.

``samplerbench export --to comfyui-node --out FOLDER`` writes these files. They do not import samplerbench.
"""

import json
import math
from pathlib import Path

import torch
from comfy.k_diffusion.sampling import default_noise_sampler
from comfy.samplers import KSAMPLER

FOLDER = Path(__file__).parent


def describe(table):
    """Return a table's solver, steps, evaluations, model and guidance in words."""
    shift = f" (shift {table['shift']:g})" if table["shift"] else ""
    guidance = f" at CFG {table['guidance']:g}" if table["guidance"] else ""
    steps = f"{len(table['levels']) - 1} steps, {len(table['rows'])} evaluations"
    return f"{table['solver']} in {steps}, for {table['model']}{shift}{guidance}"


def why_not(table, guider, sigmas, any_guidance):
    """Return what the table needs and lacks, or ""; ``any_guidance`` allows any guidance scale."""
    sampling, fitted = guider.inner_model.model_sampling, table["fitted"]
    kinds = [cls.__name__ for cls in type(sampling).__mro__]
    known = ("EDM", "V_PREDICTION", "X0", "EPS", "CONST")  # classes before their bases
    kind = next((name for name in known if name in kinds), kinds[0])
    top, first = float(sampling.sigma_max), max(level for level, *_ in table["rows"])
    scale, cfg = getattr(sampling, "noise_scale", 1.0), getattr(guider, "cfg", 1.0)
    own = sigmas.cpu().new_tensor(table["levels"])
    if table["flow"] != (kind == "CONST"):
        return f"a {'flow' if table['flow'] else 'model of noise levels'}, not {kind}"
    if scale != 1:
        return f"noise of scale 1, not {scale:g}"
    if fitted and table["kind"] not in ("", kind):
        return f"a model of type {table['kind']}, not {kind}"
    if first > top * 1.01:
        return f"noise levels up to {first:g}, and this model ends at {top:g}"
    if fitted and not math.isclose(table["sigma_max"], top, rel_tol=0.01):
        return f"a model with sigma_max {table['sigma_max']:g}, not {top:g}"
    if fitted and not any_guidance and cfg != (table["guidance"] or cfg):
        return f"its own CFG, not {cfg:g}, unless any_guidance is set"
    same = sigmas.shape == own.shape and torch.allclose(sigmas.cpu(), own)
    return "" if same else "its own sigmas, the second output of its node"


def combine(weights, tensors):
    """Return the sum of weights times tensors; tensors beyond the weights are not used."""
    return sum(weight * tensor for weight, tensor in zip(weights, tensors) if weight)


@torch.no_grad()
def sample_table(
    model, x, sigmas, extra_args=None, callback=None, disable=None, table=None, any_guidance=False
):
    """Return the latents after a table's steps; raise a ValueError if :func:`why_not` says why."""
    if lacks := why_not(table, model.inner_model, sigmas, any_guidance):
        raise ValueError(f"SamplerTable: {describe(table)} needs {lacks}.")
    extra_args, rows, outputs, draws = extra_args or {}, table["rows"], [], []

    def noise(weights):
        while len(draws) < len(weights):
            draws.append(draw(None, None))
        return combine(weights, draws)

    # no generator without draws, since it refuses the highest seed
    stochastic = table["noise"] or any(row[3] for row in rows)
    draw = default_noise_sampler(x, seed=extra_args.get("seed")) if stochastic else None
    x = table["start"] * x + noise(table["noise"])
    for n, (level, a, b, c) in enumerate(rows, 1):
        outputs.insert(0, model(x, x.new_full([len(x)], level), **extra_args))
        if callback is not None:
            step = {"x": x, "sigma": level, "sigma_hat": level, "denoised": outputs[0]}
            callback(step | {"i": max(n * (len(sigmas) - 1) // len(rows) - 1, 0)})
        x = a * x + combine(b, outputs) + noise(c)
    return x


class TableSampler(KSAMPLER):
    """Sampler whose first state is sigma z, also at the highest level, unlike KSAMPLER's."""

    def max_denoise(self, model_wrap, sigmas):
        return False


class SamplerTable:
    """Node that outputs a table's sampler, its noise levels, and a description."""

    CATEGORY, FUNCTION = "sampling/custom_sampling/samplers", "load"
    RETURN_TYPES, RETURN_NAMES = ("SAMPLER", "SIGMAS", "STRING"), ("sampler", "sigmas", "about")

    @classmethod
    def INPUT_TYPES(cls):
        tables = sorted(path.name for path in FOLDER.glob("*.json"))
        return {"required": {"table": (tables,), "any_guidance": ("BOOLEAN", {"default": False})}}

    @classmethod
    def IS_CHANGED(cls, table, any_guidance):
        return (FOLDER / table).stat().st_mtime

    def load(self, table, any_guidance=False):
        content = json.loads((FOLDER / table).read_text(encoding="utf-8"))
        sampler = TableSampler(sample_table, {"table": content, "any_guidance": any_guidance})
        return sampler, torch.tensor(content["levels"]), describe(content)


NODE_CLASS_MAPPINGS = {"SamplerTable": SamplerTable}
