"""Hook of the site: pages of reference that are generated from the code.

Each page is a function of :data:`PAGES`. The pages exist only on the site.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = "reference/generated/"
WIDE = "---\nhide: [toc]\n---\n\n"
_ROLE = re.compile(r":\w+:`~?\.?(?:[\w.]+\.)?(\w+)`")  # as :mod:`.openai`


def on_files(files: Any, config: Any) -> Any:
    """Put the generated pages in place of the files of ``docs/reference/generated/``.

    These say which command prints the same, for readers of the repository.
    """
    from mkdocs.structure.files import File

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    for name, page in PAGES.items():
        files.remove(files.src_uris[FOLDER + name])
        files.append(File.generated(config, FOLDER + name, content=page()))
    return files


def plain(text: object) -> str:
    """Return text for a cell of a table, with all characters of Markdown and HTML escaped."""
    text = re.sub(r"\s+", " ", str(text))
    return re.sub(r"[&<>|*_`\[\]\\]", lambda found: f"&#{ord(found[0])};", text)


def code(text: object) -> str:
    """Return text in code type for a cell of a table, empty for no text."""
    return f"<code>{plain(text)}</code>" if str(text) else ""


def prose(docstring: str) -> str:
    """Return text of a docstring as Markdown; roles become code."""
    parts = re.split(r"``(.+?)``", _ROLE.sub(r"``\1``", " ".join(docstring.split())))
    return "".join((plain, code)[k % 2](part) for k, part in enumerate(parts))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose cells are Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def commands() -> str:
    """Return the page of all commands, with their options by panel."""
    import typer

    from samplerbench.benchmarks.cli import app

    group: Any = typer.main.get_command(app)
    shown = {name: c for name, c in group.commands.items() if not c.hidden}
    parts = ["# Commands\n\n`samplerbench COMMAND -h` prints the same in a terminal.\n"]
    rows = ([f"[`{k}`](#{k})", prose(c.get_short_help_str(300))] for k, c in shown.items())
    parts.append(table(("Command", "Purpose"), rows))
    parent = group.make_context("samplerbench", ["list"])  # without it a command forgets its -h
    for name, command in shown.items():
        parts += [f"## {name}\n", *_command(f"samplerbench {name}", command, parent)]
    return "\n".join(parts)


def _command(name: str, command: Any, parent: Any) -> Iterator[str]:
    """Yield the parts of a command's section: help, usage, arguments, options, examples."""
    context = command.context_class(command, info_name=name, parent=parent)
    yield f"{prose(command.help or '')}\n"
    yield f"```text\n{' '.join([name, *command.collect_usage_pieces(context)])}\n```\n"
    panels: dict[str, list[list[str]]] = {"Arguments": []}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in record[0]:
            default = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panel = getattr(parameter, "rich_help_panel", None) or default
            panels.setdefault(panel, []).append([code(record[0]), plain(record[1])])
    yield from (table((panel, "Meaning"), rows) for panel, rows in panels.items() if rows)
    if command.epilog:
        lines = "\n".join(line.strip() for line in command.epilog.splitlines()[2:])
        yield f"Examples:\n\n```text\n{lines}\n```\n"


def columns() -> str:
    """Return the page of the columns of the result table."""
    from samplerbench.results.columns import AROUND, ROW
    from samplerbench.results.quantities import columns as all_columns

    parts = [
        "# Columns of the result table\n\nEvery row of `table.csv` has these columns, in this order. "
        "[Metrics](../metrics.md) describes how the measured values are computed. *Data units* are "
        "the units of the model's data, and *feature units* the units of the feature space.\n"
    ]
    measured = all_columns()[len(ROW) : -len(AROUND)]
    groups = {"Request": ROW, "Measured values": measured, "Times, settings and status": AROUND}
    for heading, group in groups.items():
        rows = ([code(c.name), plain(c.meaning), c.kind, plain(c.unit)] for c in group)
        parts += [f"## {heading}\n", table(("Column", "Meaning", "Type", "Unit"), rows)]
    return "\n".join(parts)


def samplers() -> str:
    """Return the page of all samplers."""
    from samplerbench.benchmarks.cli.listing import list_samplers

    rows = list_samplers()
    cells = (
        [
            code(row["name"]),
            _method(row)
            + (f"<br>Options: {options}" if (options := _options(row["options"], ", ")) else ""),
            str(row["order"] or ""),
            row["kind"] + ", adaptive" * (row["control"] == "tolerance"),
            "" if row["nfe_per_step"] is None else f"{row['nfe_per_step']:g}",
            _source(row),
        ]
        for row in rows
    )
    heads = ("Name", "Method", "Order", "Kind", "Evaluations per step", "Source")
    text = f"These {len(rows)} samplers are built in. The order is the declared one. "
    text += (
        "`samplerbench list samplers` adds the measured order, `samplerbench cite NAME` the BibTeX."
    )
    return f"{WIDE}# Samplers\n\n{text}\n\n{table(heads, cells)}"


def _method(row: Mapping[str, Any]) -> str:
    same = f" Same as {code(row['same_as'])}." if row["same_as"] else ""
    return prose(row["summary"]) + same + " Searched on the model." * bool(row.get("needs_model"))


def _source(row: Mapping[str, Any]) -> str:
    """Return the link to a source, followed by the deviations from it."""
    key, _, where = row["source"].replace(":", "", 1).partition(" ")
    author, year, _ = re.split(r"(\d{4})", key, maxsplit=1)
    link = f"[{author.capitalize()} {year}]({row['url']}), {plain(where)}"
    return link + "".join(f"<br>Differs: {plain(text)}" for text in row["deviations"])


