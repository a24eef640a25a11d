"""Submission of a solver to the frozen suite: qualification, measurement, sealed file."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, get_args

import torch
from pydantic import ValidationError

from ... import samplers
from ...results.board.submission import (
    PLAIN,
    UNFINISHED,
    Claims,
    Solver,
    Submission,
    Track,
    read_submission,
)
from ...results.palette import style
from ...samplers.spec import format_spec, parse_spec
from ..planning.model_loading import load_model
from ..planning.schedules import make_schedule
from ..timing.machine import cpu_name
from .constants import BUDGETS, NETWORKS, PUBLIC, VERSION
from .definition import check_frozen, digest
from .instances import Part, draw_part
from .isolation import describe_file
from .measuring import Solve, measure_exact, measure_networks, solve_entry, solve_file

SCHEDULE = "uniform_lambda"
"""Default schedule: levels at equal distances in log-SNR."""
QUALIFYING = 3
"""Number of problems that a file's solver solves twice before it is measured."""
CHECK_SECONDS = 120
"""Longest time of ``samplerbench check`` on a file's sampler."""

PACKAGES = ("samplerbench", "torch", "numpy", "scipy")
"""Packages whose versions a submission states."""

Progress = Callable[[str], object]


class _Subject(NamedTuple):
    """Solver to submit: description, function that runs it, default claims, and Python file."""

    solver: Solver
    solve: Solve
    claims: dict[str, Any]
    file: Path | None = None


def submit(
    solver: str | Path,
    *,
    sampler: str = "",
    schedule: str = SCHEDULE,
    track: Track | None = None,
    part: str = PUBLIC,
    beacon: str = "",
    out: str | Path | None = None,
    networks: bool = True,
    claims: Mapping[str, Any] | None = None,
    progress: Progress = lambda _sentence: None,
) -> Submission:
    """Measure a solver on the frozen suite, and write its submission.

    A Python file runs in processes of its own, which never see the model
    (:mod:`samplerbench.benchmarks.frozen.isolation`). The submission lists faults that ``check``
    finds in the file. Curves in ``out``, or from an interrupted call, are not measured again.

    Args:
        solver: Python file with a sampler, as ``--plugin`` takes it; or the spec of a sampler of this
            package; or the file of a submission, whose solver is measured again.
        sampler: spec of a sampler in the Python file; needed if the file has several samplers.
        schedule: spec of a schedule; for a file, by formula, and not used if the file defines ``tune``.
        track: "plain" for a formula that never looks at a model, "self-tuning", or "open". None takes
            a submission's own; for other solvers "self-tuning" if they searched, else "plain".
        part: part of the suite (:func:`.instances.draw_part`).
        beacon: value from which the part is drawn; "" for the part "public".
        out: file to write, ``*.json``; None for ``NAME.json`` in the working folder, by the solver's
            name.
        networks: False to leave out networks, which take most of the time.
        claims: statements of the author (:class:`samplerbench.results.board.submission.Claims`).
        progress: called with each stage, in words.

    Returns:
        The submission, as written.

    Raises:
        ValueError: an argument is invalid, the suite is not the frozen one, ``out`` has another
            submission, or a file's solver fails its qualification.
    """
    if track is not None and track not in get_args(Track):
        raise ValueError(f"there is no track {track!r}; choose {', '.join(get_args(Track))}")
    drawn = draw_part(part, beacon)
    with TemporaryDirectory() as folder:
        if Path(solver).suffix == ".json":
            old = read_submission(Path(solver))
            subject = _submitted_subject(old, Path(folder))
            track, claims = track or old.track, old.claims.model_dump() | dict(claims or {})
        else:
            subject = _subject(solver, sampler, schedule, Path(folder))
        progress(f"{check_frozen()}, part {part}")
        words = re.findall(r"[A-Za-z0-9_.]+", subject.solver.name)
        target = Path(out or f"{'-'.join(words)}.json")
        if target.suffix != ".json":
            raise ValueError(f"a board reads submissions named *.json; --out is {target}")
        first = Submission(
            suite=VERSION,
            digest=digest(),
            part=drawn.name,
            beacon=drawn.beacon,
            track=track or "self-tuning",
            solver=subject.solver,
            claims=_read_claims(claims, subject),
            curves=(),
            software={"python": platform.python_version()}
            | {name: version(name) for name in PACKAGES},
            machine=f"{platform.system()} {platform.machine()}, {cpu_name()}",
        )
        first = _with_earlier_curves(first, target)
        if subject.file is not None and not first.curves:
            progress("samplerbench check")
            wrong = _check_in_words(subject.file, subject.solver.sampler)
            first = first.model_copy(update={"check": wrong})
            progress("qualification: a few problems, twice")
            _qualify(subject, drawn, track)
        return _measure(subject, drawn, first, target, networks=networks, progress=progress)


