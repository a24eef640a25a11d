"""Random command lines: 600 of the 2,000 cases here.

Options are those that the commands have, whichever they are by now.
"""

from unittest import mock

import pytest
import typer.main
from arena import LETTERS, Arena, fuzz, small_run, warned
from hypothesis import given
from hypothesis import strategies as st

from samplerbench.benchmarks.cli import app

CASES = {
    "run": 65,
    "advise": 10,
    "plan": 55,
    "show": 50,
    "compare": 50,
    "gate": 40,
    "status": 30,
    "report": 10,
    "submit": 9,
    "board": 6,
    "figures": 12,
    "list": 30,
    "check": 30,
    "frontier": 10,
    "check-model": 14,
    "convert": 6,
    "reference": 10,
    "samples": 10,
    "export": 40,
    "new-solver": 20,
    "new-metric": 10,
    "tune": 38,
    "cite": 15,
    "calibrate": 10,
    "doctor": 5,
    "explain": 5,
    "validate": 10,
}
"""How many command lines of each command."""

NUMBERS = [
    "0",
    "1",
    "2",
    "5",
    "-1",
    "1e3",
    "1.5",
    "x",
    "",
    "nan",
    "inf",
    "1e999",
    "9" * 30,
    "1_0",
    "٣",
    "0x10",
    "5,9",
    "5,,9",
    "1,x",
]
MODELS = [
    "gmm-2d",
    "gaussian",
    "gmm2d",
    "perturbed:gmm-2d",
    "perturbed:",
    "gmm-2d(",
    "gaussian(guidance=2)",
    "bad.py:factory",
    "none.py:f",
]
SAMPLERS = [
    "euler",
    "heun",
    "eular",
    "ddim(eta=0.5)",
    "ddim(eta=x)",
    "ddim(eta=1e999)",
    "heun(",
    "diffusers:DDIMScheduler",
    "a:b",
    "",
]
RUNS = [
    "run",
    "other",
    "table",
    "table/table.csv",
    "bad.csv",
    "empty",
    "none",
    "run.json",
    "run/parts",
    "bad.json",
    ".",
    "",
]
POOLS = {
    "suite": [
        "smoke",
        "quick",
        "full",
        "frontier",
        "good.toml",
        "bad.toml",
        "none.toml",
        "smok",
        "run",
        "code.toml",
        "",
    ],
    "model": MODELS,
    "holdout_model": MODELS,
    "solver": ["bad.py", "exit.py", "none.py", "bad.json", "none.json", "eular", "heun(", ""],
    "part": ["public", "2026", "../x", "A"],
    "beacon": ["3f9a27c5d10be864", "xyz", "0" * 2000],
    "claims": ["good.toml", "bad.toml", "none.toml"],
    "reruns": RUNS,
    "track": ["plain", "self-tuning", "fast"],
    "sampler": SAMPLERS,
    "baseline": [*SAMPLERS, *RUNS],
    "folder": RUNS,
    "folders": RUNS,
    "runs": RUNS,
    "run": RUNS,
    "candidate": RUNS,
    "schedule": ["karras", "karras(rho=0.001)", "tuned(file='none.json')", "karas", "gits"],
    "start": ["noise", "mean", "x"],
    "noise": ["white", "brownian", "x"],
    "dtype": ["float32", "float64", "int8"],
    "device": ["cpu", "auto", "tpu"],
    "threads": ["1", "0", "5000", "x"],
    "metric": ["fd_conv", "fid_proxy", "kid", "all", "nope", "status"],
    "margin": ["1%", "0.01", "-1%", "x", "1e999"],
    "quality_margin": ["1%", "x"],
    "time_margin": ["5%", "%"],
    "reference": ["none.npy", "run", "x", "torchvision:x"],
    "extractor": ["pixels", "card", "card:32", "card:x", "inception:x", "bad.py:f", "code.py:f"],
    "quantise": ["round", "truncate", "x"],
    "data": ["none.npy", "empty", "digits", "table", "run.json", "torchvision:x"],
    "plugin": ["bad.py", "none.py", "run", "exit.py"],
    "peers_path": ["none", "run"],
    "format": ["svg", "png", "exe", "svg,,png", ""],
    "formats": ["svg", "png", "exe", "svg,,png", ""],
    "kind": [
        "samplers",
        "models",
        "suites",
        "metrics",
        "schedules",
        "ranking",
        "pareto",
        "samples",
        "nope",
        "a,b",
    ],
    "width": ["single", "double", "wide"],
    "sigmas": ["80,5,0", "karras:5:0.1:1", "1,2", "karras:9999999:0:1", "a:b:c:d", ":::", "nan,0"],
    "to": ["diffusers", "k-diffusion", "x"],
    "name": ["my_solver", "é", "heun", "../outside/x", "class", "A", "a" * 300, ""],
    "objective": ["mean", "rms", "x"],
    "rows": ["1", "99", "x"],
    "replace": ["a=b", "a", "=", "gaussian=fashion"],
    "executor": ["in-process", "in-process:x", "nobody", ":", "", "ray:", "ray:nowhere"],
    "ray_address": ["auto", "nowhere", "ray://x:1", ":::"],
    "accelerator": ["H100", ""],
    "jobs": ["1", "2", "0", "9" * 30],
    "translate": ["diffusers", "x"],
}
"""Values by parameter."""

