"""F2 to F7: what changes a run's numbers is noticed, in its directory and in the cache."""

import json
import pickle
import shutil
import sqlite3
import sys
import zipfile
import zipimport

import numpy as np
import pytest
from small_runs import numbers, run

from samplerbench import samplers
from samplerbench.models.loaders.user_files import record_files
from samplerbench.results.result_table import load
from samplerbench.results.run_directory.run_dir import RunDir

MODEL = """
import os
import numpy as np
import sqlite3
import torch
from pathlib import Path

HERE = Path(__file__).parent
{top}


class Model:
    event, sigma_min, sigma_max, dtype = (2,), 0.002, 80.0, torch.float64

    def __init__(self):
        self.mean = torch.tensor([1.0, -1.0], dtype=torch.float64)

    def __call__(self, x, sigma):
        s = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1)
        d = self.mean + (x - self.mean) / (1 + s**2)
        {call}
        return d

    {more}


factory = Model
"""
BETWEEN = "d = d + ({}) if 2.2 < float(s.min()) < 2.9 else d"
SAMPLE = """def sample(self, n, seed):
        noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return self.mean + {} * noise"""


@pytest.fixture
def write(tmp_path):
    """Writes a model; its spec."""

    def write(call="pass", more="", top=""):
        (tmp_path / "model.py").write_text(MODEL.format(call=call, more=more, top=top))
        return f"{tmp_path / 'model.py'}:factory"

    return write


def twice(tmp_path, change, *, knows_nothing=True, **asked):
    """Rows of two runs in one directory, before and after a change, and of one that knows nothing."""
    before = run(tmp_path / "run", **asked)
    change()
    now = run(tmp_path / "run", **asked)
    if knows_nothing:
        fresh = run(tmp_path / "fresh", **asked)
        assert numbers(now, but=("estimator",)) == numbers(fresh, but=("estimator",))
    assert numbers(before) != numbers(now), "the change changes nothing"
    return [aside.why for aside in RunDir.open(tmp_path / "run").cells_set_aside()]


@pytest.mark.parametrize("by", ["sample", "moments"])
def test_reference__numbers_of_a_file_that_is_opened_when_they_are_drawn(write, tmp_path, by):
    scale = "float(np.load(HERE / 'scale.npy'))"
    more = SAMPLE.format(scale if by == "sample" else "1.0")
    if by == "moments":
        more += (
            f"\n\n    def moments(self):\n        return np.array([1.0, -1.0]), {scale} * np.eye(2)"
        )
    np.save(tmp_path / "scale.npy", 1.0)
    twice(tmp_path, lambda: np.save(tmp_path / "scale.npy", 1.05), models=[write(more=more)])


def test_model__a_file_that_only_some_samples_open(write, tmp_path):
    """One label in a hundred, which no probe has."""
    top = """
class Bound:
    def __init__(self, model, ids):
        self.model = model
        late = np.array([float(np.load(HERE / "late.npy")) if int(i) == 77 else 0.0 for i in ids])
        self.off = torch.from_numpy(late)[:, None]

    def __call__(self, x, sigma):
        return self.model(x, sigma) + self.off
"""
    more = "def bind(self, ids, seed):\n        return Bound(self, ids)\n\n    "
    more += SAMPLE.format(1.0)
    np.save(tmp_path / "late.npy", 0.0)
    why = twice(
        tmp_path, lambda: np.save(tmp_path / "late.npy", 3.0), models=[write(more=more, top=top)]
    )
    assert why == ["the model is another one: late.npy changed"]
    np.save(tmp_path / "late.npy", 0.0)
    shards = {path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("0*-*.npz")}
    run(tmp_path / "run", models=[write(more=more, top=top)])
    after = {path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("0*-*.npz")}
    assert after == shards, "what comes back is computed again"


def test_model__an_environment_variable_at_a_level_of_the_cells(write, tmp_path, monkeypatch):
    spec = write(BETWEEN.format("float(os.environ['SHIFT'])"))
    monkeypatch.setenv("SHIFT", "0")
    (why,) = twice(tmp_path, lambda: monkeypatch.setenv("SHIFT", "2"), models=[spec])
    assert "its output at sigma 2." in why