def _measure(
    subject: _Subject,
    part: Part,
    first: Submission,
    target: Path,
    *,
    networks: bool,
    progress: Progress,
) -> Submission:
    """Measure the curves that ``first`` lacks, store each at once, and write the submission."""
    unfinished, begun = target.with_suffix(UNFINISHED), time.monotonic()
    known, seconds, stochastic = first.curves_by_problem, first.seconds, subject.solver.stochastic
    total = len(NETWORKS) * networks + 2 * len(part.instances) * (not stochastic)
    if known:
        progress(f"continues with {len(known)} of {total} curves")
    exact = () if stochastic else measure_exact(subject.solve, part, skip=first.curves_by_problem)
    others = measure_networks(subject.solve, part, skip=first.curves_by_problem) if networks else ()
    for curve in chain(exact, others):
        known[curve.problem, curve.moved] = curve
        seconds = first.seconds + time.monotonic() - begun
        first.with_curves(known.values(), seconds).write(unfinished)
        progress(f"{len(known)} of {total}: {curve.problem}{' moved' if curve.moved else ''}")
    if not known:
        raise ValueError(
            f"{subject.solver.name} draws noise, so only networks can measure it; leave out --no-networks"
        )
    if first.track == "self-tuning" and not any(any(curve.search) for curve in known.values()):
        first = first.model_copy(update={"track": "plain"})
    submission = first.with_curves(known.values(), seconds)
    submission.write(target)
    unfinished.unlink(missing_ok=True)
    return submission


def _with_earlier_curves(first: Submission, target: Path) -> Submission:
    """Return the submission with curves that an earlier or interrupted :func:`submit` wrote.

    Raises a ValueError if ``target`` is no file of this submission, since its content would be lost. An
    unfinished file of another submission is not used.
    """
    same = ("suite", "digest", "part", "beacon", "solver", "software")
    for path in (target, target.with_suffix(UNFINISHED)):
        if not path.exists():
            continue
        try:
            old = read_submission(path)
        except ValueError as error:
            if path == target:
                raise ValueError(f"{error}; choose another --out, or remove it") from error
            continue
        differs = [name for name in same if getattr(old, name) != getattr(first, name)]
        if differs and path == target:
            raise ValueError(
                f"{target} holds {old.solver.name} with another {' and '.join(differs)}; choose "
                "another --out"
            )
        if not differs:
            known = first.curves_by_problem | old.curves_by_problem
            first = first.model_copy(update={"check": old.check})
            first = first.with_curves(known.values(), max(first.seconds, old.seconds))
    return first


def _subject(solver: str | Path, sampler: str, schedule: str, folder: Path) -> _Subject:
    path = Path(solver)
    if path.suffix == ".py":
        if not path.is_file():
            raise ValueError(f"there is no file {path}; give a file with a sampler, or a name")
        source = path.read_text(encoding="utf-8")
        return _file_subject(folder / path.name, sampler, schedule, source)
    if sampler:
        raise ValueError("--sampler names a sampler of a Python file; write the spec alone")
    return _named_subject(str(solver), schedule)


def _named_subject(spec: str, schedule: str) -> _Subject:
    """Return the solver of a spec, which is never read as the path of a file."""
    made = samplers.make(spec)
    label, levels = format_spec(parse_spec(spec)), make_schedule(schedule)
    package = samplers.origin(made.name) or f"samplerbench {version('samplerbench')}"
    described = _describe_solver(
        label, levels.label, stochastic=made.stochastic, fingerprint=package
    )
    claims = {"order": made.order, "paper": made.source.url, "licence": "MIT"}
    claims["family"] = style(made.name, samplers.origin(made.name)).family
    return _Subject(described, solve_entry(label, levels.label), claims)


