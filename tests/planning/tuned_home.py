"""What tests of tuned schedules share: a folder with a file of them and a run, and commands in it."""

import os
import shutil
import sys

import pytest
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app, main
from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.suites.suite import check_suite

TUNE = (
    "tune --model gmm-2d --sampler euler --sampler dpmpp_2m --nfe 4 --latents 16 "
    "--test-latents 8 --holdout-model gaussian"
)
WAY = "--objective mean --latents 16 --test-latents 8 --seed 0 --holdout-model gaussian"
RUN = "run quick --model gmm-2d --nfe 4 --samples 40 --no-timing --device cpu"


@pytest.fixture(scope="session")
def tuned_home(tmp_path_factory):
    """A folder with ``tuned.json`` and a run of two samplers, tuned and not, made by the command
    line once.
    """
    folder, before = tmp_path_factory.mktemp("tuned"), os.getcwd()
    os.chdir(folder)
    try:
        for command in (
            f"{TUNE} --out tuned.json",
            f"{RUN} --sampler euler --sampler dpmpp_2m --schedule karras --schedule tuned --out r",
        ):
            done = invoke(command)
            assert done.exit_code == 0, done.output
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope="module")
def home(tuned_home, tmp_path_factory):
    """A copy of that folder, as the working directory."""
    folder, before = tmp_path_factory.mktemp("home") / "home", os.getcwd()
    shutil.copytree(tuned_home, folder)
    os.chdir(folder)
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


def retuned(entry):
    """The entry with other levels: a tenth lower between the ends."""
    return entry.model_copy(
        update={"levels": (entry.levels[0], *(0.9 * level for level in entry.levels[1:-1]), 0.0)}
    )
