"""What the tests of the benchmark share."""

from remembered import registry_as_it_was, remembered  # noqa: F401
