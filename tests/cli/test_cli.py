"""The command line: exit codes, and one clear sentence for every mistake."""

import json
import os
from pathlib import Path

import pytest
from looping import each
from refusals import refused

from samplerbench.benchmarks.cli.common import console
from samplerbench.models.cards import card
from samplerbench.samplers import registry

PLUGINS = Path(__file__).parents[1] / "running" / "plugins.py"
QUICK = ["--samples", "32", "--no-timing"]


def test_a_wrong_sampler_name_is_refused_with_a_suggestion(samplerbench):
    refused(
        samplerbench("run", "smoke", "--sampler", "hein"),
        "unknown sampler 'hein'; did you mean heun",
    )


def test_a_wrong_model_name_is_refused_with_a_suggestion(samplerbench):
    refused(samplerbench("run", "smoke", "--model", "fashon"), "fashion")


def test_a_typo_in_a_suite_is_refused_with_a_suggestion(samplerbench, tmp_path):
    (tmp_path / "mine.toml").write_text('models = ["gmm-2d"]\nsmaplers = ["euler"]\nnfe = [5]\n')
    refused(
        samplerbench("run", "mine.toml"),
        "mine.toml: unknown key 'smaplers'; did you mean 'samplers'?",
    )


@each("text", ["0", "5,0", "-1", "ten", "", "5,,6", "1.5"])
def test_cli__bad_budgets_are_refused(samplerbench, text):
    refused(
        samplerbench("run", "smoke", "--nfe", text),
        "give whole numbers >= 1, separated by commas, such as --nfe 5,10,20",
    )


def test_a_budget_beyond_any_grid_is_refused(samplerbench):
    refused(samplerbench("run", "smoke", "--nfe", "1000000000000"), "give numbers up to 1,000,000")


def test_steps_and_nfe_together_are_refused(samplerbench):
    refused(
        samplerbench("run", "smoke", "--nfe", "5", "--steps", "5"),
        "give --steps or --nfe, not both",
    )


def test_an_out_that_is_a_file_is_refused(samplerbench, tmp_path):
    (tmp_path / "taken").write_text("mine")
    refused(
        samplerbench("run", "smoke", "--model", "gmm-2d", "--out", tmp_path / "taken"),
        "taken is a file",
    )
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to"
)
def test_an_unwritable_out_is_refused(samplerbench):
    refused(
        samplerbench("run", "smoke", "--model", "gmm-2d", "--out", "/proc/self/run"),
        "choose another folder with --out",
    )


