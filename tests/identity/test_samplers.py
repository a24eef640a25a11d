"""Fingerprints of samplers: the same on a machine that rounds otherwise, another after any edit
that changes a number.
"""

import dataclasses
import json
import math
import sys
import time

import pytest
import torch
from looping import each

from samplerbench import samplers
from samplerbench.benchmarks.identity.sampler import origin_or_digest, sampler_fingerprint
from samplerbench.benchmarks.planning.fitting import Pilot
from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.suites.cell import Cell, Start
from samplerbench.benchmarks.suites.files import load_suite
from samplerbench.results.run_directory.behaviour_fingerprint import Fingerprint, difference
from samplerbench.samplers import Grid, karras, loop, registry
from samplerbench.samplers.methods.edm import Heun
from samplerbench.samplers.schedules import SCHEDULES

ENDS = 80.0, 0.002


def fingerprint(name, steps=5, noise="white", grid=None):
    sampler = samplers.make(name)
    grid = grid or karras(2 if sampler.adaptive else steps, ENDS[1], ENDS[0])
    cell = Cell(
        model="any",
        sampler=sampler,
        schedule=make_schedule("karras"),
        start=Start("noise", ENDS[0], ENDS[0]),
        end="zero",
        noise=noise if sampler.stochastic else None,
        grid=grid,
        steps=len(grid),
        budget=None,
        samples=2,
        seed=0,
        batch_size=2,
        dtype="float64",
        sigma_min=ENDS[1],
        sigma_max=ENDS[0],
        identity=("", ""),
        device="cpu",
    )
    return sampler_fingerprint(cell)


def rounded_otherwise(grid):
    """The grid with its inner levels one place up or down, which is more than what another
    machine's pow does to them.
    """
    inner = [
        math.nextafter(level, math.inf if i % 2 else 0.0) for i, level in enumerate(grid.sigma)
    ]
    return Grid((grid.sigma[0], *inner[1:-2], *grid.sigma[-2:]))


@pytest.fixture
def no_memory():
    """Plans are remembered by sampler and grid, which an edited class within one process does
    not change.
    """
    loop._plan_of_hashable.cache_clear()
    yield
    loop._plan_of_hashable.cache_clear()


@pytest.mark.slow
@each("name", samplers.names())
def test_fingerprint__of_every_built_in_sampler_survives_the_file_and_another_rounding(name):
    sampler = samplers.make(name)
    for noise in ("white", "brownian") if sampler.stochastic else ("white",):
        found = fingerprint(name, noise=noise)
        assert (
            difference(Fingerprint.from_json(json.loads(json.dumps(found.to_json()))), found) == ""
        )
        assert (
            difference(
                found,
                fingerprint(
                    name,
                    noise=noise,
                    grid=rounded_otherwise(karras(2 if sampler.adaptive else 5, 0.002, 80)),
                ),
            )
            == ""
        )
        points = found.values[f"result for three points on {2 if sampler.adaptive else 5} steps"]
        assert all(math.isfinite(x) for x in points.numbers)


def test_no_two_deterministic_samplers_of_one_grid_are_the_same_unless_they_say_so():
    """What they make of the three points tells methods apart."""
    made = {
        name: fingerprint(name, 7)
        for name in samplers.names()
        if not samplers.make(name).stochastic and not samplers.make(name).adaptive
    }
    points = "result for three points on 7 steps"
    twins = [
        (a, b)
        for a in made
        for b in made
        if a < b and made[a].values[points].same(made[b].values[points])
    ]
    for a, b in twins:
        same = {samplers.get(a).same_as, samplers.get(b).same_as, a, b}
        assert len(same - {""}) < 4, (a, b)


@pytest.mark.usefixtures("no_memory")
def test_an_edited_built_in_sampler_is_another(monkeypatch):
    before = fingerprint("heun", 9)
    row = Heun.row
    monkeypatch.setattr(
        Heun,
        "row",
        lambda self, cur, nxt, **options: row(self, cur, nxt, **options)._replace(
            a=1.000001 * row(self, cur, nxt).a
        ),
    )
    loop._plan_of_hashable.cache_clear()
    assert difference(before, fingerprint("heun", 9)) == "its plan on 9 steps differs"


