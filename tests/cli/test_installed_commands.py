"""Commands of installed packages: which one runs if names clash, and modules that end the program."""

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import typer

from samplerbench.benchmarks.cli import usage


def test_add_installed_commands__clashes_and_exits_are_sentences(monkeypatch, tmp_path, caplog):
    (tmp_path / "module_that_ends.py").write_text("import sys; sys.exit(3)")
    module = ModuleType("mine_of_commands")
    module.first, module.second = (lambda: None), (lambda: None)  # type: ignore[attr-defined]
    module.first.__module__ = module.second.__module__ = module.__name__
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.syspath_prepend(tmp_path)
    homes = {"run": "mine_of_commands:first", "quits": "module_that_ends:go"}
    points = [EntryPoint(name, home, usage.GROUP) for name, home in homes.items()]
    points += [
        EntryPoint("hi", f"mine_of_commands:{name}", usage.GROUP) for name in ("first", "second")
    ]
    monkeypatch.setattr(usage, "entry_points", lambda **_: points)
    app = typer.Typer()
    app.command("run")(print)
    usage.add_installed_commands(app)
    assert {c.name: c.callback for c in app.registered_commands if not c.hidden} == {
        "run": print,
        "hi": module.first,
    }
    assert [record.getMessage() for record in caplog.records] == [
        "two commands are called hi: mine_of_commands:second and mine_of_commands:first; the second runs",
        "the command quits of module_that_ends:go cannot be loaded: SystemExit: 3",
        "two commands are called run: mine_of_commands:first and samplerbench itself; the second runs",
    ]
