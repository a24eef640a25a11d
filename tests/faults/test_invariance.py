"""How a run is split enters no number: batches, shards, their order, workers and extensions.

To the last bit with exact models, which compute in float64 row by row; with a network in float32 as
far as its kernels, which change with the batch, round alike.
"""

from itertools import pairwise
from random import Random

import new_processes
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tiny import run

from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.running.executors import Executor, InProcess, Pool, Worker
from samplerbench.benchmarks.running.executors.tasks import ShardTask
from samplerbench.benchmarks.running.executors.worker_context import WorkerConfig, WorkerContext
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.suites.suite import check_suite

SAMPLES = 60
SAMPLERS = ("euler", "heun", "ddpm", "dpmpp_2m", "dpmpp_2m_sde", "unipc_3", "ipndm")
COUPLED = "scipy_rk45"
"""Its steps depend on the whole batch, which is part of the row's identity."""
EXACT = ("gmm-2d", "gmm-64d")
ROUNDING = 1e-3
"""What float32 may move a value of an image on [-1, 1] by, where the batch is another one: five times
the most that was seen, 2.1e-4 with Heun at 5 evaluations (studies/measured/surviving.md).
"""

SLOW = pytest.mark.faults
CONTEXT = WorkerContext(WorkerConfig.of_this_process({}, "cpu"))


def cell_of(model, sampler, batch, nfe=9):
    suite = check_suite(
        {
            "name": "split",
            "models": [model],
            "samplers": [sampler],
            "samples": SAMPLES,
            "batch_size": batch,
            "nfe": [nfe],
            "tolerances": [1e-3],
            "timing": {"enabled": False},
        },
        "test",
    )
    models = load_models(suite)
    (cell,) = plan(suite, models, load_references(models))
    return cell


@torch.no_grad()
def samples_of(cell, cuts=(), count=SAMPLES):
    """Its first samples, drawn as shards that are cut at these places."""
    places = sorted({0, count, *cuts})
    parts = [
        ShardTask(cell, start, stop, 0, count, None)(CONTEXT, lambda _: None)["endpoint"]
        for start, stop in pairwise(places)
    ]
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def drawn():
    """The samples of each model and sampler in one shard, of one batch where that is free."""
    return {
        (model, sampler): samples_of(cell_of(model, sampler, SAMPLES))
        for model in EXACT
        for sampler in SAMPLERS
    } | {("gmm-2d", COUPLED): samples_of(cell_of("gmm-2d", COUPLED, 16))}


CUTS = st.sets(st.integers(1, SAMPLES - 1), max_size=4)
QUICKLY = {"phases": (Phase.explicit, Phase.generate)}


@pytest.mark.slow
@settings(max_examples=15, **QUICKLY)
@given(st.sampled_from(EXACT), st.sampled_from(SAMPLERS), st.integers(1, 2 * SAMPLES), CUTS)
def test_samples_of_exact_models_depend_on_neither_batches_nor_shards(
    drawn, model, sampler, batch, cuts
):
    found = samples_of(cell_of(model, sampler, batch), cuts)
    assert found.dtype == np.float64
    assert np.array_equal(found, drawn[model, sampler])


@settings(max_examples=3, **QUICKLY)
@given(CUTS)
def test_samples_that_depend_on_their_batch_depend_on_no_shards(drawn, cuts):
    found = samples_of(cell_of("gmm-2d", COUPLED, 16), cuts)
    assert np.array_equal(found, drawn["gmm-2d", COUPLED])


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["heun", pytest.param("ddpm", marks=SLOW)])
def test_samples_of_a_network_depend_on_batches_as_far_as_float32_rounds(sampler):
    whole = samples_of(cell_of("fashion", sampler, 12, nfe=5), count=12)
    split = samples_of(cell_of("fashion", sampler, 1, nfe=5), (5,), count=12)
    assert whole.dtype == np.float32
    assert np.abs(split - whole).max() < ROUNDING


@SLOW
def test_a_table_of_a_network_depends_on_batches_as_far_as_float32_rounds(tmp_path):
    asked = {"models": ["fashion"], "samplers": ["euler", "heun"], "steps": None, "nfe": [5]}
    tables = [
        batches_left_out(
            run(tmp_path / str(batch), report=False, samples=256, batch_size=batch, **asked)
        )
        for batch in (64, 7)
    ]
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)


class Shuffled(Executor):
    """Finishes tasks in any order."""

    def __init__(self, seed):
        self._random = Random(seed)

    def map(self, tasks, context, *, tell=lambda *_: None, limits=(), wanted=lambda _: True):
        order = list(range(len(tasks)))
        self._random.shuffle(order)
        for number in order:
            if wanted(number):
                yield number, dict(InProcess().map([tasks[number]], context))[0]


ONE = {"samples": 1536}


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    """The table of 1536 samples in one process."""
    return run(tmp_path_factory.mktemp("once") / "run", report=False, **ONE)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [(512,), pytest.param((100, 513, 700), marks=SLOW)])
def test_a_run_that_was_extended_is_one_that_was_not(at_once, tmp_path, steps):
    for samples in steps:
        run(tmp_path, report=False, samples=samples)
    pd.testing.assert_frame_equal(run(tmp_path, report=False, **ONE), at_once, check_exact=True)


def batches_left_out(table):
    return table.drop(columns="batch_size")


@pytest.mark.slow
@pytest.mark.parametrize("batch", [512, *(pytest.param(b, marks=SLOW) for b in (1, 64))])
def test_the_batch_size_enters_no_number(at_once, tmp_path, batch):
    found = run(tmp_path, report=False, batch_size=batch, **ONE)
    pd.testing.assert_frame_equal(*map(batches_left_out, (found, at_once)), check_exact=True)


@pytest.mark.parametrize("batch", [pytest.param(b, marks=SLOW) for b in (100, 1024)])
def test_other_shards_move_sums_in_their_last_digits(at_once, tmp_path, batch):
    """A batch that does not divide 512 makes shards of another size."""
    found = run(tmp_path, report=False, batch_size=batch, **ONE)
    pd.testing.assert_frame_equal(*map(batches_left_out, (found, at_once)), rtol=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Shuffled(1), id="shuffled", marks=SLOW),
        pytest.param(lambda: Shuffled(2), id="shuffled again", marks=SLOW),
        pytest.param(Worker, id="worker", marks=SLOW),
        pytest.param(lambda: Pool(3), id="three workers", marks=SLOW),
    ],
)
def test_neither_order_nor_executor_enter_a_number(at_once, tmp_path, make):
    with new_processes.ready():
        executor = make()
        found = run(tmp_path, report=False, executor=executor, **ONE)
        executor.close()
    pd.testing.assert_frame_equal(found, at_once, check_exact=True)
