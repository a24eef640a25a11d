"""Run directories and tables with anything in them, every seal valid: 200 of them.

Each is shown without harm, or refused in a sentence.
"""

import csv
import io
import json

import pytest
from arena import SCALARS, TREES, UNICODE, Arena, fuzz, sealed, small_run, warned
from hypothesis import given
from hypothesis import strategies as st

from samplerbench.results.quantities import column_names

PARTS, DRAWN, TABLES, LINKS = 80, 6, 104, 10

READERS = (
    ("show", "run"),
    ("show", "run"),
    ("show", "run", "--errors"),
    ("show", "run", "--to-floor"),
    ("status", "run"),
    ("status", "run", "--json"),
    ("compare", "run", "--baseline", "euler"),
    ("compare", "run", "good"),
    ("gate", "good", "run"),
    ("compare", "run", "--baseline", "euler", "--json"),
)
"""Commands that read a run. None of them makes what it reads anew."""

WRITERS = (("report", "run"), ("figures", "run", "--kind", "ranking", "--format", "png"))
"""Commands that draw, which takes a second."""

FILES = (
    "cell.json",
    "quality.json",
    "quality.json",
    "timing.json",
    "made.json",
    "run.json",
    "looks.json",
)
NAMES = list(column_names())


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template") / "home"
    for name in ("run", "good"):
        small_run(folder / name, models=("gmm-2d",))
    return folder


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    with warned():
        yield Arena.at(tmp_path_factory.mktemp("runs"))


def spoil(run, cell, file, changes, whole):
    """Change items of a file of a run, or write another one, with a seal that holds."""
    place = file if file in ("run.json", "looks.json") else f"parts/{cell}/{file}"
    path = run / place
    value, made_by = {}, ""
    if path.exists() and not whole:
        value = json.loads(path.read_text())
        made_by = value.pop("seal")["made_by"]
    sealed(path, value | changes, place, made_by)


def any_spoils():
    """Changes of some files of some cells: (file, items, number of the cell; 9 for another file in
    its place).
    """
    items = st.dictionaries(
        st.sampled_from(NAMES) | st.text(UNICODE, max_size=5), TREES, max_size=3
    )
    return st.lists(
        st.tuples(st.sampled_from(FILES), items, st.integers(0, 9)), min_size=1, max_size=3
    )


def shown(arena, template, spoils, command):
    """Spoil a run and show it."""
    run = arena.fresh(template) / "run"
    cells = sorted(path.name for path in (run / "parts").iterdir())
    for file, changes, place in spoils:
        spoil(run, cells[place % len(cells)], file, changes, place == 9)
    _, out, err = arena.command(*command)
    assert "\x1b" not in out + err


@pytest.mark.slow
@fuzz(PARTS)
@given(any_spoils(), st.sampled_from(READERS))
def test_any_value_in_a_part_is_shown_or_refused(arena, template, spoils, command):
    shown(arena, template, spoils, command)


@fuzz(DRAWN)
@given(any_spoils(), st.sampled_from(WRITERS))
def test_any_value_in_a_part_is_drawn_or_refused(arena, template, spoils, command):
    shown(arena, template, spoils, command)


def table_of(rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


TABLE = [
    [
        "model",
        "sampler",
        "nfe",
        "budget",
        "steps",
        "status",
        "fid_proxy",
        "fid_proxy_se",
        "fd_conv",
        "fd_conv_se",
        "schedule",
        "fid_flag",
    ],
    ["gmm-2d", "euler", "5.0", "5", "5", "ok", "1.5", "0.1", "1.4", "0.1", "karras", ""],
    ["gmm-2d", "heun", "5.0", "5", "3", "ok", "0.5", "0.1", "0.4", "0.1", "karras", ""],
    ["gmm-2d", "heun", "9.0", "9", "5", "failed", "", "", "", "", "karras", ""],
]
BYTES = st.binary(max_size=40) | st.sampled_from(
    [b"\xff\xfe", b"\0", b"PAR1", b'"', b"\r", b",,,", b"\xef\xbb\xbf", b"=1+1,"]
)


@st.composite
def tables(draw):
    """A table with other fields, rows or bytes."""
    rows = [list(row) for row in TABLE]
    for _ in range(draw(st.integers(1, 4))):
        row = draw(st.integers(0, len(rows) - 1))
        place = draw(st.integers(0, len(TABLE[0]) - 1))
        action = draw(st.sampled_from(["value", "value", "value", "column", "short", "row"]))
        if action == "value":
            rows[row][min(place, len(rows[row]) - 1)] = str(draw(SCALARS))
        elif action == "column":
            rows[0][min(place, len(rows[0]) - 1)] = draw(
                st.sampled_from(NAMES) | st.text(UNICODE, max_size=5)
            )
        elif action == "short":
            rows[row] = rows[row][: place + 1]
        else:
            rows.append([str(value) for value in draw(st.lists(SCALARS, max_size=14))] or [""])
    data = table_of(rows).encode(errors="surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(BYTES) + data[at + draw(st.integers(0, 30)) :]
    return data


@fuzz(TABLES)
@given(
    tables(),
    st.sampled_from(["run/table.csv", "run/table.csv", "run/table.parquet"]),
    st.sampled_from(READERS),
)
def test_any_table_is_shown_or_refused(arena, data, place, command):
    home = arena.fresh()
    for name in ("run", "good"):
        (home / name).mkdir()
    (home / "good" / "table.csv").write_text(table_of(TABLE))
    (home / place).write_bytes(data)
    reading = [place if word == "run" else word for word in command]
    _, out, err = arena.command(*reading)
    assert "\x1b" not in out + err


@fuzz(LINKS)
@given(
    st.sampled_from(
        [
            "parts/CELL",
            "parts/CELL/quality.json",
            "figures",
            "samples",
            "made",
            "set-aside",
            "report.html",
            "table.csv",
        ]
    ),
    st.sampled_from(["", "run", "parts", "precious.txt", "nothing"]),
    st.sampled_from([*WRITERS[:1], *READERS[:2]]),
)
def test_no_link_is_written_through(arena, template, place, target, command):
    run = arena.fresh(template) / "run"
    cell = sorted(path.name for path in (run / "parts").iterdir())[0]
    path = run / place.replace("CELL", cell)
    if path.is_dir():
        path.rename(arena.home / "moved")
    path.unlink(missing_ok=True)
    path.symlink_to(arena.outside / target)
    arena.command(*command)


def test_there_are_200_runs_and_tables():
    assert PARTS + DRAWN + TABLES + LINKS == 200
