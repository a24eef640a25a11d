"""Code of the user's own that changes the process, seeds, exits or fails late: what rows say."""

import os
import sys
from dataclasses import dataclass

import pytest
import torch
from quiet_runs import quiet_run

import samplerbench
from samplerbench import samplers
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.models.loaders import source_file
from samplerbench.models.loaders.source_file import importing_from

SUITE = {
    "name": "small",
    "samplers": ["euler"],
    "steps": [4],
    "samples": 32,
    "batch_size": 16,
    "reference_samples": 4,
    "converged_samples": 16,
    "timing": {"enabled": False},
}


@dataclass(frozen=True, kw_only=True)
class Plain(samplers.Declared):
    name = "plain"
    source = samplers.Source("test", "nowhere", "")
    order = 1

    def nfe(self, grid):
        return len(grid)

    def sample(self, denoise, x, grid, noise=None):
        for cur, nxt in zip(grid.sigma, grid.sigma[1:], strict=False):
            x = x + (nxt - cur) / cur * (x - denoise(x, cur))
        return x


def run(out, names, models=("gmm-2d",)):
    """The rows of a run by model and sampler."""
    made = [name if isinstance(name, str) else samplers.spec_of(name()) for name in names]
    suite = check_suite({**SUITE, "samplers": made, "models": list(models)}, "test")
    frame = quiet_run(suite, out).frame
    return {(row["model"], row["sampler"]): row for row in frame.to_dict("records")}


@dataclass(frozen=True, kw_only=True)
class Leaky(Plain):
    name = "leaky"

    def sample(self, denoise, x, grid, noise=None):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(True)
        os.chdir(os.sep)
        return super().sample(denoise, x, grid, noise)


def test_run_prepared__a_sampler_changes_nothing_for_the_rows_after_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone = run("alone", ["euler"])["gmm-2d", "euler"]
    try:
        rows = run("both", [Leaky, "euler"])
        assert torch.get_default_dtype() is torch.float32
        assert os.getcwd() == str(tmp_path)
    finally:
        torch.set_default_dtype(torch.float32)
        os.chdir(tmp_path)
    assert rows["gmm-2d", "euler"]["status"] == "ok", rows["gmm-2d", "euler"]["reason"]
    assert rows["gmm-2d", "euler"]["rmse"] == alone["rmse"]


@dataclass(frozen=True, kw_only=True)
class Seeds(Plain):
    name = "seeds"

    def sample(self, denoise, x, grid, noise=None):
        torch.manual_seed(1)
        torch.rand(3)
        return super().sample(denoise, x, grid, noise)


def test_sample_shard__finds_draws_of_a_sampler_that_seeds_the_generator_itself(tmp_path):
    row = run(tmp_path / "out", [Seeds])["gmm-2d", "seeds"]
    assert row["status"] == "failed"
    assert "draws from torch's global generator" in row["reason"]


def named(factor):
    @dataclass(frozen=True, kw_only=True)
    class Named(Plain):
        name = "named"

        def sample(self, denoise, x, grid, noise=None):
            return factor * super().sample(denoise, x, grid, noise)

    return Named


def test_suite_of__two_classes_of_one_name_are_an_error():
    one = named(1.0)
    assert len(samplerbench.plan({**SUITE, "models": ["gmm-2d"]}, samplers=[one, one()])) == 1
    with pytest.raises(ValueError, match="two classes in samplers are called 'named'"):
        samplerbench.plan({**SUITE, "models": ["gmm-2d"]}, samplers=[one, named(0.5)])


MODEL = """
import os, sys, torch

class Model:
    event, sigma_min, sigma_max = (2,), 0.002, 80.0

    def __call__(self, x, sigma):
        if LOW < float(torch.as_tensor(sigma).max()) < 1.2:
            CALL
        return x / (1 + sigma**2)

def factory():
    os.chdir(os.sep)
    return Model()
"""


def write_model(folder, low, call):
    (folder / "mine.py").write_text(MODEL.replace("LOW", low).replace("CALL", call))
    return f"{folder / 'mine.py'}:factory"


def test_file_model__an_exit_in_its_call_is_an_error_of_the_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"it called sys.exit\(0\)"):
        run(tmp_path / "out", ["euler"], [write_model(tmp_path, "0.1", "sys.exit(0)")])


@pytest.mark.parametrize("kind", ["RuntimeError", "ValueError"])
def test_score__a_model_that_fails_at_converged_levels_fails_its_own_rows(
    tmp_path, monkeypatch, kind
):
    monkeypatch.chdir(tmp_path)
    broken = write_model(tmp_path, "0.9", f"raise {kind}('boom')")
    rows = run(tmp_path / "out", ["euler"], [broken, "gmm-2d"])
    assert rows["gmm-2d", "euler"]["status"] == "ok"
    bad = next(row for (model, _), row in rows.items() if model != "gmm-2d")
    assert (bad["status"], bad["reason"]) == ("failed", f"scoring: {kind}: boom")


def test_call_function__a_factory_that_changes_the_folder_leaves_the_run_in_its_own(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rows = run("out", ["euler"], [write_model(tmp_path, "2", "pass")])
    assert [row["status"] for row in rows.values()] == ["ok"]
    assert os.getcwd() == str(tmp_path)
    assert (tmp_path / "out" / "table.csv").is_file()


def test_importing_from__restores_modules_after_code_that_replaces_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "helper_of_path.py").write_text("")
    monkeypatch.setitem(sys.modules, "helper_of_path", os)
    monkeypatch.setattr(source_file, "_is_replaceable", lambda name: name == "helper_of_path")
    with importing_from(tmp_path):
        assert "helper_of_path" not in sys.modules
        sys.path = [part for part in sys.path if part != str(tmp_path)]
    assert sys.modules["helper_of_path"] is os


def test_importing_from__works_in_a_deleted_working_folder(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with importing_from(tmp_path):
        assert sys.path[0] == str(tmp_path)
    assert sys.path[0] != str(tmp_path)


TYPED = """
from samplerbench.models import make_model

def typed(
    clip: bool = False, count: int = 1, scale: float = None, size: "int | None | str" = None
):
    return make_model("gaussian")
"""


def test_call_function__options_have_the_annotated_types(tmp_path):
    (tmp_path / "typed.py").write_text(TYPED)
    spec = f"{tmp_path}/typed.py:typed"
    with pytest.raises(ValueError, match="clip must be True or False, got 'no'"):
        make_model(spec, clip="no")
    with pytest.raises(ValueError, match="count must be a whole number"):
        make_model(spec, count=2.5)
    with pytest.raises(ValueError, match="scale must be a number, got True"):
        make_model(spec, scale=True)
    make_model(spec, clip=True, count=2, scale=None, size="large")
