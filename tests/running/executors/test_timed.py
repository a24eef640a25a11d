"""Times that are taken where an executor has a device for them: the columns of a run, once, and a
reason where they cannot be taken.
"""

import errno

import new_processes
import pytest
from quiet_runs import quiet_run

from samplerbench.benchmarks.running.executors import Failure, InProcess, Serial, Worker
from samplerbench.benchmarks.running.timing_stage import TimesTask
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results.run_directory.run_dir import RunDir

SUITE = {
    "name": "timed",
    "models": ["gmm-2d"],
    "samplers": ["euler", "ddim"],
    "steps": [2],
    "samples": 16,
    "reference_samples": 8,
    "converged_samples": 64,
    "timing": {"seconds": 0.1, "min_rounds": 1, "max_rounds": 2, "batch_size": [4, 8]},
}


class Apart(InProcess):
    """Has another executor for times."""

    def __init__(self, timer):
        self.timer, self.closed, self.asked = timer, False, []

    def alone(self, device):
        self.asked.append(device)
        return self.timer

    def close(self):
        self.closed = True


class Timer(Serial):
    """Counts what it runs, in a worker; ``failing`` in place of the times."""

    def __init__(self, host, failing=None):
        self.host, self.failing, self.sizes, self.others_closed = host, failing, [], []
        self.worker = Worker()

    def run(self, task, context, *, tell=lambda _: None, limit=None):
        if isinstance(task, TimesTask):
            self.sizes.append(task.size)
            self.others_closed.append(self.host().closed)
            if self.failing is not None:
                raise self.failing
        return self.worker.run(task, context, tell=tell)

    def close(self):
        self.worker.close()


@pytest.fixture
def apart():
    found = []
    timer = Timer(lambda: found[0])
    found.append(Apart(timer))
    with new_processes.ready():
        yield found[0]
        timer.close()


def run(out, executor, **change):
    return quiet_run(check_suite({**SUITE, **change}, "test"), out, executor=executor).frame


def test_times_of_a_run_are_taken_apart_once_each_size(tmp_path, apart):
    frame = run(tmp_path / "run", apart)
    assert apart.asked == ["cpu"]
    assert apart.timer.sizes == [4, 8]
    assert apart.timer.others_closed == [True, True], "nothing else is on the device"
    assert (frame["ms_per_sample"] > 0).all()
    assert set(frame["timing_batch_size"]) == {4}
    assert set(frame["timing_device"]) == {"cpu"}
    assert (tmp_path / "run" / "timing.csv").is_file()
    run(tmp_path / "run", apart)
    assert apart.timer.sizes == [4, 8], "what was timed on such a machine is not timed again"


def test_times_that_cannot_be_taken_have_a_reason(tmp_path, apart):
    apart.timer.failing = Failure("crashed", "its machine was lost")
    frame = run(tmp_path / "run", apart)
    assert frame["ms_per_sample"].isna().all()
    assert set(frame["timing_reason"]) == {"its machine was lost"}
    assert set(frame["status"]) == {"ok"}


def test_who_takes_no_times_is_not_asked_for_a_device(tmp_path, apart):
    run(tmp_path / "run", apart, timing={"enabled": False})
    assert apart.asked == []


class Elsewhere(InProcess):
    """Stands for another machine, whose errors are failures of its tasks."""

    def alone(self, device):
        return self


class Losing(Elsewhere):
    """A failure comes after the first of two cells."""

    def run(self, task, context, *, tell=lambda _: None, limit=None):
        def tell_first(news):
            tell(news)
            if isinstance(news, tuple):
                raise Failure("crashed", "its machine was lost")

        return super().run(task, context, tell=tell_first, limit=limit)


def test_times_taken_before_a_machine_was_lost_are_kept(tmp_path):
    frame = run(tmp_path / "run", Losing(), timing={**SUITE["timing"], "batch_size": [4]})
    assert sorted(frame["ms_per_sample"].notna()) == [False, True]
    assert set(frame["timing_reason"].dropna()) == {"its machine was lost"}
    assert set(frame["status"]) == {"ok"}


def test_a_sweep_that_fails_leaves_the_times_and_a_warning(tmp_path, monkeypatch, caplog):
    def broken(*_args, **_options):
        raise RuntimeError("no such device")

    monkeypatch.setattr("samplerbench.benchmarks.running.timing_stage.sweep_batch_sizes", broken)
    timing = {**SUITE["timing"], "batch_size": [4], "sweep": 8}
    frame = run(tmp_path / "run", Elsewhere(), timing=timing)
    assert (frame["ms_per_sample"] > 0).all()
    assert "throughput of ddim" in caplog.text or "throughput of euler" in caplog.text
    assert "no such device" in caplog.text


def test_times_of_this_process__an_error_of_the_program_ends_the_run(tmp_path, monkeypatch):
    def broken(*_args, **_options):
        raise KeyError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr("samplerbench.benchmarks.running.timing_stage.time_cells", broken)
        with pytest.raises(KeyError, match="a bug"):
            run(tmp_path / "run", InProcess(), timing={**SUITE["timing"], "batch_size": [4]})
    frame = run(tmp_path / "run", InProcess(), timing={**SUITE["timing"], "batch_size": [4]})
    assert (frame["ms_per_sample"] > 0).all(), "nothing was stored as a reason"


def test_times_of_this_process__a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    write = RunDir.write

    def full(self, cell, name, record):
        if name == "timing.json":
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path / name))
        write(self, cell, name, record)

    with monkeypatch.context() as patched:
        patched.setattr(RunDir, "write", full)
        with pytest.raises(ValueError, match="free some space"):
            run(tmp_path / "run", InProcess(), timing={**SUITE["timing"], "batch_size": [4]})
    frame = run(tmp_path / "run", InProcess(), timing={**SUITE["timing"], "batch_size": [4]})
    assert (frame["ms_per_sample"] > 0).all()
