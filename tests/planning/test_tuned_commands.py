"""Commands that tune: those that a failing run prints, and what ``samplerbench tune`` prints."""

import json
import re
import shlex
import sys
from types import SimpleNamespace

import pytest
from tuned_home import TUNE, cells, fails, invoke
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app, main
from samplerbench.benchmarks.planning.model_loading import load_model
from samplerbench.benchmarks.planning.remedy import plugin_arguments, tuning_hint
from samplerbench.benchmarks.planning.tuned_file import read_tuned, write_tuned
from samplerbench.benchmarks.planning.tuned_schedule import UntunedError
from samplerbench.results.result_table import load
from samplerbench.samplers import make
from samplerbench.samplers.peers import set_peers_path

MINE = """
import torch
from dataclasses import dataclass
from samplerbench.samplers import LinearMultistep, LinearRow, Source


@dataclass(frozen=True, kw_only=True)
class Mine(LinearMultistep):
    name, order, source = "mine", 1, Source("test", "nowhere", "https://example.org")

    def plan(self, grid):
        return [LinearRow(cur, a=nxt / cur, b=(1 - nxt / cur,)) for cur, nxt in grid.intervals()]


class Model:
    event, sigma_min, sigma_max, scale = (2,), 0.002, 80.0, 1.0

    def __call__(self, x, sigma):
        sigma = sigma[:, None] if isinstance(sigma, torch.Tensor) else sigma
        return x.tanh() / (1 + sigma**2)


def make(scale):
    return Model()
"""
"""A sampler, and a model with a parameter that only a solver can follow."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("axes", "commands"),
    [
        # heun jumps at 2
        (
            "--model gmm-2d --nfe 1,2,4 --sampler euler --sampler heun --sampler ddpm "
            "--schedule karras",
            2,
        ),
        ("--model gmm-2d --steps 1,2 --sampler heun --sampler dpmpp_2m(analytic_first=True)", 1),
        (
            "--model my folder/mine.py:make(scale=2.0) --nfe 3 --sampler mine --sampler "
            "auto --schedule karras --plugin my folder/mine.py",
            1,
        ),
    ],
)
def test_the_command_that_a_failing_run_prints_makes_it_run(
    home, tmp_path, axes, commands, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("samplerbench.benchmarks.api.HOLDOUTS", ("gaussian",))
    (tmp_path / "my folder").mkdir()
    (tmp_path / "my folder" / "mine.py").write_text(MINE)
    words = axes.replace("my folder", "my_folder").split()
    run = [
        "run",
        "quick",
        *(word.replace("my_folder", "my folder") for word in words),
        "--schedule",
        "tuned(file='n.json')",
    ]
    run += ["--samples", "8", "--no-timing", "--device", "cpu", "--out", "run"]
    monkeypatch.setattr(sys, "argv", ["samplerbench", *run])
    with pytest.raises(SystemExit):
        main()
    pasted = capsys.readouterr().err.strip().partition("make it with: ")[2].split(" && ")
    assert len(pasted) == commands
    for command in pasted:
        done = CliRunner().invoke(
            app, [*shlex.split(command)[1:], "--latents", "8", "--test-latents", "8"]
        )
        assert done.exit_code == 0, (command, done.output, done.exception)
    assert CliRunner().invoke(app, run).exit_code == 0
    assert set(load("run").frame.status) == {"ok"}


@pytest.mark.slow
def test_the_command_keeps_to_the_way_in_which_the_file_was_tuned(home, monkeypatch):
    """Else ``compare --tuned`` would refuse the rows.

    What is there stays, so only the new entry is searched for.
    """
    write_tuned(home / "way.json", [])
    assert (
        invoke(
            f"{TUNE} --out way.json --objective rms --seed 3".replace("--sampler dpmpp_2m ", "")
        ).exit_code
        == 0
    )
    (before,) = read_tuned(home / "way.json")
    with pytest.raises(ValueError, match="make it with") as error:
        cells(samplers=["euler", "ipndm"], schedules=["tuned(file='way.json')"])
    command = str(error.value).partition("make it with: ")[2]
    assert CliRunner().invoke(app, shlex.split(command)[1:]).exit_code == 0
    first, second = read_tuned(home / "way.json")
    assert first == before
    assert second.setting == before.setting
    assert len(cells(samplers=["euler", "ipndm"], schedules=["tuned(file='way.json')"])) == 2


def test_a_sampler_without_coefficients_is_tuned_by_its_levels_in_a_file_of_coefficients(home):
    """The command that was printed for it failed: heun has no coefficients to tune."""
    (entry, *_) = read_tuned(home / "tuned.json")
    setting = entry.setting.model_copy(update={"what": "coefficients"})
    missing = UntunedError(
        "it is missing", "c.json", (entry.model_copy(update={"setting": setting}),)
    )
    made = [make("ipndm"), make("heun")]
    words = tuning_hint(missing, load_model("gmm-2d"), made, [4], None)
    both, alone = words.split(" && ")
    assert "--sampler ipndm --steps 4 --what coefficients" in both
    assert "--sampler heun --steps 4 --objective" in alone


def test_another_model_is_tuned_in_the_same_way_but_for_where_it_is_scored_too(home):
    with pytest.raises(
        ValueError, match=re.escape("--latents 16 --test-latents 8 --seed 0 --out tuned.json")
    ):
        cells(models=["gaussian"])


def test_peers_from_clones_are_loaded_by_the_command(tmp_path):
    try:
        set_peers_path(tmp_path)
        assert plugin_arguments([SimpleNamespace(name="edm:heun"), make("heun")]) == [
            "--peers-path",
            str(tmp_path),
        ]
        assert plugin_arguments([make("heun")]) == []
    finally:
        set_peers_path(None)


def test_a_file_that_cannot_be_written_is_known_before_the_search(home, monkeypatch, capsys):
    (home / "locked.json").write_text('{"tuned": []}')
    (home / "locked.json").chmod(0o444)
    assert "cannot write locked.json" in fails(f"{TUNE} --out locked.json", monkeypatch, capsys)
    assert "there is no folder" in fails(f"{TUNE} --out nowhere/tuned.json", monkeypatch, capsys)


@pytest.mark.slow
def test_the_command_that_it_prints_runs(home):
    done = invoke(f"{TUNE} --out tuned.json")
    command = done.stdout.partition("samplerbench ")[2]
    assert (
        CliRunner()
        .invoke(app, [*shlex.split(command), "--no-timing", "--samples", "20", "--out", "printed"])
        .exit_code
        == 0
    )


def test_the_command_lists_and_resumes(home):
    before = (home / "tuned.json").read_bytes()
    done = invoke(f"{TUNE} --out tuned.json --json")
    assert [entry["name"] for entry in json.loads(done.stdout)] == ["euler", "dpmpp_2m"]
    assert (home / "tuned.json").read_bytes() == before
    shown = invoke(f"{TUNE} --out tuned.json").stdout
    assert "dpmpp_2m" in shown
    assert "elsewhere: the same on gaussian" in shown


def test_the_command_shows_how_well_the_teacher_is_known(home):
    """Exact endpoints are.

    Of others, the worst share of an error that they measure, and a sentence where that is too much.
    """
    entry = read_tuned(home / "tuned.json")[0]
    assert "exact" in invoke(f"{TUNE} --out tuned.json").stdout
    for share, said in ((0.004, False), (0.03, True)):
        test = entry.test.model_copy(update={"resolution": share * entry.test.tuned.rms})
        write_tuned(home / "taught.json", [entry.model_copy(update={"test": test})])
        shown = invoke(f"{TUNE.replace(' --sampler dpmpp_2m', '')} --out taught.json").stdout
        assert f"{share:.2%}" in shown
        assert (
            "Endpoints are less accurate than 1% of the error of euler" in " ".join(shown.split())
        ) == said


def test_more_steps_than_coefficients_are_tuned_for_get_their_levels_from_a_command_of_their_own(
    home,
):
    """One command asked for coefficients of all sizes, and tune refused it."""
    (entry, *_) = read_tuned(home / "tuned.json")

    def words(what, counts):
        setting = entry.setting.model_copy(update={"what": what})
        some = (entry.model_copy(update={"setting": setting}),)
        missing = UntunedError("it is missing", "c.json", some)
        return tuning_hint(missing, load_model("gmm-2d"), [make("unipc_2")], counts, None)

    few, many = words("coefficients", [4, 40]).split(" && ")
    assert "--steps 4 --what coefficients" in few
    assert "--steps 40 --objective" in many
    few, many = words("ratios", [2, 4]).split(" && ")
    assert "--steps 4 --what ratios" in few
    assert "--steps 2 --objective" in many
