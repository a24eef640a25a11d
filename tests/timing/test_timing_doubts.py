"""When times are not to be trusted: from counters that are given, and from a machine under load."""

import gc
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from timing_rig import Network, Working, timed

from samplerbench import samplers
from samplerbench.benchmarks.timing import disturbances as load
from samplerbench.benchmarks.timing.clock import CallTimes, DeviceTimer
from samplerbench.benchmarks.timing.disturbances import (
    BlockObservations,
    LoadCounters,
    cpu_doubts,
    doubts_of_blocks,
    observe_block,
    raw_observations,
)
from samplerbench.benchmarks.timing.gpu_state import Gpu, GpuState, gpu_doubts
from samplerbench.models import make_model

CALM = LoadCounters(wall=10.0, cpu=9.9, waited=0.05, busy=10.2, stolen=0.01, throttled=0)


def test_a_calm_interval_leaves_no_doubt():
    assert cpu_doubts(CALM, cores=4, threads=1) == []


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        ({"cpu": 3.0, "waited": 2.0, "busy": 3.3}, "waited for a core 40% of the time"),
        ({"cpu": 6.0, "waited": None, "busy": 6.3}, "had a core only 60% of the time"),
        ({"busy": 9.9 + 4.1}, "other processes kept 0.4 of 4 cores busy"),
        ({"stolen": 0.8}, "the hypervisor took 2% of the cores"),
        ({"throttled": 3}, "the container's CPU limit stopped it 3 times"),
    ],
)
def test_each_counter_raises_its_own_doubt(change, doubt):
    assert cpu_doubts(CALM._replace(**change), cores=4, threads=1) == [doubt]


@pytest.mark.parametrize(
    "change",
    [
        {"cpu": 5.0, "busy": 5.3},  # a sampler that sleeps: it did not wait for a core
        {"busy": 9.9 + 3.9},
        {"waited": None, "busy": None, "stolen": None},  # a system without these counters
    ],
)
def test_what_is_no_reason_for_doubt(change):
    assert cpu_doubts(CALM._replace(**change), cores=4, threads=1) == []


def test_ticks_say_nothing_about_an_interval_that_is_as_short_as_they_are():
    assert (
        cpu_doubts(LoadCounters(wall=0.1, cpu=0.1, waited=0.0, busy=0.3), cores=2, threads=1) == []
    )


def test_loads_are_added_over_intervals_and_unknown_stays_unknown():
    early, late = LoadCounters(1, 1, None, 5, 1, 2), LoadCounters(4, 3, 1.0, 4, 1, 3)
    grown = late.since(early)
    assert grown == LoadCounters(3, 2, None, 0, 0, 1)  # busy cannot fall
    assert grown.plus(grown) == LoadCounters(6, 4, None, 0, 0, 2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counters of Linux")
def test_the_counters_of_this_machine_see_a_busy_thread():
    before = LoadCounters.of_this_moment()
    while time.process_time() - before.cpu < 0.05:
        pass
    grown = LoadCounters.of_this_moment().since(before)
    assert 0.05 <= grown.cpu < 0.1
    assert grown.wall + 1e-3 >= grown.cpu
    assert grown.busy is not None


def test_the_cgroup_file_of_either_version_is_read(tmp_path, monkeypatch):
    file = tmp_path / "cpu.stat"
    file.write_text("nr_periods 10\nnr_throttled 7\nthrottled_usec 12\n")
    monkeypatch.setattr(load, "CGROUP_STAT", (str(tmp_path / "none"), str(file)))
    assert LoadCounters.of_this_moment().throttled == 7
    monkeypatch.setattr(load, "CGROUP_STAT", ())
    assert LoadCounters.of_this_moment().throttled == 0


# -- GPU: a driver that says what the test wants
# ---------------------------------------------------------------------------------------

FINE = GpuState(reasons=0x1 | 0x2, temperature=60, sm_clock=1980, power=500, others=0)


def test_a_gpu_at_full_speed_leaves_no_doubt():
    assert gpu_doubts([FINE, FINE._replace(sm_clock=1950)]) == []
    assert gpu_doubts([GpuState(None, None, None, None, None)]) == []
    assert gpu_doubts([]) == []


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        ({"reasons": 0x4}, "clocks lowered: power cap"),
        ({"reasons": 0x40 | 0x1}, "clocks lowered: heat (hardware)"),
        ({"sm_clock": 1400}, "SM clock between 1400 and 1980 MHz"),
        ({"others": 2}, "2 other processes on the GPU"),
    ],
)
def test_one_bad_moment_is_enough(change, doubt):
    assert gpu_doubts([FINE, FINE._replace(**change), FINE]) == [doubt]


