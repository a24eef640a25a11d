"""Cells of more samples than memory is to hold: scored a block at a time, from files that are read
again, with the numbers of the whole.
"""

import os
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from quiet_runs import quiet_run
from sealed_archives import write_npz

from samplerbench.benchmarks.metrics.estimators import rows
from samplerbench.benchmarks.metrics.metric import metrics
from samplerbench.benchmarks.planning.planner import plan
from samplerbench.benchmarks.sampling.shard import FeatureExtraction, sample_shard
from samplerbench.benchmarks.scoring import context as shards
from samplerbench.benchmarks.scoring.context import CellContext, gather_shards
from samplerbench.benchmarks.scoring.data import ModelData, ScoringReference
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.models.reference import Identity
from samplerbench.results.run_directory.sealed import DamagedError, StoredArray

SUITE = {
    "name": "many",
    "models": ["gmm-2d"],
    "samplers": ["euler"],
    "steps": [4],
    "samples": 3000,
    "batch_size": 512,
    "reference_samples": 16,
    "converged_samples": 200,
    "timing": {"enabled": False},
}


def in_blocks_of(values: int, monkeypatch) -> None:
    monkeypatch.setattr(rows, "VALUES", values)
    monkeypatch.setattr(shards, "VALUES", values)


@pytest.mark.slow
def test_a_run_scored_from_files_in_blocks_has_the_numbers_of_one_in_memory(
    tmp_path, monkeypatch
) -> None:
    whole = quiet_run(check_suite(SUITE, "test"), tmp_path / "whole").frame
    in_blocks_of(2 * 700, monkeypatch)
    read = []
    monkeypatch.setattr(
        StoredArray, "read", lambda one, go=StoredArray.read: read.append(1) or go(one)
    )
    blocked = quiet_run(check_suite(SUITE, "test"), tmp_path / "blocked").frame
    assert len(read) > 6 * 5  # shards, passes
    pd.testing.assert_frame_equal(blocked, whole, rtol=1e-9)
    same = ["kid", "swd", "energy", "precision", "rmse", "mode_coverage", "mode_p", "fid_proxy_raw"]
    pd.testing.assert_frame_equal(blocked[same], whole[same], check_exact=True)


@pytest.mark.slow
def test_a_shard_that_is_damaged_while_it_is_in_use_is_drawn_again(tmp_path, monkeypatch) -> None:
    whole = quiet_run(check_suite(SUITE, "test"), tmp_path / "whole").frame
    in_blocks_of(2 * 700, monkeypatch)
    read = []

    def torn(one: StoredArray, go=StoredArray.read) -> np.ndarray:
        read.append(one.path)
        if len(read) == 9:
            one.path.write_bytes(one.path.read_bytes()[:-200])
        return go(one)

    monkeypatch.setattr(StoredArray, "read", torn)
    again = quiet_run(check_suite(SUITE, "test"), tmp_path / "again").frame
    pd.testing.assert_frame_equal(again, whole, rtol=1e-9)
    assert len(list((tmp_path / "again" / "set-aside" / "damaged").iterdir())) == 1


def peak_of_scoring(n: int) -> int:
    """Bytes at most while all Fréchet distances of n samples in 64 features are taken."""
    model = make_model("gmm-64d")

    def features() -> Iterator[np.ndarray]:
        for start in range(0, n, 500):
            yield np.random.default_rng(start).standard_normal((500, 64)).astype(np.float16)

    parts = ({"features": x, "endpoint": np.empty((0, 64)), "sizes": [500]} for x in features())
    reference = model.reference()
    assert reference is not None
    scale = ScoringReference(reference, np.random.default_rng(1).standard_normal((200, 64)))
    tracemalloc.start()
    try:
        found = gather_shards(parts, n, features)
        context = CellContext(found, n, ModelData(model, "cpu"), scale, None, follows_path=False)
        metrics()["frechet"](context)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_a_block_and_of_a_few_numbers_a_sample(monkeypatch) -> None:
    """The features of a sample take 512 bytes in float64."""
    in_blocks_of(64 * 500, monkeypatch)
    few, many = peak_of_scoring(3_000), peak_of_scoring(9_000)
    assert 0 < (many - few) / 6_000 < 200
    assert few < 8 * 2**20


