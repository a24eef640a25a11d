"""W3, W4, W5: a sampler is what it does.

Whatever was edited, one directory has one answer, that of the present code.
"""

import pytest
from small_runs import numbers, run

from samplerbench.results.result_table import load
from samplerbench.results.run_directory.run_dir import RunDir
from samplerbench.samplers.methods.edm import Heun

PLUGIN = """
from dataclasses import dataclass
from samplerbench.samplers import LinearMultistep, LinearRow, Source
{get}

@dataclass(frozen=True, kw_only=True)
class Mine(LinearMultistep):
    name = "mine_of_the_test"
    source = Source("test", "nowhere", "https://example.org")
    order = 1

    def plan(self, grid):
        return [LinearRow(cur, a=gain(cur, nxt), b=(1 - gain(cur, nxt),)) for cur, nxt in grid.intervals()]
"""
GAIN = "\ndef gain(cur, nxt):\n    return nxt / cur * {}\n"
HELPED = PLUGIN.format(get="from helper_of_mine import gain\n")
GOOD, BUG = 1.0, 0.8
MINE = {"samplers": ["mine_of_the_test", "euler"]}


def test_an_edited_built_in_sampler_is_measured_again(built_in, tmp_path, monkeypatch):
    """W3: stale rows stayed, for built-in code was hashed nowhere."""
    out, row, asked = tmp_path / "run", Heun.row, {"samplers": ["heun", "euler"]}
    good = run(out, **asked)
    shard = next(path for path in (out / "parts").rglob("0*.npz") if "heun" in str(path))
    written = shard.stat().st_mtime_ns
    with monkeypatch.context() as edit:
        edit.setattr(
            Heun,
            "row",
            lambda self, *a, **k: (found := row(self, *a, **k))._replace(a=0.9 * found.a),
        )
        built_in()
        bug = run(out, **asked)
        fresh = run(tmp_path / "fresh", **asked)
    built_in()
    assert numbers(bug) == numbers(fresh) != numbers(good)
    assert [aside.record["sampler"] for aside in RunDir.open(out).cells_set_aside()] == ["heun"]
    assert numbers(run(out, **asked)) == numbers(good)
    assert shard.stat().st_mtime_ns == written, (
        "the good one did not come back, but was computed again"
    )


def test_a_rewritten_sampler_that_does_the_same_is_the_same(built_in, tmp_path, monkeypatch):
    """An update of this package that changes no number leaves every row valid."""
    row = Heun.row
    run(tmp_path / "run", samplers=["heun"])
    monkeypatch.setattr(Heun, "row", lambda self, *a, **k: row(self, *a, **k))
    built_in()
    run(tmp_path / "run", samplers=["heun"])
    assert not RunDir.open(tmp_path / "run").cells_set_aside()


@pytest.mark.parametrize("parts", ["one file", "a helper", "a package"])
def test_good_bug_good_are_one_answer_each(plugin, tmp_path, parts, samplerbench):
    """W4, W5: rows of the bug stayed beside the others, and `show`, the report and `compare`
    each had another answer.
    """

    def load_with(factor):
        if parts == "one file":
            plugin(mine=PLUGIN.format(get=GAIN.format(factor)))
        elif parts == "a helper":
            plugin(mine=HELPED, helper_of_mine=GAIN.format(factor))
        else:
            (tmp_path / "package_of_mine").mkdir(exist_ok=True)
            (tmp_path / "package_of_mine" / "__init__.py").write_text("")
            (tmp_path / "package_of_mine" / "second.py").write_text(GAIN.format(factor))
            plugin(mine=PLUGIN.format(get="from package_of_mine.second import gain\n"))

    out, answers = tmp_path / "run", []
    for factor in (GOOD, BUG, GOOD):
        load_with(factor)
        found = run(out, **MINE)
        assert sorted(found["sampler"]) == ["euler", "mine_of_the_test"], "one row each"
        assert numbers(found) == numbers(load(out).frame)
        answers.append(numbers(found))
        if factor == BUG:
            assert answers[-1] == numbers(run(tmp_path / "fresh", **MINE))
            code, status, _ = samplerbench("status", out)
            assert code == 0
            assert (
                "set aside: gmm-2d mine_of_the_test steps=5: the sampler is another one" in status
            )
    assert answers[0] == answers[2] != answers[1]
    code, shown, _ = samplerbench("show", out)
    assert code == 0
    assert shown.count("mine_of_the_test") == 1
    (aside,) = RunDir.open(out).cells_set_aside()
    assert aside.record["sampler"] == "mine_of_the_test"


def test_a_row_of_edited_code_that_is_not_asked_for_is_set_aside_too(plugin, tmp_path):
    """It stayed in the table, since only the cells of the present suite were looked at."""
    plugin(mine=PLUGIN.format(get=GAIN.format(GOOD)))
    run(tmp_path / "run", **MINE)
    plugin(mine=PLUGIN.format(get=GAIN.format(BUG)))
    found = run(tmp_path / "run", samplers=["euler"])
    assert found["sampler"].tolist() == ["euler"]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"models": [{"name": "gmm-2d", "extractor": "pixels"}]}, {}),
        ({"start": ["gaussian"], "sigma_start": 5.0}, {"start": ["noise"]}),
        ({"start": ["gaussian"], "sigma_start": 5.0}, {"start": ["gaussian"], "sigma_start": 4.0}),
    ],
    ids=["features", "start", "level"],
)
def test_so_is_one_of_other_features_or_another_start(plugin, tmp_path, earlier, later):
    """It was held against the present model alone, and stayed in the table."""
    plugin(mine=PLUGIN.format(get=GAIN.format(GOOD)))
    run(tmp_path / "run", **MINE, **earlier)
    plugin(mine=PLUGIN.format(get=GAIN.format(BUG)))
    found = run(tmp_path / "run", samplers=["ddpm"], **later)
    assert sorted(found["sampler"]) == ["ddpm", "euler"], (
        "the row of euler, which nobody edited, stays"
    )
