"""``calibrate``, ``explain``, ``scaling`` and ``tune``: studies beside the benchmark."""

from __future__ import annotations

import hashlib
import re
import shlex
from contextlib import closing
from itertools import chain
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..running.executing import Failure
from .console import err, print_json, print_rows, say
from .isolation import cores, workers
from .options import (
    DEVICES,
    LARGEST_SEED,
    MOST,
    DeviceOption,
    JobsOption,
    Json,
    NfeOption,
    PeersPath,
    Plugins,
    StepsOption,
    checked,
    integers,
    load_plugins,
)

if TYPE_CHECKING:
    from ..planning.remedy import Named
    from ..planning.tuned.entry import Tuned

CALIBRATION_LOG = Path("results") / "runs" / "calibration"
EXPLAIN_HOME = Path("results") / "runs" / "explain"
TAKES = "A full run takes about 18 minutes on two free cores, a fast one less than 2."
"""Said here, in README.md and in docs/why-steps.md, in the same words."""
CORES = cores()
TUNE_COLUMNS = {
    "name": "sampler",
    "nfe": "NFE",
    "schedule": "untuned",
    "test": "error",
    "gap": "gap",
    "elsewhere": "elsewhere",
    "teacher": "teacher",
    "seconds": "s",
}
MOST_GPUS, MOST_SAMPLES = 10_000, 200_000_000
OTHERS = ("fashion-mppca", "gmm-64d")
"""Where grids are scored that were tuned elsewhere: the first that they were not tuned on."""


