"""What the tests of tuning share."""

import pytest
from remembered import remembered  # noqa: F401

from samplerbench.models import make_model


@pytest.fixture(scope="module")
def gmm():
    """An exact model of two dimensions."""
    return make_model("gmm-2d")
