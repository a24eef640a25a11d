"""W1, W2: a model is what it does.

Weights and helpers beside its file count, and two files with one content are two models.
"""

import shutil

import pytest
import torch
from small_runs import numbers, row, run

from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.results.comparison.compare import compare
from samplerbench.results.comparison.gate import gate
from samplerbench.results.run_directory.run_dir import RunDir

FACTORY = """
import torch
from pathlib import Path
{helper}

class Model:
    event, sigma_min, sigma_max = (2,), 0.002, 80.0

    def __init__(self):
        self.mean = {mean}

    def __call__(self, x, sigma):
        sigma = sigma[:, None] if isinstance(sigma, torch.Tensor) else sigma
        return self.mean + (x - self.mean) / (1 + sigma**2)

    def sample(self, n, seed):
        return {data} + torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


factory = Model
"""
READ = 'torch.load(Path(__file__).with_name("weights.pt"))'
WEIGHTS = FACTORY.format(helper="", mean=READ, data="self.mean")
HELPER = FACTORY.format(
    helper="from helper_of_the_model import MEAN", mean="torch.tensor(MEAN)", data="self.mean"
)


@pytest.fixture
def model(tmp_path):
    """Writes a model file and its weights; the model's spec."""

    def write(mean, folder="m"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "model.py").write_text(WEIGHTS)
        torch.save(torch.tensor(mean), tmp_path / folder / "weights.pt")
        return f"{tmp_path / folder / 'model.py'}:factory"

    return write


@pytest.mark.slow
def test_weights_that_changed_make_another_model(model, tmp_path):
    """W1: the old row stayed.

    With more samples half of it did; another sampler was scored against the old converged samples.
    """
    out = tmp_path / "run"
    before = run(out, models=[model([0.0, 1.0])])
    shutil.copytree(out, tmp_path / "before")
    spec = model([9.0, -4.0])
    assert (
        numbers(run(out, models=[spec]))
        == numbers(run(tmp_path / "fresh", models=[spec]))
        != numbers(before)
    )
    more = {"models": [spec], "samples": 200, "samplers": ["euler", "heun"]}
    assert numbers(run(out, **more)) == numbers(run(tmp_path / "fresh-more", **more))
    (aside,) = RunDir.open(out).cells_set_aside()
    assert "the model is another one: weights.pt changed" in aside.why
    for refuses in (compare, gate):
        with pytest.raises(
            ValueError,
            match=r"cannot be compared: model .* is not the same in " r"both: weights.pt changed",
        ):
            refuses(tmp_path / "before", out)


def test_more_samples_of_a_model_that_changed_are_not_added_to_the_old_ones(model, tmp_path):
    run(tmp_path / "run", models=[model([0.0, 1.0])])
    asked = {"models": [model([9.0, -4.0])], "samples": 300}
    assert numbers(run(tmp_path / "run", **asked)) == numbers(run(tmp_path / "fresh", **asked))


def test_weights_that_came_back_bring_their_rows_back(model, tmp_path):
    out, first = tmp_path / "run", [0.0, 1.0]
    good = run(out, models=[model(first)])
    (shard,) = (out / "parts").rglob("0*.npz")
    written = shard.stat().st_mtime_ns
    run(out, models=[model([9.0, -4.0])])
    assert numbers(run(out, models=[model(first)])) == numbers(good)
    assert shard.stat().st_mtime_ns == written, "it was computed again"


def test_a_module_that_the_model_s_file_imports_belongs_to_it(tmp_path):
    """W1 again: what changed is in another file."""
    import sys

    found = []
    (tmp_path / "model.py").write_text(HELPER)
    for mean in ("[0.0, 1.0]", "[9.0, -4.0]"):
        (tmp_path / "helper_of_the_model.py").write_text(f"MEAN = {mean}\n")
        asked = {"models": [f"{tmp_path / 'model.py'}:factory"]}
        try:
            found.append(numbers(run(tmp_path / "run", **asked)))
            assert found[-1] == numbers(run(tmp_path / f"fresh{mean}", **asked))
        finally:  # as a new process finds it
            sys.modules.pop("helper_of_the_model", None)
    assert found[0] != found[1]
    assert (
        "helper_of_the_model.py changed" in RunDir.open(tmp_path / "run").cells_set_aside()[0].why
    )


def test_two_equal_files_with_other_weights_are_two_models_in_one_run(model, tmp_path):
    """W2: the second was scored against the converged endpoints of the first."""
    a, b = model([0.0, 1.0], "A"), model([9.0, -4.0], "B")
    both = run(tmp_path / "both", models=[a, b])
    for spec in (a, b):
        alone = run(tmp_path / f"alone{spec == a}", models=[spec])
        assert numbers(both[both["model"] == spec]) == numbers(alone)
    assert row(both, model=a)["rmse"] != row(both, model=b)["rmse"]


@pytest.mark.slow
def test_built_in_model__code_that_gives_other_numbers_is_noticed(tmp_path, monkeypatch):
    """F8: what it gives is its fingerprint, so that no version has to be raised."""
    before = run(tmp_path / "run")
    denoise_rows = GaussianMixture.denoise_rows
    monkeypatch.setattr(
        GaussianMixture, "denoise_rows", lambda *given: 1.001 * denoise_rows(*given)
    )
    now = run(tmp_path / "run")
    (aside,) = RunDir.open(tmp_path / "run").cells_set_aside()
    assert aside.why.startswith("the model is another one: its output at sigma")
    assert numbers(now) == numbers(run(tmp_path / "fresh")) != numbers(before)
