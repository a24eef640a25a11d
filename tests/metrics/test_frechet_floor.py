"""Floor of a Fréchet distance: what the reference's own held-out samples read."""

import numpy as np
import pytest

from samplerbench.benchmarks.metrics import FrechetReference, Moments, floor, frechet_distance


def test_floor_is_the_plug_in_of_as_many_samples() -> None:
    rng = np.random.default_rng(15)
    ref = FrechetReference.of(Moments.of(rng.standard_normal((15, 5))))
    held_out = rng.standard_normal((400, 5)) @ rng.standard_normal((5, 5))
    assert floor(ref, held_out, 300) == frechet_distance(ref, Moments.of(held_out[:300]))
    assert floor(ref, held_out, 400) == frechet_distance(ref, Moments.of(held_out))
    with pytest.raises(ValueError, match="at least two"):
        floor(ref, held_out, 1)


def test_floor_beyond_what_is_held_out_is_carried_there() -> None:
    """On average over held-out sets, 300 samples tell what 1200 would have read."""
    ref, rng = FrechetReference(np.zeros(5), np.eye(5)), np.random.default_rng(15)
    sets = rng.standard_normal((100, 1200, 5))
    carried = np.mean([floor(ref, x[:300], 1200) for x in sets])
    direct = np.mean([floor(ref, x, 1200) for x in sets])
    assert carried == pytest.approx(direct, rel=0.1)
    assert np.mean([floor(ref, x, 300) for x in sets]) > 3 * direct
