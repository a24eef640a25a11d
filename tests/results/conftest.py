import pytest
from synthetic import synthetic_run

pytest.register_assert_rewrite("rendered_claims")  # failing claims show their values


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run directory that tests only read."""
    return synthetic_run(tmp_path_factory.mktemp("runs") / "demo")
