"""The race on synthetic errors: who wins, who is dropped, and how often wrongly."""

import math
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.advice import races
from samplerbench.benchmarks.advice.answer import read_pictures
from samplerbench.benchmarks.advice.budget_answer import (
    draw_pictures,
    keep_common_latents,
    score_on_fresh_latents,
)
from samplerbench.benchmarks.advice.measuring import FIRST, ConvergedEndpoints, MeasurementStore
from samplerbench.benchmarks.advice.race import (
    LEVEL,
    Race,
    geometric_mean,
    is_worse,
    keep_not_worse,
    log_error,
    log_ratio,
)
from samplerbench.benchmarks.advice.races import set_endpoint_steps
from samplerbench.benchmarks.advice.run import AdviceRun, BudgetResult, Clock, OutOfTime
from samplerbench.benchmarks.running.executors import Failure

LATENTS_BY_ROUND = (4, 8, 16, 32, 64)


def squares_of(levels, n=64, *, spread=0.3, shared=0.5, seed=0):
    """Squared distances of configurations with these geometric means: each has noise of its own, and what the
    latents do to all.
    """
    rng = np.random.default_rng(seed)
    common = shared * rng.normal(size=n)
    return [np.exp(2 * (math.log(v) + common + spread * rng.normal(size=n))) for v in levels]


def race(table, fields=None, latents_by_round=LATENTS_BY_ROUND, **options):
    asked = []

    def measure(numbers, start, stop):
        for number in numbers:
            asked.append((number, stop - start))
            yield number, None if table[number] is None else table[number][start:stop]

    made = Race(fields or {"all": range(len(table))}, latents_by_round, measure, **options)
    made()
    return made, asked


def test_the_best_wins_and_the_hopeless_are_dropped_at_once():
    found, asked = race(squares_of([1.0, 0.1, 5.0, 0.5]))
    assert found.survivors("all") == [1]
    assert sum(count for _, count in asked) < 4 * 64
    assert set(found.measurements) == {0, 1, 2, 3}


def test_race__broken_off_in_its_first_look_has_what_was_measured():
    table = squares_of([1.0, 0.1, 0.05])

    def measure(numbers, start, stop):
        for number in numbers:
            if number == 2:
                raise OutOfTime
            yield number, table[number][start:stop]

    made = Race({"all": range(3), "last": [2]}, LATENTS_BY_ROUND, measure)
    with pytest.raises(OutOfTime):
        made()
    made.drop_unmeasured()
    assert made.survivors("all") == [1, 0]
    assert made.survivors("last") == []


def test_clock__breaks_a_stage_off_in_the_main_thread():
    clock = Clock(1 / 600)  # a tenth of a second
    began = time.monotonic()
    with pytest.raises(OutOfTime), clock.raise_when_over(0.5):
        time.sleep(20)
    assert time.monotonic() - began < 10
    with clock.raise_when_over(100):
        pass
    time.sleep(0.01)  # no alarm is left
    ran = []
    thread = threading.Thread(target=lambda: clock.raise_when_over(0).__enter__() or ran.append(1))
    thread.start()
    thread.join()
    assert ran == [1]


def test_clock__nested_blocks_keep_the_alarm_of_the_outer():
    clock, ended = Clock(1 / 300), []  # a fifth of a second

    def stage():
        with suppress(OutOfTime), clock.raise_when_over(0.3):
            time.sleep(20)
        ended.append(clock.share_spent)
        time.sleep(20)

    with pytest.raises(OutOfTime), clock.raise_when_over(0.9):
        stage()
    assert len(ended) == 1


def result_of(**scores):
    return BudgetResult(6, {}, {}, {}, 0, 0, 0, True, **scores)


def test_scores__that_were_broken_off_are_on_the_latents_that_all_have():
    results = [result_of(squares={"a": np.arange(32.0), "b": np.arange(8.0)}), result_of()]
    keep_common_latents(results)
    assert {label: len(of) for label, of in results[0].squares.items()} == {"a": 8, "b": 8}
    keep_common_latents(results[1:])
    assert results[1].squares == {}


def test_scores__of_a_solver_that_is_both_recommended_and_the_librarys_own_count_once():
    def measure_squares(entries, start, stop, _late):
        for key in entries:
            yield key, np.arange(float(start), float(stop))

    run = SimpleNamespace(
        forecast_seconds=lambda _entry, _n: 0.0,
        endpoints=SimpleNamespace(steps=0, solve=lambda _start, _stop: None),
        rate=1e9,
        measure_squares=measure_squares,
    )
    cell = SimpleNamespace(sampler=SimpleNamespace(stochastic=False))
    entry, other = (SimpleNamespace(label=label, cell=cell) for label in ("best", "other"))
    result = result_of(chosen=[entry, other], alternatives=[entry])
    score_on_fresh_latents(run, [result], 1.0)
    squares = result.squares
    assert {label: len(set(of)) for label, of in squares.items()} == {"best": 256, "other": 256}
    assert {len(of) for of in squares.values()} == {256}


