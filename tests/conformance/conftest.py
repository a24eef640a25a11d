"""What the tests of the benchmark share."""

import pytest
from remembered import remembered  # noqa: F401

from samplerbench.benchmarks.conformance import order


@pytest.fixture
def few_steps(monkeypatch):
    """Orders by all numbers of steps but the largest, which is half of the work.

    The slope is that of four numbers all the same, and its bounds are those of ``check``.
    """
    monkeypatch.setattr(order, "STEPS", order.STEPS[:-1])
    monkeypatch.setattr(order, "_prepare_truths", order._prepare_truths.__wrapped__)
