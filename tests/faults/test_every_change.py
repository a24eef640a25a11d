"""A run that is killed before any one change of a file, or whose disk is full from it on, ends as
the serial one when it is run again.
"""

import signal
from random import Random

import pytest
from operations import full_from, in_a_fork, killed_at, watched
from started import left_behind
from tiny import ends_as_the_serial_one, run

SOME = 2
"""Changes that are tried in every run of the tests."""


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The table, and the changes of a run."""
    out = tmp_path_factory.mktemp("serial") / "run"
    table = run(out.with_name("first"))  # computes what all others know

    def noted():
        found = []
        watched(out, lambda _, what: found.append(what))
        run(out)
        return found

    code, changes = in_a_fork(noted)
    assert code == 0
    return table, changes


def moments(changes, every):
    """Numbers of changes: all, or some of each third of the run."""
    numbers = range(len(changes))
    return list(numbers) if every else sorted(Random(len(changes)).sample(numbers, SOME))


def killed_before_each(serial, tmp_path, every):
    table, changes = serial
    for number in moments(changes, every):
        out = tmp_path / f"run-{number}"

        def to_the_kill(out=out, number=number):
            watched(out, killed_at(number))
            run(out)

        assert in_a_fork(to_the_kill)[0] == signal.SIGKILL, changes[number]
        ends_as_the_serial_one(out, table, changes[number])


def full_from_each_on(serial, tmp_path, every):
    table, changes = serial
    for number in moments(changes, every):
        for to in (None, number + 1) if every else (None,):
            out = tmp_path / f"run-{number}-{to}"

            def to_the_end(out=out, number=number, to=to):
                watched(out, full_from(out, number, to))
                try:
                    run(out)
                except ValueError as error:
                    return str(error)

            code, said = in_a_fork(to_the_end)
            assert code == 0
            if said is not None:
                assert "disk is full: " in said or "No space left" in said, said
            if out.exists():
                assert not left_behind(out), changes[number]
            ends_as_the_serial_one(out, table, changes[number])


@pytest.mark.faults
def test_a_kill_before_every_change_of_a_file(serial, tmp_path):
    killed_before_each(serial, tmp_path, every=True)


@pytest.mark.slow
def test_kills_before_some_changes_of_files(serial, tmp_path):
    killed_before_each(serial, tmp_path, every=False)


@pytest.mark.faults
def test_a_disk_that_is_full_from_every_change_on(serial, tmp_path):
    full_from_each_on(serial, tmp_path, every=True)


@pytest.mark.slow
def test_a_disk_that_is_full_from_some_changes_on(serial, tmp_path):
    full_from_each_on(serial, tmp_path, every=False)
