"""F7: a plugin's helper that is edited while its worker is killed and replaced."""

import os

import new_processes
import pytest
from quiet_runs import quiet_run
from small_runs import numbers, suite

from samplerbench.benchmarks.running.executors.worker import Worker

PLUGIN = """
from dataclasses import dataclass
import os, signal, sys
from pathlib import Path
from samplerbench.samplers import LinearMultistep, LinearRow, Source
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
{top}

@dataclass(frozen=True, kw_only=True)
class Mine(LinearMultistep):
    name, order = "mine_of_two_workers", 1
    source = Source("test", "nowhere", "https://example.org")

    def plan(self, grid):
        return [LinearRow(a, a=b / a, b=(1 - b / a,)) for a, b in grid.intervals()]

    def sample(self, denoise, x, grid, noise):
        {call}
        if len(x) == 64 and os.getpid() != {pid} and not (HERE / "killed").exists():
            (HERE / "calls").open("a").write(".")
            if (HERE / "calls").stat().st_size == 10:  # in the second of two shards
                (HERE / "killed").touch()
                (HERE / "helper_of_two.py").write_text("GAIN = 2.0")
                os.kill(os.getpid(), signal.SIGKILL)
        return helper_of_two.GAIN * super().sample(denoise, x, grid, noise)
"""
IMPORT = "import helper_of_two"


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True], ids=["imported", "imported when called"])
def test_run__a_helper_edited_while_a_worker_is_replaced(plugin, tmp_path, monkeypatch, late):
    top, call = ("", IMPORT) if late else (IMPORT, "pass")

    def load():
        plugin(mine=PLUGIN.format(top=top, call=call, pid=os.getpid()))

    (tmp_path / "helper_of_two.py").write_text("GAIN = 1.0")
    load()
    asked = suite(samplers=["mine_of_two_workers"], samples=640)
    worker = Worker()
    changed = r"helper_of_two.py changed while the run was going on"
    with new_processes.ready(), pytest.raises(ValueError, match=changed):
        quiet_run(asked, tmp_path / "run", executor=worker)
    worker.close()
    assert (tmp_path / "killed").exists()
    load()
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path / "empty"))
    again, fresh = (quiet_run(asked, tmp_path / name).frame for name in ("run", "fresh"))
    assert numbers(again) == numbers(fresh)