def _file_subject(path: Path, sampler: str, schedule: str, source: str) -> _Subject:
    """Return the solver in a file's ``source``, written to ``path``, where its author cannot edit it."""
    path.write_text(source, encoding="utf-8")
    levels = make_schedule(schedule)
    if levels.needs_model or levels.needs_sampler:
        raise ValueError(
            f"schedule {levels.label} looks at the model, which a file never sees; take one by formula, "
            "such as karras, or define tune() in the file"
        )
    facts = describe_file(path, sampler)
    described = _describe_solver(
        facts.label,
        "" if facts.tunes else levels.label,
        stochastic=facts.stochastic,
        fingerprint=hashlib.sha256(source.encode()).hexdigest(),
        source=source,
    )
    solve = solve_file(path, facts.label, levels.label)
    return _Subject(described, solve, {"order": facts.order}, path)


def _submitted_subject(old: Submission, folder: Path) -> _Subject:
    """Return the solver of a submission; a file's source is written into ``folder``."""
    if not old.solver.source:
        return _named_subject(old.solver.sampler, old.solver.schedule)
    path = folder / "submitted_solver.py"
    schedule = old.solver.schedule or SCHEDULE
    return _file_subject(path, old.solver.sampler, schedule, old.solver.source)


def _check_in_words(path: Path, sampler: str) -> str:
    """Return the faults that ``samplerbench check`` finds in a file's sampler; "" for none."""
    main = "from samplerbench.benchmarks.cli import main; main()"
    command = [sys.executable, "-c", main, "check", sampler, "--plugin", str(path), "--json"]
    try:
        ran = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_SECONDS,
            check=False,
        )
        checks = json.loads(ran.stdout)["checks"]
        wrong = "; ".join(f"{c['name']}: {c['detail']}" for c in checks if not c["passed"])
    except subprocess.TimeoutExpired:
        wrong = f"it took more than {CHECK_SECONDS} s"
    except (ValueError, KeyError, TypeError):
        wrong = "it gave no result"
    return "".join(c for c in wrong if c.isprintable())[:1000]


def _qualify(subject: _Subject, part: Part, track: Track | None) -> None:
    """Solve a few problems twice, to see that a file's solver works.

    Raises a ValueError if results differ, if a problem has no finite result, or if evaluations
    before sampling break track "plain".
    """
    ids, budgets = torch.arange(16), (BUDGETS[2], BUDGETS[6])
    for instance in part.instances[:: max(1, len(part.instances) // QUALIFYING)]:
        place, model = f"{subject.solver.name} on {instance.name}", load_model(instance.spec).model
        once, twice = (
            list(subject.solve(model, instance.spec, part.seed, ids, budgets)) for _ in range(2)
        )
        if track == "plain" and any(result.search for result in once):
            raise ValueError(PLAIN)
        if not any(r.samples is not None and bool(r.samples.isfinite().all()) for r in once):
            why = f": {once[-1].failure}" if once[-1].failure else ""
            raise ValueError(f"{place} gave no finite result{why}")
        if any(not _same(a.samples, b.samples) for a, b in zip(once, twice, strict=True)):
            raise ValueError(
                f"{place} gave other results the second time; let it declare stochastic"
            )


def _same(x: torch.Tensor | None, y: torch.Tensor | None) -> bool:
    if x is None or y is None:
        return x is y
    return torch.equal(x.nan_to_num(), y.nan_to_num())


def _read_claims(claims: Mapping[str, Any] | None, subject: _Subject) -> Claims:
    given = dict(claims or {})
    if unknown := set(given) - set(Claims.model_fields):
        raise ValueError(
            f"there is no claim {sorted(unknown)[0]!r}; there are {', '.join(Claims.model_fields)}"
        )
    said = {name: value for name, value in given.items() if value not in ("", None)}
    try:
        return Claims.model_validate(subject.claims | said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"claim {first['loc'][0]}: {first['msg']}") from error


def _describe_solver(sampler: str, schedule: str, **facts: Any) -> Solver:
    """Return a solver's description, with a name on the board made of sampler and schedule."""
    name = f"{sampler} on {schedule}" if schedule else sampler
    name = "".join(c for c in name.replace("=", " ") if c.isalnum() or c in "_.:+() -")[:80]
    return Solver(name=name, sampler=sampler, schedule=schedule, **facts)
