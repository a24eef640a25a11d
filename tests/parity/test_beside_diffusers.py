"""``docs/examples/beside_diffusers.py``, which measures pasted lines without this project."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from samplerbench.benchmarks.advice.exports import export
from samplerbench.benchmarks.planning.schedules import levels_of_schedule
from samplerbench.models.loaders.checkpoint import load
from samplerbench.samplers import Grid, make

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "beside_diffusers.py"
NOISE = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("beside_diffusers", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_beside_diffusers__imports_nothing_of_this_project():
    assert not any(
        line.startswith(("import samplerbench", "from samplerbench"))
        for line in EXAMPLE.read_text(encoding="utf-8").splitlines()
    )


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_native__euler_with_no_schedule_named_is_the_ddim_of_the_library(
    tmp_path, net, example, spacing
):
    kept = diffusers.DDPMScheduler(clip_sample=False, timestep_spacing=spacing)
    diffusers.DDPMPipeline(net, kept).save_pretrained(tmp_path)
    model, euler = load(tmp_path, {}), make("euler")
    lines = export(
        "diffusers", euler, Grid(levels_of_schedule(None, 8, model, euler)[0]), model, "m"
    ).code
    pipe = diffusers.DDPMPipeline.from_pretrained(tmp_path)
    ddim = diffusers.DDIMScheduler.from_config(pipe.scheduler.config)
    theirs = example.images(net, ddim, NOISE, 8)
    ours = example.images(net, example.pasted(pipe, lines), NOISE, 8)
    assert (ours - theirs).abs().max() < 1e-3 * theirs.abs().max()
    karras = levels_of_schedule("karras", 8, model)[0]
    other = export("diffusers", euler, Grid(karras), model, "m").code
    off = example.images(net, example.pasted(pipe, other), NOISE, 8) - theirs
    assert off.abs().max() > 1e-2 * theirs.abs().max()


def test_distances__has_the_schedulers_of_the_library_and_each_file(tmp_path, net, example):
    kept = diffusers.DDPMScheduler(clip_sample=False)
    diffusers.DDPMPipeline(net, kept).save_pretrained(tmp_path / "folder")
    lines = tmp_path / "same.py"
    lines.write_text(
        "from diffusers import UniPCMultistepScheduler\n"
        "pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config)\n"
    )
    found = example.distances(tmp_path / "folder", 4, [lines], 2, 10)
    assert list(found) == [*example.USUAL, str(lines)]
    assert found[str(lines)] == found["UniPCMultistepScheduler"] > 0
