"""Lines to paste, without the libraries: what they say, and that those for Python run."""

from __future__ import annotations

import json
import re
import sys
import types
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from looping import each
from networks import SCHEDULE, network
from torch import Tensor

from samplerbench.benchmarks.advice.exports import LIBRARIES, export, missing, named_solver
from samplerbench.benchmarks.advice.exports.equivalents import tabulate_steps
from samplerbench.benchmarks.advice.exports.python import _import_lines
from samplerbench.models import make_model
from samplerbench.models.adapters import NativeDenoiser, NetworkTime
from samplerbench.models.process import Discrete
from samplerbench.samplers import Grid, SampleNoise, karras, make, names
from samplerbench.samplers.auto import Fitted, Rule
from samplerbench.samplers.families.tabulated import Tabulated, tabulate
from samplerbench.samplers.methods.edm import Euler
from samplerbench.samplers.methods.pipeline import Preset
from samplerbench.samplers.spec import label_of

MIXTURE = make_model("gmm-2d")
GRID = karras(5, 0.03, 14.6, to_zero=True)
TO_MIN = karras(4, 0.03, 14.6, to_zero=False)
RULE = Rule(4, True, True, 0.31, 3.0, 0.18, 1.07, 0.63, 0.9, 0.02)
FIXED = [name for name in names() if not make(name).adaptive and name != "consistency"]
OTHERS = [
    make("dpmpp_2m(last=[2, 1])"),
    make("ddim(eta=0.5)"),
    make("dpmpp_2m_sde(solver_type='heun')"),
    make("auto").fitted(Fitted(RULE, 1234)),
    make("pipeline").fitted(
        Preset("dpmpp_2m(last=[2, 1])", (10.0, 1.0, 0.0), 10.1, 1.0, None, "a", ((1.0, 3.5),))
    ),
    Tabulated(stands_for=make("dpmpp_2m"), table=tabulate(make("ipndm"), GRID)),
]


@pytest.mark.slow
@each("sampler", [*map(make, FIXED), *OTHERS], ids=lambda s: s.name)
def test_export__lines_for_python_give_the_same_samples(sampler):
    made = export("python", sampler, GRID, MIXTURE, "gmm-2d")
    assert made.remark == ""
    given = {}
    exec(made.code, given)
    ids = torch.arange(16)
    noise = SampleNoise(0, ids, MIXTURE.event, MIXTURE.dtype)
    ours = sampler.sample(MIXTURE.bind(ids, 0), GRID.sigma[0] * noise.initial(), GRID, noise)
    assert torch.equal(given["images"], ours)
    assert given["sampler"] == sampler


def test_export__a_subclass_does_not_take_the_steps_that_its_parent_equals():
    parent: Any = type(make("ddim"))

    class Halved(parent):
        name = "halved"

        def plan(self, grid):
            return [row._replace(a=row.a / 2) for row in super().plan(grid)]

    assert Halved.same_as == ""
    made = export("k-diffusion", Halved(), GRID, MIXTURE, "gmm-2d")
    assert "sample_euler" not in made.code
    assert "ROWS" in made.code
    remark = export("python", Halved(), GRID, MIXTURE, "gmm-2d").remark
    assert (
        remark == "sampler halved is a class of your session; register it where you run the lines"
    )


def test_a_model_with_options_is_made_with_them():
    code = export("python", make("euler"), GRID, MIXTURE, "emoji(guidance=2.5)").code
    assert 'make_model("emoji", guidance=2.5)' in code


@pytest.mark.slow
@each("kind", ["eps", "v", "x0", "flow", "edm"])
@each("library", LIBRARIES)
def test_export__what_is_missing_cannot_be_exported_and_the_rest_can(library, kind):
    model = network(kind)
    for sampler in [*map(make, names()), *OTHERS]:
        if reason := missing(library, sampler, model):
            assert len(reason) < 160
            assert not reason.endswith(".")
            with pytest.raises(ValueError, match=re.escape(reason)):
                export(library, sampler, GRID, model, "folder")
            continue
        made = export(library, sampler, GRID, model, "folder")
        assert made.library == library
        assert made.code == made.code.strip()
        assert library == "comfyui-node" or max(map(len, made.code.splitlines())) <= 120
        if library == "comfyui-node":
            assert json.loads(made.code)["solver"] == label_of(sampler)
        elif library != "comfyui":
            compile(made.code, "lines", "exec")


