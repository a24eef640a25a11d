"""The pass on a GPU, executed whole on a stand-in for one."""

import ast
from pathlib import Path

import coverage
import pytest
from rich.console import Console
from stand_in import CARD, stand_in

from samplerbench.benchmarks import sampling, timing
from samplerbench.benchmarks.running import runner
from samplerbench.benchmarks.running.setup import set_up
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.benchmarks.timing.clock import make_frequency_reader
from samplerbench.benchmarks.timing.gpu_state import Gpu
from samplerbench.results.result_table import load
from samplerbench.results.run_directory.files import read_json

SUITE = {
    "name": "gpu-dry",
    "device": "cuda",
    "models": ["gmm-2d"],
    "samplers": ["euler", "heun", "ddpm"],
    "nfe": [4],
    "samples": 4,
    "batch_size": 4,
    "keep": 0,
    "reference_samples": 2,
    "converged_samples": 8,
    "execution": ["eager", "cuda-graph"],
    "timing": {
        "batch_size": [4, 1],
        "seconds": 20.0,
        "max_rounds": 6,
        "energy_seconds": 0.01,
        "sweep": 2,
        "minutes": 5.0,
    },
}
FILES = [
    path
    for package in (sampling, timing)
    for path in sorted(Path(package.__file__).parent.glob("*.py"))
    if path.name != "sm_counters.py"  # a kernel: Triton compiles it
]
WHOLE, PARTS = ("gpu_state.py",), ("make_frequency_reader", "_clock_of_counters", "mhz")
"""Files, and functions of other files, that nothing but CUDA reaches."""


@pytest.fixture(scope="module")
def dry_run(tmp_path_factory):
    """The folder of a run on the stand-in, and the lines that it executed, by file."""
    folder = tmp_path_factory.mktemp("gpu") / "run"
    seen = coverage.Coverage(data_file=None, include=[str(path) for path in FILES])
    seen.start()
    try:
        with stand_in():
            suite = check_suite(SUITE, "gpu-dry")
            runner.run(set_up(suite, folder, device="cuda", console=Console(quiet=True)))
        with stand_in(counters=False):
            assert make_frequency_reader(Gpu.of_current_device()).mhz() == 1500
            assert make_frequency_reader(None) is None
    finally:
        seen.stop()
    lines = {}
    for path in FILES:
        _, executable, missing, _ = seen.analysis(str(path))
        lines[path] = set(executable), set(executable) - set(missing)
    return folder, lines


@pytest.mark.slow
def test_the_whole_pass_runs_on_a_gpu_that_is_none(dry_run):
    folder, _ = dry_run
    frame = load(folder).frame
    assert set(frame["status"]) == {"ok"}
    assert set(frame["execution"]) == {"eager", "cuda-graph"}
    assert (frame["timing_flag"].fillna("") == "").all()
    assert (frame["peak_memory_mb"] == 1024).all()
    assert (frame["joules_per_sample"] > 0).all()
    parts = [read_json(path) for path in sorted(folder.glob("parts/*/timing-1.json"))]
    assert len(parts) == 6
    for part in parts:
        assert part["timing_device_name"] == CARD
        assert part["timing_second_clock"] == "SM cycles"
        assert part["raw_second"] == pytest.approx(
            [1.5e6 * ms for ms in part["raw_total_ms"]], rel=0.05
        )
        assert part["launches_per_step"] > 0
        assert part["cold_ms_per_sample"] > 0
        assert (part["timing_tf32"], part["timing_cudnn_benchmark"]) == (False, False)
    assert (folder / "throughput.csv").is_file()


def only_on_cuda(path):
    """Lines in functions of a file that only CUDA reaches: all of some files, and elsewhere what
    depends on the device.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    found = set()
    for function in functions:
        is_for_cuda = path.name in WHOLE or function.name in PARTS or "gpu" in function.name
        if is_for_cuda or _returns_early(function):
            found.update(*map(_span, function.body))
        for node in ast.walk(function):
            if isinstance(node, ast.If) and _asks_for_cuda(node.test):
                found.update(*map(_span, node.body))
    return found


def _asks_for_cuda(test):
    text = ast.unparse(test)
    return ("cuda" in text or "gpu" in text or "captures(" in text) and "not " not in text


def _returns_early(function):
    """Whether a function begins with what it does elsewhere."""
    first = next((node for node in function.body if isinstance(node, ast.If)), None)
    return first is not None and "!= 'cuda'" in ast.unparse(first.test)


def _span(node):
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


@pytest.mark.slow
def test_nine_in_ten_lines_that_only_cuda_reaches_are_executed(dry_run, capsys):
    _, lines = dry_run
    told, executed, all_of_them = [], 0, 0
    for path, (executable, ran) in lines.items():
        here = only_on_cuda(path) & executable
        executed, all_of_them = executed + len(here & ran), all_of_them + len(here)
        if here:
            missed = ", ".join(map(str, sorted(here - ran))) or "none"
            told.append(
                f"{path.parent.name}/{path.name}: {len(here & ran)}/{len(here)}, missed {missed}"
            )
    with capsys.disabled():
        print("", *told, f"only CUDA reaches {all_of_them} lines, {executed} ran", sep="\n")
    assert all_of_them > 50
    assert executed >= 0.9 * all_of_them
