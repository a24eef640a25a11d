"""The node for ComfyUI, in the place of ComfyUI's own samplers: the samples of our samplers, and refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import comfyui_stand_in as comfy
import pytest
import torch
from looping import each
from moved_tables import MOVED, moved
from networks import SCHEDULE, network

from samplerbench.benchmarks.advice.exports import export, export_folder, missing
from samplerbench.models import make_model
from samplerbench.models.adapters import NativeDenoiser
from samplerbench.models.guidance import ClassifierFree
from samplerbench.samplers import Grid, NoNoise, karras, make, names

GRID = karras(6, 0.03, 10.0)
NOISE = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
SAMPLINGS: dict[str, Any] = {
    "eps": (comfy.ModelSamplingDiscrete, comfy.EPS, SCHEDULE),
    "v": (comfy.ModelSamplingDiscrete, comfy.V_PREDICTION, SCHEDULE),
    "x0": (comfy.ModelSamplingDiscrete, comfy.X0, SCHEDULE),
    "edm": (comfy.ModelSamplingContinuousEDM, comfy.EDM, 0.01, 20.0, 0.5),
    "flow": (comfy.ModelSamplingDiscreteFlow, comfy.CONST, 1.0),
}


@pytest.fixture
def node(monkeypatch, tmp_path):
    """The node's module, and its folder."""
    for name, module in comfy.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    files = export_folder("comfyui-node", make("euler"), GRID, network("eps"), "").files
    (tmp_path / "__init__.py").write_text(files["__init__.py"], encoding="utf-8")
    return comfy.load(tmp_path), tmp_path


class Drawn:
    """Draws of ComfyUI's noise sampler for ours: one after the other, and the same for one number."""

    def __init__(self, like, seed=0):
        self.draw, self.seen = comfy.default_noise_sampler(like, seed), {}

    def at(self, step, cur, nxt):
        def noise(draw=0, *, cur=None, nxt=None):
            if (step, draw) not in self.seen:
                self.seen[step, draw] = self.draw(cur, nxt)
            return self.seen[step, draw]

        return noise


def guider(kind: str, cfg: float = 1.0, *changed) -> comfy.Guider:
    base, prediction, *args = SAMPLINGS[kind]
    net = network(kind).network
    return comfy.Guider(
        lambda x, t: net(x, t, None),
        comfy.make_sampling(base, prediction, *(changed or args)),
        lambda x, t: 0.5 * net(x, t, None),
        cfg,
    )


def load(node, sampler, grid, model, dtype=torch.float64, **options):
    """The node's sampler, and the levels in a dtype."""
    module, folder = node
    text = export("comfyui-node", sampler, grid, model, "m").code
    # to write over a file waits for the disk
    (folder / "table.json").unlink(missing_ok=True)
    (folder / "table.json").write_text(text, encoding="utf-8")
    made, _, _ = module.SamplerTable().load("table.json", **options)
    return made, torch.tensor(json.loads(text)["levels"], dtype=dtype)


def off(node, sampler, grid: Grid, kind: str, dtype=torch.float64, cfg=1.0, *changed) -> float:
    """Largest difference from our samples, over the largest value."""
    model = network(kind)
    made, sigmas = load(node, sampler, grid, model, dtype, any_guidance=True)
    noise, guide = NOISE.to(dtype), guider(kind, cfg, *changed)
    theirs = guide.sample(noise, made, sigmas)
    draws = Drawn(noise) if sampler.stochastic else NoNoise(sampler)

    def ours(x, sigma):
        given = model.denoise(x, sigma, None)
        if cfg == 1:
            return given
        half = replace_network(model, lambda x, t, y: 0.5 * model.network(x, t, y))
        free = half.denoise(x, sigma, None)
        return free + (given - free) * cfg

    right = sampler.sample(ours, (grid.sigma[0] * NOISE), grid, draws)
    return float((theirs.double() - right).abs().max() / right.abs().max())


def replace_network(model: NativeDenoiser, net) -> NativeDenoiser:
    return NativeDenoiser(
        net, model.process, model.prediction, name="half", event=(2,), identity="half",
        time=model.time, times=model.times, network_dtype=torch.float64,
    )  # fmt: skip


LINEAR = [make(name) for name in names() if not missing("comfyui-node", make(name), network("eps"))]


def test_comfyui_node__only_samplers_that_are_not_linear_are_missing():
    none = {name for name in names() if missing("comfyui-node", make(name), network("eps"))}
    reasons = {n for n in none if not (make(n).adaptive or make(n).for_maps)}
    assert reasons == {"paradigms", "predictor_corrector"}


