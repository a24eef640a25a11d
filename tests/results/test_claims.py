"""Claims on shards: one of many has each, and what a dead process had can be taken."""

import errno
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from samplerbench.results.run_directory import sharing as module
from samplerbench.results.run_directory.sharing import FOLDER, Claims


@pytest.fixture
def leader(tmp_path):
    made = Claims(tmp_path)
    made.publish_plan(["a", "b"])
    yield made
    made.delete_claims()


def follower(tmp_path):
    made = Claims(tmp_path)
    assert made.planned_cells() == {"a", "b"}
    return made


def someone_else(monkeypatch, claims, **owner):
    """Claims as of a process of another machine."""
    monkeypatch.setitem(claims._leases.owner, "host", "elsewhere")
    for key, value in owner.items():
        monkeypatch.setitem(claims._leases.owner, key, value)


def test_each_shard_is_taken_once_by_whoever_asks(tmp_path, leader):
    many = [leader, *(follower(tmp_path) for _ in range(7))]
    shards = [(cell, start, start + 10) for cell in "ab" for start in range(0, 100, 10)]
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda one: [one.take(*shard) for shard in shards], many))
    assert [sum(column) for column in zip(*taken, strict=True)] == [1] * len(shards)
    for one in many[1:]:
        one.close()


def test_what_is_given_back_can_be_taken(tmp_path, leader):
    other = follower(tmp_path)
    assert leader.take("a", 0, 5)
    assert not other.take("a", 0, 5)
    other.release("a", 0, 5)
    assert not other.take("a", 0, 5), "only its owner gives it back"
    leader.release("a", 0, 5)
    assert other.take("a", 0, 5)
    other.close()
    assert leader.take("a", 0, 5)


def test_a_claim_for_which_the_disk_has_no_room_is_nobodys(tmp_path, leader, monkeypatch):
    """It stayed, empty, and others waited for it for a minute."""
    other = follower(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module.json, "dump", full)
        with pytest.raises(OSError, match="No space"):
            other.take("a", 0, 5)
    assert leader.take("a", 0, 5)
    other.close()


def test_a_claim_of_a_dead_process_is_taken_over(tmp_path, leader):
    code = (
        "import sys, pathlib; from samplerbench.results.run_directory.sharing import Claims; "
        "c = Claims(pathlib.Path(sys.argv[1])); c.planned_cells(); assert c.take('a', 0, 5); "
        "import os; os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
    assert leader.take("a", 0, 5)
    assert not follower(tmp_path).take("a", 0, 5), "once"


def test_a_number_that_is_another_process_by_now_is_dead(tmp_path, leader):
    other = follower(tmp_path)
    other._leases.owner["born"] = "1"
    assert other.take("a", 0, 5)
    assert leader.take("a", 0, 5)


def test_of_another_machine_a_claim_is_as_old_as_it_was_touched(tmp_path, leader, monkeypatch):
    other = follower(tmp_path)
    someone_else(monkeypatch, other)
    assert other.take("a", 0, 5)
    path = next((tmp_path / FOLDER).glob("a.*-*"))
    assert not leader.take("a", 0, 5)
    before = path.stat().st_mtime
    os.utime(path, (before, before - module.STALE - 5))
    assert leader.take("a", 0, 5)


def test_a_claim_whose_process_was_killed_before_it_wrote_its_name_is_soon_taken(tmp_path, leader):
    path = leader._folder / module.claim_name("a", 0, 5)
    path.touch()
    assert not leader.take("a", 0, 5), "its owner may be about to write its name"
    before = path.stat().st_mtime
    os.utime(path, (before, before - 2 * module.BEAT - 1))
    assert leader.take("a", 0, 5)


def test_one_that_wakes_up_after_its_claim_was_taken_leaves_it_to_its_owner(
    tmp_path, leader, monkeypatch
):
    """It gave the other one's claim back."""
    sleeper, third = follower(tmp_path), follower(tmp_path)
    with monkeypatch.context() as patched:
        someone_else(patched, sleeper)
        assert sleeper.take("a", 0, 5)
        path = next((tmp_path / FOLDER).glob("a.*-*"))
        os.utime(path, (0, 0))
        assert leader.take("a", 0, 5)
        sleeper.release("a", 0, 5)
    assert not third.take("a", 0, 5)
    leader.release("a", 0, 5)
    assert third.take("a", 0, 5)
    third.close()


def test_where_no_system_says_who_lives_a_claim_is_as_old_as_it_was_touched(tmp_path, monkeypatch):
    """As on macOS: a killed process left its claims there for ever."""
    monkeypatch.setattr(module, "_process_start", lambda _: "")
    one = Claims(tmp_path)
    one.publish_plan(["a", "b"])
    other = follower(tmp_path)
    assert other.take("a", 0, 5)
    assert not one.take("a", 0, 5)
    path = next((tmp_path / FOLDER).glob("a.*-*"))
    before = path.stat().st_mtime
    os.utime(path, (before, before - module.STALE - 5))
    assert one.take("a", 0, 5)
    one.delete_claims()


def test_claims_are_touched_while_their_process_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.02)
    one = Claims(tmp_path)
    one.publish_plan(["a"])
    assert one.take("a", 0, 5)
    path = next((tmp_path / FOLDER).glob("a.*-*"))
    os.utime(path, (0, 0))
    deadline = time.monotonic() + 20
    while not path.stat().st_mtime:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    one.close()


def test_two_that_find_the_same_stale_claim_do_not_both_have_it(tmp_path, leader, monkeypatch):
    """The second finds, in its place, the claim of the first."""
    dead, second = follower(tmp_path), follower(tmp_path)
    dead._leases.owner["born"] = "1"
    assert dead.take("a", 0, 5)
    path = leader._folder / module.claim_name("a", 0, 5)
    assert second._leases.is_stale(path)
    assert leader.take("a", 0, 5)
    assert not second._leases._clear_stale(path)
    assert json.loads(path.read_text())["born"] == leader._leases.owner["born"]
    assert not list((tmp_path / FOLDER).glob(".stale.*"))


def test_leases__a_lease_is_put_back_on_a_file_system_without_hard_links(leader, monkeypatch):
    def refuse(*paths):
        raise PermissionError(errno.EPERM, "no hard links")

    monkeypatch.setattr(module.os, "link", refuse)
    assert leader.take("a", 0, 5)
    path = leader._folder / module.claim_name("a", 0, 5)
    assert not leader._leases._clear_stale(path)
    assert json.loads(path.read_text())["token"] == leader._leases.owner["token"]
    assert not list(leader._folder.glob(".stale.*"))


def test_the_first_shard_that_failed_is_the_one_that_is_told(tmp_path, leader):
    other = follower(tmp_path)
    other.note_failure("a", 512, "failed", "later")
    other.note_failure("a", 0, "crashed", "first")
    other.note_failure("b", 512, "failed", "alone")
    assert {cell: note.reason for cell, note in leader.failures().items()} == {
        "a": "first",
        "b": "alone",
    }


def test_without_a_leader_there_is_no_plan_and_nothing_is_left(tmp_path):
    one = Claims(tmp_path)
    assert one.planned_cells() is None
    assert not one.take("a", 0, 5)
    one.note_failure("a", 0, "failed", "why")
    one.publish_plan(["a"])
    other = Claims(tmp_path)
    assert other.planned_cells() == {"a"}
    assert other.take("a", 0, 5)
    one.delete_claims()
    assert other.planned_cells() is None
    other.close()
    assert not (tmp_path / FOLDER).exists()
