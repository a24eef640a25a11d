"""The command line itself: help, version, and wrong usage in one sentence."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from looping import each

import samplerbench.results
from samplerbench.benchmarks.cli.usage import EXAMPLES, run_app

COMMANDS = sorted(EXAMPLES)
# pydantic comes with newer versions of typer
HEAVY = ("torch", "pandas", "numpy", "scipy", "matplotlib", "plotly", "pyarrow")
IMPORTS = """
import sys
from samplerbench.benchmarks.cli import main
sys.argv = ["samplerbench", *sys.argv[1:]]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print("IMPORTED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def refused(result, sentence):
    code, _, err = result
    assert code == 2
    assert sentence in err
    assert len(err.strip().splitlines()) == 1


REFERENCE = str(Path(samplerbench.results.__file__).parent / "reference" / "quick")


def test_help_and_version_import_nothing_that_is_slow():
    """One after the other in one process, which takes a second where one each take a minute."""
    asked = [["--version"], ["-h"], *([name, "--help"] for name in COMMANDS if name)]
    script = f"""
import sys
from samplerbench.benchmarks.cli import main

for args in {asked!r}:
    sys.argv = ["samplerbench", *args]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, (args, stop.code)
    imported = {{name.partition(".")[0] for name in sys.modules}}
    assert "typer" in imported
    assert not imported & set({HEAVY!r}), (args, imported & set({HEAVY!r}))
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("Usage: ") == len(asked) - 1


def test_show_does_not_import_torch(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", IMPORTS, "show", REFERENCE],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    assert "dpmpp_2m" in ran.stdout
    assert not {"torch", "matplotlib", "plotly"} & set(ran.stdout.rpartition("IMPORTED")[2].split())


@each(
    ("args", "sentence"),
    [
        (("--memory-limit", "inf"), "--memory-limit: give a number <= 1000000000"),
        (("--memory-limit", "1e300"), "--memory-limit: give a number <= 1000000000"),
        (("--executor", ""), "there is no executor ''; the executors are: worker"),
    ],
)
def test_run__limits_and_executors_that_do_not_exist(samplerbench, args, sentence):
    refused(samplerbench("run", "nosuch", *args), sentence)


def test_run_app__a_file_in_place_of_a_folder_has_a_remedy(samplerbench, tmp_path):
    (tmp_path / "file").touch()
    refused(samplerbench("new-solver", "mine", "--out", "file"), "file/mine; give another path")


@pytest.mark.parametrize(
    ("number", "file", "remedy"),
    [
        (errno.EROFS, "cache/model-1.json", "set SAMPLERBENCH_CACHE to a folder"),
        (errno.EFBIG, "run/table.csv", "raise the limit on the size of files"),
        (errno.EROFS, "run/table.csv", "give another path"),
    ],
)
def test_run_app__the_remedy_fits_the_file(monkeypatch, capsys, number, file, remedy):
    def fail(**_):
        raise OSError(number, os.strerror(number), file)

    monkeypatch.setenv("SAMPLERBENCH_CACHE", "cache")
    assert run_app(fail) == 2
    assert f"{file}; {remedy}" in " ".join(capsys.readouterr().err.split())


def test_in_plain_words__a_choice(samplerbench):
    refused(samplerbench("calibrate", "--part", "x"), "--part: 'x' is not one of 'endpoints'")


def test_calibrate__out_is_made_before_replicates_are_drawn(samplerbench, tmp_path):
    (tmp_path / "file").touch()
    refused(samplerbench("calibrate", "--quick", "--out", "file"), "file; give another path")


def test_a_factory_that_exits_is_a_sentence(samplerbench, tmp_path):
    (tmp_path / "quits.py").write_text("import sys\n\ndef factory():\n    sys.exit(0)\n")
    refused(
        samplerbench("run", "smoke", "--model", "quits.py:factory"),
        "error: quits.py:factory: factory() called sys.exit(0); let it return",
    )


def test_the_version_is_that_of_the_package(samplerbench):
    from importlib.metadata import version

    assert samplerbench("--version") == (0, f"samplerbench {version('samplerbench')}\n", "")


@each("command", COMMANDS)
def test_help__of_every_command_has_examples_on_lines_of_their_own(samplerbench, command):
    args = [command] if command else []
    long, short = samplerbench(*args, "--help"), samplerbench(*args, "-h")
    assert long == short
    code, out, _ = long
    assert code == 0
    for example in EXAMPLES[command]:
        assert f"    samplerbench {example}\n" in out


def test_without_a_command_there_is_the_help(samplerbench):
    code, out, _ = samplerbench()
    assert code == 0
    assert "Usage: samplerbench" in out


@each("command", [name for name in COMMANDS if name])
def test_help__examples_have_options_that_exist(samplerbench, command):
    text = samplerbench(command, "--help-all")[1]
    usage, _, examples = text.partition("Examples:")
    for word in examples.split():
        if word.startswith("--"):
            assert f"{word} " in usage or f"{word}\n" in usage


@each(
    ("args", "sentence"),
    [
        (["rnu"], "error: no such command 'rnu'"),
        (["run"], "error: SUITE is missing; see samplerbench run --help"),
        (["tune", "--sampler", "heun"], "error: --model is missing"),
        (["run", "smoke", "--smples", "3"], "error: there is no option --smples; did you mean"),
        (["run", "smoke", "--samples", "x"], "error: --samples: give a whole number"),
        (["run", "smoke", "--target-se", "x"], "error: --target-se: give a number"),
        (["run", "smoke", "--threads", "0"], "error: --threads: give a number"),
        (["run", "smoke", "--samples"], "requires an argument"),
        (["show", "a", "b"], "extra argument"),
        (
            ["export", "karras:1000000000:0.1:1"],
            "error: 1000000000 steps are too many for a list of levels; give at most 1,000,000",
        ),
        (["export", "karras:1e29:0.1:1"], "error: 1e+29 steps are too many"),
        (
            ["export", "--steps", "1000000000", "--model", "gmm-2d"],
            "error: 1000000000 steps are too many",
        ),
        (["run", "smoke", "--seed", str(2**63)], "error: --seed: give a number"),
        (["run", "smoke", "--samples", "1" + "0" * 30], "error: --samples: give a number"),
        (
            ["tune", "--model", "gmm-2d", "--sampler", "euler", "--nfe", "4", "--seed", str(2**63)],
            "error: --seed: give a number",
        ),
        (
            [
                "tune",
                "--model",
                "gmm-2d",
                "--sampler",
                "euler",
                "--nfe",
                "4",
                "--latents",
                "1" + "0" * 30,
            ],
            "error: --latents 1",
        ),
        (["new-solver", "é"], "such as my_solver, got 'é'; use a-z, 0-9 and _"),
        (["new-metric", "é"], "such as my_metric, got 'é'; use a-z, 0-9 and _"),
        (
            ["figures", REFERENCE, "--metric", "zzzz"],
            "error: there is no metric 'zzzz': it is no column of the table; choose from fid_proxy",
        ),
        (
            ["figures", REFERENCE, "--metric", "fid_prox"],
            "error: there is no metric 'fid_prox': it is no column of the table; did you "
            "mean fid_proxy",
        ),
        (["frontier", "--seed", str(2**63)], "error: --seed: give a number"),
        *(
            (
                [*words, "--model", "gmm-2d", "--device", "tpu"],
                "error: --device: 'tpu' is not one of",
            )
            for words in (["run", "smoke"], ["advise"], ["tune", "--sampler", "euler"])
        ),
        (["check-model", "gmm-2d", "--device", "tpu"], "error: --device: 'tpu' is not one of"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)
def test_cli__wrong_usage_is_one_sentence_with_the_thing_and_the_remedy(
    samplerbench, args, sentence
):
    refused(samplerbench(*args), sentence)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["check"], "name the samplers to check"),
        (["check", "heun", "--all"], "give --all, or name samplers such as heun, not both"),
        (["run", "smoke", "--model", "nosuch"], "there is no model 'nosuch'. The models are: "),
    ],
)
def test_refusals__say_what_was_asked_and_no_more(samplerbench, args, sentence):
    refused(samplerbench(*args), sentence)
    assert "both" not in samplerbench("check")[2]


def test_completion__knows_the_commands():
    asked = {"COMP_WORDS": "samplerbench check", "COMP_CWORD": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", "from samplerbench.benchmarks.cli import main; main()"],
        env=os.environ | asked | {"_SAMPLERBENCH_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(ran.stdout.split()) == ["check", "check-model"]


def test_an_unforeseen_error_is_not_taken_for_the_user_s(samplerbench, monkeypatch):
    from samplerbench.benchmarks.timing import doctor

    def broken(_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(doctor, "diagnose_machine", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        samplerbench("doctor")


def test_ctrl_c_is_no_traceback(samplerbench, monkeypatch):
    from samplerbench.benchmarks.timing import doctor

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "diagnose_machine", interrupted)
    code, _, err = samplerbench("doctor")
    assert code == 130
    assert "Traceback" not in err


LINES = 45
"""Lines of a screen."""


@pytest.mark.parametrize("command", ["run", "plan", "samples"])
def test_help__shows_everyday_options_on_one_screen(samplerbench, command):
    code, out, _ = samplerbench(command, "--help")
    assert code == 0
    assert len(out.splitlines()) <= LINES
    assert out.index("--model") < out.index("--out")
    assert "--help-all" in out
    assert "--memory-limit" not in out


def test_help_all__shows_every_option(samplerbench):
    _, short, _ = samplerbench("run", "--help")
    code, out, _ = samplerbench("run", "--help-all")
    assert code == 0
    options = set(re.findall(r"^  (--[\w-]+)", out, re.MULTILINE))
    assert set(re.findall(r"^  (--[\w-]+)", short, re.MULTILINE)) - {"--help-all"} <= options
    assert {"--memory-limit", "--ray-address", "--until-decided", "--timing-minutes"} <= options
    folded = sum(map(int, re.findall(r"\((\d+)\)[,.]", short[short.index("--help-all") :])))
    assert len(options) == len(set(re.findall(r"^  (--[\w-]+)", short, re.MULTILINE))) - 1 + folded


def test_help__of_a_command_with_few_options_folds_nothing(samplerbench):
    _, out, _ = samplerbench("check", "--help")
    assert "--peers-path" in out
    assert "--help-all" not in out


def test_main__a_path_that_the_terminal_cannot_show_is_no_error(tmp_path):
    words = [sys.executable, "-m", "samplerbench", "new-solver", "mine", "--out", "ö"]
    ran = subprocess.run(
        words, cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True
    )
    assert ran.returncode == 0, ran.stderr
    assert rb"\xf6" in ran.stdout
