"""``run`` says which of the user's own samplers fail ``check``."""

from pathlib import Path

import pytest

from samplerbench.benchmarks.running import conformity

PLUGINS = Path(__file__).with_name("plugins.py")
RUN = ("run", "smoke", "--model", "gmm-2d", "--nfe", "5", "--samples", "16", "--no-timing")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path / "cache"))


def asked(samplerbench, *names):
    chosen = [word for name in names for word in ("--sampler", name)]
    return samplerbench(*RUN, "--out", "out", "--plugin", PLUGINS, *chosen)


def test_run__names_the_samplers_that_fail_check_and_the_checks(samplerbench):
    code, out, _ = asked(samplerbench, "liar", "honest", "euler")
    assert code == 0
    (line,) = [line for line in out.splitlines() if "fail samplerbench check" in line]
    assert "liar (nfe)" in line
    assert "honest" not in line
    assert f"samplerbench check liar --plugin {PLUGINS} says why" in line


def test_run__checks_a_sampler_once(samplerbench, monkeypatch):
    checked = []

    def check(sampler, *, fast):
        checked.append(sampler.name)
        return check_sampler(sampler, fast=fast)

    check_sampler = conformity.check_sampler
    monkeypatch.setattr(conformity, "check_sampler", check)
    first = asked(samplerbench, "liar", "euler")[1]
    again = asked(samplerbench, "liar", "euler")[1]
    assert checked == ["liar"], "no built-in one, and a verdict is kept"
    assert ("liar (nfe)" in first, "liar (nfe)" in again) == (True, True)


def test_run__says_nothing_where_all_pass(samplerbench):
    assert "fail samplerbench check" not in asked(samplerbench, "honest", "euler")[1]