@pytest.mark.usefixtures("no_memory")
def test_an_edited_step_is_another(monkeypatch):
    before = fingerprint("ddpm", 6)
    step = samplers.get("ddpm").step
    cls = next(c for c in samplers.get("ddpm").__mro__ if "step" in vars(c))

    def edited(self, x, row, past, denoise, noise):
        x, entry = step(self, x, row, past, denoise, noise)
        return x * (1 + 1e-5), entry

    monkeypatch.setattr(cls, "step", edited)
    assert (
        difference(before, fingerprint("ddpm", 6))
        == "its result for three points on 6 steps differs"
    )


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("place", [0, 1, 77, 150, 199, 499, 999])
def test_an_edit_that_only_shows_at_many_steps_is_seen_there_at_any_step(monkeypatch, place):
    cls = samplers.get("dpmpp_2m")
    size = 1000 if place in (499, 999) else 200
    whole, few, many = cls.plan, fingerprint("dpmpp_2m", 20), fingerprint("dpmpp_2m", size)

    def edited(self, grid):
        rows = list(whole(self, grid))
        if len(rows) > 100:
            rows[place] = rows[place]._replace(b=tuple(1.000001 * b for b in rows[place].b))
        return rows

    monkeypatch.setattr(cls, "plan", edited)
    loop._plan_of_hashable.cache_clear()
    assert difference(few, fingerprint("dpmpp_2m", 20)) == ""
    assert difference(many, fingerprint("dpmpp_2m", size)) == f"its plan on {size} steps differs"


def test_other_noise_is_another():
    assert "three points" in difference(fingerprint("ddpm"), fingerprint("ddpm", noise="brownian"))


def test_an_option_is_another():
    assert difference(fingerprint({"name": "ddim", "eta": 0.5}), fingerprint("ddim")).startswith(
        "it was the sampler ddim(eta=0.5)"
    )


# -- cells of suites
# --------------------------------------------------------------------------------------------------------------------


def cells_of(**changes):
    suite = load_suite("smoke").replaced(**changes)
    models = load_models(suite)
    return plan(suite, models, dict.fromkeys(models))


def test_an_edited_schedule_is_another(monkeypatch):
    before = [sampler_fingerprint(cell) for cell in cells_of() if cell.grid]
    known = SCHEDULES["karras"]
    monkeypatch.setitem(
        SCHEDULES,
        "karras",
        dataclasses.replace(
            known, make=lambda *args, **options: known.make(*args, **options | {"rho": 6.999})
        ),
    )
    now = [sampler_fingerprint(cell) for cell in cells_of() if cell.grid]
    told = {
        difference(a, b)
        for a, b in zip(before, now, strict=True)
        if not a.exact["adaptive"]
        and a.exact["history"] is not None
        and len(a.values["grid"].numbers) > 3
    }
    assert told == {"its grid differs"}


def test_a_start_is_part_of_it():
    starts = {
        cell.start.name: sampler_fingerprint(cell)
        for cell in cells_of(start=("noise", "mean", "gaussian"))
        if cell.grid
    }
    assert "start mean" in starts["mean"].values
    assert "start gaussian" in starts["gaussian"].values
    assert not any(key.startswith("start") for key in starts["noise"].values)


def test_a_hundred_cells_of_the_quick_suite_take_less_than_a_second(monkeypatch):
    # the rules that are searched for take many times as long, and are no part of this
    monkeypatch.setattr(Pilot, "fitted", lambda self, sampler, grid: sampler)
    suite = load_suite("quick")
    models = load_models(suite)
    cells = [cell for cell in plan(suite, models, dict.fromkeys(models)) if cell.grid][:100]
    sampler_fingerprint(cells[0])
    begun = time.process_time()
    for cell in cells:
        sampler_fingerprint(cell)
    assert (time.process_time() - begun) * 100 / len(cells) < 1.0


