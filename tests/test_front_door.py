"""`samplerbench.run` with objects: denoisers, modules, samplers of a notebook."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import samplerbench
from samplerbench import samplers
from samplerbench.models import from_function, from_network
from samplerbench.models import registry as model_registry
from samplerbench.samplers import GridSampler, Source, make
from samplerbench.samplers import registry as sampler_registry

NOTEBOOK = Path(__file__).parents[1] / "docs" / "examples" / "notebook.ipynb"
SMALL = {"nfe": [5], "samples": 64, "timing": False, "device": "cpu", "progress": False}


@pytest.fixture(autouse=True)
def names_of_this_test(monkeypatch):
    """Samplers and models that a test hands over are gone after it."""
    monkeypatch.setattr(sampler_registry, "_REGISTRY", dict(sampler_registry._REGISTRY))
    monkeypatch.setattr(model_registry, "_SESSION", {})


@dataclass(frozen=True, kw_only=True)
class Mine(GridSampler):
    """Euler's method, with an option."""

    name, source, order = "front_door", Source("nobody", "a notebook", "https://example.org"), 1
    factor: float = 1.0

    def plan(self, grid):
        return list(grid.intervals())

    def step(self, x, row, past, denoise, noise):
        cur, nxt = row
        d = self.factor * denoise(x, cur)
        return d + (x - d) * (nxt / cur), None


def normal(x, sigma):
    return x / (1 + torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1) ** 2)


def wider(x, sigma):
    return x / (1 + torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1) ** 2 / 4)


def flipped(x, sigma):
    return -normal(x, sigma)


class Eps(nn.Module):
    """The noise of standard normal data, told in the state x_t of 1,000 linear betas."""

    def __init__(self):
        super().__init__()
        kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
        self.register_buffer("sigma", (1 - kept).sqrt().float())

    def forward(self, x_t, t):
        return x_t * self.sigma[t.long()].reshape(-1, 1)


@pytest.mark.slow
def test_run__takes_a_function_and_a_sampler_object(tmp_path):
    data = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    models = {"normal": from_function(normal, event=(2,), data=data), "exact": "gmm-2d"}
    table = samplerbench.run(
        out=tmp_path, models=models, samplers=["euler", Mine(), Mine(factor=0.9)], **SMALL
    )
    assert list(table.frame["status"]) == ["ok"] * 6
    assert set(table.frame["model"]) == {"normal", "gmm-2d"}
    rows = table.where(model="normal").frame
    found = dict(
        zip(zip(rows["sampler"], rows["params"], strict=True), rows["fid_proxy"], strict=True)
    )
    assert found["front_door", "{}"] == pytest.approx(found["euler", "{}"], rel=1e-6)
    assert found["front_door", '{"factor":0.9}'] > 1.2 * found["front_door", "{}"]


def test_run__measures_an_object_anew_that_behaves_otherwise(tmp_path):
    def run(function):
        models = {"mine": from_function(function, event=(2,))}
        table = samplerbench.run(out=tmp_path, models=models, samplers=["euler"], **SMALL)
        return table.frame["rmse"][0]

    before = run(normal)
    assert run(normal) == before
    assert run(wider) != before
    assert run(normal) == before


