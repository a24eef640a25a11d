"""Any files of a run directory, damaged at random: no command falls over or shows another number,
what is damaged is named, and another run makes the serial table.

tests/running/identity/test_damage.py damages each kind of file in each way.
"""

import shutil
import sys
from pathlib import Path
from random import Random

import pytest
from started import left_behind

sys.path.append(str(Path(__file__).parents[1] / "running" / "identity"))

from damaging import ASKED, COMMANDS, intact, tried
from small_runs import run

from samplerbench.results.result_table import load
from samplerbench.results.run_directory.sharing import Claims

DERIVED = ("table.", "report.html", ".lock", "claims/")
"""What commands make anew without a word."""


def flipped(data, random, _):
    data = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8, 64)) if data else 0):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def cut(data, random, _):
    return data[: random.randrange(len(data))] if data else data


def longer(data, random, _):
    return data + random.randbytes(random.choice((1, 30, 5000)))


def torn(data, random, _):
    """As where a page was never written."""
    if len(data) < 2:
        return b""
    start = random.randrange(len(data))
    length = min(random.choice((1, 512, 4096)), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def emptied(data, random, _):
    return b""


def another(data, random, files):
    return random.choice(files).read_bytes()


def gone(data, random, _):
    return None


WAYS = (flipped, flipped, flipped, cut, longer, torn, emptied, another, another, gone)


def damaged(out, random):
    """Damage one file, or a few; which, and how."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    done = {}
    for path in random.sample(files, random.choice((1, 1, 1, 2, 5))):
        way = random.choice(WAYS)
        before = path.read_bytes()
        after = way(before, random, files)
        if after is None:
            path.unlink()
        else:
            path.write_bytes(after)
        if before != after:
            done[path.relative_to(out).as_posix()] = way.__name__
    return done


def claimed(out):
    """As a killed process leaves it: a plan, a claim and a note."""
    claims = Claims(out)
    claims.publish_plan(["gmm-2d.euler", "gmm-2d.heun"])
    claims.take("gmm-2d.euler", 0, 512)
    claims.note_failure("gmm-2d.heun", 0, "failed", "it went wrong")
    claims._leases._stopped.set()


class Trial:
    """Damages to copies of one run.

    Args:
        make: of the run, in a folder that it is given.
        folder: for it and its copies.
        seed: of what is damaged.
    """

    def __init__(self, make, folder, seed):
        self.whole, self.out, self._random = folder / "whole", folder / "run", Random(seed)
        make(self.whole)
        self._expected = self._made_of_it("")

    def once(self, samplerbench, number):
        """Damage a copy, and see what every command makes of it."""
        done = self._made_of_it(number)
        what, found = done.pop("damage"), done
        named = [name for name, way in what.items() if way != "gone"]
        sealed = [name for name in named if not name.startswith(DERIVED)]
        for name in ("show", "report", "compare"):
            outcome = found[name]
            if outcome.result is None:
                assert len(outcome.said[-1]) > 20, what
            elif outcome.result != self._expected[name].result and sealed == list(what):
                assert any(Path(file).name in line for file in sealed for line in outcome.said), (
                    f"{name} says nothing of {what}"
                )
        if found["show"].result is not None:
            rows = [dict(row) for row in self._expected["show"].result[0]]
            for row in found["show"].result[0]:
                assert any(dict(row).items() <= old.items() for old in rows), (
                    f"another value after {what}"
                )
        assert found["run"].result == self._expected["run"].result, what
        assert set(load(self.out).frame["status"]) == {"ok"}, what
        assert not left_behind(self.out), what
        code, _, said = samplerbench("status", self.out)
        assert code == 0, said

    def _made_of_it(self, number):
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(self.whole, self.out)
        if number == "":
            return self._outcomes()
        if number % 4 == 0:
            claimed(self.out)
        return {"damage": damaged(self.out, self._random), **self._outcomes()}

    def _outcomes(self):
        return {
            name: tried(lambda command=command: command(self.out, self.whole))
            for name, command in COMMANDS.items()
        }


@pytest.mark.slow
def test_some_random_damage(tmp_path, samplerbench):
    trial = Trial(lambda out: run(out, **ASKED), tmp_path, 1)
    for number in range(2):
        trial.once(samplerbench, number)


@pytest.mark.faults
def test_random_damage_of_every_file(tmp_path, samplerbench):
    trial = Trial(intact, tmp_path, 18)
    for number in range(300):
        trial.once(samplerbench, number)
