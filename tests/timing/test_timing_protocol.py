"""What the timing pass must find on a machine whose time is a variable: networks whose cost hangs on
what they are shown, rounds that are disturbed, and which of two samplers is faster.
"""

import math
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from timing_rig import Machine, Network, Working, cell_of, timed

from samplerbench.benchmarks.suites.suite import Timing
from samplerbench.benchmarks.timing import cells as pass_module
from samplerbench.benchmarks.timing import disturbances as disturbances_module
from samplerbench.benchmarks.timing.cells import time_cells
from samplerbench.benchmarks.timing.clock import CallTimes
from samplerbench.benchmarks.timing.disturbances import LoadCounters
from samplerbench.results.comparison.times import speed_verdict

STEPS, BATCH = 5, 4


class Demanding(Network):
    """Guided above level 1 only, at twice the cost; and up to 15 % slower on states that are large, as
    a GPU is on numbers that take more power.
    """

    def denoise(self, x: torch.Tensor, sigma: Any, labels: Any) -> torch.Tensor:
        level = float(torch.as_tensor(sigma).flatten()[0])
        power = 1 + 0.15 * math.tanh(float(x.abs().mean()) / 40)
        self.machine.work(self.ms * (2 if level > 1 else 1) * power)
        return torch.zeros_like(x)


@pytest.fixture(autouse=True)
def calm(monkeypatch):
    """What else runs on the machine of the tests disturbs no round of the virtual one."""
    monkeypatch.setattr(disturbances_module.LoadCounters, "of_this_moment", LoadCounters)


def test_the_network_of_a_run_is_timed_on_what_the_run_shows_it():
    """One call at level 1 on the start state, times the number of calls, would be off by 30 %."""
    machine = Machine()
    model = Demanding(machine, 2.0)
    (record,) = timed(model, [Working(machine=machine, ms=0.5)], machine)
    own = STEPS * 0.5
    truth = record["ms_per_sample"] * BATCH - own
    assert record["model_ms_per_sample"] * BATCH == pytest.approx(truth, rel=0.02)
    assert record["solver_ms_per_sample"] * BATCH == pytest.approx(own, rel=0.02)
    assert record["timing_network_calls"] == [STEPS, STEPS]
    before = machine.now
    model.denoise(
        80.0 * torch.randn(BATCH, 2, generator=torch.Generator().manual_seed(0)), 1.0, None
    )
    assert abs(STEPS * (machine.now - before) / truth - 1) > 0.2


@dataclass
class Disturbed(Machine):
    """A machine on which, in a share of the blocks, others take the core for a while: calls take
    longer by the clock on the wall, and the kernel counts the wait. Processor time does not grow.
    """

    share: float = 0.0
    waited: float = 0.0
    blocks: random.Random = field(default_factory=lambda: random.Random(1))
    hit: bool = False
    hits: int = 0

    def load(self) -> LoadCounters:
        """Asked at both ends of a block."""
        self.hit = self.blocks.random() < self.share
        self.hits += self.hit
        now = LoadCounters(
            wall=self.now / 1e3, cpu=self.now / 1e3, waited=self.waited, busy=self.now / 1e3
        )
        if self.hit:
            self.waited += 0.4 * 1e-2
        return now

    def __call__(self, call: Any) -> CallTimes:
        begin = self.now
        call()
        used = (self.now - begin) * self.rng.lognormvariate(0.0, self.blur)
        ms = used * (1.5 if self.hit else 1.0)
        return CallTimes(ms, ms, used * self.rng.lognormvariate(0.0, self.blur / 4))


@pytest.fixture
def disturbed(monkeypatch):
    """A disturbed machine, which the timing pass sees the counters of."""

    def made(**options):
        machine = Disturbed(**options)
        monkeypatch.setattr(
            disturbances_module.LoadCounters, "of_this_moment", lambda: machine.load()
        )
        return machine

    return made


def pair(machine, slower=0.0, rounds=30, seed=0):
    """The records of two samplers of which the second takes a share more in all."""
    machine.rng.seed(seed)
    machine.blocks.seed(seed + 1)
    more = slower * 2.0
    records = {}
    samplers = [Working(machine=machine), Working(machine=machine, ms=more)]
    model = Network(machine, 2.0)
    cells = [cell_of(sampler, model, STEPS, number) for number, sampler in enumerate(samplers)]
    time_cells(
        model,
        cells,
        Timing(seconds=60.0, half_width=1e-9, min_rounds=6, max_rounds=rounds),
        "cpu",
        clock=machine,
        progress=lambda share, label: None,
        done=lambda key, record: records.update({key: record}),
    )
    return [records[cell.key] for cell in cells]


def test_disturbed_rounds_are_discarded_and_counted(disturbed):
    quiet, _ = pair(disturbed(share=0.0, blur=0.005))
    noisy, _ = pair(disturbed(share=0.2, blur=0.005))
    assert quiet["timing_discarded"] == 0
    assert 3 <= noisy["timing_discarded"] <= 20
    assert noisy["timing_rounds"] == 30, "each is made up for"
    assert len(noisy["raw_discarded_ms"]) == noisy["timing_discarded"]
    assert noisy["timing_flag"] == ""
    assert noisy["ms_per_sample"] == pytest.approx(quiet["ms_per_sample"], rel=0.01)
    assert max(noisy["raw_total_ms"]) < 1.1 * quiet["ms_per_sample"] * BATCH