def test_a_plugin_that_raises_at_import_is_refused(samplerbench, tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    sentence = (
        "plugin file broken.py failed at import: ModuleNotFoundError: No module "
        "named 'nothing_of_that_name'"
    )
    refused(samplerbench("run", "smoke", "--plugin", "broken.py"), sentence)


def test_an_option_out_of_range_is_refused(samplerbench):
    refused(
        samplerbench("run", "smoke", "--sampler", "ddim(eta=2)"), "eta must be in [0, 1], got 2.0"
    )


def test_cuda_without_a_gpu_is_refused(samplerbench, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(samplerbench("run", "smoke", "--device", "cuda"), "torch sees no CUDA device here")


def test_weights_with_one_byte_changed_are_refused(samplerbench, tmp_path, monkeypatch):
    import shutil

    shutil.copytree(card.CARDS, tmp_path / "cards")
    weights = tmp_path / "cards" / "digits" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    monkeypatch.setattr(card, "CARDS", tmp_path / "cards")
    monkeypatch.setattr(card.load_card, "__defaults__", (tmp_path / "cards",))
    refused(
        samplerbench("run", "smoke", "--model", "digits"),
        "weights.safetensors does not match its card",
    )


def test_a_folder_that_is_no_run_is_refused(samplerbench, tmp_path):
    for command in ("status", "report", "show"):
        refused(samplerbench(command, tmp_path), "is not a run directory")


@pytest.mark.slow
def test_a_faulty_sampler_is_a_row_and_the_run_exits_with_0(samplerbench, tmp_path):
    args = [
        "--model",
        "gmm-2d",
        "--sampler",
        "exploder",
        "--sampler",
        "euler",
        "--nfe",
        "3",
        "--plugin",
        PLUGINS,
        *QUICK,
    ]
    code, out, _ = samplerbench("run", "smoke", "--out", "faulty", *args)
    assert code == 0
    assert "1 of 2 cells are not ok (1 diverged)" in out
    assert (tmp_path / "faulty" / "report.html").stat().st_size > 0
    code, out, _ = samplerbench("status", "faulty")
    assert code == 0
    assert "diverged: gmm-2d exploder" in out
    code, out, _ = samplerbench("status", "faulty", "--json")
    assert sorted(row["status"] for row in json.loads(out)) == ["diverged", "ok"]


@pytest.mark.slow
def test_run_then_report_then_show(samplerbench, tmp_path):
    code, out, _ = samplerbench("run", "smoke", "--model", "gmm-2d", "--out", "mine", *QUICK)
    assert code == 0
    assert "Report: mine/report.html" in out
    assert {"run.json", "table.csv", "table.parquet", "report.html"} <= set(
        os.listdir(tmp_path / "mine")
    )
    assert samplerbench("show", "mine")[0] == 0
    assert samplerbench("report", "mine", "--out", "page.html")[0] == 0
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    "kind",
    ["samplers", "schedules", "models", "extractors", "families", "metrics", "suites", "peers"],
)
def test_every_listing_has_text_and_json(samplerbench, kind):
    code, out, _ = samplerbench("list", kind, "--json")
    rows = json.loads(out)
    assert code == 0
    assert all(row["name"] for row in rows)
    code, out, _ = samplerbench("list", kind)
    assert code == 0
    assert rows[0]["name"] in out if rows else "There are no" in out


def test_list_of_something_else_is_refused(samplerbench):
    refused(samplerbench("list", "sampler"), "did you mean samplers?")


def test_plan_counts_evaluations(samplerbench):
    args = ["--model", "gmm-2d", "--sampler", "heun", "--steps", "18", "--samples", "100"]
    code, out, _ = samplerbench("plan", "smoke", *args, "--json")
    assert code == 0
    assert [row["expected"] for row in json.loads(out)] == [35]
    code, out, _ = samplerbench("plan", "smoke", *args)
    assert code == 0
    assert "3,500" in out


def test_samplers_are_listed_within_80_columns_in_groups(samplerbench, monkeypatch):
    built_in = {
        name: cls
        for name, cls in registry._REGISTRY.items()
        if cls.__module__.startswith("samplerbench.samplers.methods")
    }
    monkeypatch.setattr(registry, "_REGISTRY", built_in)  # names of plugins may be longer
    monkeypatch.setattr(console.out, "_width", 80)
    code, out, _ = samplerbench("list", "samplers")
    lines = out.splitlines()
    assert code == 0
    groups = [line.partition("  ")[0] for line in lines if "measured" in line]
    assert groups == ["deterministic", "stochastic", "adaptive steps"]
    rows = json.loads(samplerbench("list", "samplers", "--json")[1])
    listed = [line.split()[0] for line in lines if line and not line.startswith((" ", "Next"))]
    assert sorted(listed) == sorted(
        [*(row["name"] for row in rows), *(g.split()[0] for g in groups)]
    )
    assert max(map(len, lines)) <= 80
    assert lines[-3:-1] == ["  samplerbench check NAME", "  samplerbench run quick --sampler NAME"]


def test_names_of_a_library_are_translated(samplerbench):
    code, out, _ = samplerbench("list", "samplers", "--translate", "k-diffusion", "--json")
    assert code == 0
    assert "dpmpp_2m" in {row["ours"].partition("(")[0] for row in json.loads(out)}
    assert "DPM2 a" in samplerbench("list", "samplers", "--translate", "k-diffusion")[1]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["samplers", "--translate", "pytorch"], "cannot translate 'pytorch'; choose"),
        (["models", "--translate", "forge"], "goes with list samplers or schedules"),
        (["samplers", "--peers-path", "nowhere"], "peers path nowhere is not a folder"),
    ],
)
def test_listings_that_make_no_sense_are_refused(samplerbench, args, sentence):
    refused(samplerbench("list", *args), sentence)