def test_clock__begins_when_the_command_did(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    assert Clock(1, begun=70.0).spent == 30.0


def test_equals_run_to_the_end_and_are_told_as_such():
    found, _ = race(squares_of([1.0, 1.0], seed=3))
    assert sorted(found.survivors("all")) == [0, 1]
    assert len(found.measurements[0]) == 64


def test_one_that_is_as_good_as_the_leader_is_dropped_with_the_chance_that_is_promised():
    dropped = 0
    for seed in range(300):
        found, _ = race(squares_of([1.0, 1.0], seed=seed))
        dropped += len(found.survivors("all")) == 1
    # two can be dropped; the promise is of either
    assert dropped / 300 < 2 * LEVEL + 3 * math.sqrt(2 * LEVEL / 300)


def test_a_field_keeps_its_own_best():
    table = squares_of([0.1, 1.0, 3.0])
    found, _ = race(table, {"all": [0, 1, 2], "few": [1, 2]})
    assert found.survivors("all") == [0]
    assert found.survivors("few") == [1]


def test_what_makes_the_same_samples_is_run_once():
    one, other = squares_of([1.0, 0.9])
    found, asked = race([one, one.copy(), other])
    assert found.same == {1: 0}
    assert {number for number, _ in asked[3:]} <= {0, 2}


def test_one_that_fails_is_out():
    found, _ = race([None, *squares_of([1.0, 2.0])])
    assert found.failed == {0}
    assert found.survivors("all") == [1]


def test_time_that_is_up_ends_it_after_a_look_and_nobody_is_dropped_unmeasured():
    table = squares_of([1.0, 0.5, 0.4], seed=1)

    def measure(numbers, start, stop):
        for number in list(numbers)[: None if start == 0 else 1]:
            yield number, table[number][start:stop]

    made = Race(
        {"all": [0, 1, 2]},
        LATENTS_BY_ROUND,
        measure,
        late=lambda: len(made.measurements.get(2, ())) > 4,
    )
    made()
    assert set(made.survivors("all")) >= {1, 2} - {n for n in (1, 2) if n not in made.measurements}
    assert made.survivors("all")[0] in (1, 2)


def test_leaders_are_looked_at_as_far_as_is_asked_whatever_the_time():
    table = squares_of([1.0, 0.5, 0.4, 0.45], seed=1)

    def measure(numbers, start, stop):
        for number in list(numbers)[: None if start == 0 else 2]:
            yield number, table[number][start:stop]

    made = Race({"all": [0, 1, 2, 3]}, LATENTS_BY_ROUND, measure, late=lambda: True, least=16)
    made()
    assert sorted(map(len, made.measurements.values()))[-2:] == [16, 16]
    assert len(made.measurements[made.survivors("all")[0]]) == 16


def test_race__a_rule_says_who_stays():
    found, _ = race(
        squares_of([4.0, 3.0, 2.0, 1.0], spread=0.01),
        keep=lambda ranked, _known, _look: set(ranked[:2]),
        latents_by_round=(4, 8),
    )
    assert found.survivors("all") == [3, 2]


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=20), st.floats(1e-3, 1e3))
@settings(max_examples=50, deadline=None)
def test_a_ratio_is_that_of_the_errors_and_knows_no_units(squares, factor):
    a = np.asarray(squares)
    b = a[::-1].copy()
    assert math.exp(log_ratio(a, b).value) == pytest.approx(geometric_mean(a) / geometric_mean(b))
    assert log_ratio(factor * a, factor * b).value == pytest.approx(log_ratio(a, b).value, abs=1e-9)
    assert log_error(factor**2 * a).value == pytest.approx(
        log_error(a).value + math.log(factor), abs=1e-9
    )


def test_intervals_cover():
    inside = 0
    for seed in range(400):
        a, b = squares_of([1.0, 1.3], n=16, seed=seed)
        found = log_ratio(a, b).interval()
        inside += found.low <= 1 / 1.3 <= found.high
    assert 0.92 <= inside / 400 <= 0.98


def test_one_latent_that_ends_elsewhere_decides_nothing():
    """By root mean squares it would: the better one has the larger one."""
    better, other = squares_of([0.1, 0.2], seed=2)
    better[5] = other[5] * 1e4
    assert np.sqrt(better.mean()) > np.sqrt(other.mean())
    assert is_worse(other, better, 0.01)
    assert not is_worse(better, other, 0.01)


def test_infinite_distances_are_worse_than_any():
    good, bad = squares_of([1.0, 1.0])
    bad[3] = np.inf
    assert is_worse(bad, good, 1e-6)
    assert not is_worse(good, bad, 0.5)
    assert log_ratio(bad, bad).interval().flag
    ratios = [log_ratio(*pair).interval() for pair in ((good, bad), (bad, good), (bad, bad))]
    assert [ratio.value for ratio in ratios] == [0, math.inf, math.inf]
    assert all(ratio.flag and (ratio.low, ratio.high) == (0, math.inf) for ratio in ratios)
    assert keep_not_worse([0, 1], {0: good, 1: bad}, 1) == {0}


