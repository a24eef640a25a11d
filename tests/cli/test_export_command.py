"""``export``: levels and samplers as lines, and one sentence for every mistake."""

import json
from pathlib import Path

import pytest
from refusals import refused

PLUGINS = Path(__file__).parents[1] / "running" / "plugins.py"
QUICK = ["--samples", "32", "--no-timing"]


def test_exported_levels_are_python(samplerbench):
    code, out, _ = samplerbench("export", "80,1,0", "--to", "diffusers")
    values: dict = {}
    exec("\n".join(line for line in out.splitlines() if line.startswith("sigmas")), values)
    assert code == 0
    assert values["sigmas"] == [80.0, 1.0, 0.0]
    assert "set_timesteps(sigmas=sigmas)" in out


def test_a_schedule_on_a_model_is_exported(samplerbench):
    from samplerbench.samplers import karras

    code, out, _ = samplerbench(
        "export", "--schedule", "karras(rho=5)", "--steps", 30, "--model", "gmm-2d", "--json"
    )
    assert code == 0
    assert tuple(json.loads(out)["sigmas"]) == karras(30, 0.002, 80.0, rho=5.0).sigma


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--steps", "3"],
        ["--model", "gmm-2d"],
        ["1,0", "--steps", "3", "--model", "gmm-2d"],
        ["1,0", "--steps", "3"],
    ],
)
def test_an_export_needs_levels_one_way(samplerbench, args):
    refused(samplerbench("export", *args), "give a list of levels, or both --steps and --model")


def test_an_export_to_something_else_is_refused(samplerbench):
    refused(
        samplerbench("export", "1,0", "--to", "torch"),
        "cannot export to 'torch'; choose diffusers or k-diffusion",
    )


def test_a_sampler_is_exported_as_lines(samplerbench):
    code, out, _ = samplerbench(
        "export", "10,1,0", "--sampler", "dpmpp_2m", "--model", "gmm-2d", "--to", "python"
    )
    values: dict = {}
    exec(out, values)
    assert code == 0
    assert values["grid"].sigma == (10.0, 1.0, 0.0)
    assert values["images"].shape == (16, 2)


def test_an_exported_sampler_comes_with_what_differs(samplerbench):
    args = ("export", "--steps", 3, "--model", "gmm-2d", "--sampler", "ipndm")
    code, out, _ = samplerbench(*args)
    assert code == 0
    assert out.splitlines()[-1].startswith("# no function of k-diffusion takes these steps")
    code, out, _ = samplerbench(*args, "--json")
    assert json.loads(out)["library"] == "k-diffusion"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["1,0", "--sampler", "heun"], "--sampler heun needs the model that it samples"),
        (
            ["1,0", "--sampler", "heun", "--model", "gmm-2d", "--to", "jax"],
            "there are no lines for 'jax'; choose one of python, diffusers, k-diffusion, comfyui",
        ),
        (
            ["1,0", "--sampler", "er_sde_3", "--model", "gmm-2d"],
            "cannot export er_sde_3 to k-diffusion: k-diffusion has no function that draws noise",
        ),
    ],
)
def test_a_sampler_that_cannot_be_exported_is_refused(samplerbench, args, sentence):
    refused(samplerbench("export", *args), sentence)
