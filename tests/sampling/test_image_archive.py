"""Samples as ADM's evaluator reads them: those that are scored, and nothing else."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from quiet_runs import quiet_run, quiet_setup

from samplerbench.benchmarks.advice.tasks import SamplingTask
from samplerbench.benchmarks.metrics.estimators.rows import Moments
from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.sampling.engine import Engine
from samplerbench.benchmarks.sampling.failure import Failure
from samplerbench.benchmarks.sampling.image_archive import export_samples
from samplerbench.benchmarks.scoring.real_data import read_samples
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.models.extractors.quantised import to_grey_levels

SUITE = {
    "name": "small",
    "models": [{"name": "fashion", "extractor": "truncate:pixels"}],
    "samplers": ["euler"],
    "nfe": [3],
    "samples": 40,
    "batch_size": 16,
    "converged_samples": 4,
    "reference_samples": 2,
    "timing": {"enabled": False},
    "metrics": ["swd"],
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A cell that was run, and its samples, exported in both ways."""
    folder = tmp_path_factory.mktemp("exported")
    suite = check_suite(SUITE, "test")
    quiet_run(suite, folder / "run")
    setup = quiet_setup(suite, folder / "run")
    (cell,) = setup.cells
    for how in ("round", "truncate"):
        export_samples(setup.models["fashion"], cell, folder / f"{how}.npz", how)
    return folder, setup.models["fashion"], cell


@pytest.mark.slow
def test_exported_are_the_samples_that_were_scored(exported):
    folder, *_ = exported
    images = np.load(folder / "truncate.npz")["arr_0"]
    assert (images.shape, images.dtype) == ((40, 28, 28, 1), np.uint8)
    (shard,) = (folder / "run").glob("parts/*/0*.npz")
    features = np.load(shard)["features"].astype(float)
    scored = np.round((features + 1) * 127.5)
    assert (scored == images.reshape(40, -1)).mean() > 0.999  # another batch may round otherwise
    rounded = np.load(folder / "round.npz")["arr_0"].astype(int)
    assert set(np.unique(rounded - images)) == {0, 1}


@pytest.mark.slow
def test_classes_go_with_the_images_and_a_file_says_what_they_are(exported):
    folder, model, cell = exported
    labels = np.load(folder / "round.npz")["arr_1"]
    expected = model.draw_labels(torch.arange(40), cell.seed)
    np.testing.assert_array_equal(labels, expected)
    about = json.loads((folder / "round.json").read_text())
    assert (about["sampler"], about["samples"], about["quantisation"]) == ("euler", 40, "round")
    assert about["model_identity"] == model.identity
    assert {path.suffix for path in folder.glob("round.*")} == {".npz", ".json"}


def test_what_is_exported_is_read_as_a_reference(exported):
    folder, model, _ = exported
    found, _ = read_samples(str(folder / "round.npz"), model.event, model.limits, "fashion")
    images = np.load(folder / "round.npz")["arr_0"]
    assert torch.equal(
        to_grey_levels(found, model.limits, "round")[:, 0], torch.tensor(images)[..., 0]
    )
    assert Moments.of(found.numpy()).n == 40


def test_what_is_no_image_is_refused(exported, tmp_path):
    _, _, cell = exported
    for name in ("gmm-2d", "gaussian"):
        with pytest.raises(ValueError, match="are no grey or RGB images; only images are exported"):
            export_samples(make_model(name), cell, tmp_path / "x.npz", "round")
    assert not list(tmp_path.iterdir())


def test_export_samples__leaves_no_file_after_a_failure(exported, tmp_path, monkeypatch):
    def fail(*_):
        raise Failure("diverged", "1 of 16 samples are not finite")

    _, model, cell = exported
    monkeypatch.setattr(Engine, "sample", fail)
    with pytest.raises(Failure):
        export_samples(model, cell, tmp_path / "x.npz", "round")
    assert not list(tmp_path.iterdir())


def test_export_samples__draws_each_sample_once_in_low_precision(tmp_path, monkeypatch):
    name, sample, drawn = "digits(network_dtype='bfloat16')", Engine.sample, []
    suite = check_suite({**SUITE, "models": [name], "samples": 4, "batch_size": 2}, "test")
    models = load_models(suite)
    (cell,), (model,) = plan(suite, models, dict.fromkeys(models)), models.values()

    def counted(engine, bound, ids):
        drawn.append(len(ids))
        return sample(engine, bound, ids)

    monkeypatch.setattr(Engine, "sample", counted)
    export_samples(model, cell, tmp_path / "x.npz", "round")
    assert drawn == [2, 2]
    context = SimpleNamespace(load=lambda _: (model, None))
    assert SamplingTask(cell, 0, 4)(context, lambda _: None).shape == (4, 1, 8, 8)
    assert drawn == [2, 2, 2, 2]
