"""A finished run asked again leaves its directory as it is, and still finds what is damaged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from new_runs import new_run
from test_resume import run, small

from samplerbench.benchmarks.running.progress import ProgressReporter
from samplerbench.benchmarks.running.provenance import provenance
from samplerbench.benchmarks.suites.suite import Suite
from samplerbench.results.run_directory.file_cache import RunFileCache
from samplerbench.results.run_directory.layout import INFLUENCE, QUALITY
from samplerbench.results.run_directory.run_dir import RunDir

DAMAGES = {
    "bit": lambda data: (
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
    ),
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
}


def suite(**changes) -> Suite:
    return small(samplers=["euler", "heun"], **changes)


def contents(out):
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_run_json_stays_that_of_the_run_that_computed_something(tmp_path):
    run(suite(), tmp_path)
    before = contents(tmp_path)
    run(suite(), tmp_path)
    assert contents(tmp_path) == before, "the moment alone is no news"
    run(small(samplers=["ddim"]), tmp_path)
    record = RunDir.open(tmp_path).read_run()
    assert record["suite"]["samplers"] == ["ddim"]
    assert len(record["earlier"]) == 1


def test_provenance__names_the_commit_of_the_checkout_that_runs():
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        pytest.skip("an installed package has no commit")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
    )
    state = provenance("cpu")["git"]
    assert state["commit"] == head.stdout.strip()
    assert isinstance(state["dirty"], bool)


def test_run_json_is_written_before_anything_else(tmp_path, monkeypatch):
    run(suite(), tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    next(tmp_path.glob(f"parts/*/{QUALITY}")).unlink()
    written, write = [], RunFileCache.write
    monkeypatch.setattr(
        RunFileCache,
        "write",
        lambda self, place, *rest: written.append(Path(place).name) or write(self, place, *rest),
    )
    monkeypatch.setattr(
        "samplerbench.benchmarks.running.provenance.NOISE", "as before, at another moment"
    )
    run(suite(), tmp_path)
    assert written[0] == "run.json"
    assert QUALITY in written
    assert (tmp_path / "run.json").read_bytes() != before


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [QUALITY, INFLUENCE])
def test_a_damaged_part_of_a_finished_run_is_made_again(tmp_path, damage, name):
    run(suite(), tmp_path)
    part = sorted(tmp_path.glob(f"parts/*/{name}"))[0]
    before = part.read_bytes()
    part.write_bytes(DAMAGES[damage](before))
    run(suite(), tmp_path)
    assert part.read_bytes() == before
    assert list((tmp_path / "set-aside" / "damaged").iterdir())


def test_nothing_is_remembered_between_two_looks(tmp_path):
    directory = new_run(tmp_path)
    directory.plan("c", {"model": "m"})
    with directory.lock():
        directory.write("c", QUALITY, {"status": "ok"})
        assert directory.read("c", QUALITY) == {"status": "ok"}
        directory.write("c", QUALITY, {"status": "failed"})
        assert directory.read("c", QUALITY) == {"status": "failed"}
        directory.delete("c", QUALITY)
        assert directory.read("c", QUALITY) is None
        directory.write("c", QUALITY, {"status": "ok"})
        assert directory.read("c", QUALITY)
    part = directory.part_path("c", QUALITY)
    part.write_bytes(part.read_bytes().replace(b'"ok"', b'"OK"'))
    assert directory.read("c", QUALITY) is None
    with directory.lock():
        assert directory.read("c", QUALITY) is None


def test_progress__a_shard_that_scoring_finds_damaged_is_no_further_cell(tmp_path, monkeypatch):
    run(suite(), tmp_path)
    influence = sorted(tmp_path.glob(f"parts/*/{INFLUENCE}"))[0]
    shard = next(influence.parent.glob("*-*.npz"))
    before, ended = shard.read_bytes(), []
    influence.write_bytes(DAMAGES["half"](influence.read_bytes()))
    shard.write_bytes(DAMAGES["half"](before))
    end_cell = ProgressReporter.end_cell

    def spy(self, cell):
        end_cell(self, cell)
        ended.append(self.state_in_words())

    monkeypatch.setattr(ProgressReporter, "end_cell", spy)
    run(suite(), tmp_path)
    assert shard.read_bytes() == before
    assert {words.partition(",")[0] for words in ended} == {"0/0 cells"}