def test_a_model_of_no_network_is_none_of_diffusers():
    assert "is no network of diffusers" in missing("diffusers", make("euler"), MIXTURE)


def test_a_network_that_is_no_pipeline_is_told_apart():
    made = export("diffusers", make("euler"), GRID, network("eps"), "folder")
    assert made.remark.startswith("the model is no pipeline of diffusers")


def check_wrapped(code, model, sampler, output):
    """Run a pipeline's exported scheduler on ``output(x, t)``; it must take the sampler's steps."""
    pipe = types.SimpleNamespace(scheduler=types.SimpleNamespace(config={}))
    exec(code, {"pipe": pipe})
    noise = SampleNoise(0, torch.arange(6), model.event, torch.float64)
    pipe.scheduler.set_timesteps(99)
    x = noise.initial() * pipe.scheduler.init_noise_sigma
    for t in pipe.scheduler.timesteps:
        x = pipe.scheduler.step(output(x, t.double().expand(6)), t, x).prev_sample
    ours = sampler.sample(model.bind(noise.ids, 0), GRID.sigma[0] * noise.initial(), GRID)
    assert (ours - x).abs().max() < 1e-4 * ours.abs().max()


@pytest.mark.usefixtures("stand_in")
def test_export__a_network_of_the_opposite_sign_runs_in_diffusers_once_wrapped():
    """Of torchcfm: data less noise, at t from noise to data. The remark says what to return."""
    flow, sampler = network("flow"), make("ipndm")
    reversed_time = NetworkTime(scale=-1.0, offset=1.0)

    def theirs(x, t, labels=None):
        return -flow.network(x, 1000 * (1 - t), labels)

    model = NativeDenoiser(
        theirs, flow.process, "flow", name="cfm", event=(2,), identity="cfm", factor=-1.0,
        time=reversed_time, network_dtype=torch.float64,
    )  # fmt: skip
    assert missing("diffusers", sampler, model) == ""
    made = export("diffusers", sampler, GRID, model, "cfm.pt")
    code = re.search(r"returns (.*) for \(x, timestep\)", made.remark)[1]
    assert code == "-net(x, 1 - 0.001 * timestep)"

    def output(x, t):
        return eval(code, {"net": theirs, "x": x, "timestep": t})

    check_wrapped(made.code, model, sampler, output)
    assert "wrap" not in export("diffusers", sampler, GRID, flow, "folder").remark


def test_named_solver__is_none_for_steps_of_numbers():
    codes = [
        export("diffusers", make(name), GRID, network("eps"), "folder").code
        for name in ("dpmpp_2m", "ipndm")
    ]
    found = [named_solver("diffusers", code) for code in codes]
    assert found == ["DPMSolverMultistepScheduler", ""]


@pytest.mark.usefixtures("stand_in")
def test_export__a_network_that_takes_levels_runs_in_diffusers_once_wrapped():
    edm, sampler = network("edm"), make("ipndm")

    def theirs(x, t, labels=None):
        return -edm.network(x, t.log() / 4, labels)

    given: dict[str, Any] = {"name": "mine", "event": (2,), "identity": "mine", "factor": -1.0}
    model = NativeDenoiser(
        theirs, edm.process, "edm", time=NetworkTime(of="level"), network_dtype=torch.float64,
        **given,
    )  # fmt: skip
    made = export("diffusers", sampler, GRID, model, "mine.pt")
    words = r"returns (.*) for \(x, timestep\), where sigma is the level at timestep"
    code = re.search(words, made.remark)[1]
    assert code == "net(x, sigma)"

    def output(x, t):
        return eval(code, {"net": theirs, "x": x, "sigma": (4 * t).exp()})

    check_wrapped(made.code, model, sampler, output)
    assert "wrap" not in export("diffusers", sampler, GRID, edm, "folder").remark
    log_level = NetworkTime(of="log_level", scale=0.5)
    model = NativeDenoiser(theirs, Discrete(levels=SCHEDULE), "eps", time=log_level, **given)
    remark = export("diffusers", make("dpmpp_2m"), GRID, model, "mine.pt").remark
    assert "returns -net(x, 0.5 * sigma.log()) for (x, timestep), where" in remark


def test_export__numbers_name_the_option_with_which_a_function_takes_the_steps():
    remark = export("k-diffusion", make("lms"), karras(6, 0.01, 10.0), MIXTURE, "gmm-2d").remark
    assert "lms(through_zero=True)" in remark
    called = make("lms(through_zero=True)")
    assert "sample_lms" in export("k-diffusion", called, karras(6, 0.01, 10.0), MIXTURE, "m").code


