"""phi functions and interpolation weights against exact rational arithmetic."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from looping import each

from samplerbench.samplers.numerics import monomial_weights, phi


def series(k: int, h: float) -> float:
    """The sum over j of h^j / (j + k)! in fractions, converged to rounding for |h| <= 12."""
    x, term, total = Fraction(h), Fraction(1, math.factorial(k)), Fraction(0)
    for j in range(60 if abs(h) > 2 else 25):
        total += term
        term *= x / (j + k + 1)
    return float(total)


@pytest.mark.parametrize("k", range(5))
@given(h=st.integers(-1536, 1536).map(lambda i: i / 128))
def test_phi_to_twelve_digits(k, h):
    assert phi(k, h) == pytest.approx(series(k, h), rel=1e-12 if abs(h) < 1 or k < 2 else 1e-11)


@each("k", range(5))
@each("h", [1 - 1e-12, 1.0, -1.0, -1 + 1e-12, 2.0**-30, -(2.0**-40), 0.0])
def test_phi__where_the_branches_meet_and_at_zero(k, h):
    assert phi(k, h) == pytest.approx(series(k, h), rel=1e-14)


@given(h=st.floats(-5, 5).filter(lambda h: abs(h) > 1e-3))
def test_phi_recurrence(h):
    for k in range(4):
        assert h * phi(k + 1, h) == pytest.approx(
            phi(k, h) - 1 / math.factorial(k), abs=1e-13 * math.exp(abs(h))
        )


gaps = st.lists(st.floats(0.05, 2.0), min_size=0, max_size=3)


@given(
    gaps=gaps,
    h=st.floats(0.05, 2.0),
    coefficients=st.lists(st.floats(-2, 2), min_size=4, max_size=4),
)
def test_weights_integrate_polynomials_exactly(gaps, h, coefficients):
    """The functional int_0^h p over polynomials through any nodes."""
    nodes = [-math.fsum(gaps[:j]) for j in range(len(gaps) + 1)]
    used = coefficients[: len(nodes)]
    weights = monomial_weights(nodes, [h ** (k + 1) / math.factorial(k + 1) for k in range(4)])
    found = sum(
        w * sum(c * t**k for k, c in enumerate(used)) for w, t in zip(weights, nodes, strict=True)
    )
    assert found == pytest.approx(
        sum(c * h ** (k + 1) / (k + 1) for k, c in enumerate(used)), abs=1e-8
    )


def test_equal_steps_give_the_adams_bashforth_weights():
    weights = monomial_weights(
        [0.0, -1.0, -2.0, -3.0], [1 / math.factorial(k + 1) for k in range(4)]
    )
    assert weights == pytest.approx([55 / 24, -59 / 24, 37 / 24, -9 / 24], rel=1e-12)
    assert all(type(w) is float for w in weights)
