"""Two figures for the documents: ``python -m samplerbench_studies.why_steps.pictures
docs/figures``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from samplerbench.models import make_model
from samplerbench.models.exact import ExactModel

from .figures.big_steps import staircases
from .figures.one_jump import strips
from .measuring.big_steps import tabulated
from .measuring.one_jump import SHOWN, ComparisonData

STEPS = (1, 5, 10, 50)
SAMPLES, NODES = 512, 97
"""Numbers of samples and nodes of row 3 at full effort, so that figure and page agree."""


def main(folder: Path) -> list[Path]:
    """Write ``why-one-jump.png``, samples of few and many steps, and ``why-staircase.png``.

    The latter shows the loss of big steps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jump, stairs = folder / "why-one-jump.png", folder / "why-staircase.png"
    data = ComparisonData(make_model("fashion"), 100)
    strips("fashion", [data.measure(n, SHOWN) for n in STEPS], jump)
    staircases(tabulated(cast(ExactModel, make_model("fashion-mppca")), SAMPLES, NODES), stairs)
    return [jump, stairs]


if __name__ == "__main__":
    for written in main(Path(sys.argv[1])):
        print(written)
