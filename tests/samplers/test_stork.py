"""STORK: what its stages integrate exactly, and what they do not."""

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerbench.samplers import Grid, make
from samplerbench.samplers.methods.stork import gegenbauer_moment


@pytest.mark.parametrize(("name", "points", "degree"), [("stork_2", 3, 1), ("stork_4", 4, 3)])
@given(steps=st.lists(st.floats(0.2, 1.5), min_size=5, max_size=6))
def test_stork_integrates_polynomials_in_flow_time(name, points, degree, steps):
    """The weights of the velocities give the integral of t^k over the step, t = sigma / (1 +
    sigma), up to the order of the method.
    """
    grid = Grid(tuple(3.0 * math.exp(-lam) for lam in accumulate(steps, initial=0.0)))
    i = len(grid) - 1
    t = [s / (1 + s) for s in grid.sigma]
    row = make(name).plan(grid)[i]  # its memo is sigma v
    weights = [b * grid.sigma[i - j] / (1 + grid.sigma[-1]) for j, b in enumerate(row.b)]
    for k in range(points):
        found = math.fsum(w * t[i - j] ** k for j, w in enumerate(weights))
        exact = (t[i + 1] ** (k + 1) - t[i] ** (k + 1)) / (k + 1)
        assert (abs(found - exact) < 1e-9 * (t[i] - t[i + 1])) == (k <= degree)
    if name == "stork_2":
        second = math.fsum(w * (t[i - j] - t[i]) ** 2 for j, w in enumerate(weights))
        assert second == pytest.approx((t[i + 1] - t[i]) ** 3 * gegenbauer_moment(50), rel=1e-9)


@pytest.mark.parametrize("s", [2, 3, 5, 50])
def test_the_gegenbauer_step_is_of_second_order(s):
    """All of its terms, on y' = t^k: exact for k = 0 and 1, and the moment that STORK-2 uses
    for k = 2.
    """
    b = [
        1,
        1 / 3,
        *(4 * (j - 1) * (j + 4) / (3 * j * (j + 1) * (j + 2) * (j + 3)) for j in range(2, s + 1)),
    ]
    w = 6 / ((s + 4) * (s - 1))
    for k, exact in ((0, 1.0), (1, 0.5), (2, gegenbauer_moment(s))):
        times, y = [0.0, w], [0.0, w * 0.0**k]
        for j in range(2, s + 1):
            mu, nu = (2 * j + 1) * b[j] / (j * b[j - 1]), -(j + 1) * b[j] / (j * b[j - 2])
            gamma = -mu * w * (1 - j * (j + 1) * b[j - 1] / 2)
            times.append(mu * times[-1] + nu * times[-2] + mu * w + gamma)
            y.append(mu * y[-1] + nu * y[-2] + mu * w * times[j - 1] ** k + gamma * 0.0**k)
        assert y[-1] == pytest.approx(exact, rel=1e-12)


def test_stages_out_of_range_are_refused():
    with pytest.raises(ValueError, match="stages must be a whole number >= 2, got 1"):
        make({"name": "stork_2", "stages": 1})
