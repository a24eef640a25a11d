"""The schedule ``tuned``: from the file to runs and comparisons, for each model, sampler and
number of steps its own grid or a sentence.
"""

import json
import os
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app, main
from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.planning.remedy import loading
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.planning.tuned.file import read_tuned, write_tuned
from samplerbench.benchmarks.scoring.references import load_references
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.results.comparison.entries import read_source
from samplerbench.results.comparison.pairing import match_cells
from samplerbench.results.result_table import ResultTable, load
from samplerbench.results.table.curves import with_curves
from samplerbench.samplers import make
from samplerbench.samplers.peers import set_peers_path

TUNE = (
    "tune --model gmm-2d --sampler euler --sampler dpmpp_2m --nfe 4 --latents 16 "
    "--test-latents 8 --holdout-model gaussian"
)
WAY = "--objective mean --latents 16 --test-latents 8 --seed 0 --holdout-model gaussian"
RUN = "run quick --model gmm-2d --nfe 4 --samples 40 --no-timing --device cpu"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with ``tuned.json``, and a run of two samplers, tuned and not, by commands."""
    folder, before = tmp_path_factory.mktemp("home"), os.getcwd()
    os.chdir(folder)
    for command in (
        f"{TUNE} --out tuned.json",
        f"{RUN} --sampler euler --sampler dpmpp_2m --schedule karras --schedule tuned --out r",
    ):
        done = CliRunner().invoke(app, command.split())
        assert done.exit_code == 0, done.output
    yield folder
    os.chdir(before)


def invoke(command):
    return CliRunner().invoke(app, command.split(), env={**os.environ, "COLUMNS": "80"})


def fails(command, monkeypatch, capsys):
    """What the command says when it ends with exit code 2."""
    monkeypatch.setattr(sys, "argv", ["samplerbench", *command.split()])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def cells(**change):
    base = {
        "name": "t",
        "models": ["gmm-2d"],
        "samplers": ["euler"],
        "schedules": ["tuned"],
        "nfe": [4],
        "samples": 4,
    }
    suite = check_suite({**base, **change}, "t")
    models = load_models(suite)
    return plan(suite, models, load_references(models))


def test_each_sampler_gets_its_own_levels(home):
    entries = {entry.subject.sampler: entry for entry in read_tuned(home / "tuned.json")}
    found = {cell.sampler.name: cell.grid.sigma for cell in cells(samplers=["euler", "dpmpp_2m"])}
    assert found == {name: entry.levels for name, entry in entries.items()}
    assert found["euler"] != found["dpmpp_2m"]


def retuned(entry):
    """The entry with other levels: a tenth lower between the ends."""
    return entry.model_copy(
        update={"levels": (entry.levels[0], *(0.9 * level for level in entry.levels[1:-1]), 0.0)}
    )


def test_a_cell_is_pinned_to_the_levels_of_its_own_entry(home, tmp_path):
    """What the file has for others leaves it as it is, and so does what the entry cost.

    Other levels are another cell.
    """
    file = tmp_path / "t.json"
    euler, other = read_tuned(home / "tuned.json")
    dearer = euler.model_copy(update={"search": euler.search.model_copy(update={"seconds": 1e6})})
    found = []
    for entries in ((euler,), (euler, other), (other, dearer), (retuned(euler), other)):
        write_tuned(file, entries)
        (cell,) = cells(schedules=[f"tuned(file='{file}')"])
        found.append((cell.key, cell.record(""), cell.facts["tuning_digest"]))
    assert found[0] == found[1] == found[2]
    assert found[0][1] == found[3][1]
    assert len({(key, digest) for key, _, digest in found}) == 2
    assert {key for key, *_ in found}.isdisjoint(cell.key for cell in cells(schedules=["karras"]))


def test_levels_that_were_read_stay_those_that_are_pinned(home, tmp_path):
    file = tmp_path / "t.json"
    euler = read_tuned(home / "tuned.json")[0]
    write_tuned(file, [euler])
    read = (
        make_schedule(f"tuned(file='{file}')")
        .for_model(make_model("gmm-2d"))
        .for_sampler(make("euler"))
    )
    write_tuned(file, [retuned(euler)])
    assert (read(4, 0.002, 80.0).sigma, read.facts(4)["tuning_digest"]) == (
        euler.levels,
        euler.digest,
    )


def test_one_step_is_the_jump(home):
    (cell,) = cells(nfe=None, steps=[1])
    assert cell.grid.sigma == (80.0, 0.0)
    assert cell.facts == {}


def test_it_asks_for_its_model_and_its_sampler(home):
    schedule, model = make_schedule("tuned"), make_model("gmm-2d")
    with pytest.raises(ValueError, match="depends on the model"):
        schedule(4, 0.002, 80.0)
    with pytest.raises(ValueError, match="depends on the sampler"):
        schedule.for_model(model)(4, 0.002, 80.0)
    assert len(schedule.for_model(model).for_sampler(make("euler"))(4, 0.002, 80.0)) == 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"nfe": [6]},
            "has no grid of 6 steps for euler on gmm-2d as it is here; make "
            "it with: samplerbench tune --model gmm-2d",
        ),
        ({"nfe": [4, 6]}, f"--sampler euler --nfe 4,6 {WAY} --out tuned.json"),
        ({"samplers": ["heun"]}, "has no grid of 2 steps for heun"),
        ({"samplers": ["ipndm"]}, f"--sampler ipndm --nfe 4 {WAY} --out tuned.json"),
        (
            {"samplers": ["dpmpp_2m(analytic_first=True)"], "nfe": None, "steps": [4]},
            "4 steps for dpmpp_2m(analytic_first=True)",
        ),
        (
            {"models": ["perturbed:gmm-2d"]},
            "has no grid of 4 steps for euler on perturbed:gmm-2d as it is here",
        ),
        ({"samplers": ["ddpm"]}, "schedule tuned has nothing for ddpm, which draws noise"),
        (
            {"samplers": ["auto"]},
            "schedule tuned has nothing for auto, which has levels of its own",
        ),
        ({"end": ["sigma_min"]}, "were tuned to end at 0"),
        (
            {"schedules": ["tuned(file='nowhere.json')"]},
            "make it with: samplerbench tune --model gmm-2d --sampler euler --nfe 4 --out nowh",
        ),
        (
            {"schedules": ["tuned(file='nowhere.json')"], "nfe": [1]},
            "cannot read nowhere.json (No such file or directory); nothing that is",
        ),
        (
            {"schedules": ["tuned(file='nowhere.json')"], "samplers": ["ddpm"]},
            "has levels to tune, so run it on another schedule",
        ),
        (
            {"nfe": None, "steps": [501]},
            "501 steps of euler are too many to tune; give at most 500, or another schedule",
        ),
    ],
)
def test_what_the_file_does_not_hold_is_a_sentence_with_the_command(home, change, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        cells(**change)


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
    monkeypatch.setattr("samplerbench.benchmarks.cli.studies.OTHERS", ("gaussian",))
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


def test_another_model_is_tuned_in_the_same_way_but_for_where_it_is_scored_too(home):
    with pytest.raises(
        ValueError, match=re.escape("--latents 16 --test-latents 8 --seed 0 --out tuned.json")
    ):
        cells(models=["gaussian"])


def test_peers_from_clones_are_loaded_by_the_command(tmp_path):
    try:
        set_peers_path(tmp_path)
        assert loading([SimpleNamespace(name="edm:heun"), make("heun")]) == [
            "--peers-path",
            str(tmp_path),
        ]
        assert loading([make("heun")]) == []
    finally:
        set_peers_path(None)


@pytest.mark.parametrize("schedules", [["karras", "tuned"], ["tuned", "karras"]])
def test_samplers_that_cannot_be_tuned_take_part_beside_it(home, schedules):
    found = {
        (cell.label, cell.record("")["schedule"].partition("(")[0])
        for cell in cells(samplers=["auto", "ddpm", "euler"], schedules=schedules)
    }
    assert found == {("auto", "own"), ("ddpm", "karras"), ("euler", "karras"), ("euler", "tuned")}


def test_a_file_that_has_grown_samples_nothing_anew(home, monkeypatch):
    entries = read_tuned(home / "tuned.json")
    run = f"{RUN} --sampler euler --schedule tuned(file='more.json') --out grown"
    write_tuned(home / "more.json", entries[:1])
    assert invoke(run).exit_code == 0
    before = load(home / "grown").frame
    write_tuned(home / "more.json", entries[::-1])
    monkeypatch.setattr(
        "samplerbench.benchmarks.running.executing.tasks.sample_shard",
        lambda *_: pytest.fail("sampled anew"),
    )
    assert invoke(run).exit_code == 0
    assert load(home / "grown").frame.equals(before)


def test_rows_at_what_a_file_held_at_different_times_are_told_apart(home, monkeypatch, capsys):
    entries = read_tuned(home / "tuned.json")
    run = (
        f"{RUN} --sampler euler --sampler dpmpp_2m --schedule tuned(file='again.json') --out again"
    )
    for held in (entries, [retuned(entries[0]), entries[1]]):
        write_tuned(home / "again.json", held)
        assert invoke(run).exit_code == 0
    table = with_curves(load(home / "again").frame)
    assert sorted(table.sampler) == ["dpmpp_2m", "euler", "euler"]
    assert table.curve.nunique() == 3
    assert set(table.tuning_digest) == {entry.digest for entry in (*entries, retuned(entries[0]))}
    assert "euler at several tuned schedules" in fails(
        "compare again --baseline euler --tuned", monkeypatch, capsys
    )


def test_runs_at_other_levels_are_not_the_same_cells(home):
    entry = read_tuned(home / "tuned.json")[0]
    for name, held in (("one", entry), ("same", entry), ("two", retuned(entry))):
        write_tuned(home / "levels.json", [held])
        assert (
            invoke(
                f"{RUN} --sampler euler --schedule tuned(file='levels.json') --out {name}"
            ).exit_code
            == 0
        )
    pairs = {
        other: match_cells(*(read_source(home / name).entries for name in ("one", other))).pairs
        for other in ("same", "two")
    }
    assert (len(pairs["same"]), len(pairs["two"])) == (1, 0)


def test_budgets_of_one_sampler_stay_on_one_curve():
    rows = [
        {
            "model": "m",
            "sampler": "euler",
            "schedule": "tuned",
            "steps": n,
            "budget": n,
            "tuning_digest": f"d{n}",
        }
        for n in (5, 10)
    ]
    assert set(with_curves(ResultTable.of(rows).frame).curve) == {"euler"}


def test_rows_that_were_tuned_in_different_ways_are_not_compared(home, monkeypatch, capsys):
    one, other = read_tuned(home / "tuned.json")
    write_tuned(
        home / "ways.json",
        [
            one,
            other.model_copy(update={"setting": other.setting.model_copy(update={"latents": 99})}),
        ],
    )
    assert (
        invoke(
            f"{RUN} --sampler euler --sampler dpmpp_2m --schedule "
            "tuned(file='ways.json') --out ways"
        ).exit_code
        == 0
    )
    assert "tuned in different ways" in fails(
        "compare ways --baseline euler --tuned", monkeypatch, capsys
    )


def test_one_tuned_sampler_is_nothing_to_compare(home, monkeypatch, capsys):
    assert invoke(f"{RUN} --sampler euler --schedule tuned --out alone").exit_code == 0
    assert "has nothing to compare with euler" in fails(
        "compare alone --baseline euler --tuned", monkeypatch, capsys
    )


def test_levels_that_do_not_fit_are_refused(home):
    entry = read_tuned(home / "tuned.json")[0]
    for levels in ([80.0, 0.0], [70.0, *entry.levels[1:]], [*entry.levels[:-1], 0.001]):
        stored = {"tuned": [entry.model_dump(mode="json") | {"levels": levels}]}
        (home / "edited.json").write_text(json.dumps(stored))
        with pytest.raises(ValueError, match=r"edited\.json is no file of tuned schedules"):
            read_tuned(home / "edited.json")


def test_a_file_that_cannot_be_written_is_known_before_the_search(home, monkeypatch, capsys):
    (home / "locked.json").write_text('{"tuned": []}')
    (home / "locked.json").chmod(0o444)
    assert "cannot write locked.json" in fails(f"{TUNE} --out locked.json", monkeypatch, capsys)
    assert "there is no folder" in fails(f"{TUNE} --out nowhere/tuned.json", monkeypatch, capsys)


def test_the_command_that_it_prints_runs(home):
    done = invoke(f"{TUNE} --out tuned.json")
    command = done.stdout.partition("samplerbench ")[2]
    assert (
        CliRunner()
        .invoke(app, [*shlex.split(command), "--no-timing", "--samples", "20", "--out", "printed"])
        .exit_code
        == 0
    )


def test_a_gaussian_start_is_skipped_with_the_reason(home):
    (cell,) = cells(start=["gaussian"])
    assert "was searched from sigma_max on" in cell.skip


def test_rows_say_what_tuning_took(home):
    table = load(home / "r").frame
    tuned, other = table[table.schedule != "karras"], table[table.schedule == "karras"]
    entries = {entry.subject.sampler: entry for entry in read_tuned(home / "tuned.json")}
    assert len(tuned) == len(other) == 2
    for _, row in tuned.iterrows():
        entry = entries[row.sampler]
        assert (row.tuning_teacher, row.tuning_search) == (
            entry.teacher.evaluations,
            entry.search.evaluations,
        )
        assert (row.tuning_latents, row.tuning_gap, row.tuning_other) == (16, entry.gap, "gaussian")
        assert row.tuning_other_untuned == entry.elsewhere.scores.untuned.error
    assert other[[name for name in other if name.startswith("tuning_")]].isna().all(axis=None)


def test_the_third_table_compares_tuned_rows_and_shows_what_they_took(home):
    done = invoke("compare r --baseline euler --tuned --metric rmse --json")
    (line,) = json.loads(done.stdout)
    assert line["schedule"] == "tuned"
    assert line["baseline"] == "euler · tuned"
    assert line["paired"] == 40
    entries = {entry.subject.sampler: entry for entry in read_tuned(home / "tuned.json")}
    for side, name in (("tuning", "dpmpp_2m"), ("baseline_tuning", "euler")):
        assert line[side]["search"] == entries[name].search.evaluations
        assert line[side]["gap"] == entries[name].gap
        assert line[side]["other"] == "gaussian"
    shown = invoke("compare r --baseline euler --tuned --metric rmse --csv lines.csv").stdout
    assert "what the tuning took" in shown
    assert f"{entries['euler'].teacher.evaluations:,}" in shown
    header = (home / "lines.csv").read_text().splitlines()[0]
    assert "tuning_teacher" in header
    assert "baseline_tuning_gap" in header


def test_the_tables_are_never_mixed(home, monkeypatch, capsys):
    assert "share karras only" in fails(
        "compare r --baseline euler --best-schedule", monkeypatch, capsys
    )
    (line,) = json.loads(invoke("compare r --baseline euler --json").stdout)[:1]
    assert ("tuned" in line["schedule"]) == ("tuned" in line["baseline"])
    assert "one of --best-schedule, --author-schedule and --tuned" in fails(
        "compare r --baseline euler --tuned --best-schedule", monkeypatch, capsys
    )
    assert "give one run, --baseline" in fails("compare r --tuned", monkeypatch, capsys)


def test_the_reference_file_is_of_the_present_format_and_its_table_is_at_its_levels():
    folder = Path(__file__).parents[2] / "results" / "reference" / "fairness"
    entries = read_tuned(folder / "tuned.json")
    digests = {(entry.subject.sampler, entry.subject.steps): entry.digest for entry in entries}
    rows = load(folder).frame.dropna(subset=["tuning_digest"])
    assert {(row.sampler, row.steps): row.tuning_digest for row in rows.itertuples()} == digests


def test_a_run_without_tuned_rows_is_refused(home, monkeypatch, capsys):
    assert invoke(f"{RUN} --sampler euler --schedule karras --out plain").exit_code == 0
    assert "plain has no row at a tuned schedule; make one with samplerbench tune" in fails(
        "compare plain --baseline euler --tuned", monkeypatch, capsys
    )


def test_the_command_lists_and_resumes(home):
    before = (home / "tuned.json").read_bytes()
    done = invoke(f"{TUNE} --out tuned.json --json")
    assert [entry["name"] for entry in json.loads(done.stdout)] == ["euler", "dpmpp_2m"]
    assert (home / "tuned.json").read_bytes() == before
    shown = invoke(f"{TUNE} --out tuned.json").stdout
    assert "dpmpp_2m" in shown
    assert "elsewhere is gaussian" in shown


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
            "Endpoints are not known to 1% of the error of euler" in " ".join(shown.split())
        ) == said
