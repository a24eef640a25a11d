"""Commands ``submit`` and ``board`` of the frozen suite."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from .common.console import announce, err, say, say_next
from .common.help_panels import OUTPUT, STATISTICS, WHAT
from .common.options import argument, load_plugins, option, option_default

Part = Annotated[str, option("--part NAME", "Part of the suite: public, or a name.")]
_what_to_run = partial(option_default, panel=WHAT)


def submit(
    solver: str = argument(
        "my_solver.py, a sampler such as heun, or a submission to measure again."
    ),
    suite: str = _what_to_run("--suite NAME", "Frozen suite.", default="sb-2026"),
    sampler: str = _what_to_run("--sampler NAME", "Sampler of a file with several.", default=""),
    schedule: str = _what_to_run(
        "--schedule SCHEDULE", "Schedule by formula.", default="uniform_lambda"
    ),
    track: str | None = _what_to_run(
        "--track NAME", "plain, self-tuning or open (default: what was counted)."
    ),
    part: Part = "public",
    beacon: str = option_default(
        "--beacon HEX", "Value from which another part is drawn.", STATISTICS, default=""
    ),
    networks: bool = _what_to_run(
        "--networks/--no-networks", "Also run the networks.", default=True
    ),
    claims: Path | None = _what_to_run(
        "--claims FILE", "TOML file with authors, paper, licence, family, order and notes."
    ),
    out_file: Path | None = option_default("--out FILE", "Submission to write.", OUTPUT),
) -> None:
    """Measure a solver on the frozen suite, sb-2026.

    The submission is one file. A Python file of a solver runs in processes that never see the
    model. After an interruption, the same command continues.
    """
    from ...results.board.scoring import score_submission
    from ..frozen.constants import SUITE
    from ..frozen.instances import draw_part
    from ..frozen.submitting import submit as measure

    if suite != SUITE:
        raise ValueError(f"there is no frozen suite {suite!r}; there is {SUITE}")
    announce(f"Submitting {solver} to {suite}: loading PyTorch …")
    load_plugins(None)
    try:
        submission = measure(
            solver,
            sampler=sampler,
            schedule=schedule,
            track=track,  # pyright: ignore[reportArgumentType] - checked there
            part=part,
            beacon=beacon,
            out=out_file,
            networks=networks,
            claims=_read_claims(claims),
            progress=lambda stage: err.print(stage, style="dim", markup=False, soft_wrap=True),
        )
    except KeyboardInterrupt:
        err.print("Interrupted. The same command continues.")
        raise
    name = submission.solver.name
    failed = sum(error is None for curve in submission.curves for error in curve.nfe)
    say(
        f"{submission.suite} ({submission.digest}), part {submission.part}: {name}, track "
        f"{submission.track}, {len(submission.curves)} curves in {submission.seconds:.0f} s, "
        f"{failed} results missing."
    )
    if scored := score_submission(submission, draw_part(part, beacon).instances, "error"):
        area, low, high = scored.interval
        say(f"Area {area:.3f} [{low:.3f}, {high:.3f}]; 1 is every target within 4 evaluations.")
    words = ["--part", part, "--beacon", beacon] if beacon else []
    say_next(["board", (out_file or Path()).parent, *words])


def _read_claims(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"--claims {path} is no TOML: {error}") from error


def board(
    folder: Path = argument("Folder with submissions."),
    to: Path = option_default("--out FOLDER", "Folder of the site.", default=Path("board")),
    reruns: Path | None = option_default(
        "--reruns FOLDER", "Submissions measured again; those that agree are verified."
    ),
    part: Part = "public",
    beacon: str = option_default(
        "--beacon HEX", "Value from which another part is drawn.", default=""
    ),
) -> None:
    """Write the site of submissions: a ranking, and pages of solvers."""
    from ..frozen.boards import board as build

    site = build(folder, to, reruns=reruns, part=part, beacon=beacon)
    for _, sentence in site.refused:
        say(f"left out: {sentence}", to=err)
    say(f"Wrote {site.index}, and a page for each of {site.count} solvers.")