@pytest.mark.slow
def test_run__takes_a_module_that_predicts_noise(tmp_path, monkeypatch):
    monkeypatch.setattr("samplerbench.samplers.auto.search.GENERATIONS", 2)
    data = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    network, function = (
        from_network(Eps(), "eps", event=(2,)),
        from_function(normal, event=(2,), data=data),
    )
    x = torch.randn(4, 2)
    levels = torch.tensor(network.process.levels)[[10, 500, 900]]
    for level in levels.tolist():
        torch.testing.assert_close(
            network.denoise(x, level, None), function.denoise(x, level, None), rtol=1e-4, atol=1e-4
        )
    table = samplerbench.run(
        out=tmp_path, models={"net": network}, samplers=["heun", "auto"], **SMALL
    )
    assert list(table.frame["status"]) == ["ok", "ok"]
    assert "native" in set(table.frame["schedule"])


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({"net": Eps()}, "from_network"),
        ({"f": normal}, "from_function"),
        ({"fashion": from_function(normal, event=(2,))}, "built-in"),
        ({"a b": from_function(normal, event=(2,))}, "'a b'"),
        ([Eps()], "needs a name"),
        ("gmm-2d", "list of specs"),
    ],
)
def test_run__says_what_an_object_lacks(tmp_path, models, said):
    with pytest.raises(ValueError, match=said):
        samplerbench.run(out=tmp_path / "run", models=models, samplers=["euler"], **SMALL)
    assert not (tmp_path / "run").exists()


def test_run__refuses_a_class_that_is_no_sampler(tmp_path):
    with pytest.raises(ValueError, match="is not a sampler"):
        samplerbench.run(out=tmp_path, models=["gmm-2d"], samplers=[dict], **SMALL)


def test_plan__keywords_replace_keys_of_a_suite():
    cells = samplerbench.plan("smoke", models=["gmm-2d"], samplers=["heun"], nfe=[9], device="cpu")
    assert [(cell.label, cell.budget, cell.steps) for cell in cells] == [("heun", 9, 5)]


def test_samplers__every_class_can_be_imported_and_completed():
    classes = {type(make(name)).__name__: name for name in samplers.names() if "_peer" not in name}
    built_in = {
        name: key
        for name, key in classes.items()
        if not samplers.origin(key) and hasattr(samplers, name)
    }
    assert len(built_in) >= 111
    assert set(built_in) <= set(dir(samplers))
    for name, key in built_in.items():
        assert getattr(samplers, name)() == make(key)


def test_sample__takes_a_seed_or_a_generator():
    x, levels = 80.0 * torch.randn(4, 2), [80.0, 10.0, 1.0, 0.0]
    ddpm = make("ddpm")
    assert torch.equal(ddpm.sample(normal, x, levels, 3), ddpm.sample(normal, x, levels, 3))
    drawn = [ddpm.sample(normal, x, levels, torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_sample__calls_back_after_each_step():
    x, seen = 80.0 * torch.randn(4, 2), []
    levels = [80.0, 10.0, 1.0, 0.0]
    end = make("heun").sample(normal, x, levels, on_step=lambda *step: seen.append(step))
    assert [(step, level) for step, level, _ in seen] == [(0, 10.0), (1, 1.0), (2, 0.0)]
    assert torch.equal(seen[-1][2], end)


@pytest.mark.slow
def test_notebook__runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), names)
    assert set(names["table"].frame["status"]) == {"ok"}
    assert {line.verdict for line in names["verdicts"].lines}
    assert names["figure"].axes


@pytest.mark.slow
def test_run__says_that_objects_stay_in_this_process(tmp_path, capsys):
    def said(**asked):
        samplerbench.run(out=tmp_path, **{**SMALL, "progress": True, "models": ["gmm-2d"], **asked})
        return " ".join(capsys.readouterr().err.split())

    assert "objects run in this process, because no other could load them" in said(samplers=[Mine])
    models = {"mine": from_function(normal, event=(2,))}
    assert "objects run in this process" in said(models=models, samplers=["euler"])
    assert "objects" not in said(samplers=["euler"])


@pytest.mark.parametrize("sampler", ["euler", "ddim(eta=0.5)", make("heun"), Mine, Mine()])
def test_check__takes_a_spec_a_class_or_an_object(sampler):
    found = samplerbench.check(sampler, fast=True)
    assert found.passed, str(found)


def test_check__names_what_fails_and_refuses_what_is_no_sampler():
    assert not samplerbench.check(Mine(factor=0.9), fast=True).passed
    with pytest.raises(ValueError, match="did you mean heun"):
        samplerbench.check("huen")
    with pytest.raises(ValueError, match="is not a sampler"):
        samplerbench.check(dict)