def test_model__a_database(write, tmp_path):
    def shift(value):
        with sqlite3.connect(tmp_path / "w.db") as base:
            base.execute("create table if not exists t (v)")
            base.execute("delete from t")
            base.execute("insert into t values (?)", (value,))
        base.close()

    shift(0.0)
    query = "sqlite3.connect(HERE / 'w.db').execute('select v from t').fetchone()[0]"
    (why,) = twice(tmp_path, lambda: shift(2.0), models=[write(BETWEEN.format(query))])
    assert "the model is another one" in why


def test_model__an_installed_package_of_another_version(write, tmp_path, monkeypatch):
    place = tmp_path / "site-packages"

    def install(shift, version):
        shutil.rmtree(place, ignore_errors=True)
        (place / "narrow-1.dist-info").mkdir(parents=True)
        (place / "narrow.py").write_text(f"SHIFT = {shift}\n")
        about = f"Metadata-Version: 2.1\nName: narrow\nVersion: {version}\n"
        (place / "narrow-1.dist-info" / "METADATA").write_text(about)
        sys.modules.pop("narrow", None)

    monkeypatch.syspath_prepend(str(place))
    install(0.0, "1.0")
    # of a band that no level of a cell or of converged samples lies in: what says it is the version
    spec = write("d = d + narrow.SHIFT if 60 < float(s.min()) < 60.001 else d", top="import narrow")
    run(tmp_path / "run", models=[spec])
    install(1.0, "1.1")
    run(tmp_path / "run", models=[spec])
    (aside,) = RunDir.open(tmp_path / "run").cells_set_aside()
    assert "its installed narrow was" in aside.why


ONE_SAMPLE = """
import mmap, pickle, subprocess, sys

def number():
    {number}

class Bound:
    def __init__(self, model, ids):
        self.model = model
        late = np.array([number() if int(i) == 77 else 0.0 for i in ids])
        self.off = torch.from_numpy(late)[:, None]

    def __call__(self, x, sigma):
        return self.model(x, sigma) + self.off
"""
BIND = "def bind(self, ids, seed):\n        return Bound(self, ids)\n\n    " + SAMPLE.format(1.0)
MAPPED = """file = os.open(HERE / "number.txt", os.O_RDONLY)
    with mmap.mmap(file, 0, prot=mmap.PROT_READ) as content:
        os.close(file)
        return float(content[:])"""
WAYS = {
    "pickle": (
        "with open(HERE / 'number.pkl', 'rb') as file: return pickle.load(file)",
        "number.pkl changed",
    ),
    "exec": (
        "exec((HERE / 'formula.txt').read_text(), space := {}); return space['number']",
        "formula.txt changed",
    ),
    "command": (
        "with os.popen(f'cat {HERE}/number.txt') as out: return float(out.read())",
        "number.txt changed",
    ),
    "redirection": (
        "with os.popen(f'cd /; cat <{HERE}/number.txt') as out: return float(out.read())",
        "number.txt changed",
    ),
    "script": (
        "return float(subprocess.check_output([sys.executable, HERE / 'script.py']))",
        "script.py changed",
    ),
    "map": (MAPPED, "number.txt changed"),
    "link": ("return float((HERE / 'link.txt').read_text())", "link.txt changed"),
    "folder": ("return float((HERE / 'folder' / 'number.txt').read_text())", "number.txt changed"),
    "path": ("import number_of_path; return number_of_path.NUMBER", "number_of_path.py changed"),
    "archive": (
        "sys.path.insert(0, f'{HERE}/code.zip'); import number_of_zip; return number_of_zip.NUMBER",
        "code.zip changed",
    ),
}
"""How one sample in a hundred comes by a number, and what is said when it is another one."""