@pytest.mark.slow
@each("kind", SAMPLINGS)
def test_comfyui_node__every_linear_sampler_is_ours(node, kind):
    grids = [GRID, karras(4, 0.03, 10.0, to_zero=False)]
    wrong = {
        (sampler.name, len(grid)): value
        for sampler in LINEAR
        for grid in grids
        if not (value := off(node, sampler, grid, kind)) < 1e-12
    }
    assert not wrong, wrong


@pytest.mark.slow
@each("kind", SAMPLINGS)
def test_comfyui_node__float32_is_close(node, kind):
    wrong = {}
    for sampler in [s for s in LINEAR if not s.stochastic]:
        value = off(node, sampler, GRID, kind, torch.float32)
        if not value < 1e-5:
            wrong[sampler.name] = value
    assert not wrong, wrong


def test_comfyui_node__flows_from_their_highest_level_at_any_shift(node):
    """A level of 9,999, from which extrapolated velocities amplify rounding errors."""
    grid, amplify = karras(8, 0.002, network("flow").sigma_max), ("vab_4", "stork_4")
    values = {s.name: off(node, s, grid, "flow", torch.float64, 1.0, 12.0) for s in LINEAR}
    wrong = {n: v for n, v in values.items() if not v < (1e-8 if n in amplify else 5e-12)}
    assert not wrong, wrong
    for shift in (1.0, 3.0):
        again = off(node, make("dpmpp_2m"), grid, "flow", torch.float64, 1.0, shift)
        assert again == values["dpmpp_2m"]


@each("kind", ["eps", "edm"])
def test_comfyui_node__the_highest_level_begins_with_sigma_z(node, kind):
    """KSAMPLER scales the noise by sqrt(1 + sigma²) there, and the node's by sigma."""
    grid = karras(5, 0.03, network(kind).sigma_max)
    assert off(node, make("dpmpp_2m"), grid, kind) < 1e-12
    made, sigmas = load(node, make("dpmpp_2m"), grid, network(kind))
    plain = comfy.KSAMPLER(made.sampler_function, made.extra_options)
    samples = [guider(kind).sample(NOISE, each_one, sigmas) for each_one in (made, plain)]
    assert (samples[0] - samples[1]).abs().max() > 1e-5


@each("kind", ["eps", "flow"])
def test_comfyui_node__fitted_tables_and_network_levels(node, kind):
    for spec in MOVED:
        sampler, grid = moved(spec, GRID)
        rows = [
            row._replace(level=(row.level or s) * 0.9)
            for row, s in zip(sampler.table, grid.sigma, strict=False)
        ]
        others = replace(sampler, table=tuple(rows))
        assert off(node, sampler, grid, kind) < 1e-12, spec
        assert off(node, others, grid, kind) < 1e-12, spec
        assert sampler.table != others.table


def test_comfyui_node__guidance_is_the_guiders(node):
    assert off(node, make("dpmpp_2m"), GRID, "eps", torch.float64, 3.0) < 1e-12


def test_comfyui_node__the_latent_to_change_is_below_the_noise(node):
    made, sigmas = load(node, make("euler"), GRID, network("eps"))
    latent = torch.ones_like(NOISE)
    moved_noise = NOISE + latent / GRID.sigma[0]
    a = guider("eps").sample(NOISE, made, sigmas, latent=latent)
    b = guider("eps").sample(moved_noise, made, sigmas)
    assert (a - b).abs().max() < 1e-12


@each("name", ["dpmpp_2m", "heun", "dpmpp_2m(analytic_first=True)", "seeds_3"])
def test_comfyui_node__the_callback_goes_up_to_the_last_step(node, name):
    made, sigmas = load(node, make(name), GRID, network("eps"))
    calls = []
    samples = guider("eps").sample(NOISE, made, sigmas, callback=lambda *args: calls.append(args))
    steps = [call[0] for call in calls]
    assert steps == sorted(steps)
    assert steps[-1] == len(GRID) - 1
    assert {call[3] for call in calls} == {len(GRID)}
    assert torch.equal(calls[-1][1], samples)


def fitted() -> Any:
    return moved("dpmpp_2m", GRID)[0]


