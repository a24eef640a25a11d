"""Table of every exported sampler in every library on five problems: ``-rP`` prints it as Markdown.

Each library runs what the export gives, on 8 steps to 0, with our noise in the place of its own. For ComfyUI these are
its formulas in float64. The networks are those of tests/exports/networks.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import comfyui_formulas
import pytest
import torch
from test_exports_k_diffusion import pasted

from samplerbench.benchmarks.advice.exports import comfyui, export, missing
from samplerbench.models import make_model
from samplerbench.samplers import Grid, NoNoise, SampleNoise, karras, make

sys.path.append(str(Path(__file__).parents[1] / "exports"))
from networks import network
from test_export_comfyui import SPECS, shifted

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
sampling = pytest.importorskip("k_diffusion.sampling")
# a library's warnings are its own
pytestmark = [pytest.mark.parity, pytest.mark.slow, pytest.mark.filterwarnings("default")]

GMM = make_model("gmm-2d")
PROBLEMS = {
    "EDM": ("edm", karras(8, 0.02, 19.0)),
    "VP": ("eps", karras(8, 0.03, 14.6)),
    **{f"flow {s:g}": ("flow", shifted(s, highest=900.0)) for s in (1.0, 3.0, 12.0)},
}
LIBRARIES = ("diffusers", "k-diffusion", "comfyui")
WITHIN = {"diffusers": 1e-4, "k-diffusion": 1e-4, "comfyui": 1e-12}
SUMS = ("er_sde_2", "er_sde_3_published")


def of_diffusers(sampler, grid: Grid, model, noise: SampleNoise, monkeypatch) -> torch.Tensor:
    """The state after the exported scheduler's steps, in a loop as a pipeline has it."""
    given = {"pipe": SimpleNamespace(scheduler=SimpleNamespace(config={}))}
    exec(export("diffusers", sampler, grid, model, "folder").code, given)
    scheduler = given["pipe"].scheduler
    scheduler.set_timesteps(len(grid))
    # what a remark asks of pipelines that do not scale their latents
    start = getattr(scheduler, "init_noise_sigma", grid.sigma[0] / (1 + grid.sigma[0]))
    x, steps = start * noise.initial(), iter(range(len(grid)))
    module = "diffusers.schedulers.scheduling_dpmsolver_multistep"
    monkeypatch.setattr(
        sys.modules[module], "randn_tensor", lambda *_, **__: noise.at(next(steps), 1, 0)()
    )
    for t in scheduler.timesteps:
        # pipelines of flows do not ask for a scale
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        output = model.network(scaled.double(), t.double().expand(len(x)), None)
        x = scheduler.step(output, t, x).prev_sample
    return x


def difference(library: str, spec: str, kind: str, grid: Grid, monkeypatch) -> float | None:
    """The largest relative difference of a library's samples from ours; None if it has no such sampler."""
    sampler, model = make(spec), network(kind)
    if missing(library, sampler, model):
        return None
    noise = SampleNoise(1, torch.arange(10), (2,), torch.float64)
    denoise = model.bind(noise.ids, 0)
    ours = sampler.sample(
        denoise, grid.sigma[0] * noise.initial(), grid, noise if sampler.stochastic else NoNoise()
    )
    if library == "comfyui":
        node = comfyui.find_node(sampler, model)
        if node.inputs.get("sampler_name") in comfyui_formulas.APPROXIMATE:
            return None
        options = {"points": 0} if sampler.name in SUMS else {}
        run = comfyui_formulas.Run(denoise, grid, noise, flow=kind == "flow")
        theirs = comfyui_formulas.solve(node, run, **options)
    elif library == "diffusers":
        theirs = of_diffusers(sampler, grid, model, noise, monkeypatch)
    else:
        code = export(library, sampler, grid, GMM, "gmm-2d").code
        theirs = pasted(code, noise, grid, monkeypatch, denoise)
    return float((theirs - ours).abs().max() / ours.abs().max())


def test_export__every_sampler_in_every_library_is_ours(monkeypatch):
    print("| sampler |", *(f"{lib}, {name} |" for lib in LIBRARIES for name in PROBLEMS))
    print("|---" * (1 + len(LIBRARIES) * len(PROBLEMS)) + "|")
    apart = []
    for spec in SPECS:
        cells = []
        for library in LIBRARIES:
            for name, (kind, grid) in PROBLEMS.items():
                off = difference(library, spec, kind, grid, monkeypatch)
                if off is not None and not off < WITHIN[library]:
                    apart.append((library, spec, name, off))
                cells.append("-" if off is None else f"{off:.0e}")
        if set(cells) != {"-"}:
            print(f"| `{spec}` |", " | ".join(cells), "|")
    assert not apart
