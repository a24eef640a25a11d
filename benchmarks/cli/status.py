"""Command ``status``: state of the cells of a run directory, and commands to continue."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common.console import err, out, print_json, print_rows, say, say_next
from .common.options import Json, PeersPath, Plugins, TrustOption, flag, load_plugins
from .views import Folder

if TYPE_CHECKING:
    from ..running.cell_states import State

MOST_LINES = 40  # most groups of cells that are printed: a terminal's height


def status(
    folder: Folder,
    changes: bool = flag(
        "--changes", "Show what changed code, models or files would recompute, and why."
    ),
    trust_suite: TrustOption = False,
    plugin: Plugins = None,
    peers_path: PeersPath = None,
    as_json: Json = False,
) -> None:
    """Show which cells of a run are done, failed or missing."""
    if changes:
        load_plugins(plugin, peers_path)
        return print_changes(folder, trust=trust_suite, as_json=as_json)

    from ...results.result_table import load
    from ...results.run_directory.run_dir import RunDir
    from ...results.values import rows_as_dicts

    records: list[dict[str, Any]] = rows_as_dicts(load(folder).frame)
    aside: list[dict[str, Any]] = [
        {"name": cell.cell, **cell.record, "status": "set aside", "reason": cell.why}
        for cell in RunDir(folder).cells_set_aside()
    ]
    if as_json:
        rows = [{"name": row.get("cell") or row["sampler"], **row} for row in records]
        return print_json([*rows, *aside])
    counts = Counter(row["status"] for row in records) + Counter({"set aside": len(aside)})
    say(f"{len(records)} cells in {folder}")
    rows = [{"status": status, "cells": n} for status, n in counts.items()]
    print_rows(rows, {"status": "status", "cells": "cells"})
    bad = [row for row in records if row["status"] not in ("ok", "missing")]
    print_alike(map(state_name_reason, [*bad, *aside]))
    missing = [row for row in records if row["status"] == "missing"]
    failed = set(counts) - {"ok", "missing", "skipped", "set aside"}
    return _say_next_of_run(folder, go_on=bool(missing or failed), retry=not missing)


def _say_next_of_run(folder: Path, *, go_on: bool, retry: bool) -> None:
    from ...results.report.provenance import command_of
    from ...results.run_directory.reading import read_run_record

    words = shlex.split(command_of(read_run_record(folder)))[1:]
    words += ["--retry"] if retry and "--retry" not in words else []
    resume = [words] if go_on and words[:1] == ["run"] else []
    say_next(*resume, ["show", folder], ["report", folder])


def state_name_reason(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return (state, name, reason) of a cell from its row, as :func:`print_alike` takes it."""
    name = "{model} {sampler} steps={steps}".format_map(defaultdict(lambda: "?", row))
    reason = row["reason"] if isinstance(row["reason"], str) else "no reason is on record"
    return row["status"], name, reason


def print_alike(
    lines: Iterable[tuple[str, str, str]],
    most: int = MOST_LINES,
    rest: str = "--json prints each cell",
) -> None:
    """Print cells (state, name, reason) in groups of one state and reason, the largest group first.

    ``rest`` says where groups beyond the first ``most`` can be read.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for state, name, why in lines:
        alike.setdefault((state, why), []).append(name)
    for (state, why), names in sorted(alike.items(), key=lambda item: -len(item[1]))[:most]:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        out.print(f"  {state}: {', '.join(names[:3])}{more}: {why}", markup=False)
    if len(alike) > most:
        say(f"  and {len(alike) - most} more kinds; {rest}")


def counts_in_words(counts: Mapping[str, int]) -> str:
    """Return counts as part of a sentence, such as ``3 ok, 1 failed``."""
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def print_changes(folder: Path, *, trust: bool, as_json: bool) -> None:
    """Print the states of a run directory's cells in groups, or the state of each cell as JSON.

    Raises a ValueError if ``folder`` is no run directory, or its suite is unknown or cannot be
    loaded. Also if its suite names code or files outside the folder, and ``trust`` is False.
    """
    from ...results.run_directory.reading import read_run_record
    from ...results.run_directory.run_dir import RunDir
    from ..running.cell_states import cell_states_of
    from ..running.sequential_sampling import setup_of_last_analysis
    from ..running.setup import resolve_device, set_up
    from ..suites.files import refuse_untrusted
    from ..suites.suite import check_suite

    RunDir.open(folder)
    about = read_run_record(folder)
    record = about.get("suite")
    if not isinstance(record, dict):
        raise ValueError(f"{folder} has no run.json that says what was run; run the suite again")
    suite = check_suite(record, f"{folder}/run.json")
    if not trust:
        refuse_untrusted(suite, f"{folder}/run.json")
    made_on = (about.get("provenance") or {}).get("device") or {}
    device = resolve_device("cpu" if made_on.get("type") == "cpu" else "auto", suite)
    setup = set_up(suite, folder, device=device, console=err, write=False)
    cells = cell_states_of(setup_of_last_analysis(setup))
    if as_json:
        return print_json([{"name": cell.cell, **cell._asdict()} for cell in cells])
    counts = Counter(cell.state for cell in cells)
    say(f"{len(cells)} cells: {counts_in_words(counts)}")
    print_alike(
        (
            f"{cell.model}: {cell.state}",
            cell.sampler if cell.steps is None else f"{cell.sampler} steps={cell.steps}",
            cell.why,
        )
        for cell in cells
        if cell.state != "up to date"
    )
    todo: tuple[State, ...] = ("changed", "restorable", "missing", "to be scored")
    return _say_next_of_run(folder, go_on=any(counts[state] for state in todo), retry=False)
