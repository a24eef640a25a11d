"""``check``: exit codes, and what it prints and writes."""

import json
from pathlib import Path

import pytest
from refusals import refused

from samplerbench.samplers import registry

PLUGINS = Path(__file__).parents[1] / "running" / "plugins.py"
QUICK = ["--samples", "32", "--no-timing"]


def test_check_exits_with_1_when_a_check_fails(samplerbench):
    code, out, _ = samplerbench("check", "liar", "--plugin", PLUGINS, "--json")
    assert code == 1
    assert not json.loads(out)["passed"]


@pytest.mark.slow
def test_check_of_several_is_a_line_each_and_the_failures(samplerbench):
    code, out, _ = samplerbench("check", "heun", "liar", "ddim(eta=0.5)", "--plugin", PLUGINS)
    lines = out.splitlines()
    assert code == 1
    assert lines[0].split() == ["sampler", "order", "measured", "weak", "strong", "per", "step"]
    assert [line.split()[0] for line in lines[1:4]] == ["heun", "liar", "ddim(eta=0.5)"]
    assert [line.split()[-1] for line in lines[1:4]] == ["pass", "FAIL", "pass"]
    assert lines[4] == "2 of 3 samplers passed"
    assert all(line.startswith("liar: ") for line in lines[5:])
    assert len(lines) > 5


def test_check_of_several_as_json_is_a_list(samplerbench):
    code, out, _ = samplerbench("check", "euler", "heun", "--json")
    assert code == 0
    assert [(row["name"], row["passed"]) for row in json.loads(out)] == [
        ("euler", True),
        ("heun", True),
    ]


def test_a_checkpoints_own_sampler_has_nothing_to_check(samplerbench):
    code, _, err = samplerbench("check", "pipeline")
    assert code == 2
    assert "pipeline has no steps of its own" in err
    assert "samplerbench check-model CHECKPOINT says which" in err


def test_check_of_all_checks_every_name(samplerbench, monkeypatch):
    from samplerbench import samplers

    monkeypatch.setattr(samplers, "names", lambda **_: ["euler", "heun"])
    code, out, _ = samplerbench("check", "--all")
    assert code == 0
    assert "2 of 2 samplers passed" in out.splitlines()


def test_check_writes_what_it_measured(samplerbench, tmp_path):
    code, _, err = samplerbench("check", "heun", "--write", "orders.json")
    assert code == 0
    assert "Wrote orders.json" in err
    assert json.loads((tmp_path / "orders.json").read_text())["heun"]["order"] == 2
    refused(
        samplerbench("check", "heun", "--write", "none/orders.json"),
        "there is no folder none; make it first",
    )


def test_check_of_an_unknown_sampler_checks_none(samplerbench):
    refused(samplerbench("check", "euler", "hein"), "unknown sampler 'hein'; did you mean heun")


BESIDE = """
from dataclasses import dataclass
from samplerbench.samplers import LinearRow, Source
from samplerbench.samplers.methods.edm import Euler

@dataclass(frozen=True, kw_only=True)
class Unlike(Euler):
    name, source = "unlike", Source("", "", "")
    def plan(self, grid):
        steps, n = grid.intervals(), len(grid) ** 2
        return [LinearRow(s, a=t / s * (1 - 1 / n), b=(1 - t / s * (1 - 1 / n),)) for s, t in steps]

@dataclass(frozen=True, kw_only=True)
class Keyed(Euler):
    name, source = "aa_keyed", Source("", "", "")
    key: int
    @property
    def order(self):
        return self.key
"""


def test_check_and_list__a_sampler_that_needs_an_option_stops_no_other(
    samplerbench, tmp_path, monkeypatch
):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    file = tmp_path / "beside.py"
    file.write_text(BESIDE)
    code, out, _ = samplerbench("check", "unlike", "--plugin", str(file))
    assert code == 0, out
    assert "aa_keyed" not in out
    code, out, err = samplerbench("list", "samplers", "--plugin", str(file))
    assert code == 0, err
    assert "aa_keyed" in out
    listed = json.loads(samplerbench("list", "samplers", "--plugin", str(file), "--json")[1])
    (row,) = (row for row in listed if row["name"] == "aa_keyed")
    assert (row["order"], row["options"]) == (None, {"key": "required"})
