"""Whatever happens to a file, no command falls over, none uses it silently, and another run makes
everything as it was.

Every kind of file × {deleted, a bit, half of it, zeros, another's} × {show, report, compare, run};
the last three for commands that read the file. The report is not written of half a file and of
zeros: where it misses a bit that changed, it reads past the checksum, and is found there.
With ``-s`` what each does is printed as a table.
"""

import pytest
from damaging import COMMANDS, HEAD, HOWS, KINDS, Outcome, intact, line, outcomes

from samplerbench.results.result_table import load


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole run, the folder that its copies are damaged in, and what each command makes of a
    copy that is not.
    """
    folder = tmp_path_factory.mktemp("damage")
    intact(folder / "whole")
    found = outcomes(folder / "whole", folder / "run")
    print(f"\n{HEAD}")
    assert [outcome.said for outcome in found.values()] == [()] * len(COMMANDS)
    return (
        folder / "whole",
        folder / "run",
        {name: outcome.result for name, outcome in found.items()},
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_run_directory__no_damage_is_used_silently_or_stops_anything(whole, kind):
    intact_run, out, expected = whole
    readers = set()
    for how in HOWS:
        # one that neither misses a file nor sees a bit of it change does not read it
        commands = [
            name
            for name in COMMANDS
            if how in HOWS[:2]
            or (name in {*readers, "run"} and (name != "report" or how == "another"))
        ]
        # anything but a ValueError comes through
        found = outcomes(intact_run, out, kind, how, commands)
        print(f"\n{line(kind, how, found, expected)}")
        readers |= {
            name for name in commands if found[name] != Outcome(expected[name], ())
        }  # fmt: skip
        for name in readers & {*commands} - {"run"}:
            outcome = found[name]
            if outcome.result is None:
                assert len(outcome.said[-1]) > 20, how
            elif outcome.result != expected[name] and how != "deleted":
                assert any(kind.path(intact_run).name in line for line in outcome.said), (
                    f"{name} says nothing of it: {how}"
                )
        if "show" in found and found["show"].result is not None:
            left = [dict(row) for row in found["show"].result[0]]
            assert all(
                any(row.items() <= dict(old).items() for old in expected["show"][0]) for row in left
            ), f"a row has other values: {how}"
        assert found["run"].result == expected["run"], f"other numbers after another run: {how}"
        assert {row["status"] for row in load(out).frame.to_dict("records")} == {"ok"}, how
