"""Help of commands: everyday options on one screen, all of them on request."""

import re

import pytest

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
