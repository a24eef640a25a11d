"""Sweeps over batch sizes: the knee is found where it is, and they end where they should."""

import pytest
import torch
from quiet_runs import quiet_run
from timing_rig import Machine, Network, Working, cell_of

from samplerbench.benchmarks.running import timing_stage
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.benchmarks.timing.cell_timing import (
    SweepPoint,
    knee_batch_size,
    sweep_batch_sizes,
)
from samplerbench.results.run_directory.files import read_json


class Saturating(Network):
    """Takes 2 ms however many rows, up to 16; then as much longer as there are more."""

    most = 1 << 30

    def denoise(self, x, sigma, labels):
        if len(x) > self.most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried …")
        self.machine.work(2.0 * max(1.0, len(x) / 16))
        return torch.zeros_like(x)


def swept(most=4096, holds=1 << 30):
    machine, seen = Machine(), []
    model = Saturating(machine, 0.0)
    model.most = holds
    cell = cell_of(Working(machine=machine), model, 5)
    return sweep_batch_sizes(model, cell, machine, most, progress=seen.append), seen


def test_the_sweep_ends_two_doublings_after_throughput_has_stopped_to_grow():
    (points, ended), seen = swept()
    assert seen == [1, 2, 4, 8, 16, 32, 64]
    assert knee_batch_size(points) == 16
    assert ended == "larger batches bring nothing more"
    assert points[4].samples_per_second == pytest.approx(16 / (5 * 2e-3))


def test_the_sweep_ends_where_memory_does_and_at_the_most_that_was_asked_for():
    (points, ended), _ = swept(holds=8)
    assert (len(points), ended) == (4, "16 samples do not fit into memory")
    (points, ended), _ = swept(most=4)
    assert (knee_batch_size(points), ended) == (
        4,
        "4 samples are the limit of the sweep",
    )


def test_the_knee_is_the_smallest_batch_with_nine_tenths_of_the_largest_throughput():
    assert (
        knee_batch_size(
            [SweepPoint(1, 1.0), SweepPoint(2, 1.0), SweepPoint(4, 1.12 * 2), SweepPoint(8, 4.0)]
        )
        == 2
    )
    assert knee_batch_size([]) == 0


def test_a_run_keeps_its_sweep_and_makes_no_second_one(tmp_path):
    suite = check_suite(
        {
            "name": "sweep",
            "models": ["gmm-2d"],
            "samplers": ["euler", "heun"],
            "nfe": [3],
            "samples": 8,
            "reference_samples": 2,
            "converged_samples": 8,
            "batch_size": 8,
            "timing": {"seconds": 0.1, "max_rounds": 6, "sweep": 4},
        },
        "sweep",
    )
    quiet_run(suite, tmp_path / "run")
    (part,) = (tmp_path / "run").glob("parts/*/sweep.json")
    before, record = part.read_bytes(), read_json(part)
    assert [batch for batch, _ in record["points"]] == [1, 2, 4]
    lines = (tmp_path / "run" / "throughput.csv").read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("model,sampler,nfe,timing_device_name,batch,ms,samples_per_second")
    quiet_run(suite, tmp_path / "run")
    assert part.read_bytes() == before


def test_a_sweep__that_fails_leaves_the_times_of_other_models(tmp_path, monkeypatch, caplog):
    def refuse(*_args, **_options):
        raise ValueError("I take pairs")

    monkeypatch.setattr(timing_stage, "sweep_batch_sizes", refuse)
    suite = {"name": "t", "models": ["gaussian", "gmm-2d"], "samplers": ["euler"], "nfe": [2]}
    suite |= {"samples": 4, "keep": 0, "reference_samples": 2, "converged_samples": 4}
    timing = {"sweep": 2, "seconds": 0.1, "max_rounds": 2, "min_rounds": 1}
    table = quiet_run(check_suite({**suite, "timing": timing}, "t"), tmp_path)
    assert table.frame["ms_per_sample"].notna().all()
    assert [message.partition(": ")[0] for message in caplog.messages] == ["gaussian", "gmm-2d"]
    assert caplog.messages[0].endswith("throughput of euler: ValueError: I take pairs.")


def test_a_sweep__that_is_due_again_replaces_the_old_ones_and_says_if_it_timed_nothing(
    tmp_path, caplog
):
    suite = {"name": "t", "models": ["gmm-2d"], "nfe": [2], "samples": 4, "keep": 0}
    suite |= {"reference_samples": 2, "converged_samples": 4}
    timing = {"sweep": 2, "seconds": 0.1, "max_rounds": 2, "min_rounds": 1}
    for samplers, more in (
        (["euler"], {}),
        (["heun"], {}),
        (["heun"], {"minutes": 1e-9, "sweep": 4}),
    ):
        one = check_suite({**suite, "samplers": samplers, "timing": timing | more}, "t")
        quiet_run(one, tmp_path)
        lines = (tmp_path / "throughput.csv").read_text().splitlines()[1:]
        assert {line.split(",")[1] for line in lines} == (set() if more else set(samplers))
    assert caplog.messages == [
        "gmm-2d: throughput of heun: no batch size was timed, since the time was spent."
    ]
