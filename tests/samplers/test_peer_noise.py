"""What a peer is given for the intervals that it names: increments of a path, whatever the source."""

import pytest
import torch

from samplerbench.samplers import Grid, SampleNoise
from samplerbench.samplers.peers.base import PeerBatch

WIDE = SampleNoise(5, torch.arange(4000), (5,), torch.float64)
GRID = Grid((8.0, 4.0, 1.0, 0.0))


def call():
    return PeerBatch(lambda x, _: x, GRID, WIDE, torch.float64)


def correlation(a, b):
    return float((a * b).mean())


def test_intervals_from_one_level_are_of_one_path_in_sigma():
    """As k-diffusion's dpmpp_sde asks: to the stage, then to the end of the step."""
    peer = call()
    stage, whole, after = peer.draw(8.0, 5.0), peer.draw(8.0, 4.0), peer.draw(4.0, 2.0)
    for z in (stage, whole, after):
        assert correlation(z, z) == pytest.approx(1, abs=0.05)
    assert correlation(stage, whole) == pytest.approx((3 / 4) ** 0.5, abs=0.03)
    assert correlation(stage, after) == pytest.approx(0, abs=0.03)
    assert correlation(whole, after) == pytest.approx(0, abs=0.03)


def test_an_interval_goes_on_where_the_last_one_ended():
    peer = call()
    first, second, whole = peer.draw(8.0, 6.0), peer.draw(6.0, 5.0), peer.draw(8.0, 4.0)
    third = WIDE.at(0, 8.0, 4.0)(2)
    torch.testing.assert_close(whole, (2**0.5 * first + second + third) / 2)


def test_one_draw_a_step_is_the_sources_own():
    peer = call()
    for step, (cur, nxt) in enumerate(GRID.intervals()):
        assert torch.equal(peer.draw(cur, nxt), WIDE.at(step, cur, nxt)(0))


def test_what_has_no_path_is_independent():
    peer = call()
    down, again, up = peer.draw(8.0, 4.0), peer.draw(8.0, 4.0), peer.draw(4.0, 8.0)
    assert abs(correlation(down, again)) < 0.03
    assert abs(correlation(again, up)) < 0.03
