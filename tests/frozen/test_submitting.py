"""Submissions: the file, its track, interruption, strangers' files, and what is refused."""

import json

import pytest

from samplerbench import submit
from samplerbench.benchmarks.frozen import submitting
from samplerbench.benchmarks.frozen.instances import draw_part
from samplerbench.results.board.entries import agree
from samplerbench.results.board.submission import (
    PLACE,
    Curve,
    Solver,
    Submission,
    read_submission,
)
from samplerbench.results.run_directory.sealed import sealed_json

PART = draw_part()
FILE = '''
from dataclasses import dataclass
from samplerbench.samplers import Euler, Heun, Source

@dataclass(frozen=True, kw_only=True)
class Mine(Euler):
    """Euler under another name."""
    name = "mine"
    source = Source("karras2022edm", "eq. (5)", "https://arxiv.org/abs/2206.00364")
'''


@pytest.fixture(autouse=True)
def two_problems(monkeypatch):
    few = PART._replace(instances=(PART.instances[0], PART.instances[12]))
    monkeypatch.setattr(submitting, "draw_part", lambda *_: few)


@pytest.fixture
def one_problem(monkeypatch):
    one = PART._replace(instances=PART.instances[:1])
    monkeypatch.setattr(submitting, "draw_part", lambda *_: one)


def run(solver, out, **options):
    return submit(solver, out=out, networks=False, **options)


@pytest.mark.slow
def test_submit__writes_a_sealed_file_with_what_was_measured(tmp_path):
    claims = {"authors": "A. B.", "licence": "MIT", "family": "multistep"}
    made = run("dpmpp_2m", tmp_path / "a.json", schedule="karras", claims=claims)
    read = read_submission(tmp_path / "a.json")
    assert read == made
    assert (made.track, made.part, made.claims.order) == ("plain", "public", 2)
    assert made.solver.name == "dpmpp_2m on karras"
    assert [(c.problem, c.moved) for c in made.curves] == [
        (PART.instances[k].name, moved) for k in (0, 12) for moved in (False, True)
    ]
    assert set(made.software) >= {"torch", "numpy", "samplerbench"}


@pytest.mark.slow
@pytest.mark.usefixtures("one_problem")
def test_submit__counts_decide_the_track(tmp_path):
    made = run("ipndm", tmp_path / "a.json", schedule="gits")
    assert made.track == "self-tuning"
    pairs = [pair for curve in made.curves for pair in zip(curve.nfe, curve.search, strict=True)]
    assert all(search > 0 for nfe, search in pairs if nfe is not None)
    with pytest.raises(ValueError, match="track plain looks at no model"):
        run("ipndm", tmp_path / "b.json", schedule="gits", track="plain")


@pytest.mark.slow
@pytest.mark.usefixtures("one_problem")
def test_submit__stores_what_check_finds_wrong_with_a_file(tmp_path):
    (tmp_path / "mine.py").write_text(FILE + "    order = 2\n")
    made = run(tmp_path / "mine.py", tmp_path / "a.json")
    assert "order: 1.00, declared 2" in made.check
    assert read_submission(tmp_path / "a.json").check == made.check
    assert run(tmp_path / "mine.py", tmp_path / "a.json").check == made.check


