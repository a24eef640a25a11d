"""``export``: levels and samplers as lines, and one sentence for every mistake."""

import json
import sys
from pathlib import Path

import pytest
import torch
from refusals import refused

from samplerbench.benchmarks.exporting import export
from samplerbench.benchmarks.planning.model_loading import load_model
from samplerbench.samplers import Grid, make

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


def test_export__a_sampler_of_a_plugin_file_has_the_coefficients_of_its_twin(
    samplerbench, tmp_path
):
    tables = []
    for name, *plugin in (["honest", "--plugin", PLUGINS], ["euler"]):
        folder = tmp_path / name
        code, _, err = samplerbench(
            *("export", "--sampler", name, "--model", "gmm-2d", "--steps", 5, *plugin),
            *("--to", "comfyui-node", "--out", folder),
        )
        assert code == 0, err
        tables.append(json.loads(next(folder.rglob("*.json")).read_text()))
    assert [table.pop("solver") for table in tables] == ["honest", "euler"]
    assert [table.pop("equal") for table in tables] == ["", "euler"]
    assert tables[0] == tables[1]


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


def test_export__out_writes_a_folder_with_the_coefficients_of_a_schedule(samplerbench, tmp_path):
    """Of a published table with network levels: a node that says them."""
    rows = [[0.5, 0.5], [0.25, 0.8, -0.1], [0.0, 1.2, -0.3, 0.1]]
    levels, network = [80.0, 5.0, 0.5, 0.0], [80.0, 4.0, 0.4]
    steps = {"levels": levels, "coefficients": rows, "network_levels": network}
    content = {"sigma_min": 0.002, "sigma_max": 80.0, "tables": [steps]}
    (tmp_path / "table.json").write_text(json.dumps(content), encoding="utf-8")
    args = ("export", "--sampler", "tabulated", "--steps", 3, "--model", "gmm-2d")
    schedule = ("--schedule", f"published(file='{tmp_path / 'table.json'}')")
    out = tmp_path / "node"
    code, text, errors = samplerbench(*args, *schedule, "--to", "comfyui-node", "--out", out)
    assert code == 0
    name = "tabulated-3-gmm-2d.json"
    assert text.splitlines()[0] == f"SamplerTable: table = {name}"
    assert f"Wrote {out / name}" in errors
    assert {path.name for path in out.iterdir()} == {"__init__.py", name}
    made = json.loads((out / name).read_text())
    assert made["levels"] == levels
    assert [row[0] for row in made["rows"]] == network
    for row, (_, a, b, c) in zip(rows, made["rows"], strict=True):
        assert [a, *b] == pytest.approx(row)
        assert c == []
    assert made["fitted"]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["1,0"], "--out writes a table of a sampler; give --sampler and --model"),
        (
            ["1,0", "--sampler", "heun", "--model", "gmm-2d"],
            "--out: k-diffusion takes no folder; choose diffusers or comfyui-node",
        ),
        (
            ["1,0", "--sampler", "heun", "--model", "gmm-2d", "--to", "diffusers"],
            "gmm-2d is no network of diffusers",
        ),
    ],
)
def test_export__a_folder_that_cannot_be_written_is_refused(samplerbench, tmp_path, args, sentence):
    refused(samplerbench("export", *args, "--out", tmp_path / "out"), sentence)
    (tmp_path / "file").write_text("")
    given = ("export", "1,0", "--sampler", "heun", "--model", "gmm-2d", "--to", "comfyui-node")
    refused(samplerbench(*given, "--out", tmp_path / "file"), str(tmp_path / "file"))


FACTORY = """import torch
from beside import WIDTH

class Model:
    event, sigma_min, sigma_max = (3,), 0.01, 20.0

    def __init__(self, width):
        self.width = width

    def __call__(self, x, sigma):
        s = torch.as_tensor(sigma).reshape(-1, 1)
        return torch.tanh(x * self.width / (1 + s * s))

def make(width=WIDTH):
    return Model(width)
"""


@pytest.mark.parametrize("options", ["", "(width=0.5)"])
def test_export__lines_for_k_diffusion_make_the_model_of_a_factory(tmp_path, monkeypatch, options):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "my-model.py").write_text(FACTORY)
    (tmp_path / "beside.py").write_text("WIDTH = 0.7\n")
    spec, x = f"{tmp_path}/my-model.py:make{options}", torch.randn(5, 3)
    made = export("20,3,0.5,0", "k-diffusion", model=spec, sampler="ipndm")
    given = {"noise": x}
    exec(made["code"], given)
    bound = load_model(spec).model.bind(torch.arange(5), 0)
    ours = make("ipndm").sample(bound, 20 * x, Grid((20.0, 3.0, 0.5, 0.0)), 0)
    assert (given["samples"] - ours).abs().max() < 1e-5


def test_export__lines_for_k_diffusion_do_not_make_an_object_of_the_session():
    class Model:
        event, sigma_min, sigma_max = (3,), 0.01, 20.0

        def __call__(self, x, sigma):
            return torch.tanh(x)

    made = export("20,3,0.5,0", "k-diffusion", model=Model(), sampler="ipndm")
    assert "runpy" not in made["code"]
    assert "# model(x, sigma): the clean image" in made["code"]
