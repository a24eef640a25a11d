"""What the tests of the benchmark share."""

from remembered import remembered  # noqa: F401
