"""``convert``: a checkpoint as safetensors and a card; ``reference``: statistics of real samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common.console import say


def convert(
    model: Annotated[
        str,
        typer.Argument(help="A checkpoint: PATH, FAMILY:PATH, or either with ?setting=value&…."),
    ],
    out: Annotated[
        Path, typer.Argument(help="Folder to write; it must not be there, or be empty.")
    ],
) -> None:
    """Write a checkpoint as a folder of safetensors and a card that says all that is known of it.

    Nothing of the file is executed. --model OUT is the same model.
    """
    from ...models.loaders.checkpoint import split, write_converted

    written = write_converted(*split(model.removeprefix("checkpoint:")), out)
    say(
        f"{out} has {written.tensors} tensors of {written.numbers:,} numbers and card.json; "
        f"run it with --model {out}, or look at it with samplerbench check-model {out}"
    )


def reference(
    data: Annotated[
        str,
        typer.Argument(
            help="Real samples: a folder of images, .npy, .npz, a data set, as for run --reference."
        ),
    ],
    extractor: Annotated[
        str, typer.Option("--extractor", help="Feature space, one of `list extractors`.")
    ],
    out: Annotated[Path, typer.Option("--out", help=".npz file to write.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Whose data they are; says their shape and range where they are no images of 8 bits.",
        ),
    ] = None,
) -> None:
    """Write mean and covariance of the features of real samples, in the format that EDM's scripts
    read.

    ``run --reference FILE`` reads it again. All samples count: none is held out.
    """
    from ..planning.models import load_model
    from ..scoring.making_statistics import make_statistics

    denoiser = None if model is None else load_model(model).model
    written = make_statistics(data, extractor, out, denoiser)
    say(
        f"{out}: mean and covariance of {written.n:,} samples in {written.extractor.dim:,} features, "
        f"{written.extractor.identity}."
    )
