"""Print pip constraints that hold every requirement of pyproject.toml at the lowest version it
declares.

    python .ci/lowest.py > constraints.txt && pip install -c constraints.txt -e '.[dev]'

Only what the package itself needs is held: tools of the extras do not decide whether it works.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?>=([0-9][0-9.]*)(?:,.*)?")


def constraints(pyproject: str) -> list[str]:
    """The lines, one a requirement.

    Args:
        pyproject: text of the file.

    Raises:
        ValueError: a requirement has no lower bound.
    """
    found = []
    for requirement in tomllib.loads(pyproject)["project"]["dependencies"]:
        bound = REQUIREMENT.fullmatch(requirement.replace(" ", ""))
        if bound is None:
            raise ValueError(f"{requirement!r} has no lower bound; write it as NAME>=VERSION")
        found.append(f"{bound[1]}=={bound[2]}")
    return found


def lowest_python(pyproject: str) -> str:
    """The lowest Python, as ``3.11``."""
    return tomllib.loads(pyproject)["project"]["requires-python"].removeprefix(">=")


if __name__ == "__main__":
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    print(lowest_python(text) if "--python" in sys.argv else "\n".join(constraints(text)))
