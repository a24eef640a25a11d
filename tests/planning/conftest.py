"""What the tests of the benchmark share."""

from remembered import remembered  # noqa: F401
from tuned_home import home, tuned_home  # noqa: F401