@pytest.mark.parametrize("name", ["gmm-2d", "gmm-64d", "gaussian", "wavelet"])
def test_held_out_samples_of_blocks_are_those_drawn_at_once(name: str) -> None:
    reference = make_model(name).reference()
    assert reference is not None
    blocks = reference.statistics.held_out_blocks
    assert blocks is not None
    parts = list(blocks(25, 10))
    assert [len(part) for part in parts] == [10, 10, 5]
    np.testing.assert_allclose(
        np.concatenate(parts), reference.held_out(25), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_read_without_the_rest_of_its_file(tmp_path, order) -> None:
    x = np.asarray(np.random.default_rng(0).standard_normal((7, 3)).astype(np.float16), order=order)
    path = tmp_path / "a.npz"
    write_npz(path, {"first": np.arange(5), "features": x, "last": np.zeros(0)}, "a.npz")
    for name, array in (("features", x), ("first", np.arange(5)), ("last", np.zeros(0))):
        stored = StoredArray.from_file(path, name)
        np.testing.assert_array_equal(stored.read(), array)
        assert stored.read().dtype == array.dtype
    with pytest.raises(DamagedError, match="its other cannot be read"):
        StoredArray.from_file(path, "other")
    stored = StoredArray.from_file(path, "features")
    os.utime(path, ns=(1, 1))
    with pytest.raises(DamagedError, match="changed while it was in use"):
        stored.read()
    path.unlink()
    with pytest.raises(DamagedError, match="cannot be read"):
        stored.read()


@pytest.mark.parametrize(("offset", "scales"), [(0.0, (1, 1)), (2000.0, (1, 1)), (50, (100, 0.01))])
def test_sample_shard__features_far_from_0_keep_their_differences(offset, scales):
    """float16 has steps of 1 at 2000, about the spread of these features, and of 0.03 at 50."""

    class Shifted(Identity):
        def __call__(self, x):
            return super().__call__(x) * scales + offset

    model = make_model("gmm-2d")
    (cell,) = plan(check_suite(SUITE, "test"), {"gmm-2d": model}, {"gmm-2d": None})
    extraction = FeatureExtraction(Shifted((2,)), None)
    shard = sample_shard(model, extraction, cell, 0, 32, "cpu", 0, 32, lambda _: None)
    apart = (shard["features"].astype(float) - offset) / scales - shard["endpoint"]
    assert np.abs(apart).max() < 2e-3
    assert (shard["features"].dtype == np.float16) == (offset == 0)


def test_mode_coverage__counts_samples_that_are_not_stored():
    """Outside pixel space only the first 16 of 600 samples were classified."""
    model = make_model("gmm-2d")
    (cell,) = plan(check_suite(SUITE, "test"), {"gmm-2d": model}, {"gmm-2d": None})
    ranges, every = ((0, 512), (512, 600)), []
    shards_of_run = [
        sample_shard(model, None, cell, *bounds, "cpu", 0, 16, every.append) for bounds in ranges
    ]
    whole = sample_shard(model, None, cell, 0, 600, "cpu", 0, 600, every.append)
    assert "modes" not in whole
    contexts = [
        CellContext(
            gather_shards(parts, 600), 600, ModelData(model, "cpu"), None, None, follows_path=False
        )
        for parts in (shards_of_run, [whole])
    ]
    few, all_of_them = (metrics()["modes"](context).columns for context in contexts)
    assert few == all_of_them
    np.testing.assert_array_equal(*(context.own_modes for context in contexts))
    assert len(shards_of_run[0]["endpoint"]) == 16


def test_mode_coverage__takes_modes_of_huge_numbers():
    """32 signs of coefficients made a table of 2³² counts."""
    model = make_model("wavelet", channels=8, side=4)
    x = model.sample(50, seed=0).numpy()
    shard = {"endpoint": x, "sizes": np.array([50])}
    context = CellContext(
        gather_shards([shard], 50), 50, ModelData(model, "cpu"), None, None, follows_path=False
    )
    found = metrics()["modes"](context).columns
    assert found["mode_p"] > 0.001
