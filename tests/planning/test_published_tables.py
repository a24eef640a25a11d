"""Published tables: identities of the normal form, files that are refused, and runs by name."""

import json
import os
import pickle
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from looping import each
from typer.testing import CliRunner

import samplerbench
from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.planning.published_schedule import published
from samplerbench.benchmarks.planning.published_tables import (
    dyweight_table,
    flow_table,
    read_tables,
    vp_table,
)
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.models import make_model
from samplerbench.models.process import VPLinear
from samplerbench.samplers import Grid, karras, make
from samplerbench.samplers.families.tabulated import (
    FromSchedule,
    Tabulated,
    table_of_rows,
    tabulate,
)


@pytest.fixture(scope="module")
def gmm():
    """An exact model of two dimensions."""
    return make_model("gmm-2d")


N = 6
ADAMS = ((1,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def adams(n=N):
    """iPNDM's weights of the slopes in DyWeight's form: oldest first, lower triangular."""
    weights = np.zeros((n, n))
    for i in range(n):
        own = ADAMS[min(i, 3)]
        weights[i, i + 1 - len(own) : i + 1] = own[::-1]
    return weights


def samples(sampler, grid, gmm):
    x = grid.sigma[0] * torch.randn(
        16, 2, generator=torch.Generator().manual_seed(0), dtype=gmm.dtype
    )
    return sampler.sample(gmm.bind(torch.arange(16), 0), x, grid)


def run_table(table, grid, gmm):
    return samples(Tabulated(stands_for=FromSchedule(), table=table), grid, gmm)


@pytest.mark.parametrize("name", ["ipndm", "euler", "ipndm(analytic_first=True)"])
def test_dyweight_table__weights_of_a_known_method_are_the_method(gmm, name):
    free = "first" in name
    grid = karras(N, gmm.sigma_min, gmm.sigma_max, to_zero=False)
    weights = np.eye(N) if name == "euler" else adams()
    own, table = dyweight_table(
        np.array(grid.sigma), weights, np.ones(N - free), analytic_first=free
    )
    assert own.sigma[:-1] == pytest.approx(grid.sigma[:-1], rel=1e-12)
    found, want = run_table(table, own, gmm), samples(make(name), grid, gmm)
    torch.testing.assert_close(found, want, rtol=0, atol=1e-12 * gmm.sigma_max)


def test_dyweight_table__a_row_with_a_larger_sum_steps_further_and_scales_reach_the_network():
    levels = np.array([80.0, 20.0, 5.0, 0.0])
    weights = adams(3)
    weights[0, 0] = 1.1
    grid, table = dyweight_table(levels, weights, np.array([1.0, 0.9, 1.2]), analytic_first=False)
    assert grid.sigma == pytest.approx((80, 14, 5, 0))
    assert [row.level for row in table] == [None, pytest.approx(0.9 * 14), pytest.approx(6)]


def test_flow_table__without_older_values_is_euler_along_the_straight_path(gmm):
    steps = np.full(5, 0.2)
    grid, table, low, high = flow_table(steps, np.eye(5), 1e4)
    assert (low, high) == (0, 1e4)
    assert grid.sigma[1:] == pytest.approx((4, 1.5, 2 / 3, 0.25, 0))
    torch.testing.assert_close(run_table(table, grid, gmm), samples(make("euler"), grid, gmm))
    assert flow_table(steps, np.eye(5), 80.0)[0].sigma[0] == 1e4


def test_vp_table__without_older_values_is_ddim_at_the_levels_of_the_process(gmm):
    grid, table, low, high = vp_table(np.array([0.4, 0.3, 0.299]), np.eye(3), 0.0)
    level = VPLinear().level
    assert (low, high) == pytest.approx((level(1e-3), level(0.999)))
    assert grid.sigma == pytest.approx((high, level(0.599), level(0.299), 0))
    to_low = Grid((*grid.sigma[:-1], low))
    torch.testing.assert_close(run_table(table, grid, gmm), samples(make("ddim"), to_low, gmm))


def test_table_of_rows__levels_that_the_network_is_given_are_kept():
    grid = karras(4, 0.1, 10.0)
    table = tuple(
        row._replace(level=0.9 * s)
        for row, s in zip(tabulate(make("ipndm"), grid), grid.sigma, strict=False)
    )
    again = Tabulated(stands_for=make("ipndm"), table=table).plan(grid)
    for new, old in zip(table_of_rows(again, grid), table, strict=True):
        assert new.level == old.level
        assert (new.a, *new.b) == pytest.approx((old.a, *old.b))


# files


class Persistent:
    """Pickles as an object of NVIDIA's torch_utils.persistence does."""

    def __init__(self, name, state):
        self.meta = {"class_name": name, "module_src": "raise SystemExit", "state": state}

    def __reduce__(self):
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


LOSS = {"schedule_type": "polynomial", "schedule_rho": 7.0, "sigma_min": 0.002, "sigma_max": 80.0}


def snapshot(n=N, *, k=1, weights=None, afs=False, scales=None, loss=LOSS, **extra):
    """The value of a network-snapshot-*.pkl of DyWeight."""
    tensors = {
        "hybrid_weights": torch.tensor(adams(n) if weights is None else weights),
        "t_scale": torch.ones(n - afs) if scales is None else torch.tensor(scales),
    }
    mask = torch.ones(n, n).tril()
    state = {"num_steps": n + k, "afs": afs, "_parameters": tensors, "_buffers": {"mask": mask}}
    named = {"DyWeight_predictor": state, "DyWeight_loss": loss}
    pair = [Persistent(name, value) for name, value in named.items()]
    return dict(zip(("predictor", "loss_fn"), pair, strict=True)) | extra


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writer of a pickle of such objects, whose module exists only to name them."""
    module = ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError(meta)

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    monkeypatch.setitem(sys.modules, "torch_utils", ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", module)

    def written(value, name="a.pkl"):
        path = tmp_path / name
        path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value))
        return path

    return written


def test_read_tables__a_snapshot_of_dyweight_has_its_table_and_range(write):
    (table,) = read_tables(write(snapshot()), "", 80.0)
    grid, rows = dyweight_table(
        np.array(karras(N, 0.002, 80.0, to_zero=False).sigma), adams(), np.ones(N),
        analytic_first=False,
    )  # fmt: skip
    assert (table.sigma_min, table.sigma_max) == (0.002, 80)
    assert table.grid.sigma == pytest.approx(grid.sigma)
    for found, want in zip(table.table, rows, strict=True):
        assert (found.a, *found.b) == pytest.approx((want.a, *want.b))


class Runs:
    """Leaves a file where it is unpickled by anybody who executes it."""

    def __init__(self, made):
        self.made = made

    def __reduce__(self):
        return os.system, (f"touch {self.made}",)


def test_read_tables__code_in_a_pickle_does_not_run(write, tmp_path):
    path = write(snapshot(more=Runs(tmp_path / "made")))
    with pytest.raises(ValueError, match=r"pickle with code: it names \w+\.system"):
        read_tables(path, "", 80.0)
    assert not (tmp_path / "made").exists()


NOT_SQUARE, INFINITE = np.ones((N, N + 1)), np.full((N, N), np.inf)
WRONG = {
    "weights of a network": ({"ema": {"a": torch.ones(2)}}, "no table of DyWeight; give a network"),
    "one part only": ({"predictor": Persistent("DyWeight_predictor", {})}, "no table of DyWeight"),
    "too few scales": (snapshot(scales=[1.0]), "damaged table .*scales"),
    "infinite weights": (snapshot(weights=INFINITE), "damaged table .*not finite"),
    "more steps than weights": (snapshot(k=10**14), "damaged table .*weights"),
    "levels that rise": (snapshot(weights=-adams()), "damaged table .*fall"),
    "an unknown schedule": (snapshot(loss=LOSS | {"schedule_type": "x"}), "schedule_type 'x'"),
    "no settings": (snapshot(loss={}), "damaged table .*schedule_type"),
    "a cut file": (pickle.dumps({"a": 1})[:-3], "cut short or damaged"),
}


@each("what", WRONG)
def test_read_tables__a_wrong_pickle_is_one_sentence(write, what):
    value, said = WRONG[what]
    with pytest.raises(ValueError, match=said) as refused:
        read_tables(write(value), "", 80.0)
    assert "\n" not in str(refused.value)


FLOW = "FM_DATA = dict(step2=dict(timedeltas=[0.4, 0.6], coeffs=[[0.0, 0.0], [-0.5, 0.0]]))\n"
TEXTS = {
    "two parts": (
        FLOW + FLOW.replace("FM_DATA", "FM_DATA_B"),
        "choose one with part=…: FM_DATA, F",
    ),
    "no tables": ("import os\n", "give ns_sampling.py"),
    "code in a table": (FLOW.replace("0.4", "open('x')"), "no table of NeuralSolver"),
    "no Python": ("FM_DATA = (", "no table of NeuralSolver"),
    "another shape": (FLOW.replace("0.4, ", ""), "1 time steps and coefficients"),
    "a time of 1 too early": (FLOW.replace("0.4", "1.0"), "no table of NeuralSolver"),
    "no numbers": (FLOW.replace("0.4", "'x'"), "no table of NeuralSolver"),
}


@each("what", TEXTS)
def test_read_tables__a_wrong_python_file_is_one_sentence(tmp_path, what):
    text, said = TEXTS[what]
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(ValueError, match=said) as refused:
        read_tables(tmp_path / "a.py", "", 1e4)
    assert "\n" not in str(refused.value)


def test_read_tables__a_python_file_is_not_executed(tmp_path):
    (tmp_path / "a.py").write_text(f"{FLOW}open({str(tmp_path / 'made')!r}, 'w')\n")
    (table,) = read_tables(tmp_path / "a.py", "", 1e4)
    assert table.grid.sigma == pytest.approx((1e4, 1.5, 0))
    assert not (tmp_path / "made").exists()


# schedule


def write_json(path, levels=(40.0, 5.0, 0.5, 0.0), **numbers):
    file = {"sigma_min": 0.01, "sigma_max": 40.0, "tables": [{"levels": levels, **numbers}]}
    path.write_text(json.dumps(file))
    return str(path)


EULER = {"coefficients": [[0.125, 0.875], [0.1, 0.9, 0.0], [0.0, 1.0, 0.0, 0.0]]}


def test_read_tables__a_json_file_that_is_no_table_is_one_sentence(tmp_path):
    for numbers, said in (
        ({"levels": (70.0, 1.0, 0.0)}, "must fall from 40 to 0"),
        ({"coefficients": [[1.0]]}, "a row for each of 3 steps"),
        ({"network_levels": [1.0, 1.0, 1.0]}, "without coefficients"),
        ({"sums": []}, "tables.0.sums"),
    ):
        file = write_json(tmp_path / "a.json", **numbers)
        with pytest.raises(ValueError, match=said):
            read_tables(tmp_path / "a.json", "", 80.0)
    (tmp_path / "c.json").write_text('{"sigma_min": 2, "sigma_max": 2, "tables": []}')
    with pytest.raises(ValueError, match="must have tables, and 0 <= sigma_min < sigma_max"):
        read_tables(tmp_path / "c.json", "", 80.0)
    with pytest.raises(ValueError, match="there is no file"):
        read_tables(tmp_path / "b.json", "", 80.0)
    with pytest.raises(ValueError, match="has no parts"):
        read_tables(tmp_path / file, "FM_DATA", 80.0)


def test_published__another_range_is_refused_or_carried(gmm, tmp_path):
    file = write_json(tmp_path / "a.json", **EULER)
    with pytest.raises(ValueError, match=r"from 40 to 0.01, and gmm.*carry=True"):
        published(file=file)(gmm, None, "cpu")
    carried = make_schedule(f"published(file={file!r}, carry=True)").for_model(gmm)
    own = carried.for_sampler(FromSchedule())
    grid = own(3, gmm.sigma_min, gmm.sigma_max)
    shares = np.log(gmm.sigma_max / np.array(grid.sigma[1:3])) / np.log(40 / np.array([5, 0.5]))
    assert shares == pytest.approx(np.log(gmm.sigma_max / gmm.sigma_min) / np.log(40 / 0.01))
    table = own.sampler_at(FromSchedule(), 3)
    torch.testing.assert_close(samples(table, grid, gmm), samples(make("euler"), grid, gmm))
    assert own.facts(3)["tuning_digest"]
    with pytest.raises(ValueError, match="tables of 3 steps, not of 4"):
        own(4, gmm.sigma_min, gmm.sigma_max)


def test_published__another_sampler_takes_the_levels_alone(gmm, tmp_path):
    file = write_json(tmp_path / "a.json")
    bare = make_schedule(f"published(file={file!r}, carry=True)").for_model(gmm)
    assert bare.for_sampler(make("heun")).sampler_at(make("heun"), 3) == make("heun")
    with pytest.raises(ValueError, match="levels without coefficients; give a sampler"):
        bare.for_sampler(FromSchedule())


def test_published__files_of_one_number_of_steps_are_refused(gmm, tmp_path):
    for name in "ab":
        write_json(tmp_path / f"{name}.json")
    with pytest.raises(ValueError, match="both have 3 steps"):
        published(file=f"{tmp_path}/*.json", carry=True)(gmm, None, "cpu")


def test_run__a_published_table_by_name(write, tmp_path):
    """A first step without an evaluation leaves a budget of 3 to 4 steps."""
    path = write(snapshot(4, afs=True))
    schedule = f"published(file={str(path)!r}, carry=True)"
    words = ["run", "quick", "--model", "gmm-2d", "--sampler", "tabulated", "--schedule", schedule]
    words += ["--nfe", "3", "--samples", "16", "--no-timing", "--device", "cpu"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    cells = list((tmp_path / "r").rglob("*tabulated.nfe3*"))
    assert cells


def test_run__tables_on_the_same_levels_are_told_apart(tmp_path):
    """Their fingerprints were shared once, so that a further run set the second one aside."""
    schedules = []
    for name, weight in (("a", 0.0), ("b", 0.5)):
        content = {
            "levels": [80.0, 1.0, 0.0],
            "coefficients": [[0.0125, 0.9875], [0.0, 1.0 + weight, -weight]],
        }
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps({"sigma_min": 0.002, "sigma_max": 80.0, "tables": [content]}))
        schedules.append(f"published(file={str(file)!r})")
    suite = {"models": ["gmm-2d"], "samplers": ["tabulated"], "schedules": schedules, "nfe": [2]}
    for _again in range(2):
        table = samplerbench.run(suite, tmp_path / "r", samples=16, timing=False, device="cpu")
    assert not (tmp_path / "r" / "set-aside").exists()
    assert len(set(table.frame["made_by"])) == len(table.frame) == 2


def test_tabulated__without_a_table_says_what_is_missing(gmm):
    with pytest.raises(ValueError, match="no coefficients of its own"):
        make("tabulated").sample(gmm.bind(torch.arange(1), 0), torch.zeros(1, 2), [80.0, 0.0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "5"], "give a schedule that has them"),
        (["--nfe", "5"], "give a schedule that has them"),
        (["--steps", "5", "--schedule", "published(file='none.pkl')"], "there is no file none.pkl"),
    ],
)
def test_run__without_a_table_is_refused_before_anything_runs(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["run", "smoke", "--model", "gmm-2d", "--sampler", "tabulated", *words]
    result = CliRunner().invoke(app, [*command, "--no-timing", "--out", "run"])
    assert isinstance(result.exception, ValueError)
    assert said in str(result.exception)
