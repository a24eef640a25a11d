"""Names, options, plugin files and entry points: what works, and one sentence for what does not."""

import importlib.metadata
import sys
from dataclasses import dataclass

import pytest

from samplerbench.samplers import PluginError, get, load_file, load_plugins, make, names, origin, register, registry

GOOD = '''
from dataclasses import dataclass
from samplerbench.samplers import LinearMultistep, LinearRow, Source


@dataclass(frozen=True, kw_only=True)
class Mine(LinearMultistep):
    """Euler."""

    name = "{name}"
    source = Source("none", "nowhere", "https://example.org")

    def plan(self, grid):
        return [LinearRow(cur, a=nxt / cur, b=(1 - nxt / cur,)) for cur, nxt in grid.intervals()]
'''


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """The registry as it was."""
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    monkeypatch.setattr(registry, "_ORIGIN", dict(registry._ORIGIN))


def write(folder, text, name="plugin.py"):
    path = folder / name
    path.write_text(text)
    return path


def test_names_are_sorted_and_known():
    assert names() == sorted(names())
    assert all(get(name).name == name for name in names())


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("dpmpp2m", "unknown sampler 'dpmpp2m'; did you mean dpmpp_2m"),
        ("zzzz", "unknown sampler 'zzzz'; samplerbench list samplers shows what there is"),
        ({"name": "ddim", "etta": 1.0}, "sampler 'ddim' has no option 'etta'; its options: eta"),
        ({"name": "euler", "eta": 1.0}, "sampler 'euler' has no option 'eta'; its options: none"),
        ({"name": "ddim", "eta": "high"}, "sampler 'ddim': option 'eta' must be a float, got 'high'"),
        ({"name": "ddim", "eta": True}, "sampler 'ddim': option 'eta' must be a float, got True"),
        ({"eta": 1.0}, "a sampler is a name or a table with a name, got {'eta': 1.0}"),
    ],
    ids=str,
)
def test_a_wrong_spec_is_one_sentence(spec, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        make(spec)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_an_integer_may_stand_for_a_float():
    eta = make({"name": "ddim", "eta": 1}).eta
    assert (eta, type(eta)) == (1.0, float)


def test_a_plugin_file_registers_what_it_defines(tmp_path):
    path = write(tmp_path, GOOD.format(name="mine_file"))
    assert load_file(path) == ["mine_file"]
    assert make("mine_file").nfe is not None
    assert origin("mine_file").startswith("plugin.py sha256:")
    assert origin("euler") == ""
    assert load_file(path) == ["mine_file"]  # the same file twice is no conflict


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("raise RuntimeError('no licence')", "failed at import: RuntimeError: no licence"),
        ("def broken(:", "failed at import: SyntaxError"),
        ("import no_such_library", "failed at import: ModuleNotFoundError"),
        ("x = 1", "defines no sampler"),
        (GOOD.format(name="euler"), "two samplers are called 'euler'"),
        (GOOD.format(name="thawed").replace("frozen=True, ", ""), "failed at import: TypeError"),
        ("class A:\n    name = 'no_step'\n", "is not a sampler: it needs a class attribute 'name' (text) and a method 'sample'"),
        ("class A:\n    name = 'plain'\n    def sample(self, *a): ...\n", "sampler 'plain' must be a frozen dataclass"),
    ],
)
def test_a_broken_plugin_file_is_one_sentence(tmp_path, text, sentence):
    before, modules = names(), set(sys.modules)
    with pytest.raises(PluginError) as caught:
        load_file(write(tmp_path, text))
    assert sentence in str(caught.value)
    assert names() == before
    if "import" in sentence:
        assert not [name for name in set(sys.modules) - modules if name.startswith("samplerbench_plugin")]


def test_a_missing_plugin_file_is_named(tmp_path):
    with pytest.raises(PluginError, match=r"plugin file .*nowhere.py not found"):
        load_file(tmp_path / "nowhere.py")


def test_a_file_that_is_not_python_is_named(tmp_path):
    with pytest.raises(PluginError, match="not a Python file"):
        load_file(write(tmp_path, "hello", "notes.txt"))


class Point:
    """Stands for an entry point."""

    def __init__(self, name, load):
        self.name, self.value, self.load, self.dist = name, f"somewhere:{name}", load, None


def test_one_broken_entry_point_does_not_disturb_the_others(monkeypatch):
    euler = get("euler")
    fresh = dataclass(frozen=True, kw_only=True)(type("Fresh", (euler,), {"name": "fresh", "__module__": euler.__module__}))

    def explode():
        raise ImportError("no such wheel")

    points = [Point("bad", explode), Point("twice", lambda: type("Other", (euler,), {"name": "heun"})), Point("fresh", lambda: fresh)]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points if group == "samplerbench.samplers" else [])
    failures = load_plugins()
    assert failures["bad"] == "plugin 'bad' (somewhere:bad) failed to load: ImportError: no such wheel"
    assert "two samplers are called 'heun'" in failures["twice"]
    assert "fresh" in names()
    assert origin("fresh").startswith("somewhere:fresh sha256:")


def test_registering_twice_is_harmless_and_a_second_class_is_not():
    assert register(get("euler")) is get("euler")
    other = dataclass(frozen=True, kw_only=True)(type("Other", (get("euler"),), {"name": "euler"}))
    with pytest.raises(PluginError, match="two samplers are called 'euler'"):
        register(other)