@pytest.mark.parametrize(("function", "verdict"), [(normal, "passed"), (flipped, "failed")])
def test_check_model__takes_an_object_with_data(function, verdict):
    data = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    opened = []
    found = samplerbench.check_model(
        from_function(function, event=(2,), data=data, name="mine"),
        samples=256,
        opened=lambda model, identity: opened.append((model.name, identity)),
    )
    assert found.verdict == verdict, found
    assert opened[0][0] == "mine"
    assert found.source == "samples of its own data"


def test_check_model__takes_a_name():
    assert samplerbench.check_model("gmm-2d", samples=48).passed


def test_tune__takes_objects_and_gives_levels_that_are_better(tmp_path):
    file, said = tmp_path / "tuned.json", []
    model = from_function(normal, event=(2,), name="mine")
    small = {"nfe": [4], "out": file, "latents": 16, "test_latents": 16, "device": "cpu"}
    small |= {"holdout_model": "gaussian", "progress": said.append}
    tuning = samplerbench.tune(model, [make("euler"), Mine()], **small)
    assert [entry.subject.sampler for entry in tuning.entries] == ["euler", "front_door"]
    assert tuning.holdout == "gaussian"
    assert not tuning.failures
    for entry in tuning.entries:
        assert len(entry.levels) == 5
        assert entry.train.tuned.error <= entry.train.untuned.error
    assert said
    again = samplerbench.tune(model, ["euler", Mine], **small)
    assert [entry.levels for entry in again.entries] == [e.levels for e in tuning.entries]
    assert again.entries == tuning.entries
    with pytest.raises(ValueError, match="one of them"):
        samplerbench.tune(model, ["euler"], out=file)


@pytest.mark.slow
def test_advise__takes_objects(tmp_path):
    model = from_function(normal, event=(2,), name="mine")
    advice = samplerbench.advise(
        model, [5], out=tmp_path, minutes=3, only=["euler", make("heun")], device="cpu"
    )
    assert advice.model == "mine"
    assert [budget.nfe for budget in advice.budgets] == [5]
    assert (tmp_path / "advice.json").exists()


def test_export__takes_levels_a_schedule_or_a_sampler_object_on_a_model_object():
    model = from_function(normal, event=(2,), name="mine")
    levels = samplerbench.export([80.0, 1.0, 0.0], "diffusers")
    assert levels["sigmas"] == [80.0, 1.0, 0.0]
    assert levels["call"] == "scheduler.set_timesteps(sigmas=sigmas)"
    assert samplerbench.export("80,1,0", "diffusers") == levels
    by_model = samplerbench.export(schedule="karras", steps=4, model=model)
    assert by_model["sigmas"] == list(samplerbench.karras(4, 0.002, 80.0).sigma)
    lines = samplerbench.export(to="comfyui", steps=4, model=model, sampler=make("dpmpp_2m"))
    assert lines["library"] == "comfyui"
    assert "sampler_name = dpmpp_2m" in lines["code"]
    lines = samplerbench.export(to="python", steps=4, model=model, sampler=make("dpmpp_2m"))
    assert 'use_model("mine", model)' in lines["remark"]  # another process does not know it
    lines = samplerbench.export(to="python", steps=4, model="gmm-2d", sampler="heun")
    assert not lines["remark"]
    for wrong in ({}, {"steps": 4}, {"sigmas": [1.0, 0.0], "sampler": "heun"}):
        with pytest.raises(ValueError, match="--model"):
            samplerbench.export(**wrong)


