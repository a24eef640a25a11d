r"""Reproduction of published results: comparison of a run's FIDs with published ones.

Published FIDs are plug-in values, with a bias that falls as 1/N. So the run's FID is converted to the
N of the source: the value without bias, plus the run's bias times N_run / N. If the source does not
state N, the run's plug-in value is used. The standard error of the published FID is assumed to be
the run's, times sqrt(N_run / N). This error and rounding widen the interval of the difference.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..comparison.pairing import Source, read_source
from ..comparison.verdicts import MARGIN
from ..printed_values import interval_bounds, interval_flag
from ..text import Z95, format_number
from ..values import Record, number, text
from .rows import (
    GRIDS,
    Published,
    Solver,
    check_model_name,
    options_of,
    published_model_of,
    rows_of_model,
    solvers_of,
)

INCEPTION = re.compile(r"\binception[\w.-]*", re.IGNORECASE)
"""Pattern of the identity of an Inception extractor in the column ``estimator``."""

_QUANTISED = re.compile(r"\buint8-(round|truncat)")
_FIRST = re.compile(r"\bafter-uint8-(round|truncat)")


@dataclass(frozen=True)
class ProtocolDifference:
    """Point ``what`` of the protocol, with differing values of run and paper ("" if not stated)."""

    what: str
    run: str
    published: str

    @property
    def both_are_stated(self) -> bool:
        """Return True if both sides state what they did."""
        return bool(self.run and self.published)


def _inception_of(row: Record) -> str:
    """Return the name of a row's Inception extractor; "" for another extractor (no FID)."""
    match = INCEPTION.search(text(row, "estimator"))
    return re.sub(r"-[0-9a-f]{12,}.*", "", match[0]) if match else ""


def protocol_differences(
    row: Record, paper: Published, solver: Solver, model: str
) -> list[ProtocolDifference]:
    """Return the points of the protocol in which the statements of a row and a paper differ.

    A point that only one of them states counts too. ``solver`` gives the paper's name of the row's
    sampler, ``model`` is the published name of its model. Grids of adaptive samplers are omitted.
    """
    options = options_of(row)
    nfe = text(row, "nfe").removesuffix(".0")
    first = "yes" if options.pop("analytic_first", False) else "no"
    grid = text(row, "schedule")
    same_grid = row.get("steps") is None or GRIDS.get(paper.grid) == grid
    labels = text(row, "labels") or ("none" if paper.labels == "none" else "")
    pairs = [
        ("model", model, paper.model),
        ("options", _options_in_words(options), _options_in_words(solver.options)),
        ("NFE", nfe, nfe if paper.depth else paper.nfe),
        ("samples", text(row, "samples"), paper.samples),
        ("seeds", f"root seed {text(row, 'seed')}", paper.seeds),
        ("grid", grid, grid if same_grid else paper.grid),
        ("end", text(row, "end"), paper.end),
        ("labels", labels, paper.labels),
        ("quantisation", _quantisation_of(row), paper.quantisation),
        ("extractor", _inception_of(row) or "no Inception", paper.extractor),
        ("thresholding", "none", paper.thresholding),
        ("analytic first step", first, paper.afs),
    ]
    points = [ProtocolDifference(*pair) for pair in pairs if pair[1] != pair[2]]
    if solver.remark:
        points.insert(0, ProtocolDifference("method", text(row, "sampler"), solver.remark))
    return points