def test_comfyui_node__refuses_other_models_in_a_sentence(node):
    guided = ClassifierFree(with_classes(network("eps")), 2.5)
    wide, low = (0.01, 80.0, 0.5), (0.01, 8.0, 0.5)
    cases = [
        ("euler", network("eps"), guider("flow"), "needs a model of noise levels, not CONST."),
        ("euler", network("flow"), guider("eps"), "needs a flow, not EPS."),
        ("euler", network("flow"), guider("flow", 1.0, 1.0, 2.0), "noise of scale 1, not 2."),
        ("euler", network("eps"), guider("edm", 1.0, *low), "up to 10, and this model ends at 8."),
        (fitted(), network("eps"), guider("v"), "a model of type EPS, not V_PREDICTION."),
        (fitted(), network("edm"), guider("edm", 1.0, *wide), "a model with sigma_max 20, not 80."),
        (fitted(), network("eps"), guider("eps", 7.0), "at CFG 1 needs its own CFG, not 7, unless"),
        (fitted(), guided, guider("eps", 7.0), "at CFG 2.5 needs its own CFG, not 7, unless any_"),
    ]
    for sampler, model, guide, words in cases:
        made, sigmas = load(node, make(sampler) if sampler == "euler" else sampler, GRID, model)
        with pytest.raises(ValueError, match=r"^SamplerTable: ") as refused:
            guide.sample(NOISE, made, sigmas)
        assert words in str(refused.value)
        assert str(refused.value).endswith(".")
    made, sigmas = load(node, fitted(), GRID, network("eps"), any_guidance=True)
    guider("eps", 7.0).sample(NOISE, made, sigmas)
    made, sigmas = load(node, make("euler"), GRID, network("eps"))
    guider("v", 7.0).sample(NOISE, made, sigmas)  # its numbers do not depend on a model
    for others in (sigmas[1:], sigmas * 1.001):
        with pytest.raises(ValueError, match="its own sigmas, the second output of its node"):
            guider("eps").sample(NOISE, made, others)


def with_classes(model: NativeDenoiser) -> NativeDenoiser:
    model.classes = 3
    return model


def test_comfyui_node__one_folder_offers_several_tables(node):
    module, folder = node
    for name in ("a.json", "b.json"):
        code = export("comfyui-node", make("heun"), GRID, network("eps"), "m").code
        (folder / name).write_text(code, encoding="utf-8")
    inputs = module.SamplerTable.INPUT_TYPES()["required"]
    assert inputs["table"] == (["a.json", "b.json"],)
    before = module.SamplerTable.IS_CHANGED("a.json", False)
    assert before == (folder / "a.json").stat().st_mtime
    _, sigmas, about = module.SamplerTable().load("a.json")
    assert sigmas.dtype == torch.float32
    assert about == "heun in 6 steps, 11 evaluations, for eps at CFG 1"


@pytest.mark.slow
def test_comfyui_node__a_fresh_process_needs_torch_and_comfyui_alone(tmp_path):
    model, sampler = network("flow"), make("unipc_2")
    grid = karras(5, 0.03, model.sigma_max)
    for name, text in export_folder("comfyui-node", sampler, grid, model, "").files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    script = Path(comfy.__file__)
    ran = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=True
    )
    about, foreign, samples = ran.stdout.splitlines()
    assert about == "unipc_2 in 5 steps, 5 evaluations, for flow at CFG 1"
    assert foreign == "set()"
    net = replace_network(model, lambda x, t, y: torch.sin(x + 0.01 * t.reshape(-1, 1)))
    noise = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    right = sampler.sample(net.bind(torch.arange(6), 0), grid.sigma[0] * noise.double(), grid)
    theirs = torch.tensor(json.loads(samples))
    assert (theirs - right).abs().max() < 1e-5 * right.abs().max()


def test_comfyui_node__remarks_and_refusals_of_the_export():
    model = network("flow")
    made = export("comfyui-node", make("dpmpp_sde"), GRID, model, "m")
    assert made.remark.startswith("save these lines as dpmpp_sde-6-flow.json beside the node")
    assert "the draws are the library's own" in made.remark
    model.process = replace(model.process, noise_scale=2.0)
    with pytest.raises(ValueError, match="the noise of flow has scale 2, and the node's is 1"):
        export("comfyui-node", make("euler"), GRID, model, "m")
    with pytest.raises(ValueError, match="cannot export euler to comfyui-node: the noise of flow"):
        export_folder("comfyui-node", make("euler"), GRID, model, "out")
    with pytest.raises(
        ValueError, match="comfyui takes no folder; choose diffusers or comfyui-node"
    ):
        export_folder("comfyui", make("euler"), GRID, make_model("gmm-2d"), "out")


def test_comfyui_node__a_remark_names_models_that_end_below_a_churned_level():
    words, model = "it evaluates at levels up to", network("edm")
    grid, churned = karras(4, 0.02, 20.0), make("euler_churn(churn=2.0, s_max=1e9)")
    assert words not in export("comfyui-node", make("heun"), grid, model, "m").remark
    assert f"{words} 28.28, so the node refuses edm, which ends at 20" in (
        export("comfyui-node", churned, grid, model, "m").remark
    )
    # levels of a flow are times, which end at 1: a table churned at the top is no higher
    flow = network("flow")
    grid = karras(4, 0.02, flow.sigma_max)
    made = export("comfyui-node", churned, grid, flow, "m")
    assert json.loads(made.code)["rows"][0][0] > flow.sigma_max / (1 + flow.sigma_max)
    assert words not in made.remark
