"""``tune``: noise levels and coefficients for a sampler on a model."""

from __future__ import annotations

import shlex
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common.console import err, print_json, print_rows, say
from .common.isolation import workers
from .common.options import (
    DEVICES,
    LARGEST_SEED,
    DeviceOption,
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
    from ..planning.tuned_file import Tuned

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
OTHERS = ("fashion-mppca", "gmm-64d")
"""Models to score tuned grids on too: the first that they were not tuned on."""


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
    from ...samplers.spec import parse_spec
    from ..planning.models import load_denoiser
    from ..planning.remedy import loading
    from ..planning.tuned_file import WHATS
    from ..running.setup import pick_device
    from ..tuning.tuner import Tuner
    from ..tuning.tuning import targets_of

    load_plugins(plugin, peers_path)
    where = pick_device(checked(device, "--device", DEVICES))
    subject = load_denoiser(model, where)
    if (steps is None) == (nfe is None):
        raise ValueError("give --steps or --nfe, one of them")
    solvers = [samplers.make(parse_spec(spec)) for spec in sampler]
    tuned: Any = checked(what, "--what", WHATS)
    targets = targets_of(
        solvers, subject.model, integers(steps, "--steps"), integers(nfe, "--nfe"), tuned
    )
    elsewhere = holdout_model or next(name for name in OTHERS if name != subject.name)
    other = load_denoiser(elsewhere, where)
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
        entries = tuner(targets)
    for target, failure in tuner.failures.items():
        what = f"{target.label}, {target.steps} steps"
        err.print(f"{what}: {failure.status}, {failure.reason}", markup=False, soft_wrap=True)
    if as_json:
        print_json(
            [{"name": entry.subject.sampler, **entry.model_dump(mode="json")} for entry in entries]
        )
    elif entries:
        _say_tuned(entries, objective, test_latents, other.name)
        axes = [
            ("--model", model),
            *(("--sampler", option) for option in sampler),
            ("--steps", steps),
            ("--nfe", nfe),
        ]
        words = [word for name, value in axes if value is not None for word in (name, value)]
        schedule = ["--schedule", f"tuned(file='{file}')"]
        command = ["samplerbench", "run", "quick", *words, *loading(solvers), *schedule]
        say(f"{file} has the grids: {shlex.join(command)}")
    if tuner.failures:
        raise typer.Exit(1)


def _say_tuned(entries: list[Tuned], objective: str, test_latents: int, other: str) -> None:
    """Print the table of the entries, and how to read it."""
    from ..tuning.problem import RESOLVED

    print_rows([_row(entry) for entry in entries], TUNE_COLUMNS)
    say(
        f"Errors are {objective} distances to converged endpoints, untuned → tuned, on "
        f"{test_latents} latents that nothing was tuned on; "
        f"elsewhere is {other}. The gap is (tuned / untuned error) / (the same on "
        "the latents that were tuned on) - 1. "
        "The teacher is how far endpoints moved when its steps were last doubled, beside "
        "the smallest rms error that they measure."
    )
    if coarse := dict.fromkeys(
        entry.subject.sampler for entry in entries if entry.unresolved > RESOLVED
    ):
        say(
            f"Endpoints are not known to {RESOLVED:.0%} of the error of {', '.join(coarse)}: "
            "rounding, or the most steps, came first."
        )


def _row(entry: Tuned) -> dict[str, Any]:
    """Return an entry for people: errors as ``untuned → tuned``."""
    scores = {"test": entry.test, "elsewhere": entry.elsewhere.scores}
    return {
        "name": entry.subject.sampler,
        "nfe": entry.nfe,
        "schedule": entry.schedule,
        **{
            key: f"{score.untuned.error:.3g} → {score.tuned.error:.3g}"
            for key, score in scores.items()
        },
        "gap": f"{entry.gap:+.0%}",
        "teacher": f"{entry.unresolved:.2%}" if entry.unresolved else "exact",
        "seconds": f"{entry.teacher.seconds + entry.search.seconds:.0f}",
    }
