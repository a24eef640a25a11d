"""What a run costs where cells cost nothing: counts of what takes time, not seconds; and what a run
that has nothing to do still notices.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from collections import Counter

import pytest
from quiet_runs import quiet_run
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.perf.tiny_cells import EACH, SAMPLERS, suite
from samplerbench.benchmarks.running.executing import tasks
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results.run_directory import contents
from samplerbench.results.run_directory.disk import behind, unchanged
from samplerbench.results.run_directory.places import INFLUENCE, MADE, QUALITY

COUNTED = {
    "written": (behind, "write_part"),
    "fingerprints": (tasks, "sampler_fingerprint"),
    "shards": (tasks, "sample_shard"),
    "parsed": (contents, "open_json"),
    "archives": (contents, "open_npz"),
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """The folder of a run of tiny cells, and how often each thing was done, and the second time."""
    out, counts = tmp_path_factory.mktemp("tiny") / "run", (Counter(), Counter())
    asked = check_suite(tomllib.loads(suite(EACH)), "tiny")
    for count in counts:
        with pytest.MonkeyPatch.context() as patch:
            for name, (module, function) in COUNTED.items():
                patch.setattr(module, function, _counting(getattr(module, function), count, name))
            table = quiet_run(asked, out)
        assert list(table.frame["status"]) == ["ok"] * EACH
    return out, *counts


def _counting(function, count, name):
    def call(*args, **options):
        count[name] += 1
        return function(*args, **options)

    return call


def test_a_tiny_cell_takes_five_files_that_wait_for_no_disk_and_one_fingerprint(counted):
    _, first, _ = counted
    assert first["shards"] == EACH
    # cell, made, shard, quality, influence: all of them behind the run's back
    assert first["written"] == 5 * EACH
    assert first["fingerprints"] <= EACH
    # what was written just now is known, so that only what is not there is looked for
    assert first["parsed"] <= 4 * EACH + 20
    assert first["archives"] <= 3 * EACH + 20


def test_a_finished_cell_is_looked_at_once(counted):
    _, _, again = counted
    assert not again["written"]
    assert not again["shards"]
    assert again["parsed"] <= 4 * EACH + 20
    assert again["archives"] <= 3 * EACH + 20  # two of them pictures, which are not there


RUN = (
    "run smoke --model gmm-2d --sampler euler --sampler heun --nfe 5,9 --samples 64 --no-timing "
    "--no-isolation --out {out}"
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run by the command line, which finds nothing to do when it is asked again."""
    out = tmp_path_factory.mktemp("finished") / "run"
    first = CliRunner().invoke(app, RUN.format(out=out).split())
    assert first.exit_code == 0, first.output
    return out


@pytest.fixture
def nothing_is_loaded(monkeypatch):
    """A run that gets as far as to load models fails."""

    def refuse(*_args, **_options):
        raise AssertionError("it loads models")

    monkeypatch.setattr("samplerbench.benchmarks.running.setup.set_up", refuse)


@pytest.mark.usefixtures("nothing_is_loaded")
def test_a_finished_run_asked_again_loads_nothing_and_says_what_it_said(finished):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    again = CliRunner().invoke(app, RUN.format(out=finished).split())
    assert again.exit_code == 0, again.output
    assert "Nothing to do: 4 cells are as the same command left them." in again.output
    assert "fid_proxy by NFE budget" in again.output
    assert f"Report: {finished / 'report.html'}" in "".join(again.output.split("\n"))
    assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize(
    "more", [["--retry"], ["--samples", "65"], ["--seed", "1"], ["--nfe", "5"]]
)
def test_another_question_is_no_repetition(finished, more):
    asked = CliRunner().invoke(app, [*RUN.format(out=finished).split(), *more])
    assert isinstance(asked.exception, AssertionError), asked.output


FILES = {
    "quality": f"parts/*/{QUALITY}",
    "made": f"parts/*/{MADE}",
    "influence": f"parts/*/{INFLUENCE}",
    "reference": "reference/*.npz",
    "maker": "made/*.json",
    "pictures": "samples/*.npz",
    "run.json": "run.json",
    "table": "table.csv",
    "parquet": "table.parquet",
    "page": "report.html",
}


@pytest.mark.parametrize("pattern", FILES.values(), ids=FILES)
def test_a_bit_that_flips_is_noticed_whatever_the_times_of_the_file_say(
    finished, tmp_path, pattern
):
    out = shutil.copytree(finished, tmp_path / "run")
    assert unchanged.state_of(out) == unchanged.state_of(finished) != ""
    path = next(out.glob(pattern))
    data, about = bytearray(path.read_bytes()), path.stat()
    for place in (len(data) // 2, len(data) - 3, 20):
        data[place] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
        assert unchanged.state_of(out) != unchanged.state_of(finished)
        data[place] ^= 1
    path.write_bytes(data)
    assert unchanged.state_of(out) == unchanged.state_of(finished)


def test_what_is_gone_added_or_of_another_place_is_noticed(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "run")
    whole = unchanged.state_of(out)
    one, other = sorted(out.glob(f"parts/*/{QUALITY}"))[:2]
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())  # sound, and of another cell
    assert unchanged.state_of(out) == ""
    one.write_bytes(kept)
    assert unchanged.state_of(out) == whole
    shard = next(path for path in one.parent.glob("0*.npz"))
    moved = shard.rename(tmp_path / "shard.npz")
    assert unchanged.state_of(out) != whole
    moved.rename(shard)
    (out / "claims").mkdir()  # another process is at work, or was killed
    assert unchanged.state_of(out) == ""
    (out / "claims").rmdir()
    (out / "parts" / "link").symlink_to(tmp_path)
    assert unchanged.state_of(out) == ""


def test_other_code_or_another_library_is_no_repetition(finished, monkeypatch):
    question = unchanged.question_of("smoke", {})
    state = unchanged.state_of(finished)
    here = unchanged._with_code(question, state)
    assert here == unchanged._with_code(question, state)
    monkeypatch.setattr(unchanged, "packages", lambda: {"torch": "0"})
    assert unchanged._with_code(question, state) != here
    monkeypatch.undo()
    read = unchanged._hash
    monkeypatch.setattr(
        unchanged, "_hash", lambda path: "edited" if path.endswith("euler.py") else read(path)
    )
    assert unchanged._with_code(question, state) != here


def test_the_question_is_the_text_of_the_suite_and_the_options(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(suite(EACH))
    first = unchanged.question_of(str(file), {"seed": 1})
    assert first == unchanged.question_of(str(file), {"seed": 1})
    assert first != unchanged.question_of(str(file), {"seed": 2})
    file.write_text(suite(2 * EACH))
    assert first != unchanged.question_of(str(file), {"seed": 1})


def test_tiny_cells_are_as_many_as_asked_for():
    asked = check_suite(tomllib.loads(suite(10_000)), "tiny")
    assert len(asked.schedules) * len(asked.steps) * len(SAMPLERS) == 10_000
