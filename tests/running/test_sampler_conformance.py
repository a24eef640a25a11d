"""``run`` says which of the user's own samplers fail ``check``."""

from dataclasses import dataclass

import pytest

import samplerbench
from samplerbench.benchmarks import conformance
from samplerbench.samplers.methods.edm import Euler

RUN = ("run", "smoke", "--model", "gmm-2d", "--nfe", "5", "--samples", "16", "--no-timing")
PLUGIN = """
from dataclasses import dataclass
from samplerbench.samplers import LinearMultistep, LinearRow, Source

@dataclass(frozen=True, kw_only=True)
class Honest(LinearMultistep):
    name = "honest"
    source = Source("test", "nowhere", "https://example.org")
    order = 1

    def plan(self, grid):
        return [LinearRow(cur, a=nxt / cur, b=(1 - nxt / cur,)) for cur, nxt in grid.intervals()]

@dataclass(frozen=True, kw_only=True)
class Boastful(Honest):
    name = "boastful"
    order = 3

@dataclass(frozen=True, kw_only=True)
class Optional(Honest):
    name = "optional"
    off: float = 0.0

    def plan(self, grid):
        return [row._replace(a=row.a + self.off) for row in super().plan(grid)]

@dataclass(frozen=True, kw_only=True)
class Broken(Boastful):
    name = "broken"

    def step(self, x, row, past, denoise, noise):
        raise ZeroDivisionError("a step went wrong")
"""


@pytest.fixture(autouse=True)
def plugin(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "own.py").write_text(PLUGIN)


def asked(samplerbench, *names):
    chosen = [word for name in names for word in ("--sampler", name)]
    code, out, _ = samplerbench(*RUN, "--out", "out", "--plugin", "own.py", *chosen)
    assert code == 0
    return [line for line in out.splitlines() if "fail samplerbench check" in line]


@pytest.mark.slow
def test_run__names_the_samplers_that_fail_check_and_the_checks(samplerbench):
    (line,) = asked(samplerbench, "boastful", "honest", "euler")
    assert "boastful (order, local order, order as shipped)" in line
    assert "honest" not in line
    assert "samplerbench check boastful --plugin own.py says why" in line


@pytest.mark.slow
def test_run__checks_a_sampler_once_and_none_without_a_result(samplerbench, monkeypatch):
    checked = []

    def check(sampler, *, fast):
        checked.append(sampler.name)
        return check_sampler(sampler, fast=fast)

    check_sampler = conformance.check_sampler
    monkeypatch.setattr(conformance, "check_sampler", check)
    first = asked(samplerbench, "boastful", "broken", "euler")
    assert first
    assert asked(samplerbench, "boastful", "broken", "euler") == first
    assert checked == ["boastful"], "no built-in one, and a verdict is kept"


def test_run__says_nothing_where_all_pass(samplerbench):
    assert asked(samplerbench, "honest", "euler") == []


def test_run__the_command_that_says_why_has_the_options(samplerbench):
    (line,) = asked(samplerbench, "optional(off=0.1)")
    assert line.endswith("; samplerbench check 'optional(off=0.1)' --plugin own.py says why.")


def test_run__the_call_that_says_why_takes_an_object(caplog, tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Lofty(Euler):
        name = "lofty"
        order = 3

    suite = {"samplers": [Lofty()], "nfe": [5], "samples": 16, "timing": False, "device": "cpu"}
    samplerbench.run(out=tmp_path / "run", models=["gmm-2d"], **suite)
    assert caplog.messages[-1].endswith("; samplerbench.check(SAMPLER) says why.")
