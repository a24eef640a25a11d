"""A file system without room, of every size that a run does not fit into."""

import os
import re
import subprocess
from contextlib import contextmanager

import pytest
from started import left_behind
from tiny import SUITE, ends_as_the_serial_one, run

from samplerbench.results.result_table import load

PAGE = os.sysconf("SC_PAGE_SIZE")
FULL = re.compile(
    r"the disk is full: \S+ could not be written; free some space and run the same command again"
    r"|cannot write (to|the report to) \S+ \(No space left on device\); free some space, or choose "
    r"another folder"
)


@contextmanager
def disk(place, pages):
    """A file system in memory; skips the test where none can be mounted."""
    place.mkdir()
    how = ["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE}", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(how, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def grown(place):
    """Give the file system room for everything."""
    subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The table of a run, and the pages that it takes without its report."""
    with disk(tmp_path_factory.mktemp("whole") / "disk", 4096) as place:
        table = run(place / "run", report=False)
        found = os.statvfs(place)
        return table, (found.f_blocks - found.f_bfree) * found.f_frsize // PAGE


def full_at(whole, place, pages):
    """Run on a file system of this size; then on one of more."""
    table, _ = whole
    with disk(place, pages):
        out = place / "run"
        said = None
        try:
            run(out)
        except ValueError as error:
            said = str(error)
        assert said is None or (FULL.search(said) and "\n" not in said), said
        assert not out.exists() or not left_behind(out)
        grown(place)
        ends_as_the_serial_one(out, table, f"{pages} pages")


@pytest.mark.faults
def test_a_disk_that_is_too_small_at_every_moment(whole, tmp_path):
    for pages in range(1, whole[1] + 20):
        full_at(whole, tmp_path / str(pages), pages)


@pytest.mark.slow
def test_the_command_says_what_is_full_and_how_to_go_on(whole, samplerbench, tmp_path):
    suite = tmp_path / "tiny.toml"
    lines = [f"{key} = {value!r}" for key, value in SUITE.items() if key not in ("timing", "name")]
    suite.write_text("\n".join(lines))
    words = ("run", suite, "--no-timing", "--no-isolation", "--out", tmp_path / "disk" / "run")
    for pages in (whole[1] // 2,):
        with disk(tmp_path / "disk", pages) as place:
            code, _, said = samplerbench(*words)
            assert code == 2, said
            assert FULL.search(said)
            grown(place)
            assert samplerbench(*words)[0] == 0
            assert (load(place / "run").frame["status"] == "ok").all()
        (tmp_path / "disk").rmdir()
