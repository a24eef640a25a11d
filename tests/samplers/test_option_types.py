"""Options of samplers: their types, their defaults, and options that have none."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest

from samplerbench import samplers
from samplerbench.benchmarks.cli.common.options import load_plugins
from samplerbench.benchmarks.cli.listing import _sampler_row
from samplerbench.benchmarks.cli.samplers import _samplers_to_check
from samplerbench.benchmarks.planning.planner import FIXED_GRID, expand_fixed_grid_keyword
from samplerbench.samplers import registry
from samplerbench.samplers.methods.edm import Euler
from samplerbench.samplers.spec import label_of


class Mode(Enum):
    FAST = "fast"
    SLOW = "slow"


@dataclass(frozen=True, kw_only=True)
class Optioned(Euler):
    name = "optioned"
    path: Path = Path("a.txt")
    mode: Mode = Mode.FAST
    maybe: int | None = None
    file: Path | None = None
    many: list[float] = field(default_factory=lambda: [1.0])


@dataclass(frozen=True, kw_only=True)
class Asking(Euler):
    name = "asking"
    scale: float


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    samplers.names()
    own = {"optioned": Optioned, "asking": Asking}
    monkeypatch.setattr(registry, "_REGISTRY", registry._REGISTRY | own)


@pytest.mark.parametrize(
    ("spec", "option", "value"),
    [
        ("optioned(path='b.txt')", "path", Path("b.txt")),
        ("optioned(mode='slow')", "mode", Mode.SLOW),
        ("optioned(maybe=3)", "maybe", 3),
        ("optioned(file='b.txt')", "file", Path("b.txt")),
        ("optioned(many=[2.0])", "many", [2.0]),
        ("optioned", "many", [1.0]),
        ("asking(scale=2.0)", "scale", 2.0),
    ],
)
def test_make__an_option_has_the_type_that_its_class_states(spec, option, value):
    made = samplers.make(spec)
    assert getattr(made, option) == value
    assert type(getattr(made, option)) is type(value)
    assert label_of(made) == spec


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("optioned(mode=quick)", r"'mode' must be a Mode \('fast', 'slow'\), got 'quick'"),
        ("optioned(path=3)", "'path' must be a path, got 3"),
        ("optioned(maybe=abc)", "'maybe' must be a int or None, got 'abc'"),
        ("optioned(maybe=True)", "'maybe' must be a int or None, got True"),
        ("asking(scale=abc)", "'scale' must be a float, got 'abc'"),
    ],
)
def test_make__an_option_of_another_type_is_refused(spec, words):
    with pytest.raises(ValueError, match=words):
        samplers.make(spec)


def test_list_samplers__defaults_are_values_of_specs():
    options = _sampler_row("optioned", {})["options"]
    assert options["path"] == "a.txt"
    assert options["mode"] == "fast"
    assert options["many"] == [1.0]
    assert _sampler_row("asking", {})["options"]["scale"] == "required"


def test_names__a_sampler_with_a_required_option_stops_no_list(caplog):
    assert {*samplers.names()} - {*samplers.names(complete=True)} == {"asking"}
    assert "asking" not in expand_fixed_grid_keyword([FIXED_GRID])
    assert "asking" not in {sampler.name for sampler in _samplers_to_check([], True)}
    assert "asking is not checked" in caplog.text


BESIDE = """
from dataclasses import dataclass
from pathlib import Path
from samplerbench.samplers.methods.edm import Euler

@dataclass(frozen=True)
class Beside(Euler):
    name = "beside"
    text = (Path(__file__).parent / "data.txt").read_text()
"""


def test_load_plugins__a_file_imports_the_modules_beside_it(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helper.py").write_text(f"VALUE = {name!r}\n")
        text = BESIDE.replace("beside", name).replace(
            '(Path(__file__).parent / "data.txt").read_text()', "VALUE"
        )
        (tmp_path / name / f"{name}.py").write_text("from helper import VALUE\n" + text)
    load_plugins([tmp_path / "one" / "one.py", tmp_path / "two" / "two.py"])
    assert (samplers.get("one").text, samplers.get("two").text) == ("one", "two")