def _options_in_words(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "none"


def _quantisation_of(row: Record) -> str:
    estimator = text(row, "estimator")
    # the first conversion decides: a later one finds samples that are quantised
    match = _FIRST.search(estimator) or _QUANTISED.search(estimator)
    return "" if match is None else "round" if match[1] == "round" else "truncate"


CLOSE = 0.1
"""Largest |difference| in the interval of a "reproduced" FID, as a share of the published FID.

A larger margin of :func:`reproductions` replaces it. If a wider interval contains 0, the outcome is
"undecided".
"""

METHOD = ("method", "options", "grid")
"""Points of a protocol that concern the method, not its measurement."""

Outcome = Literal[
    "reproduced", "not reproduced", "undecided", "no verdict", "not comparable", "nothing published"
]


@dataclass(frozen=True)
class Reproduction:
    """Comparison of a run's row with one published FID.

    Attributes:
        model: published name of the row's model.
        paper: published row; None if nothing is published.
        reason: reason why there is no verdict; "" if there is one.
        differences: differences of the two protocols.
        fid: the run's plug-in FID at the source's number of samples, with the 95 % interval ``low``
            to ``high``. Without an Inception extractor, the Fréchet distance of other features.
        difference: ``fid`` less the published FID, with its 95 % interval; None if not comparable.
    """

    row: Record
    model: str
    paper: Published | None
    outcome: Outcome
    reason: str = ""
    differences: tuple[ProtocolDifference, ...] = ()
    fid: float | None = None
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None

    @property
    def largest_difference(self) -> float | None:
        """Largest absolute difference within the interval; None without an interval."""
        if self.difference_low is None or self.difference_high is None:
            return None
        return max(abs(self.difference_low), abs(self.difference_high))

    @property
    def verdict(self) -> str:
        """Outcome in words, with the difference and its interval."""
        if self.paper is None or self.difference is None or self.largest_difference is None:
            return self.outcome + (f": {self.reason}" if self.reason else "")
        if self.outcome in ("reproduced", "undecided"):
            share = f"{format_number(100 * self.largest_difference / self.paper.value, 2)} %"
            colon = ":" if self.outcome == "undecided" else ""
            words = (
                f"{self.outcome}{colon} within {format_number(self.largest_difference)} ({share})"
            )
        else:
            ends = (
                f"[{_signed_number(self.difference_low)}, {_signed_number(self.difference_high)}]"
            )
            share = f"{_signed_number(100 * self.difference / self.paper.value, 2)} %"
            words = f"{self.outcome}: {_signed_number(self.difference)} {ends} ({share})"
        if self.method_differences:
            words += f", by another {' and '.join(self.method_differences)}"
        return words + (f"; {self.reason}" if self.reason else "")

    @property
    def method_differences(self) -> list[str]:
        """Points in which the run's method is known to differ from the paper's (:data:`METHOD`)."""
        return [
            item.what for item in self.differences if item.both_are_stated and item.what in METHOD
        ]

    @property
    def flat(self) -> dict[str, Any]:
        """Comparison as JSON values, with the row and the published row."""
        row = {
            name: self.row.get(name)
            for name in (
                *("model", "sampler", "params", "schedule", "end", "steps", "nfe", "depth"),
                *("samples", "seed", "estimator", "fid_proxy", "fid_proxy_raw"),
            )
        }
        own = (
            *("outcome", "verdict", "reason", "fid", "low", "high"),
            *("difference", "difference_low", "difference_high"),
        )
        return {
            "name": text(self.row, "curve") or text(self.row, "sampler"),
            "published_model": self.model,
            **{name: getattr(self, name) for name in own},
            "reach": self.largest_difference,
            "run": row,
            "published": None if self.paper is None else self.paper.flat,
            "differences": [asdict(item) for item in self.differences],
        }


def reproductions(
    run: Path | str, *, model: str | None = None, margin: float = MARGIN
) -> list[Reproduction]:
    """Compare each row of a run with the published FIDs of its model, the closest protocol first.

    Args:
        run: run directory or table.
        model: published name of the run's only model. None stands for the name ``published`` in
            the suite, or else for the model's own name.
        margin: share of the published FID that does not matter, >= 0.

    Raises:
        ValueError: no row has a Fréchet distance, ``model`` is unknown or given for several models,
            or no model of the run is in the published table.
    """
    source = read_source(run)
    rows = [e.record for e in source.entries if number(e.record, "fid_proxy_raw") is not None]
    if not rows:
        raise ValueError(f"{source} has no finished row with a Fréchet distance (fid_proxy_raw)")
    names = _published_names_by_model(source, rows, model)
    return [
        reproduction
        for row in rows
        if text(row, "model") in names
        for reproduction in _compare_row(row, names[text(row, "model")], margin)
    ]


def _published_names_by_model(
    source: Source, rows: list[Record], model_name: str | None
) -> dict[str, str]:
    """Return the published name of each model of a run. Raises a ValueError if none has one."""
    models = list(dict.fromkeys(text(row, "model") for row in rows))
    if model_name is not None:
        if len(models) > 1:
            raise ValueError(
                f"--published-model names one model, and {source} has {', '.join(models)}; "
                "give each in its suite (published = NAME)"
            )
        return {models[0]: check_model_name(model_name)}
    entries = (source.run.get("suite") or {}).get("models") or []
    published = {
        _bare_spec(str(entry.get("name"))): str(entry["published"])
        for entry in entries
        if isinstance(entry, dict) and entry.get("published")
    }
    names: dict[str, str] = {}
    for name in models:
        given = published.get(_bare_spec(name))
        if known := check_model_name(given) if given else published_model_of(name):
            names[name] = known
    return names or {models[0]: check_model_name(models[0])}  # raises: no model is published


def _bare_spec(spec: str) -> str:
    return re.sub(r"[\s'\"]", "", spec)


def _compare_row(row: Record, model: str, margin: float) -> Iterator[Reproduction]:
    by_name = {solver.name: solver for solver in solvers_of(row)}
    published_rows = [paper for paper in rows_of_model(model) if paper.solver in by_name]
    matched = [paper for paper in published_rows if _has_same_cost(row, paper)]
    judged = [_reproduction_of(row, paper, model, margin, by_name) for paper in matched]
    # fewest differences of the method first, then fewest differences
    yield from sorted(judged, key=lambda one: (len(one.method_differences), len(one.differences)))
    if not judged:
        budgets = sorted({int(paper.nfe) for paper in published_rows if paper.nfe})
        names, at = " or ".join(by_name), ", ".join(map(str, budgets))
        if not by_name:
            reason = f"the papers of the table have no {text(row, 'sampler')}"
        elif budgets:
            reason = f"{names} of this model is published at {at} evaluations only"
        else:
            reason = f"no number of {names} for this model and its evaluations"
        yield Reproduction(row, model, None, "nothing published", reason)


def _has_same_cost(row: Record, paper: Published) -> bool:
    """Return True if the costs agree. A paper without ``nfe`` and ``depth`` fits adaptive rows."""
    if paper.nfe:
        return number(row, "nfe") == float(paper.nfe)
    if paper.depth:
        return number(row, "depth") == float(paper.depth)
    return row.get("steps") is None


def _reproduction_of(
    row: Record, paper: Published, model: str, margin: float, by_name: dict[str, Solver]
) -> Reproduction:
    listed = tuple(protocol_differences(row, paper, by_name[paper.solver], model))
    value, low, high, noise = _fid_at_published_size(row, paper)
    values = {"differences": listed, "fid": value, "low": low, "high": high}
    if not _inception_of(row):
        reason = "the run's features are not Inception's, so its distance is no FID"
        return Reproduction(row, model, paper, "not comparable", reason, **values)
    difference = value - paper.value
    values["difference"] = difference
    if low is None or high is None:
        reason = "the interval of the run's FID is not known"
        return Reproduction(row, model, paper, "no verdict", reason, **values)
    down = difference - math.hypot(value - low, noise) - paper.rounding
    up = difference + math.hypot(high - value, noise) + paper.rounding
    values |= {"difference_low": down, "difference_high": up}
    flag = interval_flag(row, "fid_proxy")
    outcome: Outcome = "no verdict" if flag else outcome_of(down, up, paper.value, margin)
    return Reproduction(row, model, paper, outcome, flag, **values)


def outcome_of(low: float, high: float, published: float, margin: float) -> Outcome:
    """Return the outcome for a difference from ``published`` with the 95 % interval [low, high].

    >>> [outcome_of(*ends, 2.0, 0.01) for ends in ((-0.1, 0.1), (-0.5, 0.1), (0.1, 0.2))]
    ['reproduced', 'undecided', 'not reproduced']
    """
    largest = max(abs(low), abs(high))
    if largest <= margin * published:
        return "reproduced"
    if not low <= 0 <= high:
        return "not reproduced"
    return "reproduced" if largest <= CLOSE * published else "undecided"


def _fid_at_published_size(
    row: Record, paper: Published
) -> tuple[float, float | None, float | None, float]:
    """Return (FID at the paper's N, low, high, 1.96 standard errors of the paper's FID)."""
    raw, plain, n = (number(row, name) for name in ("fid_proxy_raw", "fid_proxy", "samples"))
    assert raw is not None
    if plain is None:
        return raw, None, None, 0.0
    ratio = n / float(paper.samples) if n and paper.samples else None
    shift = (raw - plain) * (1.0 if ratio is None else ratio)
    ends, se = interval_bounds(row, "fid_proxy"), number(row, "fid_proxy_se")
    noise = Z95 * se * math.sqrt(ratio) if se is not None and ratio is not None else 0.0
    low, high = (None, None) if ends is None else (ends[0] + shift, ends[1] + shift)
    return plain + shift, low, high, noise


def _signed_number(value: float | None, digits: int = 3) -> str:
    return ("+" if value is not None and value > 0 else "") + format_number(value, digits)
