"""Investigations with samplerbench, and the networks that only they use.

``pip install -e studies`` from a checkout adds their commands to ``samplerbench``: ``explain``,
``calibrate``, ``frontier`` and ``validate``.
"""

from pathlib import Path

CARDS = Path(__file__).parent / "cards"
"""Cards of the studies' own networks."""
