from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from samplerbench import samplers
from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.running.provenance import citations
from samplerbench.benchmarks.sampling.trajectories import (
    CLOUD,
    picture_arrays,
    record_trajectories,
    trajectory_arrays,
)
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.suites.suite import Suite


def cell_of(sampler, model="gmm-2d", steps=12):
    suite = Suite(
        name="t", models=[model], samplers=[sampler], schedules=["karras"], steps=[steps], samples=8
    )
    models = load_models(suite)
    references = load_references(models)
    (cell,) = plan(suite, models, references, "cpu")
    return models[model], references[model], cell


def arrays_of(model, reference, cell):
    return trajectory_arrays(model, reference, cell, partial(record_trajectories, model, cell))


@pytest.fixture(scope="module")
def found():
    model, reference, cell = cell_of("euler")
    return model, cell, arrays_of(model, reference, cell)


def test_the_first_and_the_last_evaluation_are_among_eight(found):
    _, cell, arrays = found
    assert arrays["x"].shape == arrays["d"].shape == (8, CLOUD, 2)
    assert arrays["sigma"][0] == cell.grid.sigma[0]
    assert arrays["sigma"][-1] == cell.grid.sigma[-2]
    assert (np.diff(arrays["sigma"]) < 0).all()


def test_record_trajectories__rows_that_step_apart_keep_their_own_labels():
    suite = Suite(
        name="t",
        models=["digits"],
        samplers=["dpm_solver_adaptive_23"],
        tolerances=[0.1],
        nfe=[10],
        samples=8,
    )
    models = load_models(suite)
    (cell,) = plan(suite, models, load_references(models), "cpu")
    evaluations, end = record_trajectories(models["digits"], cell, 2)
    ids = torch.arange(2)
    bound = models["digits"].bind(ids, cell.seed)
    noise = samplers.SampleNoise(cell.seed, ids, (1, 8, 8), models["digits"].dtype)
    x = models["digits"].sigma_max * noise.initial()
    assert evaluations
    assert np.array_equal(end, cell.sampler.sample(bound, x, cell.grid, noise).numpy())


def test_predictions_are_the_denoiser_s_at_the_states_shown(found):
    model, cell, arrays = found
    scale = np.sqrt(np.square(arrays["end"], dtype=np.float64).mean())
    for sigma, x, d in zip(arrays["sigma"], arrays["x"], arrays["d"], strict=True):
        state = torch.from_numpy(x * np.sqrt(scale**2 + sigma**2) / scale).double()
        ids = torch.arange(CLOUD)
        np.testing.assert_allclose(
            model.bind(ids, cell.seed)(state, float(sigma)).numpy(), d, atol=2e-3, rtol=0
        )


def test_the_end_is_what_the_sampler_gives_and_nothing_is_disturbed(found):
    model, cell, arrays = found
    from samplerbench.benchmarks.sampling.batch import first_states_and_noise

    ids = torch.arange(CLOUD)
    x, noise = first_states_and_noise(model, cell, ids)
    end = cell.sampler.sample(model.bind(ids, cell.seed), x, cell.grid, noise)
    np.testing.assert_allclose(arrays["end"], end.numpy().astype(np.float32))


def test_there_is_nothing_where_a_sample_depends_on_its_batch_or_the_run_fails(found):
    model, reference, cell = cell_of("euler")
    coupled = type("Coupled", (), {"batch_coupled": True})()
    assert arrays_of(model, reference, type("Cell", (), {**vars(cell), "sampler": coupled})()) == {}

    def fail(*_):
        raise RuntimeError("no")

    broken = type(
        "Broken", (), {"batch_coupled": False, "sample": staticmethod(fail), "stochastic": False}
    )()
    assert arrays_of(model, reference, type("Cell", (), {**vars(cell), "sampler": broken})()) == {}


def test_trajectory_arrays__a_cell_in_bfloat16_has_trajectories():
    model, reference, cell = cell_of("euler", steps=3)
    arrays = arrays_of(model, reference, replace(cell, dtype="bfloat16"))
    assert arrays["x"].shape == arrays["d"].shape == (3, CLOUD, 2)
    assert np.isfinite(arrays["end"]).all()


def test_converged_samples_stand_beside_the_samples(found):
    model, _, _ = found
    x, limit = np.zeros((5, 2)), np.ones((3, 2))
    assert set(picture_arrays(model, None, x)) == {"points"}
    arrays = picture_arrays(model, None, x, limit)
    assert arrays["converged"].shape == (3, 2)
    assert arrays["converged"].dtype == np.float32
    assert picture_arrays(model, None, x, np.ones((9, 2)))["converged"].shape == (5, 2)


def test_every_sampler_has_a_bibtex_entry_that_is_whole():
    found = citations(samplers.make(name) for name in samplers.names())
    assert set(found) == set(samplers.names())
    for entry in found.values():
        assert entry["bibtex"].startswith("@")
        assert entry["key"] in entry["bibtex"]
        assert entry["bibtex"].count("{") == entry["bibtex"].count("}")