def test_submit__a_stranger_cannot_have_a_file_of_ours_measured(tmp_path, monkeypatch):
    (tmp_path / "ours.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    curve = Curve(problem="modes-1", moved=False, nfe=(4.0,), error=(0.1,), distance=())
    solver = Solver(
        name="x", sampler="ours.py", schedule="karras", stochastic=False, fingerprint="x"
    )
    facts = {"suite": "sb-2026.1", "digest": "0" * 16, "track": "plain"}
    Submission(solver=solver, curves=(curve,), **facts).write(tmp_path / "theirs.json")
    with pytest.raises(ValueError, match=r"unknown sampler 'ours\.py'"):
        run(tmp_path / "theirs.json", tmp_path / "again.json")


@pytest.mark.slow
def test_submit__an_interrupted_run_continues_with_the_same_result(tmp_path, monkeypatch):
    whole = run("heun", tmp_path / "whole.json")
    stages = []

    def interrupt(stage):
        stages.append(stage)
        if len(stages) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("heun", tmp_path / "a.json", progress=interrupt)
    assert not (tmp_path / "a.json").exists()
    assert len(read_submission(tmp_path / "a.unfinished.json").curves) == 3
    measured = []
    inner = submitting.measure_exact

    def counted(*args, **kwargs):
        for curve in inner(*args, **kwargs):
            measured.append(curve)
            yield curve

    monkeypatch.setattr(submitting, "measure_exact", counted)
    again = run("heun", tmp_path / "a.json")
    assert again.curves == whole.curves
    assert len(measured) == 1
    assert again.seconds > 0
    assert run("heun", tmp_path / "a.json").seconds == again.seconds
    assert list(tmp_path.glob("*.unfinished.json")) == []


def test_submit__a_run_that_was_interrupted_before_its_first_search_continues(
    tmp_path, monkeypatch
):
    first = Curve(problem="modes-1", nfe=(4.0,), error=(0.1,))
    second = first.model_copy(update={"moved": True, "search": (100.0,)})

    def measured(*_args, skip):
        yield from (curve for curve in (first, second) if (curve.problem, curve.moved) not in skip)

    def interrupt(stage):
        if stage.startswith("1 of"):
            raise KeyboardInterrupt

    monkeypatch.setattr(submitting, "measure_exact", measured)
    with pytest.raises(KeyboardInterrupt):
        run("heun", tmp_path / "a.json", progress=interrupt)
    made = run("heun", tmp_path / "a.json")
    assert (made.track, made.curves) == ("self-tuning", (first, second))
    monkeypatch.setattr(submitting, "measure_exact", lambda *_args, skip: iter([first]))
    assert run("heun", tmp_path / "b.json").track == "plain"


@pytest.mark.usefixtures("one_problem")
def test_submit__an_unfinished_file_of_another_solver_is_not_used(tmp_path):
    run("heun", tmp_path / "a.json")
    with pytest.raises(ValueError, match="holds heun on uniform_lambda with another solver"):
        run("euler", tmp_path / "a.json")
    (tmp_path / "a.json").rename(tmp_path / "a.unfinished.json")
    made = run("euler", tmp_path / "a.json")
    assert made.curves[0].error != run("heun", tmp_path / "b.json").curves[0].error


def test_submit__another_file_in_the_place_of_the_result_is_not_overwritten(tmp_path):
    (tmp_path / "notes.json").write_text('{"mine": 1}')
    with pytest.raises(
        ValueError, match=r"notes\.json is not used: it has no seal; choose another --out"
    ):
        run("heun", tmp_path / "notes.json")
    assert (tmp_path / "notes.json").read_text() == '{"mine": 1}'


@pytest.mark.slow
@pytest.mark.usefixtures("one_problem")
def test_submit__a_name_that_no_board_reads_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(ValueError, match=r"named \*\.json"):
        run("euler", tmp_path / "a.npz")
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_submit__a_strangers_file_gives_what_the_registered_sampler_gives(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)

    def edit(_stage):
        (tmp_path / "mine.py").write_text("raise ValueError('edited meanwhile')")

    made = run(tmp_path / "mine.py", tmp_path / "a.json", schedule="karras", progress=edit)
    ours = run("euler", tmp_path / "b.json", schedule="karras")
    assert made.curves == ours.curves
    assert made.solver.source == FILE
    assert made.solver.name == "mine on karras"
    assert made.check == ""
    again = run(tmp_path / "a.json", tmp_path / "c.json")
    assert agree(made, again)
    assert again.solver == made.solver


def test_submit__a_wrong_solver_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "nan.py").write_text(
        FILE
        + "    def step(self, x, row, past, denoise, noise):\n        return x * float('nan'), None\n"
    )
    (tmp_path / "broken.py").write_text("import nothing_here\n")
    for solver, options, words in (
        ("dpmpp_3z", {}, "unknown sampler"),
        (tmp_path / "mine.py", {"schedule": "gits"}, "looks at the model"),
        (tmp_path / "mine.py", {"sampler": "heun"}, "has no sampler 'heun'"),
        (tmp_path / "broken.py", {}, "nothing_here"),
        (tmp_path / "nan.py", {}, "no finite result"),
        (tmp_path / "none.json", {}, "there is no file none.json"),
        ("heun", {"track": "fast"}, "there is no track"),
        ("heun", {"claims": {"author": "me"}}, "there is no claim 'author'"),
        ("heun", {"claims": {"authors": ["me"]}}, "claim authors: Input should be a valid string"),
        ("euler_ancestral", {}, "only networks can measure it"),
    ):
        with pytest.raises(ValueError, match=words):
            run(solver, tmp_path / "x.json", **options)


@pytest.mark.usefixtures("one_problem")
def test_submission__damaged_forged_and_injected_files_are_refused_in_a_sentence(tmp_path):
    path = tmp_path / "a.json"
    made = run("euler", path)
    text = path.read_text()
    data = made.model_dump(mode="json")

    def sealed(**changes):
        forged = Submission.model_construct(**{**dict(made), **changes})
        forged.write(path)

    faults = {
        "no JSON": lambda: path.write_text(text[:-30]),
        "not what was written": lambda: path.write_text(text.replace("0.0", "0.1", 1)),
        "no seal": lambda: path.write_text(json.dumps(data)),
        "Input should be 'plain'": lambda: sealed(track="best"),
        "differ in length": lambda: sealed(
            curves=(made.curves[0].model_copy(update={"error": (1e-9,)}),)
        ),
        "listed twice": lambda: sealed(curves=made.curves[:1] * 2),
        "the fingerprint is not that": lambda: sealed(
            solver=made.solver.model_copy(update={"source": "import os"})
        ),
        "solver.name": lambda: sealed(solver=made.solver.model_copy(update={"name": "<b>x"})),
        "greater than or equal to 0": lambda: sealed(
            curves=(made.curves[0].model_copy(update={"nfe": (-1.0,) * 12}),)
        ),
        "Extra inputs": lambda: path.write_bytes(
            sealed_json({**data, "run": "rm -rf"}, PLACE).data
        ),
    }
    for words, damage in faults.items():
        damage()
        with pytest.raises(ValueError, match=rf"^a\.json is not used: .*{words}"):
            read_submission(path)


@pytest.mark.usefixtures("one_problem")
def test_agree__other_errors_or_counts_are_no_verification(tmp_path):
    made = run("euler", tmp_path / "a.json")
    first = made.curves[0]
    for changes in ({"error": tuple(e * 0.9 for e in first.error)}, {"nfe": (1.0,) * 12}):
        other = made.model_copy(update={"curves": (first.model_copy(update=changes),)})
        assert not agree(other, made)
    assert not agree(made.model_copy(update={"curves": ()}), made)
    (first, *others) = made.curves
    more = first.model_copy(update={"distance": first.error})
    assert not agree(made.model_copy(update={"curves": (more, *others)}), made)
    assert agree(made, made)