def calibrate(
    folder: Annotated[Path, typer.Option("--out", help="Where the tables go.")] = CALIBRATION_LOG,
    log: Annotated[
        Path,
        typer.Option("--log", help="Where replicates are kept; a run goes on from what is there."),
    ] = CALIBRATION_LOG,
    replicates: Annotated[
        int | None,
        typer.Option(
            "--replicates", min=10, max=1_000_000, help="Of each cell; 500, or 40 with --quick."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few seconds, for the form of the tables.")
    ] = False,
    jobs: JobsOption = 1,
) -> None:
    """Measure coverage, bias and power of the metrics' intervals on features whose true
    distances are known.
    """
    from ..studies.calibration import Calibration
    from ..studies.calibration.table import write_calibration
    from ..studies.calibration.verdict import sentences

    make = Calibration.quick if quick else Calibration
    with closing(workers(jobs)) as executor:
        run = make(
            log,
            replicates=replicates or (40 if quick else 500),
            executor=executor,
            progress=lambda line: err.print(line, markup=False),
        )
        try:
            rows = run()
        except Failure as failure:
            say(f"{failure.status}: {failure.reason}; the same command goes on from what is kept.")
            raise typer.Exit(1) from None
    for sentence in sentences(rows):
        say(sentence)
    say(f"Table: {write_calibration(rows, folder)}")


def explain(
    rows: Annotated[
        str | None, typer.Option("--rows", help="Rows to measure, such as 1,3; all by default.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help=f"Fewer samples and steps. {TAKES}")] = False,
    out_dir: Annotated[
        Path,
        typer.Option(
            "--out", help="Where measurements are kept, and the page goes (in fast/ or full/)."
        ),
    ] = EXPLAIN_HOME,
    replace: Annotated[
        list[str] | None,
        typer.Option("--replace", help="NAME=OTHER: measure model OTHER in place of NAME."),
    ] = None,
    jobs: JobsOption = CORES,
) -> None:
    """Measure why sampling takes many steps, and write the page with the answers."""
    from ..studies.why_steps.measuring.row import Answer
    from ..studies.why_steps.page import WORDS, write_page
    from ..studies.why_steps.run import Plan
    from ..studies.why_steps.run import explain as measure

    failed = []

    def told(number: int, answer: Answer | Failure, seconds: float | None) -> None:
        if isinstance(answer, Failure):
            failed.append(number)
            return say(f"Row {number}: {answer.status}, {answer.reason}.")
        sentence = re.sub(r"<[^>]*>", " ", answer.verdict.sentence)
        return say(
            f"Row {number}: claim {WORDS[answer.verdict.kind][1]} ({seconds:.0f} s). {' '.join(sentence.split())}"
        )

    effort = "fast" if fast else "full"
    pairs = tuple(_pair(text) for text in replace or ())
    folder = out_dir / folder_of(effort, pairs)
    plan = Plan(effort, folder, pairs)
    with closing(workers(jobs)) as executor:
        answers = measure(plan, integers(rows, "--rows"), executor, told)
    say(f"Page: {write_page(folder / 'why-steps.html', answers, plan.effort())}")
    if failed:
        raise typer.Exit(1)


def folder_of(effort: str, pairs: tuple[tuple[str, str], ...]) -> str:
    """Where a run is kept: one with other models leaves that of the built-in ones alone."""
    from ..suites.cell import file_name

    if not pairs:
        return effort
    words = "-".join([effort, *(f"{name}-as-{other}" for name, other in sorted(pairs))])
    return file_name(words, hashlib.sha256(repr(sorted(pairs)).encode()).hexdigest()[:8])


def _pair(text: str) -> tuple[str, str]:
    """NAME=OTHER.

    Raises:
        ValueError: anything else.
    """
    name, sign, other = text.partition("=")
    if not (name and sign and other):
        raise ValueError(
            f"--replace {text!r}: give NAME=OTHER, such as --replace fashion-mppca=gaussian"
        )
    return name, other


def scaling(
    gpus: Annotated[str, typer.Option("--gpus", help="Numbers of GPUs.")] = "64,1000",
    samples: Annotated[
        int, typer.Option("--samples", min=1, max=MOST, help="Samples of each cell.")
    ] = 50_000,
    samplers: Annotated[
        int | None, typer.Option("--samplers", min=1, help="40 by default.")
    ] = None,
    nfe: Annotated[
        str | None, typer.Option("--nfe", help="Budgets, in place of 1,2,3,5,8,10,15,20,35,50.")
    ] = None,
    rate: Annotated[
        float,
        typer.Option(
            "--rate", min=1e-3, max=1e9, help="Evaluations a second of one GPU (assumed)."
        ),
    ] = 1000.0,
    start: Annotated[
        float, typer.Option("--start", min=0, help="Seconds until a process draws its first shard.")
    ] = 30.0,
    references: Annotated[
        float, typer.Option("--references", min=0, help="Evaluations before the first score.")
    ] = 0.0,
    score: Annotated[float, typer.Option("--score", min=0, help="Seconds to score a cell.")] = 10.0,
    latency: Annotated[
        float, typer.Option("--latency", min=0, help="Milliseconds of an operation on the folder.")
    ] = 0.5,
    operations: Annotated[
        float, typer.Option("--operations", min=1, help="Operations a second that it serves.")
    ] = 20_000.0,
    spread: Annotated[
        float, typer.Option("--spread", min=0, max=1, help="Spread of the GPUs' speeds (0.05).")
    ] = 0.05,
    mtbf: Annotated[
        float | None,
        typer.Option("--mtbf", min=1, help="Hours between failures of a node of 8 GPUs."),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of speeds and failures.")
    ] = 0,
    before: Annotated[
        bool, typer.Option("--before", help="Also by the rules of the program before this study.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure what the program's own work takes here.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with real runs here, whose workers sleep.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Simulate a run on many GPUs by the rules of this program, and say where their time goes.

    Rates and file systems are assumed, not measured.
    """
    from ..studies.scaling import Costs, Work, table

    if measure or check:
        from ..studies.scaling import measure as measuring
        from ..studies.scaling import processes, sleeping

        found = list(
            measuring.measured() if measure else chain(processes.compared(), sleeping.compared())
        )
        columns = {name: name for name in found[0]}
    else:
        counts = integers(gpus, "--gpus") or ()
        if max(counts) > MOST_GPUS:
            raise ValueError(f"--gpus {gpus}: give numbers up to {MOST_GPUS:,}")
        budgets = integers(nfe, "--nfe") or table.BUDGETS
        samplers = samplers or table.SAMPLERS
        if samplers * len(budgets) * samples > MOST_SAMPLES:
            raise ValueError(
                f"{samplers} samplers, {len(budgets)} budgets and {samples:,} samples are more than "
                f"{MOST_SAMPLES:,} samples in all; give fewer of one of them"
            )
        costs = Costs(
            rate=rate,
            start=start,
            shard=table.SHARD_SECONDS,
            write=table.WRITE_SECONDS,
            operation=latency / 1e3,
            operations=operations,
            references=references,
            score=score,
            spread=spread,
            mtbf=inf if mtbf is None else mtbf * 3600,
            back=table.BACK_SECONDS,
        )
        work = Work(samples, samplers, budgets)
        found = list(table.rows(work, counts, costs, seed, before=before))
        columns = table.COLUMNS
    if as_json:
        print_json(found)
    else:
        print_rows([table.in_words(row) for row in found], columns)


def tune(
    model: Annotated[str, typer.Option("--model", help="Model to tune on.")],
    sampler: Annotated[
        list[str],
        typer.Option(
            "--sampler", help="Sampler to tune, e.g. euler or 'ddim(eta=0.0)' (repeatable)."
        ),
    ],
    nfe: NfeOption = None,
    steps: StepsOption = None,
    file: Annotated[
        Path, typer.Option("--out", help="JSON file of grids; what it holds is not tuned again.")
    ] = Path("tuned.json"),
    latents: Annotated[int, typer.Option("--latents", help="Latents to tune on.")] = 256,
    test_latents: Annotated[
        int, typer.Option("--test-latents", help="Other latents, for the train-test gap.")
    ] = 256,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Root seed of the latents.")
    ] = 0,
    objective: Annotated[
        str,
        typer.Option("--objective", help="Which mean of the distances: mean, rms or geometric."),
    ] = "mean",
    what: Annotated[
        str,
        typer.Option(
            "--what",
            help="What to tune: grid (the noise levels), coefficients (of a multistep sampler), or "
            "both.",
        ),
    ] = "grid",
    holdout_model: Annotated[
        str | None, typer.Option("--holdout-model", help="Model to score the grids on, too.")
    ] = None,
    device: DeviceOption = "auto",
    plugin: Plugins = None,
    peers_path: PeersPath = None,
    as_json: Json = False,
) -> None:
    """Tune the noise levels of deterministic samplers on a model, or the coefficients of multistep
    ones: nearest to the converged endpoints, on latents that no run scores.
    """
    from ... import samplers
    from ..planning.remedy import loading
    from ..planning.tuned.entry import WHATS
    from ..running.setup import pick_device
    from ..studies.tuning.target import targets_of
    from ..studies.tuning.tuner import Tuner
    from ..suites.spec import parse_spec

    load_plugins(plugin, peers_path)
    where = pick_device(checked(device, "--device", DEVICES))
    subject = _named(model, where)
    if (steps is None) == (nfe is None):
        raise ValueError("give --steps or --nfe, one of them")
    made = [samplers.make(parse_spec(spec)) for spec in sampler]
    tuned: Any = checked(what, "--what", WHATS)
    targets = targets_of(
        made, subject.model, integers(steps, "--steps"), integers(nfe, "--nfe"), tuned
    )
    other = _named(holdout_model or next(name for name in OTHERS if name != subject.name), where)
    executor = workers(1)
    tuner = Tuner(
        file,
        subject,
        other,
        latents,
        test_latents,
        seed,
        objective,
        where,
        executor,
        progress=lambda stage: err.print(stage, markup=False),
        what=tuned,
    )
    with closing(executor):
        found = tuner(targets)
    for target, failure in tuner.failures.items():
        what = f"{target.label}, {target.steps} steps"
        err.print(f"{what}: {failure.status}, {failure.reason}", markup=False, soft_wrap=True)
    if as_json:
        print_json(
            [{"name": entry.subject.sampler, **entry.model_dump(mode="json")} for entry in found]
        )
    elif found:
        _say_tuned(found, objective, test_latents, other.name)
        axes = [
            ("--model", model),
            *(("--sampler", one) for one in sampler),
            ("--steps", steps),
            ("--nfe", nfe),
        ]
        words = [word for name, value in axes if value is not None for word in (name, value)]
        schedule = ["--schedule", f"tuned(file='{file}')"]
        command = ["samplerbench", "run", "quick", *words, *loading(made), *schedule]
        say(f"{file} has the grids: {shlex.join(command)}")
    if tuner.failures:
        raise typer.Exit(1)


def _say_tuned(found: list[Tuned], objective: str, test_latents: int, other: str) -> None:
    """The table of the entries, and how to read it."""
    from ..studies.tuning.problem import RESOLVED

    print_rows([_row(entry) for entry in found], TUNE_COLUMNS)
    say(
        f"Errors are {objective} distances to converged endpoints, untuned → tuned, on "
        f"{test_latents} latents that nothing was tuned on; "
        f"elsewhere is {other}. The gap is (tuned / untuned error) / (the same on "
        "the latents that were tuned on) - 1. "
        "The teacher is how far endpoints moved when its steps were last doubled, beside "
        "the smallest rms error that they measure."
    )
    if coarse := dict.fromkeys(
        entry.subject.sampler for entry in found if entry.unresolved > RESOLVED
    ):
        say(
            f"Endpoints are not known to {RESOLVED:.0%} of the error of {', '.join(coarse)}: "
            "rounding, or the most steps, came first."
        )


def _named(spec: str, device: str) -> Named:
    from ...models import make_model
    from ..planning.remedy import Named
    from ..suites.spec import format_spec, parse_spec

    given = parse_spec(spec)
    name = format_spec(given)
    found = make_model(given.pop("name"), **given)
    if found.kind == "map":
        raise ValueError(
            f"model {name} is a few-step map to the end of the path, which has no levels to tune by "
            "the error of an ODE; tune the denoiser that it was distilled from"
        )
    return Named(name, found.to(device) if device != "cpu" else found)


def _row(entry: Tuned) -> dict[str, Any]:
    """An entry for people: errors as ``untuned → tuned``."""
    scores = {"test": entry.test, "elsewhere": entry.elsewhere.scores}
    return {
        "name": entry.subject.sampler,
        "nfe": entry.nfe,
        "schedule": entry.schedule,
        **{
            key: f"{found.untuned.error:.3g} → {found.tuned.error:.3g}"
            for key, found in scores.items()
        },
        "gap": f"{entry.gap:+.0%}",
        "teacher": f"{entry.unresolved:.2%}" if entry.unresolved else "exact",
        "seconds": f"{entry.teacher.seconds + entry.search.seconds:.0f}",
    }
