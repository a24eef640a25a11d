"""The command line: exit codes, and one clear sentence for every mistake."""

import json
import os
import sys
from pathlib import Path

import pytest

from samplerbench.benchmarks import cli
from samplerbench.models import card

PLUGINS = Path(__file__).with_name("plugins.py")
QUICK = ["--samples", "32", "--no-timing"]


@pytest.fixture
def samplerbench(monkeypatch, capsys, tmp_path):
    """Call the command line in a folder of its own: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["samplerbench", *map(str, args)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def refused(result, sentence):
    code, _, err = result
    assert code == 2
    assert sentence in " ".join(err.split())
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_a_wrong_sampler_name_is_refused_with_a_suggestion(samplerbench):
    refused(samplerbench("run", "smoke", "--sampler", "hein"), "unknown sampler 'hein'; did you mean heun")


def test_a_wrong_model_name_is_refused_with_a_suggestion(samplerbench):
    refused(samplerbench("run", "smoke", "--model", "fashon"), "fashion")


def test_a_typo_in_a_suite_is_refused_with_a_suggestion(samplerbench, tmp_path):
    (tmp_path / "mine.toml").write_text('models = ["gmm-2d"]\nsmaplers = ["euler"]\nnfe = [5]\n')
    refused(samplerbench("run", "mine.toml"), "mine.toml: unknown key 'smaplers'; did you mean 'samplers'?")


@pytest.mark.parametrize("text", ["0", "5,0", "-1", "ten", "", "5,,6", "1.5"])
def test_bad_budgets_are_refused(samplerbench, text):
    refused(samplerbench("run", "smoke", "--nfe", text), "give whole numbers >= 1, separated by commas, such as --nfe 5,10,20")


def test_steps_and_nfe_together_are_refused(samplerbench):
    refused(samplerbench("run", "smoke", "--nfe", "5", "--steps", "5"), "give --steps or --nfe, not both")


def test_an_out_that_is_a_file_is_refused(samplerbench, tmp_path):
    (tmp_path / "taken").write_text("mine")
    refused(samplerbench("run", "smoke", "--model", "gmm-2d", "--out", tmp_path / "taken"), "taken is a file")
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to")
def test_an_unwritable_out_is_refused(samplerbench):
    refused(samplerbench("run", "smoke", "--model", "gmm-2d", "--out", "/proc/self/run"), "choose another folder with --out")


def test_a_plugin_that_raises_at_import_is_refused(samplerbench, tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    sentence = "plugin file broken.py failed at import: ModuleNotFoundError: No module named 'nothing_of_that_name'"
    refused(samplerbench("run", "smoke", "--plugin", "broken.py"), sentence)


def test_an_option_out_of_range_is_refused(samplerbench):
    refused(samplerbench("run", "smoke", "--sampler", "ddim(eta=2)"), "eta must be in [0, 1], got 2.0")


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
    refused(samplerbench("run", "smoke", "--model", "digits"), "weights.safetensors does not match its card")


def test_a_folder_that_is_no_run_is_refused(samplerbench, tmp_path):
    for command in ("status", "report", "show"):
        refused(samplerbench(command, tmp_path), "is not a run directory")


def test_a_faulty_sampler_is_a_row_and_the_run_exits_with_0(samplerbench, tmp_path):
    args = ["--model", "gmm-2d", "--sampler", "exploder", "--sampler", "euler", "--nfe", "3", "--plugin", PLUGINS, *QUICK]
    code, out, _ = samplerbench("run", "smoke", "--out", "faulty", *args)
    assert code == 0
    assert "1 of 2 cells are not ok (1 diverged)" in out
    assert (tmp_path / "faulty" / "report.html").stat().st_size > 0
    code, out, _ = samplerbench("status", "faulty")
    assert code == 0
    assert "diverged: gmm-2d exploder" in out
    code, out, _ = samplerbench("status", "faulty", "--json")
    assert sorted(row["status"] for row in json.loads(out)) == ["diverged", "ok"]


def test_run_then_report_then_show(samplerbench, tmp_path):
    code, out, _ = samplerbench("run", "smoke", "--model", "gmm-2d", "--out", "mine", *QUICK)
    assert code == 0
    assert "Report: mine/report.html" in out
    assert {"run.json", "table.csv", "table.parquet", "report.html"} <= set(os.listdir(tmp_path / "mine"))
    assert samplerbench("show", "mine")[0] == 0
    assert samplerbench("report", "mine", "--out", "page.html")[0] == 0
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize("kind", ["samplers", "schedules", "models", "metrics", "suites"])
def test_every_listing_has_text_and_json(samplerbench, kind):
    code, out, _ = samplerbench("list", kind, "--json")
    rows = json.loads(out)
    assert code == 0
    assert all(row["name"] for row in rows)
    code, out, _ = samplerbench("list", kind)
    assert code == 0
    assert rows[0]["name"] in out


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


def test_check_exits_with_1_when_a_check_fails(samplerbench):
    code, out, _ = samplerbench("check", "liar", "--plugin", PLUGINS, "--json")
    assert code == 1
    assert not json.loads(out)["passed"]


def test_cite_prints_bibtex(samplerbench):
    code, out, _ = samplerbench("cite", "heun", "edm_stochastic", "dpmpp_2m")
    assert code == 0
    assert out.count("@") == 2