class Driver:
    """What ``pynvml`` would be on a card without an energy counter."""

    NVML_TEMPERATURE_GPU, NVML_CLOCK_SM = 0, 1
    pids: tuple[int, ...] = ()

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):  # noqa: N802
        return 4

    def nvmlDeviceGetTemperature(self, handle, sensor):  # noqa: N802
        return 61

    def nvmlDeviceGetClockInfo(self, handle, kind):  # noqa: N802
        return 1980

    def nvmlDeviceGetPowerUsage(self, handle):  # noqa: N802
        return 512_000

    def nvmlDeviceGetComputeRunningProcesses(self, handle):  # noqa: N802
        return [SimpleNamespace(pid=pid) for pid in self.pids]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        raise RuntimeError("Not Supported")

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return b"570.1"


@pytest.mark.parametrize(
    ("pids", "others"),
    [((), 0), ((os.getpid(),), 0), ((os.getpid(), 7), 1), ((7,), 0), ((7, 8), 1)],
)
def test_the_state_of_a_gpu_in_units_that_people_use(pids, others):
    driver = Driver()
    driver.pids = pids
    gpu = Gpu(driver, None)
    assert gpu.state() == GpuState(4, 61.0, 1980.0, 512.0, others)
    assert gpu.joules() is None
    assert gpu.describe() == {"driver": "570.1", "power_limit_w": None}


def test_there_are_no_counters_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Gpu.of_current_device() is None


class FakeCuda:
    """A GPU that takes 10 ms between any two events, holds 1, 3 and 2 MiB in turn, and gets memory
    from the driver in the second block.
    """

    def __init__(self, monkeypatch):
        self.synchronised, self.held, self.peaks = 0, iter((1, 3, 2)), 0
        self.segments = iter((5, 5, 5, 7, 7, 7))
        for name in (
            "synchronize",
            "reset_peak_memory_stats",
            "max_memory_allocated",
            "memory_stats",
            "Event",
        ):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def synchronize(self):
        self.synchronised += 1

    def reset_peak_memory_stats(self):
        self.peaks += 1

    def max_memory_allocated(self):
        return next(self.held) * 2**20

    def memory_stats(self):
        return {"segment.all.allocated": next(self.segments)}

    def Event(self, enable_timing):  # noqa: N802
        assert enable_timing
        return SimpleNamespace(record=lambda: None, elapsed_time=lambda stop: 10.0)


def test_a_gpu_is_timed_by_events_and_by_the_wall_clock_between_two_synchronisations(monkeypatch):
    cuda, seen = FakeCuda(monkeypatch), []
    reading = DeviceTimer("cuda").time(lambda: (seen.append(cuda.synchronised), time.sleep(0.002)))
    assert reading.ms == 10.0
    assert 2.0 <= reading.wall_ms < 1000
    assert (seen, cuda.synchronised) == ([1], 2)
    assert reading.second_clock is None


class Steady:
    """A GPU whose multiprocessors run at 1.5 GHz."""

    name = "SM cycles"

    def start(self):
        pass

    def mhz(self):
        return 1500.0


def test_the_second_clock_of_a_gpu_counts_cycles_and_that_of_a_cpu_processor_time(monkeypatch):
    FakeCuda(monkeypatch)
    clock = DeviceTimer("cuda", Steady())
    assert clock.second_clock_unit == "SM cycles"
    assert clock.time(lambda: None).second_clock == 1500e6 * 10e-3
    cpu = DeviceTimer("cpu")
    asleep, at_work = cpu.time(lambda: time.sleep(0.02)), cpu.time(lambda: spin(0.02))
    assert cpu.second_clock_unit == "ms of processor time"
    assert asleep.ms >= 20 > 10 > asleep.second_clock
    assert at_work.second_clock >= 20