@pytest.mark.parametrize("way", WAYS)
def test_model__a_number_of_one_sample(write, tmp_path, monkeypatch, way):
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "last"), *sys.path])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    for name in ("first", "last", "v0.0", "v3.0"):
        (tmp_path / name).mkdir()

    def put(value):
        (tmp_path / "number.pkl").write_bytes(pickle.dumps(value))
        (tmp_path / "number.txt").write_text(str(value))
        (tmp_path / "formula.txt").write_text(f"number = {value}")
        (tmp_path / "script.py").write_text(f"print({value})")
        (tmp_path / "first" / "number_of_path.py").write_text(f"NUMBER = {value}\n")
        with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
            archive.writestr("number_of_zip.py", f"NUMBER = {value}\n")
        (tmp_path / f"v{value}" / "number.txt").write_text(str(value))
        for link, target in (("link.txt", f"v{value}/number.txt"), ("folder", f"v{value}")):
            (tmp_path / link).unlink(missing_ok=True)
            (tmp_path / link).symlink_to(target)
        for name in ("number_of_path", "number_of_zip"):
            sys.modules.pop(name, None)
        zipimport._zip_directory_cache.clear()

    number, what = WAYS[way]
    spec = write(more=BIND, top=ONE_SAMPLE.format(number=number))
    put(0.0)
    # what is measured again is the same whichever way it was noticed
    once = way == next(iter(WAYS))
    why = twice(tmp_path, lambda: put(3.0), knows_nothing=once, models=[spec])
    assert why == [f"the model is another one: {what}"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_model__a_branch_on_the_dtype_of_the_state(write, tmp_path, monkeypatch, dtype):
    call = f"d = d + (float(os.environ['SHIFT']) if x.dtype == torch.{dtype} else 0.0)"
    monkeypatch.setenv("SHIFT", "0")
    (why,) = twice(
        tmp_path,
        lambda: monkeypatch.setenv("SHIFT", "0.3"),
        models=[write(call)],
        dtype=dtype,
    )
    assert "its output at sigma" in why


@pytest.mark.parametrize("where", ["len(x) > 4", "x.max() > 1.5"])
def test_extractor__an_environment_variable_on_many_samples_and_loud_ones(
    write, tmp_path, monkeypatch, where
):
    (tmp_path / "features.py").write_text(f"""
import os

class Features:
    dim, identity = 2, "mine"

    def __call__(self, x):
        return x * (float(os.environ["GAIN"]) if {where} else 1.0)

factory = Features
""")
    spec = write(more=SAMPLE.format(1.0))
    monkeypatch.setenv("GAIN", "1")
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path / "kept"))
    asked = {"models": [spec], "extractor": f"{tmp_path / 'features.py'}:factory"}
    run(tmp_path / "run", **asked)
    monkeypatch.setenv("GAIN", "3")
    again = numbers(run(tmp_path / "run", **asked))
    (aside,) = RunDir.open(tmp_path / "run").cells_set_aside()
    assert "its features of many samples differ" in aside.why
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path / "empty"))
    assert numbers(run(tmp_path / "fresh", **asked)) == again


