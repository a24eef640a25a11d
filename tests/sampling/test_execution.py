"""The execution axis: in suites, in the cells' identity, and what an engine does with it."""

import math
import statistics
import sys
from dataclasses import replace

import pytest
import torch
from on_cuda import cuda

from samplerbench.benchmarks import cli
from samplerbench.benchmarks.cli import suite_options
from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.sampling import execution
from samplerbench.benchmarks.sampling.batch import first_states_and_noise
from samplerbench.benchmarks.sampling.counting import Meter
from samplerbench.benchmarks.sampling.engine import Engine, engine_of, prepare_timed_work
from samplerbench.benchmarks.sampling.execution import (
    Compiled,
    check_executions,
    model_for_execution,
    why_not_executable,
)
from samplerbench.benchmarks.sampling.failure import Failure
from samplerbench.benchmarks.sampling.shard import batches_of_shard, sample_shard
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.models.denoiser import Denoiser
from samplerbench.models.guidance import ClassifierFree
from samplerbench.samplers import cuda_graphs, karras, make

MODEL = make_model("gmm-2d")


class Again:
    """A recording that does the work again."""

    def __init__(self, device):
        pass

    def warm_up(self, work):
        work()

    def capture(self, work):
        self.work, self.output = work, work().clone()
        return self.output

    def replay(self):
        self.output.copy_(self.work())


class Waits(Again):
    def warm_up(self, work):
        raise ValueError("it waits for the device")


class Labelled(Denoiser):
    """Shrinks the state by its label."""

    name, event, classes, identity, dtype = "labelled", (3,), 4, "labelled-1", torch.float64

    def denoise(self, x, sigma, labels):
        level = torch.as_tensor(sigma, dtype=x.dtype).expand(len(x))[:, None]
        return torch.tanh(x) * (labels[:, None] + 1) / (1 + level)

    def draw_labels(self, ids, seed):
        return ids % self.classes


def suite(**data):
    return check_suite(
        {
            "name": "s",
            "models": ["gmm-2d"],
            "samplers": ["heun"],
            "steps": [4],
            "samples": 10,
            "batch_size": 4,
            **data,
        },
        "s",
    )


def cells_of(device="cpu", **data):
    resolved = suite(**data)
    models = load_models(resolved)
    return plan(resolved, models, load_references(models), device)


def a_cell(mode="cuda-graph", model="gmm-2d", **data):
    (cell,) = cells_of(**data)
    return replace(cell, execution=mode, model=model)


def test_the_axis_gives_a_row_a_mode_and_the_default_is_in_no_key(monkeypatch):
    monkeypatch.setattr(execution, "_compiler_error", lambda device: "")
    (plain,), (eager, compiled) = cells_of(), cells_of(execution=["eager", "compile"])
    assert [cell.record("")["execution"] for cell in (plain, eager, compiled)] == [
        "eager",
        "eager",
        "compile",
    ]
    assert plain.key == eager.key != compiled.key
    assert "execution" in plain._implied_columns, "in no key: it would change those of older runs"
    assert "execution" not in compiled._implied_columns


def test_a_wrong_mode_is_a_sentence():
    with pytest.raises(
        ValueError,
        match=r"s: execution.*'eager', 'compile', 'cuda-graph' "
        r"or 'compile\+cuda-graph', got 'graph'",
    ):
        suite(execution=["graph"])


def test_the_options_combine_to_one_mode():
    given = [(False, False), (True, False), (False, True), (True, True)]
    assert [suite_options.execution_axis(*pair) for pair in given] == [
        None,
        ("compile",),
        ("cuda-graph",),
        ("compile+cuda-graph",),
    ]


@pytest.mark.parametrize("mode", ["cuda-graph", "compile+cuda-graph"])
def test_replays_without_a_gpu_are_a_sentence(mode):
    with pytest.raises(
        ValueError,
        match=r"execution cuda-graph \(--cuda-graph\) needs "
        r"--device cuda and a GPU, and this run is on cpu",
    ):
        cells_of(execution=["eager", mode])