def test_export__an_infinite_option_is_code():
    """``s_tmax=inf`` was a NameError where it was pasted."""
    sampler = make({"name": "euler_churn", "churn": 4.0, "s_max": np.inf})
    for library in ("k-diffusion", "python"):
        assert 'max=float("inf")' in export(library, sampler, GRID, MIXTURE, "gmm-2d").code


def test_import_lines__name_the_module_of_a_plugins_class():
    theirs = type("Found", (), {"__module__": "my_package.found"})
    assert [*_import_lines([theirs, Tabulated])] == [
        "from my_package.found import Found",
        "from samplerbench.samplers.families.tabulated import Tabulated",
    ]


def test_an_unknown_library_is_named():
    with pytest.raises(ValueError, match=r"no lines for 'jax'; choose one of python, diffusers"):
        missing("jax", make("euler"), MIXTURE)


class Base:
    """As much of a scheduler of diffusers as the lines build on."""

    @classmethod
    def from_config(cls, config, **_) -> Base:
        return cls()

    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor:
        return sample


@pytest.fixture
def stand_in(monkeypatch):
    """Modules in the place of diffusers."""
    modules = {
        "diffusers": {"DPMSolverMultistepScheduler": Base},
        "diffusers.schedulers": {},
        "diffusers.schedulers.scheduling_utils": {"SchedulerOutput": types.SimpleNamespace},
    }
    for name, content in modules.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("stand_in")
@each("half", ["first", "second"])
def test_export__steps_of_numbers_take_the_half_that_is_the_prediction(half):
    inner, sampler = network("eps"), make("ipndm")

    def net(x, t, labels=None):
        halves = [inner.network(x, t, labels), 0 * x]
        return torch.cat(halves if half == "first" else halves[::-1], 1)

    model = NativeDenoiser(
        net, inner.process, "eps", name="two", event=(2,), identity="two", times=inner.times,
        half=half, network_dtype=torch.float64,
    )  # fmt: skip
    check_wrapped(export("diffusers", sampler, GRID, model, "two").code, model, sampler, net)


@pytest.mark.usefixtures("stand_in")
@each("kind", ["eps", "v", "x0", "flow", "edm"])
@each("name", ["ipndm", "res_2s", "auto", "dpmpp_3s", "deis_tab_3"])
@each("grid", [GRID, TO_MIN], ids=["to zero", "to sigma_min"])
def test_export__steps_of_numbers_in_the_loop_of_a_pipeline(kind, name, grid):
    """In float32: the coordinates, the times and the end."""
    model, sampler = network(kind), make(name)
    pipe = types.SimpleNamespace(scheduler=types.SimpleNamespace(config={}))
    exec(export("diffusers", sampler, grid, model, "folder").code, {"pipe": pipe})
    noise = SampleNoise(0, torch.arange(6), model.event, torch.float64)
    scheduler = pipe.scheduler
    scheduler.set_timesteps(99)
    x = (noise.initial() * scheduler.init_noise_sigma).float()
    for t in scheduler.timesteps:
        x = scheduler.step(model.network(x, t.expand(6), None), t, x).prev_sample
    ours = sampler.sample(model.bind(noise.ids, 0), grid.sigma[0] * noise.initial(), grid)
    assert (ours - x).abs().max() < 1e-4 * ours.abs().max()


def test_a_table_is_the_sampler_and_says_what_is_none():
    steps = tabulate_steps(make("heun"), GRID)
    assert [row.sigma for row in steps.rows[:3]] == [14.6, GRID.sigma[1], GRID.sigma[1]]
    assert steps.start == 1
    with pytest.raises(ValueError, match="paradigms is no table of numbers: its steps depend"):
        tabulate_steps(make("paradigms"), GRID)
    # churn draws before the first evaluation, and a stage's noise is part of its step's
    assert len(tabulate_steps(make("euler_churn"), GRID).c) == 1
    assert [len(row.c) for row in tabulate_steps(make("seeds_2"), GRID).rows][:4] == [1, 2, 3, 4]


@dataclass(frozen=True, kw_only=True)
class Clamped(Euler):
    """Of a user: not linear, and nothing says so."""

    name = "clamped"

    def step(self, x, row, past, denoise, noise):
        x, entry = super().step(x, row, past, denoise, noise)
        return x.clamp(-3, 3), entry