def _options(options: Mapping[str, Any], between: str = "<br>") -> str:
    return between.join(code(f"{name}={default!r}") for name, default in options.items())


def schedules() -> str:
    """Return the page of all schedules."""
    from samplerbench.benchmarks.cli.listing import list_schedules
    from samplerbench.benchmarks.planning.schedules import PROCESSES

    rows = list_schedules()
    cells = ([code(r["name"]), _method(r), _options(r["options"]), _source(r)] for r in rows)
    text = "A schedule turns a number of steps and a range of noise levels into a grid. [Schedules]"
    text += "(../../explanation/schedules.md) explains their differences. `process` is one of "
    text += f"{', '.join(map(code, PROCESSES))}.\n\n"
    return f"{WIDE}# Schedules\n\n{text}" + table(("Name", "Levels", "Options", "Source"), cells)


def suite_keys() -> str:
    """Return the page of the keys of a suite's TOML file."""
    from samplerbench.benchmarks.suites.suite import ModelEntry, Suite, Timing, Until

    parts = [
        "# Keys of a suite\n\nA suite is a TOML file ([how to run one](../../how-to/suites.md)). "
        "Give `models`, `samplers`, and either `steps` or `nfe`.\n"
    ]
    tables = {"The suite": Suite, "models": ModelEntry, "timing": Timing, "until": Until}
    for heading, model in tables.items():
        section = (model.__doc__ or "").partition("Attributes:\n")[2]
        section = re.sub(r" \((:\w+:`|``benchmarks)[^)]+\)", "", section)  # places in the code
        section = re.sub(r"\bNone\b", "no value", section)  # TOML has no None
        found = re.findall(r"^ {8}(\w[\w, ]*): (.*(?:\n {9,}.*)*)", section, re.MULTILINE)
        meanings = {name: meaning for names, meaning in found for name in names.split(", ")}
        rows = [
            [code(key), _type(value), _default(value.get("default")), prose(meanings[key])]
            for key, value in model.model_json_schema()["properties"].items()
        ]
        parts += [f"## {heading}\n", table(("Key", "Type", "Default", "Meaning"), rows)]
    return "\n".join(parts)


def _type(value: Mapping[str, Any]) -> str:
    """Return a type of JSON schema in words."""
    if "anyOf" in value:
        return " or ".join(_type(v) for v in value["anyOf"] if v.get("type") != "null")
    if "enum" in value or "const" in value:
        return " or ".join(code(f'"{name}"') for name in value.get("enum", [value.get("const")]))
    if value.get("type") == "array":
        return f"list of {_type(value['items'])}"
    words = {"string": "text", "boolean": "true or false", "integer": "whole number"}
    words |= {"number": "number", "object": "table"}
    low, above = value.get("minimum"), value.get("exclusiveMinimum")
    limit = f" ≥ {low}" if low is not None else f" > {above:g}" if above is not None else ""
    return words[value.get("type", "object")] + limit


def _default(value: object) -> str:
    return "" if value in (None, "") or isinstance(value, dict) else code(json.dumps(value))


def checkpoint_families() -> str:
    """Return the page of the families of checkpoints."""
    from samplerbench.models.checkpoints import families, programs

    parts = [
        "# Families of checkpoints\n\n`samplerbench check-model FILE` prints the family of a file. "
        "*Say* lists what the file does not state: write it as `FILE?KEY=VALUE&KEY=VALUE`, or let "
        "`check-model --images` find it. *From noise alone* says whether `?sigma_max=inf` works. "
        "[Load a checkpoint](../../how-to/checkpoints.md) explains these steps.\n"
    ]
    for name in families.family_names():
        module: Any = families.family(name)
        paragraphs = module.__doc__.partition("\nFiles: ")[0]
        parts += [f"## {name}\n", *(f"{prose(part)}\n" for part in paragraphs.split("\n\n"))]
        rows = ([f"**{key}**", prose(fact)] for key, fact in families.family_facts(name).items())
        parts.append(table(("Property", "Value"), rows))
        # lightning_dit imports the trainings of dit
        own = {} if name == "lightning_dit" else getattr(module, "TRAININGS", {})
        if answers := programs.training_answers() if name == "onnx" else own:
            heads = ("<code>training</code>", "Process", "Prediction", "The network's time")
            parts.append(table(heads, (_training(*answer) for answer in answers.items())))
    return "\n".join(parts)


def _training(name: str, fields: Mapping[str, Any]) -> list[str]:
    """Return the cells of an answer to the question ``training``."""
    process, time = dict(fields.get("process", {})), {"of": "t", **fields.get("time", {})}
    settings = ", ".join(f"{key}={value}" for key, value in process.items() if key != "name")
    of = {"t": "t", "level": "sigma", "log_level": "ln(sigma)"}[time["of"]]
    factor, scale = fields.get("factor", 1.0), time.get("scale", 1.0)
    return [
        code(name),
        code(process.get("name", "")) + (f" ({plain(settings)})" if settings else ""),
        code(fields.get("prediction", "eps")) + (f" times {factor:.4g}" if factor != 1 else ""),
        (of if scale == 1 else f"{scale:g} {of}")
        + f" + {time.get('offset', 0):g}" * ("offset" in time),
    ]


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "columns.md": columns,
    "samplers.md": samplers,
    "schedules.md": schedules,
    "suite-keys.md": suite_keys,
    "checkpoint-families.md": checkpoint_families,
}
"""Generated pages by their names in ``reference/generated/``."""
