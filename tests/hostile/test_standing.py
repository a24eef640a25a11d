"""What ``status --changes`` says of a run directory before a run: which cells would be made again, and
why. One test for each cause.
"""

import json
import shutil
import sys
from dataclasses import replace
from unittest import mock

import pytest
from arena import digest, sealed
from quiet_runs import quiet_run, quiet_setup

from samplerbench.benchmarks.cli import main
from samplerbench.benchmarks.cli.common import console
from samplerbench.benchmarks.running import cell_states as outcomes
from samplerbench.benchmarks.running.cell_states import CellState, cell_states_of
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results.run_directory.run_dir import RunDir

SUITE = {
    "name": "small",
    "models": ["gmm-2d"],
    "samplers": ["euler", "heun"],
    "steps": [2],
    "samples": 32,
    "batch_size": 16,
    "reference_samples": 4,
    "converged_samples": 32,
    "keep": 2,
    "timing": {"enabled": False},
}


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """A finished run of two cells."""
    out = tmp_path_factory.mktemp("finished") / "run"
    quiet_run(check_suite(SUITE, "test"), out)
    return quiet_setup(check_suite(SUITE, "test"), out)


@pytest.fixture
def copy(setup, tmp_path):
    """What a run into a copy of it would work with."""
    shutil.copytree(setup.directory.path, tmp_path / "run")
    return replace(setup, directory=RunDir.open(tmp_path / "run"))


def told(setup):
    """State and reason of the cell of Euler, then of Heun; nothing is written."""
    before = digest(setup.directory.path)
    found = {each.sampler: (each.state, each.why) for each in cell_states_of(setup)}
    assert digest(setup.directory.path) == before
    return found["euler"], found["heun"]


def spoil(run, place, change):
    """Change what a sealed file says, under a seal that holds."""
    value = json.loads((run.path / place).read_text())
    seal = value.pop("seal")
    change(value)
    sealed(run.path / place, value, place, seal["made_by"])


def cell_of(run, sampler):
    """The key of a sampler's cell."""
    return next(key for key in run.cells() if f".{sampler}." in key)


def part(run, name, sampler="euler"):
    """The place of a part of a cell."""
    return f"parts/{cell_of(run, sampler)}/{name}"


FINE = ("up to date", "")


def test_a_finished_run_is_up_to_date(copy):
    assert told(copy) == (FINE, FINE)


def test_a_sampler_that_changed(copy):
    def other(made):
        next(iter(made["sampler"]["values"].values()))["numbers"][0] += 1.0

    spoil(copy.directory, part(copy.directory, "made.json"), other)
    (state, why), heun = told(copy)
    assert (state, heun) == ("changed", FINE)
    assert why.startswith("the sampler is another one: its ")
    assert why.endswith(("differ", "differs"))


@pytest.mark.parametrize("kind", ["model", "extractor"])
def test_a_model_or_an_extractor_that_changed(copy, kind):
    run, other = copy.directory, "0" * 12
    (record,) = (made for made in run.fingerprints().values() if made["kind"] == kind)
    weights = record | {"exact": record["exact"] | {"file w.pt": "1" * 12}}
    sealed(run.path / f"made/{other}.json", weights, f"made/{other}.json")
    spoil(run, part(run, "made.json"), lambda made: made.update({kind: other}))
    assert told(copy) == (("changed", f"the {kind} is another one: w.pt is no longer read"), FINE)


def test_a_made_json_that_is_gone(copy):
    (copy.directory.path / part(copy.directory, "made.json")).unlink()
    (state, why), heun = told(copy)
    assert (state, heun) == ("changed", FINE)
    assert "nothing says what made it" in why


def test_samples_that_are_missing(copy):
    for shard in (copy.directory.path / part(copy.directory, "x")).parent.glob("*-*.npz"):
        shard.unlink()
    assert told(copy)[0] == ("missing", "0 of 32 samples are there")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda q: q["metrics"].update(frechet="0"), "metric frechet has another version"),
        (lambda q: q["metrics"].pop("frechet"), "metric frechet is new"),
        (lambda q: q["asked"].update(converged_samples=7), "scored with other converged samples"),
    ],
    ids=["version", "new", "asked"],
)
def test_scores_that_would_be_others(copy, change, words):
    spoil(copy.directory, part(copy.directory, "quality.json"), change)
    assert told(copy) == (("to be scored", words), FINE)


