"""The tables of the pages on lines to paste are what the exports do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from networks import network

from samplerbench.benchmarks.advice.exports import comfyui, export, missing
from samplerbench.benchmarks.advice.exports.diffusers_schedulers import (
    own_scheduler,
    pipeline_units_of,
)
from samplerbench.benchmarks.advice.exports.k_diffusion import find_function_call
from samplerbench.models import make_model
from samplerbench.samplers import SampleNoise, karras, make, names

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "lines-to-paste.md"
ALL_SAMPLERS = ROOT / "studies" / "measured" / "lines-to-paste.md"
GRIDS = {"": karras(8, 0.03, 14.6), " (not to 0)": karras(8, 0.03, 14.6, to_zero=False)}
MODELS = {"table": network("eps"), "flow": network("flow")}
ASKED = [
    *names(),
    "dpmpp_2m_sde(solver_type='heun')",
    "dpmpp_2m_sde(eta=0.5)",
    "dpmpp_3m_sde_published(eta=0.0)",
    "dpmpp_sde(eta=0.0)",
    "er_sde_2(scale='ode')",
    "er_sde_3_published(scale='ode')",
    "er_sde_3_published(scale='sde')",
    "euler_ancestral(eta=0.5)",
    "res_2s(c2=1.0)",
    "sa_solver(corrector=2, last=(2, 1, 1), tau=0.0)",
    "seeds_1(eta=0.5)",
    "seeds_2(eta=0.5)",
    "unipc_3_published(variant='bh1')",
]
NUMBERS, NONE = "numbers", "-"


def of_diffusers(spec: str, kind: str) -> str:
    """The scheduler that takes a sampler's steps, in short."""
    sampler = make(spec)
    for where, grid in GRIDS.items():
        of = pipeline_units_of(MODELS[kind])
        if (found := own_scheduler(sampler, grid, of.kind)) is not None:
            keys = ("algorithm_type", "solver_order", "solver_type")
            said = [str(found.settings[key]) for key in keys if key in found.settings]
            options = f"({', '.join(said)})" if said else ""
            return f"{found.name.removesuffix('Scheduler')}{options}{where}"
    return NONE if missing("diffusers", sampler, MODELS[kind]) else NUMBERS


def of_k_diffusion(spec: str) -> str:
    """The function that is a sampler."""
    found = find_function_call(make(spec))
    if found is None:
        return NONE if missing("k-diffusion", make(spec), MODELS["table"]) else NUMBERS
    only = " (not to 0)" if found[0] == "sample_lms" else ""
    return f"`{found[0].removeprefix('sample_')}`{only}"


def of_comfyui(spec: str, kind: str) -> str:
    """The name there, or the node with its inputs in short."""
    node = comfyui.find_node(make(spec), MODELS[kind])
    if node is None:
        return NONE
    said = [value for key, value in node.inputs.items() if "percent" not in key]
    return f"`{said[0]}`" if node.name == "KSamplerSelect" else f"{node.name}({', '.join(said)})"


def rows() -> Iterator[tuple[str, ...]]:
    """A row for every sampler."""
    for spec in ASKED:
        yield (
            f"`{spec}`",
            of_diffusers(spec, "table"),
            of_diffusers(spec, "flow"),
            of_k_diffusion(spec),
            of_comfyui(spec, "table"),
            of_comfyui(spec, "flow"),
        )


def expected() -> str:
    """The table of those that a library has, and the names of the others."""
    found = list(rows())
    own = [row for row in found if set(row[1:]) - {NUMBERS, NONE}]
    numbers = [row[0] for row in found if row not in own and NUMBERS in row]
    none = [row[0] for row in found if row not in own and NUMBERS not in row]
    lines = [f"| {' | '.join(row)} |" for row in own]
    return (
        "\n".join(lines)
        + f"\n\nAs numbers, to diffusers and k-diffusion: {', '.join(numbers)}.\n\n"
        + f"To Python only: {', '.join(none)}.\n"
    )


def test_the_table_of_all_samplers_is_what_the_exports_do():
    text = ALL_SAMPLERS.read_text(encoding="utf-8")
    assert expected() in text, expected()


def test_the_rows_of_the_page_are_rows_of_the_table_of_all_samplers():
    printed = {line for line in expected().splitlines() if line.startswith("| `")}
    on_page = re.findall(r"^\| `.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(on_page) >= 9
    assert set(on_page) <= printed


def test_lines_for_python_begin_where_a_moved_model_does():
    """Its first states are rotated and shifted; the lines began elsewhere, and gave other samples."""
    spec = "family:modes(dim=3, seed=1, moved=2, std=0.5)"
    model, run = make_model("family:modes", dim=3, seed=1, moved=2, std=0.5), {}
    grid = karras(20, model.sigma_min, model.sigma_max)
    exec(export("python", make("heun"), grid, model, spec).code, run)
    noise = SampleNoise(0, torch.arange(16), model.event, model.dtype)
    x = model.sigma_max * model.place_noise(noise.initial())
    torch.testing.assert_close(
        run["samples"], make("heun").sample(model.bind(noise.ids, 0), x, grid)
    )
