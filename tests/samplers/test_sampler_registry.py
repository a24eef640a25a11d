"""Names, options, plugin files and entry points: what works, and one sentence for what does not."""

import importlib.metadata
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from looping import each

from samplerbench import benchmarks
from samplerbench.samplers import (
    PluginError,
    Sampler,
    get,
    load_file,
    load_plugins,
    make,
    names,
    origin,
    register,
    registry,
    spec_of,
)
from samplerbench.samplers.peers import load_peer_module
from samplerbench.samplers.types import bibtex, references

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

OWN = """
from dataclasses import dataclass
from samplerbench.samplers import Declared, Source


@dataclass(frozen=True)
class Own(Declared):
    name = "own"
    source = Source("none", "nowhere", "https://example.org")

    def sample(self, denoise, x, grid, noise):
        return denoise(x, grid.sigma[0])

    def nfe(self, grid):
        return 1
"""


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


@each(
    ("spec", "sentence"),
    [
        ("dpmpp2m", "unknown sampler 'dpmpp2m'; did you mean dpmpp_2m"),
        ("zzzz", "unknown sampler 'zzzz'; samplerbench list samplers shows what there is"),
        ({"name": "ddim", "etta": 1.0}, "sampler 'ddim' has no option 'etta'; its options: eta"),
        ({"name": "euler", "eta": 1.0}, "sampler 'euler' has no option 'eta'; its options: none"),
        (
            {"name": "ddim", "eta": "high"},
            "sampler 'ddim': option 'eta' must be a float, got 'high'",
        ),
        ({"name": "ddim", "eta": True}, "sampler 'ddim': option 'eta' must be a float, got True"),
        ({"eta": 1.0}, "a sampler is a name or a table with a name, got {'eta': 1.0}"),
    ],
    ids=str,
)
def test_make__a_wrong_spec_is_one_sentence(spec, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        make(spec)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_options_are_keywords_or_words_or_a_table():
    assert (
        make("ddim(eta=0.5)")
        == make("ddim", eta=0.5)
        == make({"name": "ddim", "eta": 0.5})
        == make({"name": "ddim"}, eta=0.5)
    )
    assert make("rk23(rtol=1e-2)", atol=0.5).atol == 0.5  # type: ignore[attr-defined]
    with pytest.raises(
        ValueError, match=r"^option 'eta' of 'ddim\(eta=0.5\)' is given " r"twice; leave one out$"
    ):
        make("ddim(eta=0.5)", eta=0.1)
    with pytest.raises(ValueError, match="sampler 'ddim' has no option 'etta'; its options: eta"):
        make("ddim", etta=0.5)
    with pytest.raises(ValueError, match=r"^cannot read the options of 'ddim\(0.5\)'"):
        make("ddim(0.5)")


def test_a_method_without_solve_is_named(tmp_path):
    with pytest.raises(PluginError, match="it needs a method 'solve'"):
        load_file(write(tmp_path, OWN.replace("def sample", "def simple")))


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


@each(
    ("text", "sentence"),
    [
        ("raise RuntimeError('no licence')", "failed at import: RuntimeError: no licence"),
        ("def broken(:", "failed at import: SyntaxError"),
        ("import no_such_library", "failed at import: ModuleNotFoundError"),
        ("x = 1", "defines no sampler"),
        (GOOD.format(name="euler"), "two samplers are called 'euler'"),
        (GOOD.format(name="thawed").replace("frozen=True, ", ""), "failed at import: TypeError"),
        ("import sys\nsys.exit('usage: me')", "failed at import: SystemExit: usage: me"),
        (
            "class A:\n    name = 'bare'\n",
            "A is not a sampler: it needs a class attribute 'source'",
        ),
        (OWN.replace("@dataclass(frozen=True)\n", ""), "sampler 'own' must be a frozen dataclass"),
        (
            "from samplerbench.samplers.methods.edm import Euler\nclass "
            "Other(Euler):\n    name = 'other'\n",
            "sampler 'other' must be a frozen dataclass",
        ),
    ],
)
def test_load_file__a_broken_plugin_file_is_one_sentence(tmp_path, text, sentence):
    before, modules = names(), set(sys.modules)
    with pytest.raises(PluginError) as caught:
        load_file(write(tmp_path, text))
    assert sentence in str(caught.value)
    assert names() == before
    if "import" in sentence:
        assert not [
            name for name in set(sys.modules) - modules if name.startswith("samplerbench_plugin")
        ]


def test_a_class_that_inherits_declared_needs_no_more_than_sample_and_nfe(tmp_path):
    assert load_file(write(tmp_path, OWN)) == ["own"]
    assert isinstance(make("own"), Sampler)


def sampler_class(**changes):
    """A frozen dataclass with all that the harness reads, less what is None among the changes."""
    body = {
        "name": "whole",
        "source": get("euler").source,
        "sample": lambda *a: a,
        "nfe": lambda *a: 1,
    }
    body |= {
        "order": 1,
        "stochastic": False,
        "adaptive": False,
        "batch_coupled": False,
        "same_as": "",
    }
    body |= {"translates": True, "own_grid": False, "strong_order": 1.0, "for_maps": False}
    return dataclass(frozen=True)(
        type("Whole", (), {k: v for k, v in (body | changes).items() if v is not None})
    )


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [
        ("name", "registry name as text"),
        ("source", "a samplers.Source"),
        ("sample", "it needs a method 'sample'"),
        ("nfe", "it needs a method 'nfe'"),
        *(
            (word, "inherit samplers.Declared")
            for word in ("order", "stochastic", "adaptive", "batch_coupled", "same_as", "own_grid")
        ),
    ],
)
def test_register__what_a_sampler_lacks_is_named_with_its_remedy(missing, remedy):
    assert register(sampler_class()).name in names()
    with pytest.raises(PluginError, match=f"^Whole is not a sampler: .*'{missing}'.*") as caught:
        register(sampler_class(**{missing: None}))
    assert remedy in str(caught.value)