def spin(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_block_knows_its_peak_of_memory_the_state_of_the_gpu_and_what_the_driver_was_asked(
    monkeypatch,
):
    cuda, blocks, collects = FakeCuda(monkeypatch), [], []
    for _ in range(3):
        with observe_block("cuda", Gpu(Driver(), None)) as block:
            collects.append(gc.isenabled())
        blocks.append(block)
    assert collects == [False] * 3
    assert gc.isenabled()
    assert [block.peak for block in blocks] == [2**20, 3 * 2**20, 2 * 2**20]
    assert cuda.peaks == 3
    assert raw_observations(blocks)["gpu_sm_clock"] == [1980.0, 1980.0]
    assert "clocks lowered: power cap" in doubts_of_blocks(blocks, [])
    assert [block.memory_requests for block in blocks] == [0, 2, 0]
    assert "torch asked the driver for memory 2 times" in doubts_of_blocks([blocks[1]], [])


@pytest.mark.parametrize("uuid", ["1234-ab", "GPU-1234-ab"])
def test_nvml_is_asked_for_the_device_that_torch_uses(monkeypatch, uuid):
    asked = []
    nvml = SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetHandleByUUID=lambda name: asked.append(name) or "handle"
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=uuid)
    )
    assert Gpu.of_current_device() == Gpu(nvml, "handle")
    assert asked == ["GPU-1234-ab"]
    nvml.nvmlInit = lambda: 1 / 0
    assert Gpu.of_current_device() is None


def test_events_and_wall_clock_that_differ_are_told():
    for reading, told in (
        (CallTimes(100.0, 103.0), []),
        (CallTimes(100.0, 150.0), ["wall clock +50% against CUDA events"]),
        (CallTimes(0.10, 0.15), []),  # what it costs to launch and to synchronise
    ):
        assert doubts_of_blocks([BlockObservations()] * 3, [reading] * 3) == told


# -- a real machine
# --------------------------------------------------------------------------------------------------------------------


class ProcessorTime:
    """Real work and real time, but time of this process only: other processes cannot disturb it."""

    def work(self, ms: float) -> None:
        until = time.process_time_ns() + ms * 1e6
        while time.process_time_ns() < until:
            pass

    def __call__(self, call):
        begin = time.process_time_ns()
        call()
        ms = (time.process_time_ns() - begin) / 1e6
        return CallTimes(ms, ms)


def test_a_millisecond_of_real_work_per_step_is_found_to_5_percent():
    machine = ProcessorTime()
    pair = [Working(machine=machine), Working(machine=machine, ms=1.0)]
    plain, working = timed(Network(machine, 0.5), pair, machine, half_width=1e-9, max_rounds=25)
    assert (working["ms_per_sample"] - plain["ms_per_sample"]) * 4 / 5 == pytest.approx(
        1.0, abs=0.05
    )


@pytest.mark.slow
def test_identical_samplers_on_a_real_model_differ_by_less_than_their_intervals():
    # Intervals of 95 % of two equal means miss each other in 0.6 % of pairs, so two or more of 20 do
    # in 0.7 % of tries. A second try: processor time, too, is moved by what others leave in the
    # caches.
    assert _twins_that_agree() >= 19 or _twins_that_agree() >= 19


def _twins_that_agree() -> int:
    """Of 20 pairs of one sampler, those whose intervals meet."""
    machine, model, agreed = ProcessorTime(), make_model("gmm-64d"), 0
    for _ in range(20):
        a, b = timed(
            model,
            [samplers.make("dpm_solver_3m")] * 2,
            machine,
            batch_size=8,
            steps=4,
            min_rounds=10,
            max_rounds=15,
            seconds=0.5,
        )
        agreed += a["ms_low"] <= b["ms_high"] and b["ms_low"] <= a["ms_high"]
    return agreed


SPIN = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="counters of Linux")
def test_a_competing_load_is_told():
    spinning = [
        subprocess.Popen([sys.executable, "-c", SPIN, str(os.getpid())])
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        time.sleep(0.5)
        assert cpu_flag_of_a_run() != ""
    finally:
        for process in spinning:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_an_idle_machine_is_believed():
    if _others_are_at_work():
        pytest.skip("this machine is not idle")
    assert cpu_flag_of_a_run() == ""


def cpu_flag_of_a_run():
    (record,) = timed(
        make_model("gmm-64d"),
        [samplers.make("heun")],
        None,
        batch_size=128,
        half_width=1e-9,
        max_rounds=150,
        seconds=1.5,
        steps=20,
    )
    assert record["timing_observed"]["wall"] > load.SHORT
    return record["timing_flag"]


def _others_are_at_work() -> bool:
    before = LoadCounters.of_this_moment()
    time.sleep(1.0)
    grown = LoadCounters.of_this_moment().since(before)
    return (grown.busy or 0.0) - grown.cpu > load.OTHERS / 2 * (os.cpu_count() or 1) * grown.wall
