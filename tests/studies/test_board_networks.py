"""Areas of formulas on exact problems and networks, from committed submissions."""

from pathlib import Path

import numpy as np

from samplerbench.results.board import read_submission
from samplerbench_studies.board_networks import areas_of

BOARD = Path(__file__).parents[2] / "results" / "reference" / "board"


def test_areas_of__the_baseline_beats_euler_everywhere_and_missing_networks_are_nan():
    baseline, euler, auto = (
        np.array(areas_of(read_submission(BOARD / f"{name}.json")))
        for name in ("dpmpp_2m.uniform_lambda", "euler.uniform_lambda", "auto.karras")
    )
    assert ((euler > 0) & (euler < baseline) & (baseline < 1)).all()
    assert baseline[0] < auto[0] < 1
    assert np.isnan(auto[1:]).all()