PATHS = [
    "new",
    "run",
    "empty",
    "empty/deep/er",
    "file.txt",
    "file.txt/x",
    "a\nb",
    "a" * 300,
    ".",
    "",
    "été",
    "[x]",
]
"""Where something may be written: all in the working folder, since a path that leaves it was
asked for.
"""

WRITTEN = {"out", "out_dir", "write", "csv", "log", "out_path"}
HEAVY = {"--isolation", "--no-isolation", "--measure", "--check"}
"""They start a process, or take minutes."""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder with some of everything."""
    folder = tmp_path_factory.mktemp("template") / "home"
    small_run(folder / "run", models=("gmm-2d",))
    small_run(folder / "other", models=("gmm-2d",), budgets=(5,))
    for name in ("empty", "table"):
        (folder / name).mkdir()
    texts = {
        "table/table.csv": "model,sampler,nfe,status,fid_proxy\ngmm-2d,euler,5,ok,1.5\ngmm-2d,heun,5,ok,0.5\n",
        "bad.csv": "a,b\n1,2,3\n",
        "run.json": "5",
        "bad.json": "[" * 3000,
        "file.txt": "x",
        "bad.py": "1 +",
        "exit.py": "import sys; sys.exit(3)",
        "bad.toml": "a = [",
        "code.py": "raise RuntimeError",
        "good.toml": 'models = ["gmm-2d"]\nsamplers = ["euler"]\nnfe = [5]\nsamples = 8\n',
        "code.toml": 'models = ["code.py:f"]\nsamplers = ["euler"]\nnfe = [5]\n',
    }
    for name, words in texts.items():
        (folder / name).write_text(words)
    return folder


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    # a figure takes a second, and a search for auto several
    with (
        warned(),
        mock.patch("samplerbench.results.figures.typography.figure_bytes", return_value=b""),
        mock.patch("samplerbench.samplers.auto.search.GENERATIONS", 1),
    ):
        yield Arena.at(tmp_path_factory.mktemp("arena"))


def inside(words):
    """Random letters as a path that stays in the working folder."""
    return words.replace("/", "").replace("..", "")


def values(name):
    """Values of a parameter: mostly those that mean something, and anything."""
    if name in WRITTEN:
        return st.sampled_from(PATHS) | LETTERS.map(inside)
    pool = POOLS.get(name, NUMBERS)
    return (
        st.sampled_from(pool)
        | st.sampled_from(pool)
        | st.sampled_from(NUMBERS)
        | LETTERS.map(inside)
    )


def given_options(command):
    """The options of a command, each with a value, and its arguments, in any number."""
    parts = []
    for param in typer.main.get_command(app).commands[command].params:
        where = "out" if "--out" in param.opts else param.name
        if param.param_type_name == "argument":
            arguments = st.lists(values(where), min_size=1, max_size=2 if param.nargs == -1 else 1)
            parts += [arguments, arguments]
        elif not HEAVY & set(param.opts):
            for option in (*param.opts, *param.secondary_opts):
                parts.append(
                    st.just([option])
                    if getattr(param, "is_flag", False)
                    else values(where).map(lambda v, o=option: [o, v])
                )
    first = parts[:1] if parts else [st.just([])]
    several = st.lists(st.one_of(parts), max_size=4).map(
        lambda found: [word for words in found for word in words]
    )
    return st.builds(list.__add__, first[0], several)


def test_there_are_600_command_lines_of_all_commands():
    assert sum(CASES.values()) == 600
    assert CASES.keys() == typer.main.get_command(app).commands.keys()


@pytest.mark.parametrize("command", CASES)
def test_any_command_line_ends_in_a_sentence(arena, template, command):
    codes = set()

    @fuzz(CASES[command])
    @given(given_options(command))
    def case(words):
        arena.fresh(template)
        codes.add(arena.command(command, *words)[0])

    case()
    assert 2 in codes or command in ("doctor",)