def test_where_more_rounds_are_disturbed_than_not_all_are_kept_and_flagged(disturbed):
    record, _ = pair(disturbed(share=0.9, blur=0.005), rounds=10)
    assert record["timing_discarded"] == 0
    assert record["timing_rounds"] == 20
    assert "waited for a core" in record["timing_flag"]


REPEATS = 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slower", "words", "least"),
    [(0.0, {"same", "ambiguous"}, 0.95), (0.03, {"slower"}, 0.80), (-0.03, {"faster"}, 0.80)],
)
def test_verdicts_are_right_through_noise_and_disturbances(disturbed, slower, words, least):
    machine, right = disturbed(share=0.15, blur=0.02), 0
    for seed in range(REPEATS):
        a, b = pair(machine, abs(slower), seed=seed)
        right += speed_verdict(*((b, a) if slower < 0 else (a, b))).verdict in words
    assert right >= least * REPEATS


def test_identical_samplers_on_a_quiet_machine_are_the_same(disturbed):
    a, b = pair(disturbed(blur=0.005))
    found = speed_verdict(a, b)
    assert found.verdict == "same"
    assert found.low <= 1 <= found.high


def times(ms, second=None, **changes):
    return {
        "raw_total_ms": ms,
        "raw_second": ms if second is None else second,
        "raw_rounds": list(range(len(ms))),
        "timing_pass": "one",
        "timing_second_clock": "SM cycles",
        **changes,
    }


def test_a_clock_that_was_lowered_makes_no_sampler_slow():
    """By seconds the second is 10 % slower; by cycles both are the same."""
    ms = [10 + 0.01 * i for i in range(12)]
    slow = times([1.1 * each for each in ms], second=ms)
    assert speed_verdict(times(ms), slow).verdict == "ambiguous"
    assert speed_verdict(times(ms), times([1.1 * each for each in ms])).verdict == "slower"


def test_times_of_one_pass_are_compared_round_by_round():
    """A machine that slows down by half while both are timed moves no ratio."""
    ms = [10 + i for i in range(12)]
    found = speed_verdict(times(ms), times([1.02 * each for each in ms]))
    assert found.verdict == "slower"
    assert (found.ratio, found.low, found.high) == pytest.approx((1.02,) * 3)
    apart = times([1.02 * each for each in ms], timing_pass="another")
    assert speed_verdict(times(ms), apart).verdict == "ambiguous"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"raw_second": []}, "second clock: a time that is missing or not positive"),
        ({"timing_second_clock": ""}, "there is one clock only"),
        ({"timing_tf32": True}, "tf32 differs: None and True"),
        ({"timing_flag": "busy"}, "flagged: busy"),
        ({"raw_rounds": list(range(20, 32))}, "fewer than 6 rounds in common"),
    ],
)
def test_without_two_clocks_or_equal_conditions_there_is_no_verdict(changes, reason):
    ms = [10 + 0.01 * i for i in range(12)]
    found = speed_verdict(times(ms), {**times([2 * each for each in ms]), **changes})
    assert (found.verdict, found.reason) == ("ambiguous", reason)


def test_until_a_deadline_only_so_many_cells_are_begun_as_can_be_visited_often_enough(monkeypatch):
    """Each visit takes two calls of 10 ms and the network beside them; the first cells come first."""
    machine, records = Machine(), {}
    monkeypatch.setattr(pass_module.time, "monotonic", lambda: machine.now / 1e3)
    monkeypatch.setattr(pass_module.time, "perf_counter", lambda: machine.now / 1e3)
    model = Network(machine, 2.0)
    cells = [cell_of(Working(machine=machine), model, STEPS, seed) for seed in range(20)]
    options = Timing(seconds=1e6, half_width=1e-9, min_rounds=6, max_rounds=30)
    time_cells(
        model,
        cells,
        options,
        "cpu",
        clock=machine,
        progress=lambda share, label: None,
        done=lambda key, record: records.update({key: record}),
        within=2.0,
    )
    assert set(records) == {cell.key for cell in cells[: len(records)]}
    assert 3 <= len(records) < 20
    assert all(record["timing_rounds"] >= 6 for record in records.values())
    assert machine.now / 1e3 < 2.0 * 1.1


def test_caches_are_emptied_by_one_tensor_for_all_cells_of_a_pass(monkeypatch):
    """It is twice as large as the last cache; one for each of a hundred cells filled the memory."""
    machine, made, emptied = Machine(), [], []

    class Counted:
        def __init__(self, device):
            made.append(device)

        def zero_(self):
            emptied.append(1)

    monkeypatch.setattr(pass_module, "cache_filler", Counted)
    records = timed(Network(machine, 2.0), [Working(machine=machine)] * 3, machine, batch_size=1)
    assert made == ["cpu"]
    assert len(emptied) == sum(record["timing_rounds"] for record in records)
    assert all(record["cold_ms_per_sample"] > 0 for record in records)
