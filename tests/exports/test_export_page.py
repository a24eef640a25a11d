"""The tables of the pages on lines to paste are what the exports do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from networks import network

from samplerbench.benchmarks.advice.exports import comfyui, missing
from samplerbench.benchmarks.advice.exports.diffusers import scaled_scheduler
from samplerbench.benchmarks.advice.exports.diffusers_schedulers import (
    coordinates_of,
    own_scheduler,
)
from samplerbench.benchmarks.advice.exports.k_diffusion import find_function_call
from samplerbench.samplers import karras, make, names

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "lines-to-paste.md"
ALL_SAMPLERS = ROOT / "studies" / "measured" / "lines-to-paste.md"
GRIDS = {"": karras(8, 0.03, 14.6), " (not to 0)": karras(8, 0.03, 14.6, to_zero=False)}
MODELS = {"table": network("eps"), "flow": network("flow")}
ASKED = [
    *names(),
    "dpmpp_2m_sde(solver_type='heun')",
    "unipc_3_published(variant='bh1')",
]
NUMBERS, NONE = "numbers", "-"


def of_diffusers(spec: str, kind: str) -> str:
    """The scheduler that takes a sampler's steps, in short."""
    sampler = make(spec)
    for where, grid in GRIDS.items():
        of = coordinates_of(MODELS[kind])
        if (scaled := scaled_scheduler(sampler, grid, of)) is not None:
            return f"{scaled.name.removesuffix('Scheduler')}{where}"
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
    """The name there."""
    name = comfyui.ksampler_name(make(spec), MODELS[kind])
    return f"`{name}`" if name else NONE


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
    assert len(on_page) > 10
    assert set(on_page) <= printed
