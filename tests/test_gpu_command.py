"""``make gpu`` on a stand-in for a card: what it writes, and that it goes on."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "timing"))

from stand_in import stand_in

from samplerbench.benchmarks.cli import main
from samplerbench.benchmarks.perf import gpu
from samplerbench.results.result_table import load

SMALL = [
    "--model",
    "gmm-2d",
    "--steps",
    "2",
    "--batch-size",
    "2",
    "--samples",
    "2",
    "--converged-samples",
    "8",
    "--no-isolation",
]


@pytest.fixture
def called(tmp_path, monkeypatch):
    """The commands that it ran, in this process: of the suite, a small part."""
    calls = []
    monkeypatch.setattr(gpu, "WORK", tmp_path / "work")

    def call(arguments, output, seconds):
        calls.append(arguments)
        if output:
            output.write_text("7 passed\n")
            return 0
        monkeypatch.setattr(sys, "argv", ["samplerbench", *arguments[2:], *SMALL])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0

    return calls, call


def test_without_a_card_it_says_so(capsys):
    assert gpu.main([]) == 2
    assert "torch sees no NVIDIA card here" in capsys.readouterr().err


def test_what_is_missing_is_said_with_the_remedy(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "find_spec", lambda name: None if name == "pydantic" else object())
    monkeypatch.setattr(gpu, "WHEELS", gpu.ROOT / "build" / "none")
    assert gpu.main([]) == 2
    assert "pydantic cannot be imported here; install what is missing, or run make gpu-wheels" in (
        capsys.readouterr().err
    )


@pytest.mark.slow
def test_one_small_folder_that_a_report_can_be_made_of(called, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "TURNS", (("euler", "heun"),))
    calls, call = called
    out = tmp_path / "out"
    with stand_in(call_ms=5.0):
        assert gpu.main(["--minutes", "1", "--out", str(out)], call) == 0
    names = {path.name for path in out.iterdir()}
    assert names >= {"table.csv", "run.json", "cuda-tests.txt", "machine.json", "run.tar.gz"}
    assert len(names) <= 8
    frame = load(out).frame
    assert set(frame["sampler"]) >= {"euler", "heun"}
    assert (frame["ms_per_sample"] > 0).any()
    assert "cuda" in calls[0]
    # on another machine, with the folder and nothing else
    monkeypatch.setattr(gpu, "WORK", tmp_path / "elsewhere")
    with stand_in(call_ms=5.0):
        assert gpu.main(["--minutes", "1", "--out", str(out)], call) == 0
    again = load(out).frame
    key = ["sampler", "steps", "execution"]
    before = frame.set_index(key)["ms_per_sample"]
    assert (again.set_index(key)["ms_per_sample"].reindex(before.index) == before).all()
