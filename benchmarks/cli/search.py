"""Commands ``advise`` and ``tune``, which find a sampler and noise levels for a model."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import executor_options as executors
from .common.console import (
    announce,
    duration_in_words,
    err,
    out,
    print_json,
    print_rows,
    say,
    say_next,
)
from .common.executor_options import ExecutorOptions, workers
from .common.options import (
    LARGEST_SEED,
    DeviceOption,
    Json,
    NfeOption,
    OutOption,
    PeersPath,
    Plugins,
    StepsOption,
    ThreadsOption,
    check_choice,
    integers,
    load_plugins,
    option,
    option_default,
    with_grouped_options,
)

if TYPE_CHECKING:
    from ..planning.tuned_file import TunedEntry, TuningScores


@with_grouped_options
def advise(
    model: Annotated[
        str, option("--model MODEL", "A name, file.py:factory, checkpoint or pipeline folder.")
    ],
    execution: ExecutorOptions,
    nfe: str | None = option_default("--nfe N,N,…", "Evaluations per sample (4,6,8,10,15,20)."),
    ms: float | None = option_default(
        "--ms NUMBER", "Milliseconds per sample, in place of --nfe.", min=1e-3
    ),
    minutes: float = option_default(
        "--minutes MINUTES",
        "Time limit. The search stops then.",
        default=10.0,
        min=0.01,
        max=10_000,
    ),
    library: str = option_default(
        "--for LIBRARY",
        "Library whose code is shown first: python (samplerbench), diffusers, k-diffusion (plain PyTorch), comfyui or "
        "comfyui-node.",
        default="python",
    ),
    default: str | None = option_default(
        "--default SAMPLER",
        "Your present sampler, e.g. 'heun on karras' (default: the checkpoint's scheduler, or "
        "the usual one for such models).",
    ),
    sampler: list[str] | None = option_default(
        "--sampler SAMPLER", "Compare only these samplers (repeatable)."
    ),
    extractor: str = option_default(
        "--extractor NAME",
        "Feature space for distances in distribution, as for run.",
        default="card",
    ),
    out_dir: OutOption = None,
    seed: int = option_default(
        "--seed N", "Random seed of the initial noise.", default=0, min=0, max=LARGEST_SEED
    ),
    device: DeviceOption = "auto",
    jobs: str | None = option_default(
        "--jobs N", "Number of worker processes (default: one per GPU or core)."
    ),
    threads: ThreadsOption = None,
    plugin: Plugins = None,
    peers_path: PeersPath = None,
    as_json: Json = False,
) -> None:
    """Find the best sampler and noise levels for a model.

    The answer has code to paste for each number of evaluations. No reference images are needed.
    """
    begun = time.monotonic()
    announce(f"Searching for {minutes:g} minutes at most: loading PyTorch and the model …")

    def show_stage(stage: str) -> None:
        left = duration_in_words(max(0.0, begun + 60 * minutes - time.monotonic()))
        err.print(f"{stage} (up to {left} left)", markup=False)

    if jobs is None and execution.has_workers:
        jobs = "auto"
    executor = executors.pick_executor(execution, jobs, device)
    with closing(executor):
        executors.start_early(executor)
        if threads is not None:
            import torch

            torch.set_num_threads(threads)

        from ...results.run_directory.files import write_text
        from ...results.run_directory.layout import explain_write_errors
        from .. import api
        from ..advice.answer import read_pictures

        load_plugins(plugin, peers_path)
        folder = out_dir or api.advice_folder(model)
        suffix = " and what was measured is kept"
        with executors.graceful_shutdown(folder, executor, suffix), explain_write_errors(folder):
            advice = api.advise(
                model,
                integers(nfe, "--nfe"),
                out=folder,
                minutes=minutes,
                ms=ms,
                library=library,
                default=default,
                only=sampler or (),
                extractor=extractor,
                device=device,
                seed=seed,
                executor=executor,
                progress=show_stage,
                begun=begun,
                command=shlex.join(["samplerbench", *sys.argv[1:]]),
            )
    if as_json:
        return print_json(advice.to_json())
    from ..advice.page import render
    from ..advice.text_output import print_advice

    print_advice(advice, out)
    page = folder / "advice.html"
    write_text(page, render(advice, read_pictures(folder) if advice.pictures else None))
    say(f"Page: {page}")
    budgets = ",".join(str(budget.nfe) for budget in advice.budgets)
    return say_next(["run", "quick", "--model", model, "--sampler", "auto", "--nfe", budgets])


def tune(
    model: str = option("--model MODEL", "Model to tune on."),
    sampler: list[str] = option(
        "--sampler SAMPLER", "Sampler to tune, e.g. 'ddim(eta=0.0)' (repeatable)."
    ),
    nfe: NfeOption = None,
    steps: StepsOption = None,
    file: Path = option_default(
        "--out FILE",
        "JSON file of tuned levels. Its entries are reused.",
        default=Path("tuned.json"),
    ),
    latents: int = option_default("--latents N", "Initial noises to tune on.", default=256),
    test_latents: int = option_default(
        "--test-latents N", "Other initial noises, for the train-test gap.", default=256
    ),
    seed: int = option_default(
        "--seed N", "Random seed of the initial noise.", default=0, min=0, max=LARGEST_SEED
    ),
    objective: str = option_default(
        "--objective NAME", "Mean of the distances: mean, rms or geometric.", default="mean"
    ),
    what: str = option_default(
        "--what NAME",
        "What to tune: grid (noise levels), coefficients (of a multistep sampler), both, or ratios "
        "(of dynamic compensation, of a UniPC).",
        default="grid",
    ),
    also: list[str] | None = option_default(
        "--also NAME",
        "Tune further numbers of a multistep sampler: network-levels (the levels that the network is "
        "given) or sums (of coefficients; repeatable).",
    ),
    loss: str | None = option_default(
        "--loss EXTRACTOR",
        "Feature space of the distances to minimise, e.g. card (default: distances of the samples).",
    ),
    holdout_model: str | None = option_default(
        "--holdout-model MODEL", "Another model to score the tuned levels on."
    ),
    device: DeviceOption = "auto",
    plugin: Plugins = None,
    peers_path: PeersPath = None,
    as_json: Json = False,
) -> None:
    """Tune the noise levels of samplers on a model.

    Tuning minimises the distance to converged endpoints, on initial noise that no run scores.
    It can also tune the coefficients of multistep samplers.
    """
    from ..api import make_sampler
    from ..api import tune as tune_levels
    from ..planning.remedy import plugin_arguments
    from ..planning.tuned_file import ALSO, WHATS

    announce(f"Tuning on {model}: loading PyTorch and the model …")
    load_plugins(plugin, peers_path)
    with closing(workers(1)) as executor:
        entries, failures, holdout = tune_levels(
            model,
            sampler,
            nfe=integers(nfe, "--nfe"),
            steps=integers(steps, "--steps"),
            out=file,
            latents=latents,
            test_latents=test_latents,
            seed=seed,
            objective=objective,
            what=check_choice(what, "--what", WHATS),
            also=[check_choice(name, "--also", ALSO) for name in dict.fromkeys(also or ())],
            loss=loss,
            holdout_model=holdout_model,
            device=device,
            executor=executor,
            progress=lambda stage: err.print(stage, markup=False),
        )
    for target, failure in failures.items():
        name = f"{target.label}, {target.steps} steps"
        say(f"{name}: {failure.status}, {failure.reason}", to=err)
    if as_json:
        print_json(
            [{"name": entry.subject.sampler, **entry.model_dump(mode="json")} for entry in entries]
        )
    elif entries:
        _print_tuned(entries, objective, test_latents, holdout)
        words = ["run", "quick", "--model", model]
        for name, values in (("--sampler", sampler), ("--steps", [steps]), ("--nfe", [nfe])):
            words += [word for value in values if value is not None for word in (name, value)]
        words += plugin_arguments([*map(make_sampler, sampler)])
        say(f"{file} has the grids.")
        say_next([*words, "--schedule", f"tuned(file='{file}')"])
    if failures:
        raise typer.Exit(1)


def _print_tuned(entries: list[TunedEntry], objective: str, test_latents: int, other: str) -> None:
    """Print the table of tuned entries and how to read it; ``other`` names the held-out model."""
    from ..tuning.problem import RESOLVED

    print_rows([_printed_row(entry) for entry in entries])
    say(
        f"error: {objective} distance to converged endpoints, untuned → tuned, on {test_latents} "
        "initial noises that tuning did not use"
    )
    say(f"elsewhere: the same on {other}")
    minimised = "error"
    if loss := entries[0].setting.loss:
        say(f"loss: the same in the features {loss.identity}, which tuning minimised")
        minimised = "loss"
    say(f"gap: tuned / untuned {minimised}, relative to that on the noises of tuning, minus 1")
    say(
        "teacher: how far endpoints moved when its steps were last doubled, relative to the "
        "smallest rms error that they measure"
    )
    coarse = [entry for entry in entries if entry.largest_resolution_share > RESOLVED]
    if names := ", ".join(dict.fromkeys(entry.subject.sampler for entry in coarse)):
        say(
            f"Endpoints are less accurate than {RESOLVED:.0%} of the error of {names}. "
            "Rounding or the limit on steps was reached first."
        )


def _printed_row(entry: TunedEntry) -> dict[str, Any]:
    """Return the printed cells of a tuned entry, with errors as ``untuned → tuned``."""

    def errors(scores: TuningScores) -> str:
        return f"{scores.untuned.error:.3g} → {scores.tuned.error:.3g}"

    share = entry.largest_resolution_share
    return {
        "sampler": entry.subject.sampler,
        "NFE": entry.nfe,
        "untuned": entry.schedule,
        "error": errors(entry.test),
        **({"loss": errors(entry.loss_test)} if entry.loss_test else {}),
        "gap": f"{entry.gap:+.0%}",
        "elsewhere": errors(entry.elsewhere.scores),
        "teacher": f"{share:.2%}" if share else "exact",
        "s": f"{entry.teacher.seconds + entry.search.seconds:.0f}",
    }