@dataclass(frozen=True, kw_only=True)
class ClampedImages(Euler):
    """Of a user: linear where images are small."""

    name = "clamped_images"

    def step(self, x, row, past, denoise, noise):
        return super().step(x, row, past, lambda x, s: denoise(x, s).clamp(-2, 2), noise)


@each("sampler", [Clamped(), ClampedImages()], ids=lambda s: s.name)
def test_export__a_sampler_that_is_not_linear_is_no_table(sampler):
    with pytest.raises(
        ValueError, match=f"{sampler.name} is no table of numbers: its steps depend on"
    ):
        export("k-diffusion", sampler, GRID, MIXTURE, "gmm-2d")


@pytest.mark.parametrize(("kind", "last"), [("eps", 14.6), ("flow", 14.6 / 15.6)])
def test_levels_for_comfyui_are_written_out_and_fall(kind, last):
    """In sigma for noise, in t for a flow; numbers that the node reads, without exponents."""
    grid = Grid((14.6, 1.0, 0.25, 2e-5, 0.0))
    code = export("comfyui", make("euler"), grid, network(kind), "folder").code
    first, _, text, _ = code.splitlines()
    assert first == "KSamplerSelect: sampler_name = euler"
    words = text.split(", ")
    assert all(re.fullmatch(r"\d+\.\d+", word) for word in words)
    levels = [float(word) for word in words]
    right = [s / (1 + s) if kind == "flow" else s for s in grid.sigma]
    assert levels == pytest.approx(right, rel=1e-7)
    assert levels[0] == pytest.approx(last)
    assert levels[-1] == 0


def test_comfyui_remarks_on_the_ends_of_the_levels():
    model = network("eps")
    low, high = model.sigma_min, model.sigma_max
    whole = export("comfyui", make("dpmpp_2m"), karras(8, low, high), model, "folder")
    assert "ManualSigmas" in whole.code
    assert "noise that is 0.20% stronger" in whole.remark
    lower = karras(8, low, 0.9 * high)
    assert export("comfyui", make("dpmpp_2m"), lower, model, "folder").remark == ""
    assert "do not end at 0" in export("comfyui", make("heun"), TO_MIN, model, "folder").remark


def test_comfyui_cannot_keep_levels_that_float32_has_not():
    with pytest.raises(ValueError, match="float32"):
        export("comfyui", make("euler"), Grid((1.0, 1.0 - 1e-9, 0.0)), MIXTURE, "gmm-2d")


def test_schedulers_lower_the_same_orders():
    """Flags that fit 5 steps: those of the end, or none; and numbers where no flags do."""
    model = network("eps")
    said = export("diffusers", make("dpmpp_3m_published(last=[2, 1])"), GRID, model, "x").code
    assert "lower_order_final=True" in said
    said = export("diffusers", make("dpmpp_3m_published"), GRID, model, "x").code
    assert "lower_order_final=False" in said
    said = export("diffusers", make("dpmpp_3m_published(last=[1, 1, 1])"), GRID, model, "x").code
    assert "class Table" in said
    with pytest.raises(ValueError, match="leave out the option last"):
        export("diffusers", make("dpmpp_2m_sde(last=[1, 1, 1])"), GRID, model, "x")


def test_the_network_is_told_whole_times():
    code = export("diffusers", make("dpmpp_2m"), GRID, network("eps"), "x").code
    times = re.findall(r"[\d.]+", code.split("TIMESTEPS = ")[1].split("]")[0])
    table = torch.tensor(SCHEDULE)
    assert [float(t) for t in times] == [
        float((table.log() - torch.tensor(s).log()).abs().argmin()) for s in GRID.sigma[:-1]
    ]


def test_a_checkpoints_own_scheduler_stays_what_it_is():
    made = export("diffusers", make("pipeline"), GRID, network("eps"), "folder")
    assert "num_inference_steps=5" in made.code
    with pytest.raises(ValueError, match="give it fitted"):
        export("python", make("pipeline"), GRID, network("eps"), "folder")


def test_missing__a_sampler_that_reads_the_unguided_image_is_no_table():
    plus = make("cfgpp(sampler='dpmpp_2m')")
    for library in ("diffusers", "k-diffusion", "comfyui-node"):
        assert "unguided image" in missing(library, plus, network("eps")), library
    assert missing("python", plus, network("eps")) == ""
