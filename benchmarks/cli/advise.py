"""``advise``: the sampler and the number of steps for a model."""

from __future__ import annotations

import hashlib
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from .common import isolation as isolating
from .common.console import err, out, print_json, say
from .common.options import (
    DEVICES,
    LARGEST_SEED,
    AcceleratorOption,
    DeviceOption,
    ExecutorOption,
    GpusOption,
    IsolationOption,
    Json,
    MemoryLimitOption,
    OutOption,
    PeersPath,
    Plugins,
    RayAddressOption,
    ThreadsOption,
    checked,
    integers,
    load_plugins,
)

RUNS = Path("results") / "runs"


def advise(
    model: Annotated[str, typer.Option("--model", help="The model, as run takes it.")],
    nfe: Annotated[
        str | None,
        typer.Option("--nfe", help="Evaluations per sample, in place of 4,6,8,10,15,20."),
    ] = None,
    ms: Annotated[
        float | None,
        typer.Option(
            "--ms", min=1e-3, help="Milliseconds that one sample may take, in place of --nfe."
        ),
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(
            "--minutes", min=0.01, max=10_000, help="Time to spend: what runs then is broken off."
        ),
    ] = 10.0,
    library: Annotated[
        str,
        typer.Option(
            "--for", help="Whose lines come first: python, diffusers, k-diffusion or comfyui."
        ),
    ] = "python",
    default: Annotated[
        str | None,
        typer.Option(
            "--default",
            help="What you use now, such as 'heun on karras'; by default the checkpoint's own "
            "scheduler, or what is usual for such models.",
        ),
    ] = None,
    sampler: Annotated[
        list[str] | None,
        typer.Option("--sampler", help="Race only these, such as heun or your own (repeatable)."),
    ] = None,
    extractor: Annotated[
        str,
        typer.Option(
            "--extractor", help="Feature space of distances in distribution, as run takes it."
        ),
    ] = "card",
    out_dir: OutOption = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of the latents.")
    ] = 0,
    device: DeviceOption = "auto",
    jobs: Annotated[
        str,
        typer.Option("--jobs", help="Processes that sample at a time: a number, or auto."),
    ] = "auto",
    executor: ExecutorOption = None,
    isolation: IsolationOption = None,
    memory_limit: MemoryLimitOption = None,
    threads: ThreadsOption = None,
    ray_address: RayAddressOption = None,
    gpus_per_worker: GpusOption = None,
    accelerator: AcceleratorOption = None,
    plugin: Plugins = None,
    peers_path: PeersPath = None,
    as_json: Json = False,
) -> None:
    """Find the sampler and the noise levels for a model at each number of evaluations, with lines to
    paste. No reference images are needed.
    """
    begun = time.monotonic()
    on_ray = isolating.OnRay(ray_address, gpus_per_worker, accelerator)
    runs_in = on_ray.executor(executor, isolation, jobs, memory_limit)
    if runs_in is None:
        alone = executor not in (None, "worker") or isolation is False
        runs_in = (
            isolating.executor(executor, isolation, None, memory_limit)
            if alone
            else isolating.several(jobs, device, executor, isolation, memory_limit)
        )
    with closing(runs_in):
        runs_in.start()
        if threads is not None:
            import torch

            torch.set_num_threads(threads)

        from ...results.run_directory.files import write_text
        from ...results.run_directory.layout import explain_write_errors
        from ..advice import advise as find
        from ..advice.answer import read_pictures
        from ..running.setup import pick_device

        load_plugins(plugin, peers_path)
        folder = out_dir or RUNS / folder_of(model)
        suffix = " and what was measured is kept"
        with isolating.stoppable(folder, runs_in, suffix), explain_write_errors(folder):
            advice = find(
                model,
                **({"nfe": budgets} if (budgets := integers(nfe, "--nfe")) else {}),
                out=folder,
                minutes=minutes,
                ms=ms,
                library=library,
                default=default,
                only=sampler or (),
                extractor=extractor,
                device=pick_device(checked(device, "--device", DEVICES)),
                seed=seed,
                executor=runs_in,
                progress=lambda stage: err.print(stage, markup=False),
                begun=begun,
            )
    if as_json:
        return print_json(advice.to_json())
    from ..advice.page import write_page
    from ..advice.text_output import markdown, print_advice

    print_advice(advice, out)
    write_text(folder / "advice.md", markdown(advice))
    pictures = read_pictures(folder) if advice.pictures else None
    return say(f"Page: {write_page(advice, pictures, folder / 'advice.html')}")


def folder_of(model: str) -> str:
    """Return the default folder of an answer."""
    from ..suites.cell import file_name

    return file_name(f"advise-{model}", hashlib.sha256(model.encode()).hexdigest()[:8])