def test_a_cell_that_failed(copy):
    run, (cell, _) = copy.directory, copy.cells
    run.write(
        cell.key,
        "quality.json",
        {
            "status": "failed",
            "reason": "because",
            "attempt": outcomes._failure_inputs(cell),
        },
    )
    assert told(copy)[0] == ("failed", "failed: because")


def test_a_cell_that_comes_back(copy):
    copy.directory.set_aside(cell_of(copy.directory, "euler"), "other code")
    assert told(copy)[0][0] == "restorable"


def test_a_cell_that_the_last_run_did_not_ask_for(copy):
    asked = replace(copy, cells=[cell for cell in copy.cells if cell.label == "heun"])
    euler, heun = told(asked)
    assert (euler, heun) == (FINE, FINE)
    spoil(
        copy.directory,
        part(copy.directory, "cell.json"),
        lambda record: record.update(sampler="gone"),
    )
    found = {each.cell: each.state for each in cell_states_of(asked)}
    assert found[cell_of(copy.directory, "euler")] == "not requested"


def test_cell_states__a_row_of_another_feature_space_is_up_to_date(copy, tmp_path):
    (tmp_path / "squares.py").write_text("def make():\n    return lambda x: x.float() ** 2\n")
    squares = check_suite(SUITE | {"extractor": f"{tmp_path / 'squares.py'}:make"}, "test")
    setup = quiet_setup(squares, copy.directory.path)
    requested = {cell.key for cell in setup.cells}
    found = {each.cell: (each.state, each.why) for each in cell_states_of(setup)}
    assert {found[cell.key] for cell in copy.cells} == {FINE}
    assert {found[key][0] for key in requested} == {"missing"}
    assert len(found) == 4


def test_cell_states__no_row_of_a_run_older_than_checksums_is_up_to_date(copy):
    requested = replace(copy, cells=[cell for cell in copy.cells if cell.label == "heun"])
    with mock.patch.object(RunDir, "predates_checksums", True):
        assert [state for state, _ in told(requested)] == ["changed", "changed"]


def said(arguments, monkeypatch, capsys):
    """What the command line says, and its code."""
    monkeypatch.setattr(sys, "argv", ["samplerbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code, capsys.readouterr()


def test_the_command_says_it(copy, monkeypatch, capsys):
    run = copy.directory
    spoil(run, part(run, "quality.json"), lambda q: q["metrics"].update(frechet="0"))
    code, told = said(["status", run.path, "--changes"], monkeypatch, capsys)
    assert code == 0
    assert told.out.startswith("2 cells: 1 to be scored, 1 up to date\n")
    words = " ".join(told.out.split())
    assert "gmm-2d: to be scored: euler steps=2: metric frechet has another version" in words
    code, told = said(["status", run.path, "--changes", "--json"], monkeypatch, capsys)
    assert {row["state"] for row in json.loads(told.out)} == {"to be scored", "up to date"}


def test_a_run_that_names_python_is_not_looked_at_unasked(copy, monkeypatch, capsys):
    evil = copy.directory.path.parent / "evil.py"
    evil.write_text(f"open({str(evil.with_suffix('.ran'))!r}, 'w')\n")
    spoil(
        copy.directory,
        "run.json",
        lambda run: run["suite"].update(models=[{"name": f"{evil}:make"}]),
    )
    code, told = said(["status", copy.directory.path, "--changes"], monkeypatch, capsys)
    assert code == 2
    assert "which would run; look at it, and add --trust-suite" in told.err
    assert not evil.with_suffix(".ran").exists()


def test_ten_thousand_cells_are_a_screen(copy, monkeypatch, capsys):
    many = [
        CellState(f"c{n}", "gmm-2d", "heun", n, "changed", f"the sampler is another one, {n % 100}")
        for n in range(10_000)
    ]
    place = "samplerbench.benchmarks.running.cell_states.cell_states_of"
    with mock.patch(place, return_value=many), mock.patch.object(console.out, "_width", 80):
        _, told = said(["status", copy.directory.path, "--changes"], monkeypatch, capsys)
    lines = told.out.splitlines()
    assert len(lines) <= 100
    del lines[lines.index("Next:") :]  # commands to copy are not wrapped
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "  and 60 more kinds; --json prints each cell"
    assert "and 97 more" in told.out
