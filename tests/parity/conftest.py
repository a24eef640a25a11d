import warnings

import pytest


@pytest.fixture(scope="module")
def peer():
    """k-diffusion's own sampling module, from a clone or from the installed package."""
    from samplerbench.samplers.peers.k_diffusion import module

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return module("k-diffusion")
    except ValueError as absent:
        pytest.skip(str(absent))
