"""The program's own runner, claims and files with workers that sleep, against the simulation."""

import pandas as pd
import pytest

from samplerbench.benchmarks.sampling.shard import SHARD
from samplerbench.benchmarks.studies.scaling.sleeping import compare

BOUND = 2.5
"""Times the simulated seconds that a real run may take, whose shards are of a tenth of a second: on a
machine that does other things, too. What is compared closely is ``scaling --check``.
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return [
        compare(tmp_path_factory.mktemp("run") / "run", layout, 6, 3 * SHARD, (1, 2), 10.0 * SHARD)
        for layout in ("shared", "one writer")
    ]


def test_workers_that_sleep_take_what_is_simulated(both):
    for found in both:
        assert found.shards == 3 * 8
        assert found.ideal <= found.simulated * (1 + 1e-9)
        assert found.simulated * 0.99 <= found.measured <= BOUND * found.simulated + 1


def test_their_table_is_that_of_any_run(both):
    shared, one = (found.table.frame for found in both)
    assert set(shared["status"]) == {"ok"}
    pd.testing.assert_frame_equal(shared, one, check_exact=True)