def test_store__a_line_that_a_kill_cut_costs_no_further_value(tmp_path):
    MeasurementStore(tmp_path, {}).put("first", [1.0])
    (log,) = tmp_path.rglob("measured.jsonl")
    with log.open("a") as cut:
        cut.write('["second", [2.0')
    MeasurementStore(tmp_path, {}).put("second", [3.0])
    store = MeasurementStore(tmp_path, {})
    assert (store.get("first"), store.get("second")) == ([1.0], [3.0])
    assert len(log.read_text().splitlines()) == 3


def test_find_steps_for__does_not_keep_what_less_time_or_coarser_samplers_settled(tmp_path):
    """A longer run in the same folder kept the coarse endpoints, and no longer said that they are coarse."""
    seen = []

    def settle(name, most):
        ends = SimpleNamespace(steps=None, resolution=0.1, most=most)
        ends.set_steps = lambda _: seen.append(name) or setattr(ends, "steps", min(most, 512))
        run = SimpleNamespace(store=MeasurementStore(tmp_path, {}), endpoints=ends)
        run.draw_samples = lambda *_: []
        set_endpoint_steps(run, [SimpleNamespace(cell=SimpleNamespace(key=name))], 4)
        return ends.steps, ends.most

    assert settle("euler", 128) == (128, 128)
    assert settle("euler", 256) == (128, 128)  # still limited
    assert settle("euler", 1024) == (512, 1024)
    assert settle("euler", 512) == (512, 512)
    assert settle("auto", 1024) == (512, 1024)
    assert seen == ["euler", "euler", "auto"]


@pytest.mark.parametrize("limits", [None, (0.0, math.inf)])
def test_draw_pictures__have_one_grey_scale_without_limits(tmp_path, limits):
    """An outlier made one strip paler than the others; an infinite limit made all black."""
    ends = np.linspace(0, 1, 384).reshape(6, 1, 8, 8)
    far = ends.copy()
    far[0, 0, 0, 0] = 50
    run = SimpleNamespace(
        request=SimpleNamespace(
            model=SimpleNamespace(decoded_event=(1, 8, 8), decoded_limits=limits),
            task=lambda _, x: x,
            library="python",
        ),
        progress=lambda _: None,
        executor=SimpleNamespace(run=lambda x, _: x),
        context=None,
        endpoints=SimpleNamespace(fetch=lambda *_: ends),
        draw_samples=lambda shown, *_: [(kind, far) for kind in shown],
        out=tmp_path,
    )
    entry = SimpleNamespace(can_run=True)
    assert draw_pictures(run, [SimpleNamespace(leaders={}, default=entry, budget=4)])
    pictures = read_pictures(tmp_path)
    assert pictures["converged"].max() == 255
    np.testing.assert_array_equal(pictures["default_4"][1:], pictures["converged"][1:])


def test_race_fits__out_of_time_leaves_the_finest_endpoints(monkeypatch):
    """The scores of all budgets were beside the endpoints of the race that was broken off."""
    ends = SimpleNamespace(steps=512, resolution=1e-4)

    def broken_off(*_):
        ends.steps, ends.resolution = 64, 1e-2
        raise OutOfTime

    monkeypatch.setattr(races, "race_again", broken_off)
    run = SimpleNamespace(endpoints=ends, clock=Clock(1.0), progress=lambda _: None)
    run.races_end_share = 0.5
    with pytest.raises(OutOfTime):
        races.race_fits(run, [SimpleNamespace(budget=4)], {4: [object()]})
    assert (ends.steps, ends.resolution) == (512, 1e-4)


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        (Failure("failed", "it raised"), False),
        (Failure("killed", "by another process"), True),
        (Failure("timed out", "on a busy machine"), True),
        (Failure("failed", "out of memory", shrink=2), True),
    ],
)
def test_measure_squares__stores_no_failure_of_the_machine(tmp_path, failure, again):
    """A later run in the folder took such a failure for the sampler's."""
    made = []
    entry = SimpleNamespace(cell=SimpleNamespace(key="heun"))
    for _ in range(2):
        run = object.__new__(AdviceRun)
        run.endpoints = SimpleNamespace(steps=64, solve=lambda *_: None)
        run.store, run.failures = MeasurementStore(tmp_path, {}), {}
        run.draw_samples = lambda todo, *_: made.append(1) or [(key, failure) for key in todo]
        assert list(run.measure_squares({0: entry}, 0, 4, bool)) == [(0, None)]
        assert run.failures == {"heun": failure.reason}
    assert len(made) == 1 + again


@pytest.mark.parametrize(("unit", "mean"), [(1.0, 0.0), (1.0, 1000.0), (1e-9, 0.0), (1e9, 0.0)])
def test_squared_distances__resolve_small_errors_far_from_0_and_in_any_unit(unit, mean):
    ends = ConvergedEndpoints(*[None] * 4, steps=0)  # type: ignore[arg-type]
    x = mean + unit * np.random.default_rng(0).normal(size=(FIRST, 2))
    ends._endpoints[0, 0] = x
    errors = [geometric_mean(ends.squared_distances(x + k * unit, 0)) for k in (1e-4, 1e-3, 0)]
    assert errors[:2] == pytest.approx([1e-4 * unit, 1e-3 * unit])
    assert errors[2] == pytest.approx(1e-6 * unit, rel=0.5)
