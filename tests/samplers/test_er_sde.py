"""ER-SDE-Solver: the integrals against each noise scale function, and where one is not valid."""

import math

import numpy as np
import pytest
from looping import each
from scipy.integrate import quad

from samplerbench.samplers import karras, make
from samplerbench.samplers.methods.er_sde import LOG_SCALE

PHI = {
    "ode": lambda x: x,
    "sde": lambda x: x**2,
    "sde_1": lambda x: x * (np.exp(-1 / x) + 10),
    "sde_2": lambda x: x**1.5,
    "sde_3": lambda x: x**2.5,
    "sde_4": lambda x: x**0.9 * np.log(1 + 100 * x**1.5) / np.log(10),
    "sde_5": lambda x: x * (np.exp(x**0.3) + 10),
}


@each("scale", LOG_SCALE)
@each(("cur", "nxt"), [(60.0, 20.0), (1.0, 0.7), (0.05, 0.002)])
def test_er_sde__integrates_against_phi(scale, cur, nxt):
    """The row's weights give each power of s - cur its integral against phi(nxt) phi'(s) /
    phi(s)², with phi' by a complex step.
    """
    phi, nodes = PHI[scale], [cur, 1.5 * cur, 2.5 * cur]
    row = make({"name": "er_sde_3", "scale": scale}).row(nodes, nxt)
    assert row.a == pytest.approx(phi(nxt) / phi(cur), rel=1e-12)

    def kernel(v):
        s = math.exp(v)
        return phi(nxt) * phi(s + 1e-30j).imag / 1e-30 / phi(s) ** 2 * s

    for j in range(3):
        exact = quad(
            lambda v, j=j: kernel(v) * (math.exp(v) / cur - 1) ** j,
            math.log(nxt),
            math.log(cur),
            epsabs=0,
            epsrel=1e-11,
        )[0]
        assert math.fsum(
            w * (s / cur - 1) ** j for w, s in zip(row.b, nodes, strict=True)
        ) == pytest.approx(exact, rel=1e-9)


def test_a_scale_is_refused_where_it_has_no_noise():
    sampler = make({"name": "er_sde_2", "scale": "sde_4"})
    sampler.plan(karras(5, 0.02, 80.0))
    with pytest.raises(ValueError, match="'sde_4' is not valid at sigma = 10000"):
        sampler.plan(karras(5, 0.02, 1e4))
