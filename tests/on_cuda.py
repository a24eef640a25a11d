"""Marks tests that need an NVIDIA card: ``pytest -m cuda`` runs them."""

import pytest
import torch


def cuda(test):
    """Run a test, or a function with its parameters, where torch sees a card."""
    needs = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    return pytest.mark.cuda(needs(test))