def test_every_annotation_of_the_protocol_is_required():
    # a class that is no dataclass has a sentence of its own
    for word in Sampler.__annotations__.keys() - {"__dataclass_fields__"}:
        with pytest.raises(PluginError, match=f"'{word}'"):
            register(sampler_class(**{word: None}))


@pytest.mark.parametrize("changes", [{"name": 3}, {"source": "a paper"}, {"nfe": 7}], ids=str)
def test_an_attribute_of_the_wrong_kind_is_named(changes):
    with pytest.raises(PluginError, match=f"'{next(iter(changes))}'"):
        register(sampler_class(**changes))


def test_what_is_no_class_is_refused():
    with pytest.raises(PluginError, match="is not a sampler: register a class"):
        register(make("euler"))


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
    fresh = dataclass(frozen=True, kw_only=True)(
        type("Fresh", (euler,), {"name": "fresh", "__module__": euler.__module__})
    )

    def explode():
        raise ImportError("no such wheel")

    points = [
        Point("bad", explode),
        Point("twice", lambda: dataclass(frozen=True)(type("Other", (euler,), {"name": "heun"}))),
        Point("fresh", lambda: fresh),
    ]
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group: points if group == "samplerbench.samplers" else [],
    )
    failures = load_plugins()
    assert failures["bad"] == (
        "plugin 'bad' (somewhere:bad) failed to load: ImportError: no such wheel"
    )
    assert "two samplers are called 'heun'" in failures["twice"]
    assert "fresh" in names()
    assert origin("fresh").startswith("somewhere:fresh sha256:")


def raising(error):
    def load():
        raise error

    return load


def test_an_odd_entry_point_is_reported_and_does_not_disturb_the_rest(monkeypatch):
    """One that exits, one that is no class, and a good one without a source file."""
    euler = get("euler")
    homeless = dataclass(frozen=True, kw_only=True)(
        type("Homeless", (euler,), {"name": "homeless", "__module__": "no_such_module"})
    )
    points = [
        Point("exits", raising(SystemExit(2))),
        Point("module", lambda: sys),
        Point("homeless", lambda: homeless),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    failures = load_plugins()
    assert failures["exits"].endswith("failed to load: SystemExit: 2")
    assert "is not a sampler: register a class" in failures["module"]
    assert set(failures) == {"exits", "module"}
    assert origin("homeless") == "somewhere:homeless sha256:unknown"


def test_a_failure_after_the_import_is_reported_and_registers_nothing(monkeypatch):
    fresh = dataclass(frozen=True, kw_only=True)(type("Fresh", (get("euler"),), {"name": "fresh"}))
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [Point("fresh", lambda: fresh)]
    )
    monkeypatch.setattr(
        registry, "_hash_of_file", lambda file: raising(PermissionError("locked"))()
    )
    assert load_plugins()["fresh"].endswith("PermissionError: locked")
    assert "fresh" not in names()


def test_an_interrupt_is_not_swallowed(monkeypatch, tmp_path):
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group: [Point("slow", raising(KeyboardInterrupt))],
    )
    with pytest.raises(KeyboardInterrupt):
        load_plugins()
    with pytest.raises(KeyboardInterrupt):
        load_file(write(tmp_path, "raise KeyboardInterrupt"))


def test_registering_twice_is_harmless_and_a_second_class_is_not():
    assert register(get("euler")) is get("euler")
    other = dataclass(frozen=True, kw_only=True)(type("Other", (get("euler"),), {"name": "euler"}))
    with pytest.raises(PluginError, match="two samplers are called 'euler'"):
        register(other)


def test_register__the_name_of_an_unlisted_sampler_is_taken():
    mine = dataclass(frozen=True, kw_only=True)(type("M", (get("euler"),), {"name": "pipeline"}))
    with pytest.raises(PluginError, match="two samplers are called 'pipeline'"):
        spec_of(mine())


ENTRIES = references()


@each("name", names())
def test_references__have_the_source_of_every_sampler(name):
    assert get(name).source.key in ENTRIES


def test_the_scaffolds_source_is_in_the_bibliography():
    template = Path(
        next(iter(benchmarks.__path__)),
        "cli",
        "scaffold",
        "templates",
        "solver",
        "src",
        "__name__",
        "__init__.py.tmpl",
    ).read_text()
    assert re.search(r'Source\("(\w+)"', template)[1] in ENTRIES


@each("key", ENTRIES)
def test_references__an_entry_is_complete(key):
    entry = ENTRIES[key]
    assert entry.count("{") == entry.count("}")
    for field in ("title", "author", "year", "url"):
        assert re.search(rf"^  {field} +=", entry, re.MULTILINE)


def test_entries_are_sorted_and_printed_once():
    assert list(ENTRIES) == sorted(ENTRIES)
    assert bibtex(["song2021ddim", "song2021ddim"]).count("@") == 1


def test_load_peer_module__a_peer_of_a_package_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="peer 'azula:DDIMSampler' is in no clone"):
        load_peer_module("azula:DDIMSampler")


def test_spec_of__an_unlisted_sampler_stays_unlisted():
    before = names()
    assert spec_of(make("cfgpp"))["name"] == "cfgpp"
    of_library = type("X", (get("euler"),), {"name": "azula:X"})
    assert spec_of(of_library())["name"] == "azula:X"
    assert names() == before
