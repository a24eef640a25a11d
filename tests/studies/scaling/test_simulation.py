"""The simulated run against what can be said of it exactly, and what must hold however it goes."""

import math
from collections import deque
from dataclasses import replace
from heapq import heapify, heapreplace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.running.sharing import PAUSE
from samplerbench.benchmarks.sampling.shard import SHARD
from samplerbench.benchmarks.studies.scaling import (
    Arithmetic,
    Costs,
    OneWriter,
    Rules,
    Sharing,
    Work,
)
from samplerbench.benchmarks.studies.scaling.arithmetic import graham
from samplerbench.results.run_directory.leases import BEAT, STALE

LAYOUTS = [Sharing, OneWriter]
works = st.builds(
    Work,
    samples=st.integers(1, 3 * SHARD),
    samplers=st.integers(1, 3),
    budgets=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    sorted=st.booleans(),
)
workers = st.integers(1, 9)
QUICK = Costs(rate=10.0 * SHARD)


def handed_out(shards, count):
    """What greedy workers take, each of which takes the next of a list when it is free."""
    ends, todo = [0.0] * count, deque(shards)
    heapify(ends)
    while todo:
        heapreplace(ends, ends[0] + todo.popleft())
    return max(ends)


def test_a_run_is_cut_as_the_program_cuts_it():
    work = Work(50_000, 40)
    assert work.of_a_cell == math.ceil(50_000 / SHARD) == 98
    assert len(work.shards) == 39_200
    assert work.evaluations == 50_000 * 40 * sum(work.budgets)
    assert Work(1000, budgets=(7,), batch=300).shards == (7 * 600, 7 * 400), "whole batches"


