"""Where memory runs out, a cell is drawn in smaller batches, and its row says so; the numbers are
those of a run with enough of it.
"""

import json
import logging
import logging.handlers
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import new_processes
import numpy as np
import pandas as pd
import pytest
import torch
from quiet_runs import quiet_run, quiet_setup

from samplerbench import samplers
from samplerbench.benchmarks.running.executors import Failure, InProcess, Worker, process_state
from samplerbench.benchmarks.sampling.failure import Failure as Plain
from samplerbench.benchmarks.sampling.failure import draw_in_batches, is_out_of_memory
from samplerbench.benchmarks.scoring.scorer import Scorer
from samplerbench.benchmarks.suites.suite import check_suite

HUNGRY = Path(__file__).with_name("hungry.py")
SUITE = {
    "name": "hungry",
    "models": ["gmm-2d"],
    "steps": [2],
    "samples": 1100,
    "batch_size": 128,
    "reference_samples": 8,
    "converged_samples": 64,
    "timing": {"enabled": False},
}


@pytest.fixture(scope="module", autouse=True)
def plugin():
    samplers.load_file(HUNGRY)


def suite(**changes):
    return check_suite({**SUITE, **changes}, "test")


def run(out, executor=None, **changes):
    return quiet_run(suite(**changes), out, executor=executor).frame


def without(frame, *columns):
    return frame.drop(columns=["sampler", "cell", "made_by", "batch_used", "origin", *columns])


class Watching(InProcess):
    """Runs here, and keeps what was tried."""

    def __init__(self):
        self.tried = []

    def run(self, task, context, **how):
        if type(task).__name__ == "ShardTask":
            self.tried.append((task.cell.sampler.name, task.start, task.cell.batch_size))
        return super().run(task, context, **how)


