"""Submission to a frozen suite: one sealed JSON file, and the checks that a stranger's file passes.

Nothing in a file is executed. All texts are plain, and pages escape them. A file holds
measurements; scores are computed from the measurements (:mod:`.scoring`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..run_directory.files import write_bytes
from ..run_directory.sealed import DamagedError, NewerError, open_sealed, sealed_json

PLACE = "submission"
"""Name in the seal of every submission, since its file may be renamed."""
UNFINISHED = ".unfinished.json"
"""End of the name of an interrupted run's file, which no board uses."""

PLAIN = (
    "track plain looks at no model, but evaluations before sampling were counted; submit to track "
    "self-tuning"
)

Track = Literal["plain", "self-tuning", "open"]
Line = Annotated[str, Field(max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]
Paragraph = Annotated[str, Field(max_length=4000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
Count = Annotated[float, Field(ge=0, le=1e9)]
Distance = Annotated[float, Field(ge=0, le=1e30)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Claims(_Table):
    """Claims of the author of a solver. Nothing here is measured.

    Attributes:
        authors: names.
        paper: title or address of the paper.
        licence: SPDX name of the licence of the code.
        family: family of the method, such as "multistep".
        order: order of convergence that the method claims; None for none.
        notes: anything else, such as the cost of a training (track "open").
    """

    authors: Line = ""
    paper: Line = ""
    licence: Line = ""
    family: Line = ""
    order: Annotated[int, Field(ge=0, le=20)] | None = None
    notes: Paragraph = ""


class Solver(_Table):
    """Sampler with options, schedule and fingerprint, and the source if it is not in the package.

    Attributes:
        name: name on the board.
        sampler, schedule: specs, as on the command line; no schedule ("") if the file has ``tune``.
        stochastic: True if the solver draws noise after the latent.
        fingerprint: SHA-256 of the source, or the version of the package that has the solver.
        source: text of the Python file; "" for a solver of the package.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:+() -]{0,79}$")]
    sampler: Line
    schedule: Line
    stochastic: bool = False
    fingerprint: Line
    source: Annotated[str, Field(max_length=200_000)] = ""


class Curve(_Table):
    """Measurements of a solver on one problem, one item for each budget.

    An error or distance is None if there is no finite result, or if a step costs more than the budget.

    Attributes:
        problem: name of the problem, such as "modes-1", or of a network.
        moved: True for the problem rotated, scaled and shifted, its samples in another order.
        nfe: evaluations per sample, counted at the network.
        error: median distance per dimension to the exact endpoints, divided by the data's standard
            deviation. All items are None on networks.
        distance: squared distance between the distributions of samples and of converged samples,
            divided by the distance's floor. It is empty on exact problems.
        search: total evaluations of the model before sampling; empty without a search.
        failures: reasons of failed items, each once.
    """

    problem: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,60}$")]
    moved: bool = False
    nfe: tuple[Count | None, ...]
    error: tuple[Distance | None, ...]
    distance: tuple[Distance | None, ...] = ()
    search: tuple[Count, ...] = ()
    failures: tuple[Line, ...] = ()

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        lengths = {len(column) for column in (self.nfe, self.error)}
        lengths |= {len(column) for column in (self.distance, self.search) if column}
        if len(lengths) > 1:
            raise ValueError("its columns differ in length")
        return self

    def total_cost(self, production: float) -> list[float]:
        """Return evaluations a sample at each budget, with the search spread over ``production`` samples.

        The cost of a missing item is inf.
        """
        searches = self.search or (0.0,) * len(self.nfe)
        return [
            math.inf if n is None else n + s / production
            for n, s in zip(self.nfe, searches, strict=True)
        ]


class Submission(_Table):
    """Results of one solver on one part of a frozen suite.

    Attributes:
        suite: version of the suite, such as "sb-2026.1".
        digest: digest of the suite's definition.
        part: "public", or the name of a part whose instances ``beacon`` decides.
        beacon: value in hexadecimal digits; "" for the public part.
        track: "plain", "self-tuning" or "open".
        check: faults that ``samplerbench check`` found in a Python file's sampler; "" for none.
        software: versions of the packages that ran.
        machine: machine in words.
        seconds: wall time of all measurements.
    """

    suite: Line
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
    part: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")] = "public"
    beacon: Annotated[str, Field(pattern=r"^[0-9a-f]{0,1024}$")] = ""
    track: Track
    solver: Solver
    claims: Claims = Claims()
    check: Paragraph = ""
    curves: Annotated[tuple[Curve, ...], Field(max_length=1000)]
    software: dict[Line, Line] = Field(default={}, max_length=50)
    machine: Line = ""
    seconds: Annotated[float, Field(ge=0, le=1e9)] = 0.0

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        searched = any(any(curve.search) for curve in self.curves)
        if self.track == "plain" and searched:
            raise ValueError(PLAIN)
        if len(self.curves_by_problem) < len(self.curves):
            raise ValueError("a problem is listed twice")
        lengths = {(curve.problem, len(curve.nfe)) for curve in self.curves}
        if len(lengths) > len({curve.problem for curve in self.curves}):
            raise ValueError("a problem as drawn and moved differs in the number of budgets")
        source = self.solver.source
        if source and hashlib.sha256(source.encode()).hexdigest() != self.solver.fingerprint:
            raise ValueError("the fingerprint is not that of the source")
        return self

    @property
    def curves_by_problem(self) -> dict[tuple[str, bool], Curve]:
        """Curves by (name of the problem, True if it is moved)."""
        return {(curve.problem, curve.moved): curve for curve in self.curves}

    def with_curves(self, curves: Iterable[Curve], seconds: float) -> Submission:
        """Return a copy with ``curves`` and ``seconds``; ValueError for a search in track "plain"."""
        found = tuple(curves)
        if self.track == "plain" and any(any(curve.search) for curve in found):
            raise ValueError(PLAIN)
        return Submission(**{**dict(self), "curves": found, "seconds": seconds})

    def write(self, path: Path) -> None:
        """Write the sealed file, atomically."""
        write_bytes(path, sealed_json(self.model_dump(mode="json"), PLACE).data)


def read_submission(path: Path) -> Submission:
    """Return the submission in a file; raise ValueError for a missing, damaged or other file."""
    try:
        opened = open_sealed(path, PLACE)
        opened.check()
        return Submission.model_validate_json(json.dumps(opened.value))
    except FileNotFoundError:
        raise ValueError(f"there is no file {path.name}") from None
    except (DamagedError, NewerError) as error:
        raise ValueError(f"{path.name} is not used: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = re.sub(r"^Value error, ", "", first["msg"])
        raise ValueError(
            f"{path.name} is not used: {f'{place}: ' if place else ''}{message}"
        ) from error


def submissions_in(folder: Path) -> Iterator[tuple[Path, Submission | str]]:
    """Yield the files ``*.json`` of a folder, each with its submission or the reason why it is not used."""
    for path in sorted(folder.glob("*.json")):
        if path.name.endswith(UNFINISHED):
            yield path, f"{path.name} is not used: its run is not finished; repeat the command"
            continue
        try:
            yield path, read_submission(path)
        except ValueError as error:
            yield path, str(error)
