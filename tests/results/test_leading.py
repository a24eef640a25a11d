"""One process leads in a run directory, whatever its file system makes of locks."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from new_runs import new_run

from samplerbench.results.run_directory import sharing as module
from samplerbench.results.run_directory.layout import LEASE
from samplerbench.results.run_directory.run_dir import RunDir
from samplerbench.results.run_directory.sharing import BusyError, Lead, check_not_busy, hold_lead


def refusing(_file, _how):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def silent(_file, _how):
    """As where each machine has its own locks, and says nothing."""


@pytest.fixture(params=["kernel", "none", "silent"])
def flock(request, monkeypatch):
    """Locks of the kernel, none, and some that do not exclude."""
    how = {"none": refusing, "silent": silent}
    if request.param in how:
        monkeypatch.setattr(fcntl, "flock", how[request.param])
    return request.param


@pytest.fixture
def folder(tmp_path):
    return new_run(tmp_path / "run").path


@pytest.fixture
def elsewhere(monkeypatch):
    """Makes what is begun within that of a process on another machine."""
    host = module._host_id

    def switch(name):
        monkeypatch.setattr(module, "_host_id", host if name is None else lambda: name)

    return switch


def asleep(folder):
    """The lease was not touched for more than a minute."""
    path = folder / LEASE
    before = path.stat().st_mtime
    os.utime(path, (before, before - module.STALE - 5))


@pytest.mark.usefixtures("flock")
def test_one_of_many_leads(folder):
    led, at_a_time = [], []

    def lead(number):
        for _ in range(30):
            try:
                with hold_lead(folder):
                    at_a_time.append(number)
                    assert len(at_a_time) == 1
                    time.sleep(0.002)
                    at_a_time.remove(number)
                    led.append(number)
            except BusyError:
                time.sleep(0.001)

    threads = [threading.Thread(target=lead, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert led
    assert not at_a_time
    assert not (folder / LEASE).exists()


KILLED = """
import fcntl, os, sys, pathlib
if sys.argv[2] == "none": fcntl.flock = lambda *_: (_ for _ in ()).throw(OSError(38, "no"))
from samplerbench.results.run_directory.sharing import hold_lead
with hold_lead(pathlib.Path(sys.argv[1])):
    print("leads", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("locks", ["kernel", "none"])
def test_a_leader_that_was_killed_is_replaced_at_once_on_its_machine(folder, locks, monkeypatch):
    if locks == "none":
        monkeypatch.setattr(fcntl, "flock", refusing)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, folder, locks],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"leads\n"
    with (
        pytest.raises(BusyError, match="another samplerbench process is running"),
        hold_lead(folder),
    ):
        pass
    with pytest.raises(BusyError):
        check_not_busy(folder)
    process.kill()
    process.communicate()
    assert (folder / LEASE).exists(), "nobody took it away"
    check_not_busy(folder)
    with hold_lead(folder) as lead:
        lead.check()
    assert not (folder / LEASE).exists()


def test_one_of_another_machine_is_replaced_after_its_last_sign_of_life(
    folder, elsewhere, monkeypatch
):
    """Its locks are not seen here, and clocks may differ: ages are those of the file system."""
    monkeypatch.setattr(fcntl, "flock", silent)
    elsewhere("far 1 2")
    with hold_lead(folder) as far:
        elsewhere(None)
        with (
            pytest.raises(BusyError, match=r"is running in \S+ \(on far\); wait"),
            hold_lead(folder),
        ):
            pass
        monkeypatch.setattr(time, "time", lambda: 4e9)  # a clock that is decades ahead
        with pytest.raises(BusyError), hold_lead(folder):
            pass
        asleep(folder)
        with hold_lead(folder) as near:
            near.check()
            assert far.is_held, "it cannot know, and was touched in time"
            monkeypatch.setattr(module, "LATE", 0.0)  # as a minute later
            with pytest.raises(BusyError, match="took the lead in"):
                far.check()
            near.check()
        # and what is another's is neither touched nor taken away
        with hold_lead(folder) as third:
            far._leases.close()
            third.check()


def test_the_beat_finds_that_the_lead_is_lost(folder, monkeypatch):
    monkeypatch.setattr(module, "BEAT", 0.02)
    with hold_lead(folder) as lead:
        (folder / LEASE).write_text(json.dumps({"token": "another's"}))
        deadline = time.monotonic() + 20
        while lead.is_held:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        before = (folder / LEASE).stat().st_mtime_ns
        time.sleep(0.1)
        assert (folder / LEASE).stat().st_mtime_ns == before
    assert (folder / LEASE).exists()


def test_one_that_slept_writes_nothing_any_more_and_leaves_the_others_claims(folder, monkeypatch):
    run = new_run(folder)
    with run.lock():
        assert run.leads
        run.write_top_json("looks.json", {"a": 1})
        monkeypatch.setattr(module, "LATE", 0.0)
        (folder / LEASE).write_text(json.dumps({"token": "another's"}))
        assert not run.leads
        for write in (
            lambda: run.write_top_json("looks.json", {"a": 2}),
            lambda: run.drop_shard("cell", 0, 5),
            lambda: run.set_aside("cell", "why"),
        ):
            with pytest.raises(BusyError, match="took the lead"):
                write()
    assert run.read_top_json("looks.json") == {"a": 1}


def test_a_folder_that_is_gone_is_not_made_again(folder):
    run = new_run(folder)
    folder.rename(folder.with_name("moved"))
    with pytest.raises(ValueError, match="run is gone: it was deleted or moved while the run went"):
        run.write_top_json("looks.json", {})
    assert not folder.exists()


def test_what_a_killed_leader_left_is_a_run_directory_still(folder):
    """Killed before anything was planned."""
    (folder / "parts").rmdir()
    (folder / LEASE).write_text("")
    RunDir.at(folder, join=True)


def test_two_machines_of_one_name_are_two(folder, monkeypatch):
    """Whose numbers of processes mean nothing to each other."""
    here = module._host_id()
    assert len(here.split()) == 3, "name, start of the machine, namespace"
    monkeypatch.setattr(fcntl, "flock", silent)
    other = Lead(folder)
    other._leases.owner |= {"host": here.replace(here.split()[1], "another-boot"), "born": "1"}
    assert other._leases.take(folder / LEASE)
    with pytest.raises(BusyError), hold_lead(folder):  # its process is none that lives here
        pass
    other._leases.close()