ALL = ["ample", "hungry", "hungry_python", "hungry_gpu", "hungry_coupled", "hungry_always"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Rows of one run by sampler, what was tried, and what was said."""
    executor, handler = Watching(), logging.handlers.BufferingHandler(1000)
    logging.getLogger("samplerbench").addHandler(handler)
    frame = run(tmp_path_factory.mktemp("all") / "run", executor, samplers=ALL)
    logging.getLogger("samplerbench").removeHandler(handler)
    rows = {name: frame.loc[frame["sampler"] == name] for name in ALL}
    return rows, executor.tried, [record.getMessage() for record in handler.buffer]


@pytest.fixture(scope="module")
def enough(found):
    """The row of the same sampler with enough memory."""
    return found[0]["ample"]


def without_names(frame):
    names = ["sampler", "cell", "made_by", "batch_used"]
    return frame.drop(columns=names).reset_index(drop=True)


def assert_fitted(frame, enough, size):
    assert frame[["status", "batch_size", "batch_used"]].values.tolist() == [["ok", 128, size]]
    pd.testing.assert_frame_equal(without_names(frame), without_names(enough), check_exact=True)


@pytest.mark.parametrize("name", ["hungry", "hungry_python", "hungry_gpu"])
def test_the_batch_is_halved_until_it_fits_and_the_row_says_so(found, enough, name):
    """Real exceptions of torch on the CPU and of Python; that of CUDA, raised here."""
    assert_fitted(found[0][name], enough, 32)
    assert [text.split(" (")[0] for text in found[2] if text.startswith(f"{name} ")] == [
        f"{name} on gmm-2d: memory ran out with batches of 128, and it goes on with 64",
        f"{name} on gmm-2d: memory ran out with batches of 64, and it goes on with 32",
    ]
    assert enough["batch_used"].isna().all()


def test_later_shards_begin_with_what_fitted_and_others_with_what_was_asked_for(found):
    tried = found[1]
    of_hungry = [(start, size) for name, start, size in tried if name == "hungry"]
    assert of_hungry == [(0, 128), (0, 64), (0, 32), (512, 32), (1024, 32)]
    assert {size for name, _, size in tried if name == "ample"} == {128}


def test_a_look_that_extends_a_run_begins_with_what_fitted(tmp_path):
    """``--until-decided`` looks at one setup again and again."""
    setup = quiet_setup(suite(samplers=["hungry"]), tmp_path / "run")
    (cell,) = setup.cells
    assert setup.batches.shrink(cell, 512, Failure("failed", "", 2))
    assert setup.batches.resize(cell).batch_size == 64
    assert setup.batches.resize(cell).key == cell.key
    # that of a worker beside it, which was as large
    assert setup.batches.shrink(cell, 512, Failure("failed", "", 8))
    assert setup.batches.resize(cell).batch_size == 64
    # a shard that has fewer samples than a batch is one of these
    assert setup.batches.shrink(setup.batches.resize(cell), 20, Failure("failed", "", 2))
    assert setup.batches.resize(cell).batch_size == 10
    assert not setup.batches.shrink(setup.batches.resize(cell), 512, Failure("failed", ""))


def test_a_batch_that_did_not_fit_is_not_timed_nor_another_for_it(tmp_path):
    timing = {"seconds": 0.2, "min_rounds": 2, "max_rounds": 2}
    out = tmp_path / "run"
    (row,) = run(out, samplers=["hungry"], samples=64, timing=timing).to_dict("records")
    (file,) = out.glob("parts/*/timing.json")
    assert (row["status"], row["ms_per_sample"], row["batch_used"]) == ("ok", None, 32)
    assert json.loads(file.read_text())["timing_reason"] == (
        "sampling had memory for batches of 32 samples only, so batches of 128 are not timed; "
        "--batch-size 32 times those"
    )
    less = {"samplers": ["hungry"], "samples": 64, "timing": timing, "batch_size": 32}
    (row,) = run(out, **less).to_dict("records")
    assert row["ms_per_sample"] > 0


def test_a_sampler_that_couples_a_batch_fails_with_the_remedy(found):
    (row,) = found[0]["hungry_coupled"].to_dict("records")
    assert row["status"] == "failed"
    assert "can't allocate memory" in row["reason"]
    assert row["reason"].endswith(
        "; its samples depend on their batch, which is left as it is: "
        "give --batch-size less than 128"
    )
    assert [one for one in found[1] if one[0] == "hungry_coupled"] == [("hungry_coupled", 0, 128)]


def test_a_sample_that_does_not_fit_is_a_row_with_the_reason(found):
    (row,) = found[0]["hungry_always"].to_dict("records")
    assert row["status"] == "failed"
    assert row["reason"].startswith("MemoryError: ")
    assert row["reason"].endswith("; batches of 1 do not fit either")


@pytest.mark.slow
def test_a_worker_that_held_too_much_is_tried_with_an_eighth(tmp_path, enough):
    """It has 1 GB for more than 16 samples, and is ended meanwhile."""
    with new_processes.ready():
        frame = run(tmp_path / "run", Worker(700 * 2**20), samplers=["holds"])
    assert_fitted(frame, enough, 16)


@pytest.mark.parametrize(
    ("counts", "outcome"),
    [
        (True, ("ok", 16)),  # the kernel says that it was the memory
        (False, ("killed", None)),  # it says that it was not
    ],
)
def test_a_kill_of_the_kernel_is_memory_that_ran_out(tmp_path, monkeypatch, counts, outcome):
    """The kernel's counter is a file that the sampler writes before it kills its process."""
    counter = tmp_path / "vmstat"
    counter.write_text("pgfault 7\noom_kill 3\n")
    opened = counter.open("rb")  # once, as /proc is none of the files that a run watches
    monkeypatch.setattr(
        process_state,
        "_COUNTERS",
        SimpleNamespace(read_text=lambda encoding: os.pread(opened.fileno(), 99, 0).decode()),
    )
    monkeypatch.setenv("SAMPLERBENCH_TEST_COUNTER", str(counter) if counts else "")
    with opened, new_processes.ready():
        (row,) = run(tmp_path / "run", Worker(), samplers=["killed"]).to_dict("records")
    assert (row["status"], row["batch_used"]) == outcome
    if not counts:
        assert row["reason"].startswith("its process was killed (signal 9), twice")


def test_references_are_drawn_in_batches_that_fit():
    """Converged samples are, in the process that scores."""
    sizes = []

    def draw(ids):
        sizes.append(len(ids))
        if len(ids) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return ids.double().square()

    ids = torch.arange(50)
    assert torch.equal(draw_in_batches(ids, 30, draw), ids.double().square())
    assert sizes[:4] == [30, 15, 7, 3]
    assert set(sizes[4:]) == {3, 2}
    with pytest.raises(torch.OutOfMemoryError):
        draw_in_batches(ids, 30, lambda _: draw(torch.arange(6)))
    with pytest.raises(RuntimeError, match="shapes"):
        draw_in_batches(ids, 30, _mistaken)


def _mistaken(_):
    raise RuntimeError("shapes do not match")


def test_what_says_that_memory_ran_out():
    said = [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "std::bad_alloc",
    ]
    assert all(is_out_of_memory(RuntimeError(text)) for text in said)
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50)
    assert is_out_of_memory(raised.value)
    with pytest.raises(MemoryError) as raised:
        np.empty(2**55)
    assert is_out_of_memory(raised.value)
    assert not is_out_of_memory(RuntimeError("memory format"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_where_the_process_that_scores_has_too_little_it_says_so(tmp_path, monkeypatch):
    def score(*_args, **_how):
        return np.empty(2**55)

    monkeypatch.setattr(Scorer, "score", score)
    sentence = (
        "the process that scores ran out of memory .Unable to allocate 256. PiB.*done is kept"
    )
    with pytest.raises(ValueError, match=sentence):
        run(tmp_path / "run", samplers=["ample"], samples=64)


def test_how_much_smaller_goes_with_a_failure_on_its_way():
    sent = pickle.loads(pickle.dumps(Plain("failed", "why", 8)))
    assert (sent.status, sent.reason, sent.shrink) == ("failed", "why", 8)