def planned(samplerbench, *args):
    code, out, _ = samplerbench(
        "plan", "smoke", "--model", "gmm-2d", "--sampler", "ddpm", "--steps", "5", "--json", *args
    )
    assert code == 0
    return json.loads(out)


def test_start_and_noise_replace_the_suite_s(samplerbench):
    assert {(row["start"], row["noise"]) for row in planned(samplerbench)} == {("noise", "white")}
    assert {
        row["start"] for row in planned(samplerbench, "--start", "mean", "--start", "gaussian")
    } == {"mean", "gaussian"}
    assert {row["noise"] for row in planned(samplerbench, "--noise", "brownian")} == {"brownian"}


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--start", "nose"], "--start 'nose': choose one of noise, mean, gaussian"),
        (["--noise", "pink"], "--noise 'pink': choose one of white, brownian"),
        (["--peers-path", "nowhere"], "peers path nowhere is not a folder"),
    ],
)
def test_a_wrong_start_noise_or_peers_path_is_refused(samplerbench, command, args, sentence):
    refused(samplerbench(command, "smoke", *args), sentence)


def test_cite_prints_bibtex(samplerbench):
    code, out, _ = samplerbench("cite", "heun", "edm_stochastic", "dpmpp_2m")
    assert code == 0
    assert out.count("@") == 2


@pytest.mark.parametrize(
    "kind", ["samplers", "schedules", "models", "extractors", "metrics", "suites"]
)
def test_listings_are_readable_at_80_columns(samplerbench, monkeypatch, kind):
    rows = json.loads(samplerbench("list", kind, "--json")[1])
    monkeypatch.setattr(console.out, "_width", 80)
    lines = samplerbench("list", kind)[1].splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    starts = {line.split()[0] for line in lines if line and not line.startswith(" ")}
    assert {row["name"] for row in rows} <= starts  # a name is never broken
    assert "samplerbench " in lines[-1]


def test_timing__is_taken_of_a_suite_without_times_if_asked(samplerbench, tmp_path):
    keys = 'models = ["gmm-2d"]\nsamplers = ["euler"]\nnfe = [2]\nsamples = 2\n'
    (tmp_path / "own.toml").write_text(f"{keys}timing = {{ enabled = false }}\n")
    assert "timing" not in samplerbench("plan", "own.toml")[1]
    assert "timing about 60 s a model" in samplerbench("plan", "own.toml", "--timing")[1]


def test_plan__counts_the_time_of_each_timed_batch_size(samplerbench, tmp_path):
    keys = 'models = ["gmm-2d"]\nsamplers = ["euler"]\nnfe = [2]\nsamples = 2\n'
    timing = "batch_size = [1, 8], seconds = 10.0, sweep = 64"
    (tmp_path / "own.toml").write_text(f"{keys}timing = {{ {timing} }}\n")
    assert "timing about 30 s a model" in samplerbench("plan", "own.toml")[1]
    assert (
        "timing about 6 s a model" in samplerbench("plan", "own.toml", "--timing-minutes", "0.1")[1]
    )


def test_changes__cells_of_a_cpu_are_compared_on_a_cpu(samplerbench, monkeypatch):
    run = ["--model", "gmm-2d", "--nfe", "2", "--sampler", "euler", *QUICK, "--no-isolation"]
    samplerbench("run", "smoke", *run, "--out", "mine")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert samplerbench("status", "mine", "--changes")[1].startswith("1 cells: 1 up to date")