def test_the_number_of_threads_does_not_show():
    names = ("unipc_3", "dpmpp_3m_sde", "heun", "scipy_rk45")
    one = [fingerprint(name) for name in names if name in samplers.names()]
    torch.set_num_threads(2)
    try:
        assert [difference(a, fingerprint(a.name)) for a in one] == [""] * len(one)
    finally:
        torch.set_num_threads(1)


# -- plugins
# ----------------------------------------------------------------------------------------------------------------------------

SECOND = "def gain(cur, nxt):\n    return nxt / cur * {factor}\n"
PLUGIN = """
from dataclasses import dataclass
from samplerbench.samplers import LinearMultistep, LinearRow, Source
from {module} import gain


@dataclass(frozen=True, kw_only=True)
class Mine(LinearMultistep):
    name = "mine_of_the_test"
    source = Source("test", "nowhere", "https://example.org")
    order = 1

    def plan(self, grid):
        return [LinearRow(cur, a=gain(cur, nxt), b=(1 - gain(cur, nxt),)) for cur, nxt in grid.intervals()]
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Loads a plugin of two files, the second with a factor in it or a comment, as a new
    process would.
    """
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    tables = registry._REGISTRY, registry._ORIGIN, registry._PLUGIN_FILE
    known = [dict(table) for table in tables]

    def forget():
        for table, before in zip(tables, known, strict=True):
            table.clear()
            table.update(before)
        for name in [
            name
            for name, module in sys.modules.items()
            if str(tmp_path) in str(getattr(module, "__file__", ""))
        ]:
            del sys.modules[name]
        loop._plan_of_hashable.cache_clear()

    def load(second):
        forget()
        (tmp_path / "helper_of_plugin.py").write_text(second)
        (tmp_path / "plugin.py").write_text(PLUGIN.format(module="helper_of_plugin"))
        samplers.load_file(tmp_path / "plugin.py")
        return fingerprint("mine_of_the_test")

    yield load
    forget()


def test_an_edited_helper_of_a_plugin_is_another(plugin):
    before = plugin(SECOND.format(factor=1.0))
    assert difference(before, plugin(SECOND.format(factor=1.0))) == ""
    edited = plugin(SECOND.format(factor=0.9))
    assert difference(before, edited) == "helper_of_plugin.py changed"
    behaviour = dataclasses.replace(edited, exact=before.exact)
    assert difference(before, behaviour) == "its plan on 5 steps differs"


def test_origin_or_digest__differs_by_what_a_plugin_imports(plugin):
    origins = []
    for factor in (1.0, 1.0, 0.9):
        plugin(SECOND.format(factor=factor))
        origins.append(origin_or_digest(samplers.make("mine_of_the_test"), 5))
    assert origins[0] == origins[1] != origins[2]
    assert origins[0].startswith(samplers.origin("mine_of_the_test"))


def test_origin_or_digest__counts_what_a_plugin_imports_as_it_samples(tmp_path, plugin):
    (tmp_path / "late_helper_of_plugin.py").write_text("gain = 1.0")
    late = "\n    from late_helper_of_plugin import gain\n"
    plugin(SECOND.format(factor=1.0).replace("\n", late, 1))
    sys.modules.pop("late_helper_of_plugin", None)
    mine = samplers.make("mine_of_the_test")
    before = origin_or_digest(mine, 5)
    mine.sample(lambda x, s: x / (1 + s), torch.ones(2, 2), karras(6, *reversed(ENDS)), 0)
    assert "late_helper_of_plugin" in sys.modules
    assert origin_or_digest(mine, 5) == before


def test_what_a_sampler_raises_is_raised(plugin):
    with pytest.raises(ZeroDivisionError):
        plugin("def gain(cur, nxt):\n    return 1 / 0\n")