@pytest.mark.skipif(torch.cuda.is_available(), reason="is for a machine without a GPU")
@pytest.mark.parametrize("command", ["run", "plan"])
def test_the_command_line_says_so_and_ends_with_2(command, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["samplerbench", command, "smoke", "--cuda-graph"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = "error: execution cuda-graph (--cuda-graph) needs --device cuda"
    assert capsys.readouterr().err.count(said) == 1
    assert not list(tmp_path.iterdir()), "nothing was begun"


def test_a_compiler_that_does_not_work_is_a_sentence(monkeypatch):
    def broken(function, **options):
        raise RuntimeError("\n  no C++ compiler.\nmore")

    monkeypatch.setattr(torch, "compile", broken)
    execution._compiler_error.cache_clear()
    try:
        with pytest.raises(
            ValueError,
            match=r"\(--compile\) needs a compiler that torch can use, and "
            r"here it says: no C\+\+ compiler; leave",
        ):
            check_executions(["compile"], "cpu")
        check_executions(["eager"], "cpu")
    finally:
        execution._compiler_error.cache_clear()


@pytest.mark.slow
def test_what_cannot_be_executed_so_is_skipped_with_a_reason(monkeypatch):
    monkeypatch.setattr(execution, "_compiler_error", lambda device: "")
    rows = cells_of(
        samplers=["heun", "rk45", "paradigms", "auto"],
        tolerances=[0.1],
        execution=["eager", "compile"],
    )
    skipped = {(cell.sampler.name, cell.execution) for cell in rows if cell.skip}
    assert skipped == {("rk45", "compile"), ("paradigms", "compile")}
    assert all("sampler" in cell.skip and cell.execution in cell.skip for cell in rows if cell.skip)


def test_a_model_may_say_that_it_cannot_be_captured():
    model = Labelled()
    model.capturable = False
    guided, grid = ClassifierFree(model, 2.0), karras(4, 0.002, 80.0)
    reason = "model labelled(guidance=2) says that it cannot be captured (capturable = False)"
    assert why_not_executable("cuda-graph", make("euler"), guided, grid) == reason
    assert (
        why_not_executable("eager", make("euler"), guided, grid)
        == why_not_executable("compile", make("euler"), guided, grid)
        == ""
    )
    assert why_not_executable("cuda-graph", make("euler"), Labelled(), grid) == ""


@pytest.mark.parametrize("sampler", ["heun", "ddpm", "auto"])
@pytest.mark.parametrize("model", [MODEL, Labelled()], ids=["gmm-2d", "labelled"])
def test_a_replaying_engine_gives_the_samples_and_the_counts_of_an_eager_one(
    sampler, model, monkeypatch
):
    monkeypatch.setattr(cuda_graphs, "CudaGraph", Again)
    eager = a_cell("eager", samplers=[sampler])
    once, each = Engine(model, replace(eager, execution="cuda-graph")), Engine(model, eager)
    for first in (0, 4, 100):
        ids = torch.arange(first, first + 4)
        replayed, run = (engine.sample(engine.bind(ids), ids) for engine in (once, each))
        torch.testing.assert_close(replayed.x, run.x, rtol=1e-12, atol=1e-12)
        assert replayed[1:] == run[1:]


def test_no_label_is_drawn_in_a_recording(monkeypatch):
    """Drawing may wait for the device."""

    class Draws(Labelled):
        recording = False

        def draw_labels(self, ids, seed):
            assert not Draws.recording
            return super().draw_labels(ids, seed)

    class Noted(Again):
        def capture(self, work):
            Draws.recording = True
            super().capture(work)
            Draws.recording = False
            return self.output

    monkeypatch.setattr(cuda_graphs, "CudaGraph", Noted)
    engine, ids = Engine(Draws(), a_cell()), torch.arange(4)
    assert engine.sample(engine.bind(ids), ids).x.shape == (4, 3)


def test_brownian_paths_are_those_of_the_batch(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "CudaGraph", Again)
    eager = a_cell("eager", samplers=["ddpm"], noise="brownian")
    once, each = Engine(MODEL, replace(eager, execution="cuda-graph")), Engine(MODEL, eager)
    for first in (0, 100):
        ids = torch.arange(first, first + 4)
        torch.testing.assert_close(
            *(engine.sample(engine.bind(ids), ids).x for engine in (once, each)),
            rtol=1e-12,
            atol=1e-12,
        )


def test_a_run_that_cannot_be_recorded_is_skipped(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "CudaGraph", Waits)
    engine, ids = Engine(MODEL, a_cell()), torch.arange(4)
    with pytest.raises(Failure, match="it waits for the device") as failure:
        engine.sample(engine.bind(ids), ids)
    assert failure.value.status == "skipped"


def test_one_recording_serves_all_parts_of_a_cell():
    cell, same = a_cell(), a_cell()
    assert engine_of(MODEL, cell) is engine_of(MODEL, cell)
    assert engine_of(MODEL, replace(cell, execution="eager")) is not engine_of(
        MODEL, replace(cell, execution="eager")
    )
    assert engine_of(MODEL, replace(same, batch_size=2)) is not engine_of(MODEL, cell)


@pytest.mark.parametrize(
    ("mode", "sizes"), [("eager", [4, 4, 2]), ("cuda-graph", [4, 4, 4]), ("compile", [4, 4, 4])]
)
def test_every_batch_has_one_shape_unless_it_is_eager(mode, sizes):
    parts = list(batches_of_shard(a_cell(mode), 0, 10))
    assert [len(ids) for ids, _, _ in parts] == sizes
    assert [(first, last) for _, first, last in parts] == [(0, 4), (4, 8), (8, 10)]


def test_what_is_timed_is_the_run_and_its_calls_of_the_model_on_what_it_showed_it(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "CudaGraph", Again)
    cell, ids = a_cell("eager"), torch.arange(4)
    plain, recorded = (
        prepare_timed_work(MODEL, replace(cell, execution=mode), ids, room=math.inf)
        for mode in ("eager", "cuda-graph")
    )
    torch.testing.assert_close(recorded.sample(), plain.sample(), rtol=1e-12, atol=1e-12)
    shown = []
    x, noise = first_states_and_noise(MODEL, cell, ids)
    bound = MODEL.bind(ids, cell.seed)
    cell.sampler.sample(lambda x, s: shown.append(bound(x, s)) or shown[-1], x, cell.grid, noise)
    assert torch.equal(plain.network(), shown[-1])
    assert plain.calls.count == recorded.calls.count == len(shown) == 7
    assert plain.calls.time_factor == 1.0
    assert plain.calls.bytes == 7 * x.numel() * x.element_size()
    assert recorded.network() is None


@pytest.mark.parametrize(("room", "kept"), [(1e9, 7), (300, 4), (200, 2), (1, 1)])
def test_where_there_is_no_room_for_all_states_those_that_are_kept_are_spread_over_the_run(
    room, kept
):
    cell, ids = a_cell("eager"), torch.arange(4)
    run = prepare_timed_work(MODEL, cell, ids, room=room)
    assert run.calls.count == 7
    assert run.calls.count / run.calls.time_factor == kept
    assert run.calls.bytes <= max(room, run.calls.bytes / kept)


@pytest.fixture
def programs(monkeypatch):
    """What has been compiled, without a compiler."""
    made = []

    def compiled(function, *, dynamic):
        assert dynamic is False
        made.append([])
        return lambda *args: made[-1].append(args) or function(*args)

    monkeypatch.setattr(torch, "compile", compiled)
    execution._compile_model.cache_clear()
    yield made
    execution._compile_model.cache_clear()


def test_the_network_is_compiled_once_below_guidance_and_counted(programs):
    guided, ids, cell = ClassifierFree(Labelled(), 2.0), torch.arange(4), a_cell("compile")
    for _ in range(2):
        engine = Engine(guided, cell)
        batch = engine.sample(engine.bind(ids), ids)
    (calls,) = programs
    assert len(calls) == 14, "two runs of seven evaluations, each of twice the rows"
    assert batch[1:] == (14, 7)
    eager = Engine(guided, replace(cell, execution="eager"))
    torch.testing.assert_close(
        batch.x, eager.sample(eager.bind(ids), ids).x, rtol=1e-12, atol=1e-12
    )


def test_a_program_is_given_tensors_only(programs):
    """A float would be a constant of the program: each noise level another compilation."""
    model = model_for_execution(Labelled(), "compile")
    for sigma in (2.0, torch.full((3,), 2.0, dtype=torch.float64)):
        model.denoise(torch.ones(3, 3), sigma, torch.arange(3))
    assert all(isinstance(argument, torch.Tensor) for call in programs[0] for argument in call)
    assert [call[1].tolist() for call in programs[0]] == [[2.0] * 3] * 2
    assert isinstance(Meter().attach(model).inner, Compiled), (
        "the counter is outside of the program"
    )
    assert model_for_execution(model, "eager") is model_for_execution(model, "cuda-graph") is model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_samples_are_those_of_the_plain_network():
    check_executions(["compile"], "cpu")
    model, shards = Labelled(), {}
    for mode in ("eager", "compile"):
        cell = replace(a_cell(mode), dtype="float32")
        shards[mode] = sample_shard(model, None, cell, 0, 10, "cpu", 0, 10, lambda n: None)
    torch.testing.assert_close(
        *(torch.from_numpy(shard["endpoint"]) for shard in shards.values()), rtol=1e-5, atol=1e-6
    )
    assert shards["compile"]["nfe"].tolist() == [7.0] * 3
    assert shards["compile"]["sizes"].tolist() == [4, 4, 2]


def milliseconds(work, repeats=50):
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


@cuda
@torch.no_grad()
@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_2m"])
def test_cuda_a_replay_of_one_sample_costs_no_more_than_its_evaluations(name):
    model = make_model("fashion").to("cuda")
    cell = replace(
        a_cell(samplers=[name], models=["fashion"], steps=[18]), device="cuda", batch_size=1
    )
    run = prepare_timed_work(model, cell, torch.arange(1, device="cuda"), room=math.inf)
    run.sample(), run.network()
    assert milliseconds(run.sample) <= 1.05 * milliseconds(run.network)


@cuda
@torch.no_grad()
@pytest.mark.parametrize("mode", ["cuda-graph", "compile", "compile+cuda-graph"])
def test_cuda_the_shipped_network_gives_the_same_samples_in_every_mode(mode):
    model, shards = make_model("fashion").to("cuda"), {}
    for which in ("eager", mode):
        cell = replace(a_cell(which, models=["fashion"], samplers=["ddpm"]), device="cuda")
        shards[which] = sample_shard(model, None, cell, 0, 10, "cuda", 0, 10, lambda n: None)
    torch.testing.assert_close(
        *(torch.from_numpy(shard["endpoint"]) for shard in shards.values()), rtol=1e-3, atol=1e-3
    )
