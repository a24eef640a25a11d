"""Areas of formulas on exact problems and networks, from committed submissions."""

from pathlib import Path

import numpy as np

from samplerbench.results.board import read_submission
from samplerbench_studies.board_networks import areas_of

BOARD = Path(__file__).parents[2] / "results" / "reference" / "board"


def areas(name: str, *, networks: bool = True) -> np.ndarray:
    submission = read_submission(BOARD / f"{name}.json")
    curves = [curve for curve in submission.curves if networks or not curve.distance]
    return np.array(areas_of(submission.with_curves(curves, submission.seconds)))


def test_areas_of__auto_beats_the_baseline_and_that_beats_euler_everywhere():
    euler, baseline, auto = map(
        areas, ("euler.uniform_lambda", "dpmpp_2m.uniform_lambda", "auto.karras")
    )
    assert ((euler > 0) & (euler < baseline) & (baseline < auto) & (auto < 1)).all()


def test_areas_of__missing_networks_are_nan():
    whole, exact = areas("auto.karras"), areas("auto.karras", networks=False)
    assert exact[0] == whole[0]
    assert np.isnan(exact[1:]).all()