@pytest.mark.parametrize("layout", LAYOUTS)
@given(count=workers, samples=st.integers(1, 40), samplers=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_identical_shards_take_rounds(layout, count, samples, samplers):
    work = Work(samples * SHARD, samplers, budgets=(4,))
    outcome = layout(work, count, Costs(rate=SHARD)).outcome()
    assert outcome.sampled == 4 * math.ceil(samples * samplers / count)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(work=works, count=workers)
@settings(max_examples=40, deadline=None)
def test_workers_that_begin_alike_take_the_next_of_the_list(layout, work, count):
    how = {"rules": Rules(turns=False)} if layout is Sharing else {}
    outcome = layout(work, count, QUICK, **how).outcome()
    assert outcome.sampled == pytest.approx(handed_out(work.shards, count) / QUICK.rate, rel=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(work=works, count=workers, shard=st.floats(0, 2), write=st.floats(0, 2))
@settings(max_examples=40, deadline=None)
def test_no_order_takes_longer_than_graham_allows(layout, work, count, shard, write):
    costs = replace(QUICK, shard=shard, write=write if layout is Sharing else 0.0)
    outcome = layout(work, count, costs).outcome()
    assert outcome.ideal * (1 - 1e-12) <= outcome.sampled
    assert outcome.sampled <= graham(work, count, costs) * (1 + 1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_more_workers_never_take_longer_for_identical_shards(layout):
    work = Work(7 * SHARD, 3, budgets=(2,))
    spans = [layout(work, count, QUICK).outcome().sampled for count in range(1, 25)]
    assert spans == sorted(spans, reverse=True)
    assert spans[-1] == spans[20], "21 shards"


@pytest.mark.parametrize("layout", LAYOUTS)
@given(scorers=st.integers(1, 9), score=st.floats(0.1, 100), references=st.floats(0, 1000))
@settings(max_examples=20, deadline=None)
def test_what_one_does_alone_is_added(layout, scorers, score, references):
    """Amdahl's law; a leader that waits for the last shard may look a moment late."""
    work = Work(SHARD, 2, budgets=(1, 3, 5))
    costs = replace(QUICK, references=references, score=score, scorers=scorers)
    outcome = layout(work, 4, costs).outcome()
    alone = references / QUICK.rate + math.ceil(6 / scorers) * score
    late = outcome.makespan - outcome.sampled - alone
    assert -1e-9 <= late <= (PAUSE if layout is Sharing else 0) + 1e-9
    assert outcome.sampled == layout(work, 4, QUICK).outcome().sampled


def test_a_slow_writer_is_what_a_run_takes():
    """Results that come all at once, and wait."""
    run = OneWriter(Work(40 * SHARD, budgets=(1,)), 40, Costs(rate=SHARD, write=3.0))
    outcome = run.outcome()
    assert outcome.makespan == 1 + 40 * 3
    assert run.waiting == 40
    quick = OneWriter(Work(40 * SHARD, budgets=(1,)), 4, Costs(rate=SHARD, write=0.2))
    assert quick.outcome().makespan == pytest.approx(10 + 4 * 0.2)
    assert quick.waiting <= 4


costs = st.builds(
    Costs,
    rate=st.floats(2 * SHARD, 100 * SHARD),
    start=st.floats(0, 20),
    stagger=st.floats(0, 20),
    shard=st.floats(0, 1),
    write=st.floats(0, 0.1),
    operation=st.floats(0, 1e-3),
    operations=st.sampled_from([100.0, 1e4, math.inf]),
    references=st.floats(0, 1e4),
    score=st.floats(0, 2),
    scorers=st.integers(1, 3),
    spread=st.floats(0, 0.5),
    mtbf=st.sampled_from([100.0, 1000.0, math.inf]),
    back=st.floats(0, 200),
    node=st.integers(1, 4),
)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(work=works, count=workers, costs=costs, seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_work_done_is_work_planned_whoever_fails(layout, work, count, costs, seed):
    """Each shard is drawn once, and all time of all workers is accounted for."""
    costs = replace(costs, mtbf=max(costs.mtbf, 20 * max(work.shards) / costs.rate))
    run = layout(work, count, costs, seed)
    outcome = run.outcome()
    assert set(outcome.drawn) == {1}
    assert sum(outcome.spent.values()) == pytest.approx(count * outcome.makespan, rel=1e-9)
    made = sum(worker.speed * worker.spent["sampling"] for worker in run.workers) * costs.rate
    assert made >= work.evaluations * (1 - 1e-9)
    if not outcome.failures:
        assert made == pytest.approx(work.evaluations, rel=1e-9)
        assert outcome.spent.get("lost", 0.0) == outcome.spent.get("gone", 0.0) == 0.0
    assert outcome.makespan >= outcome.sampled
    assert layout(work, count, costs, seed).outcome() == outcome, "by its seed"


def test_a_dead_process_costs_its_shard_and_a_minute():
    """The only other process waits until the claim is stale, and draws the shard again."""

    class Once(Sharing):
        def _fails(self, node):
            if node == 1:
                self._push(60.0, "fails", node)

    work = Work(2 * SHARD, budgets=(100,))
    outcome = Once(work, 2, Costs(rate=SHARD, mtbf=1e9, node=1)).outcome()
    assert outcome.drawn == (1, 1)
    assert outcome.spent["lost"] == 60
    taken_over = outcome.makespan - 100
    assert 60 + STALE - BEAT <= taken_over <= 60 + STALE + 0.2


def test_listing_folders_spares_a_thousand_processes_most_questions():
    work, costs = Work(20_000, 5), Costs(rate=1000.0, operation=5e-4, operations=2e4)
    before = Sharing(work, 200, costs, rules=Rules(False, False, False)).outcome()
    now = Sharing(work, 200, costs).outcome()
    assert now.spent["files"] < 0.25 * before.spent["files"]
    assert now.makespan < before.makespan


def test_arithmetic_and_simulation_agree_where_little_is_left_to_chance():
    costs = Costs(
        rate=1000.0, start=20.0, shard=0.05, write=0.02, operation=1e-4, references=1e5, score=0.5
    )
    work = Work(5_000, 40)
    simulated = Sharing(work, 16, costs).outcome()
    assert Arithmetic.of(work, 16, costs).makespan == pytest.approx(simulated.makespan, rel=0.01)