PLUGIN = """
from dataclasses import dataclass
import json, os
from pathlib import Path
from samplerbench.samplers import LinearMultistep, LinearRow, Source

HERE = Path(__file__).parent
{top}

@dataclass(frozen=True, kw_only=True)
class Mine(LinearMultistep):
    name, order = "mine_of_silence", 1
    source = Source("test", "nowhere", "https://example.org")

    def plan(self, grid):
        return [LinearRow(a, a=b / a, b=(1 - b / a,)) for a, b in grid.intervals()]

    def sample(self, denoise, x, grid, noise):
        x = super().sample(denoise, x, grid, noise)
        return x * {gain} if x.shape[1:].numel() > 2 else x
"""
JSON = "json.loads((HERE / 'gain.json').read_text())"
HELPER = """
import importlib.util
spec = importlib.util.spec_from_file_location("helper", HERE / "helper.py")
helper = importlib.util.module_from_spec(spec)
spec.loader.exec_module(helper)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("top", "gain", "why"),
    [
        (HELPER, "helper.GAIN", "helper.py changed"),
        (f"GAIN = {JSON}", "GAIN", "gain.json changed"),
        ("", JSON, "gain.json changed"),
        ("", "float(os.environ['GAIN'])", "its result for samples of shape (64,)"),
    ],
    ids=["helper", "at import", "when called", "environment"],
)
def test_plugin__what_it_does_to_the_samples_of_its_model(
    plugin, tmp_path, monkeypatch, top, gain, why
):
    def load(value):
        plugin()
        (tmp_path / "gain.json").write_text(value)
        (tmp_path / "helper.py").write_text(f"GAIN = {value}\n")
        monkeypatch.setenv("GAIN", value)
        (tmp_path / "mine.py").write_text(PLUGIN.format(top=top, gain=gain))
        samplers.load_file(tmp_path / "mine.py", record_files)

    load("1.0")
    asked = {"models": ["gmm-64d"], "samplers": ["mine_of_silence"]}
    (found,) = twice(tmp_path, lambda: load("1.5"), **asked)
    assert why in found


def test_cache__another_model_of_one_name_has_its_own_levels(write, tmp_path, monkeypatch):
    """F5: its environment made it another one."""
    spec = write(top="SCALE = float(os.environ['SCALE'])", call="d = d * SCALE")
    asked = {"models": [spec], "schedules": ["gits(teacher_steps=8, latents=4)"]}
    found = []
    for scale in ("1.0", "0.7"):
        monkeypatch.setenv("SCALE", scale)
        monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path / "shared"))
        found.append(numbers(run(tmp_path / f"first{scale}", **asked)))
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path / "empty"))
    assert numbers(run(tmp_path / "alone", **asked)) == found[1] != found[0]


def test_run__an_edit_meanwhile_stops_it_and_no_row_is_of_both(write, tmp_path):
    """F7: a file that is opened lazily, edited by the model itself at a late sample."""
    (tmp_path / "late.json").write_text("0.0")
    call = "d = d + json.loads((HERE / 'late.json').read_text())"
    more = """def bind(self, ids, seed):
        if int(ids[0]) == 64:
            (HERE / "other.json").write_text("0.5")
            os.replace(HERE / "other.json", HERE / "late.json")
        return self"""
    spec = write(call, more=more, top="import json")
    with pytest.raises(ValueError, match=r"late.json changed while the run was going on"):
        run(tmp_path / "run", models=[spec])
    (tmp_path / "late.json").write_text("0.5")
    spec = write(call, top="import json", more="same = 1")
    assert numbers(run(tmp_path / "run", models=[spec])) == numbers(
        run(tmp_path / "fresh", models=[spec])
    )
    assert json.loads((tmp_path / "late.json").read_text()) == 0.5


@pytest.mark.slow
def test_fresh__what_nothing_shows_is_measured_again(write, tmp_path, monkeypatch, samplerbench):
    """An environment variable that acts on one sample, which no probe has."""
    top = """
class Bound:
    def __init__(self, model, ids):
        self.model, self.off = model, float(os.environ["SHIFT"]) * (ids == 77)[:, None]

    def __call__(self, x, sigma):
        return self.model(x, sigma) + self.off
"""
    more = "def bind(self, ids, seed):\n        return Bound(self, ids)\n\n    "
    spec = write(more=more + SAMPLE.format(1.0), top=top)
    monkeypatch.setenv("SHIFT", "0")
    sizes = ("--samples", 128, "--batch-size", 64, "--converged-samples", 64, "--no-timing")
    words = ("run", "quick", "--model", spec, "--sampler", "euler", "--steps", 3, *sizes)
    found = []
    for shift, fresh in (("0", ()), ("9", ()), ("9", ("--fresh",)), ("0", ())):
        monkeypatch.setenv("SHIFT", shift)
        code, _, said = samplerbench(*words, "--out", tmp_path / "run", *fresh)
        assert code == 0, said
        found.append(load(tmp_path / "run").frame["fid_proxy"].item())
    assert found[0] == found[1] != found[2]
    assert found[2] == found[3], "it came back"
