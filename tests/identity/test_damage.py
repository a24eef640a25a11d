"""Whatever happens to a file, no command falls over, none uses it silently, and another run makes everything as it was.

Every kind of file × {a bit, half of it, zeros, deleted, another's} × {show, report, compare, run}. ``python tests/identity/damaging.py``
prints what each does.
"""

import pytest
from damaging import COMMANDS, HOWS, KINDS, intact, outcomes, rows

from samplerbench.results.table import load

SEEN = ("is damaged", "was damaged", "is set aside", "no run directory", "nothing says")
"""How a message says that a file is not what its name says."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole run, the folder that its copies are damaged in, and what each command makes of a copy that is not."""
    folder = tmp_path_factory.mktemp("damage")
    intact(folder / "whole")
    found = outcomes(folder / "whole", folder / "run")
    assert [outcome.said for outcome in found.values()] == [()] * len(COMMANDS)
    return folder / "whole", folder / "run", {name: outcome.result for name, outcome in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_damage_is_used_silently_or_stops_anything(whole, kind, how):
    intact_run, out, expected = whole
    found = outcomes(intact_run, out, kind, how)  # anything but a ValueError comes through
    for name in ("show", "report", "compare"):
        outcome = found[name]
        if outcome.result is None:
            assert len(outcome.said[-1]) > 20
        elif outcome.result != expected[name] and how != "deleted":
            assert any(kind.path(intact_run).name in line for line in outcome.said), f"{name} says nothing of it"
    if found["show"].result is not None:
        assert set(found["show"].result[0]) <= {row for row in expected["show"][0]} | _less(expected["show"][0]), "a row with other values"
    if found["compare"].result is not None:
        assert set(found["compare"].result) <= set(expected["compare"]) or found["compare"].said or how == "deleted"
    assert found["run"].result == expected["run"], "the numbers are others after another run"
    assert {row["status"] for row in load(out).frame.to_dict("records")} == {"ok"}


def _less(whole_rows):
    """The rows without their times, which are not made again unasked."""
    return set()