def test_frechet_distance__of_gaussians_with_a_closed_form():
    rng = np.random.default_rng(0)
    mu1, mu2, a, b = (rng.normal(size=shape) for shape in (5, 5, (5, 5), (5, 5)))
    cov1, cov2 = a @ a.T, b @ b.T
    shift = ((mu1 - mu2) ** 2).sum()
    assert samplerbench.frechet_distance(mu1, cov1, mu2, cov1) == pytest.approx(shift)
    # covariances that commute: the sum over axes of squared differences of deviations
    first, second = np.array([0.5, 1.0, 3.0, 0.0, 2.0]), np.array([1.0, 1.0, 0.5, 2.0, 0.0])
    found = samplerbench.frechet_distance(mu1, np.diag(first**2), mu2, np.diag(second**2))
    assert found == pytest.approx(shift + ((first - second) ** 2).sum())
    # others: the trace of the root by the eigenvalues of the product
    cross = np.sqrt(np.linalg.eigvals(cov1 @ cov2).real).sum()
    expected = shift + np.trace(cov1) + np.trace(cov2) - 2 * cross
    assert samplerbench.frechet_distance(mu1, cov1, mu2, cov2) == pytest.approx(expected)
    tensors = (torch.tensor(x, requires_grad=True) for x in (mu1, cov1, mu2, cov2))
    assert samplerbench.frechet_distance(*tensors) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("side", "said"),
    [
        (([0.0, 0.0], [[1.0]]), "not \\(2,\\) and \\(1, 1\\)"),
        (([0.0, 0.0], np.eye(2)), "dimensions"),
        (([np.nan], [[1.0]]), "not finite"),
        (([0.0], [[-1.0]]), "not positive semi-definite"),
    ],
)
def test_frechet_distance__says_what_is_wrong(side, said):
    with pytest.raises(ValueError, match=said):
        samplerbench.frechet_distance([0.0], [[1.0]], *side)
    with pytest.raises(ValueError, match="not symmetric"):
        samplerbench.frechet_distance([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]], [0.0, 0.0], np.eye(2))


def test_make_model__an_object_takes_no_options():
    model_registry.use_model("mine", from_function(lambda x, sigma: x, event=(2,)))
    with pytest.raises(ValueError, match=r"model mine .* takes no factor"):
        samplerbench.make_model("mine", factor=2)


def test_from_function__what_a_function_uses_is_part_of_what_it_is():
    def scaled(factor, sigma_max=80.0):
        return from_function(
            lambda x, sigma: factor * x / (1 + sigma**2), event=(2,), sigma_max=sigma_max
        ).identity

    assert scaled(1.0) == scaled(1.0)
    assert len({scaled(1.0), scaled(0.5), scaled(1.0, sigma_max=40.0)}) == 3


def test_from_function__tensors_that_it_uses_count_by_their_numbers():
    def scaled(*factor):
        mean = torch.tensor(factor)
        return from_function(lambda x, sigma: x * mean, event=(2,)).identity

    assert scaled(1.0, 2.0) == scaled(1.0, 2.0)
    assert len({scaled(1.0, 2.0), scaled(1.0, 3.0), scaled(1.0)}) == 3


def test_from_network__takes_weights_of_16_bits():
    network = Eps().bfloat16()
    model = from_network(network, "eps", event=(2,))
    assert model.identity == from_network(network, "eps", event=(2,)).identity
    assert model.identity != from_network(Eps(), "eps", event=(2,)).identity


def test_from_network__values_and_weights_are_part_of_what_it_is_and_its_mode_is_not():
    class Network(nn.Module):
        def __init__(self, factor, weight):
            super().__init__()
            self.factor, self.weight = factor, nn.Parameter(torch.tensor(weight))

        def forward(self, x, t):
            return self.factor * self.weight * x

    def identity(network):
        return from_network(network, "eps", event=(2,)).identity

    network = Network(1.0, 1.0)
    assert identity(network) == identity(network.eval()) == identity(Network(1.0, 1.0))
    assert len({identity(network), identity(Network(2.0, 1.0)), identity(Network(1.0, 2.0))}) == 3
