"""Differences between the protocols of a run and of a published number."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..record import Record
from ..values import text
from .rows import Published
from .solvers import GRIDS, Solver, options_of

INCEPTION = re.compile(r"\binception[\w.-]*", re.IGNORECASE)
"""Beginning of the identity of an Inception extractor, within ``estimator``."""

_QUANTISED = re.compile(r"\buint8-(round|truncat)")
_FIRST = re.compile(r"\bafter-uint8-(round|truncat)")


@dataclass(frozen=True)
class Difference:
    """Difference in one point of the protocol.

    Attributes:
        what: such as ``samples``.
        run: what the run did; "" if its table does not say.
        published: what the source says; "" if it does not.
    """

    what: str
    run: str
    published: str

    @property
    def known(self) -> bool:
        """Return True if both sides say what they did, and so are known to differ."""
        return bool(self.run and self.published)


def is_inception(row: Record) -> bool:
    """Return True if a row's Fréchet distance uses Inception's features, and so is an FID."""
    return INCEPTION.search(text(row, "estimator")) is not None


def extractor_of(row: Record) -> str:
    """The extractor of a row in a word or two."""
    match = INCEPTION.search(text(row, "estimator"))
    return re.sub(r"-[0-9a-f]{12,}.*", "", match[0]) if match else ""


def differences(row: Record, paper: Published, solver: Solver, model: str) -> list[Difference]:
    """The points in which a row and a published number differ, or one side does not say.

    An adaptive sampler has no grid to differ in.

    Args:
        row: of the run.
        paper: the number.
        solver: under which name the two were matched.
        model: the run's model by its published name.
    """
    options = options_of(row)
    nfe = text(row, "nfe").removesuffix(".0")
    first = "yes" if options.pop("analytic_first", False) else "no"
    grid = text(row, "schedule")
    same_grid = row.get("steps") is None or GRIDS.get(paper.grid) == grid
    pairs = [
        ("model", model, paper.model),
        ("options", _options(options), _options(solver.options)),
        ("NFE", nfe, nfe if paper.depth else paper.nfe),
        ("samples", text(row, "samples"), paper.samples),
        ("seeds", f"root seed {text(row, 'seed')}", paper.seeds),
        ("grid", grid, grid if same_grid else paper.grid),
        ("end", text(row, "end"), paper.end),
        ("labels", _labels(row, paper), paper.labels),
        ("quantisation", _quantisation(row), paper.quantisation),
        ("extractor", extractor_of(row) or "no Inception", paper.extractor),
        ("thresholding", "none", paper.thresholding),
        ("analytic first step", first, paper.afs),
    ]
    points = [Difference(*pair) for pair in pairs if pair[1] != pair[2]]
    if solver.remark:
        points.insert(0, Difference("method", text(row, "sampler"), solver.remark))
    return points


def _options(options: object) -> str:
    mapping = options if isinstance(options, dict) else {}
    return ", ".join(f"{name}={value}" for name, value in mapping.items()) or "none"


def _labels(row: Record, paper: Published) -> str:
    """Return how the run drew labels: unsaid ones are "none" where the published ones are."""
    return text(row, "labels") or ("none" if paper.labels == "none" else "")


def _quantisation(row: Record) -> str:
    estimator = text(row, "estimator")
    # what is done to samples first decides; an extractor that rounds finds them rounded
    match = _FIRST.search(estimator) or _QUANTISED.search(estimator)
    return "" if match is None else {"round": "round", "truncat": "truncate"}[match[1]]
