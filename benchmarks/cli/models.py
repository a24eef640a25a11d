"""``check-model``: what a checkpoint is, and whether its mapping to E[x0 | x] is right; ``convert``:
the same checkpoint as safetensors and a card; ``reference``: statistics of real samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common.console import err, print_json, print_rows, say
from .common.options import DeviceOption, Json

if TYPE_CHECKING:
    from torch import Tensor

    from ...models import Denoiser
    from ...models.checkpoints.opening import Opened
    from ...models.checkpoints.specification import Specification
    from ..conformance.models import Checked

SHOWN = (
    "event",
    "process",
    "prediction",
    "factor",
    "half",
    "time",
    "snap",
    "sigma_min",
    "sigma_max",
)
SHOWN += ("limits", "classes", "labels", "embeddings", "scalars", "kind", "boundary")
SHOWN += ("network", "weights", "decoder", "decode")
"""Fields of a specification, in the order in which they are shown."""
WIDEST = 54
"""Characters of a value in text; ``--json`` has all of it."""


def check_model(
    model: Annotated[
        str,
        typer.Argument(help="A checkpoint: PATH, FAMILY:PATH, or either with ?setting=value&…."),
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="Clean images that it was trained on, or like them: a folder, .npy or .npz; of a model of "
            "latents also these. Without any, the model's own samples, which tell less.",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            help="Of a few-step map: the model that it was distilled from, along whose paths its ends "
            "are compared.",
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=16, max=10_000, help="Images, or own samples, at most.")
    ] = 256,
    device: DeviceOption = "cpu",
    as_json: Json = False,
) -> None:
    """Say what a checkpoint is and how that is known, and check that its output becomes E[x0 | x].

    Exit code 1 if the mapping is wrong, or if several fit.
    """
    from ...models.checkpoints.answers import keep_answers
    from ...models.checkpoints.opening import open_checkpoint
    from ...models.loaders.checkpoint import split
    from ...models.loaders.checkpoint.families import family
    from ...models.loaders.checkpoint.loading import probe
    from ..conformance.models import check_checkpoint

    path, given, name = split(model.removeprefix("checkpoint:"))
    opened = open_checkpoint(path)
    spec = probe(opened, name).overridden(given)
    if not as_json:
        _show(spec)
    builds = family(spec.family).network
    clean, labels = (None, None)
    if images is not None:
        clean, labels, told = _read(images, spec, opened, samples)
        if told:
            err.print(told, markup=False, soft_wrap=True)
    found = check_checkpoint(
        spec,
        builds(spec, opened),
        clean,
        labels,
        built=lambda of: builds(of, opened),
        teacher=None if teacher is None else _teacher(teacher, spec, device),
        samples=samples,
        device=device,
    )
    if found.answers:
        keep_answers(spec, opened.content, found.answers)
    if as_json:
        print_json(_as_json(found, opened.content))
    else:
        _print(found)
    if not found.passed:
        raise typer.Exit(1)


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
    from ...models.loaders.checkpoint import split
    from ...models.loaders.checkpoint.converting import write_converted

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
    from ...models import make_model
    from ..scoring.real.making import make_statistics
    from ..suites.spec import parse_spec

    made = None
    if model is not None:
        options = parse_spec(model)
        made = make_model(options.pop("name"), **options)
    written = make_statistics(data, extractor, out, made)
    say(
        f"{out}: mean and covariance of {written.n:,} samples in {written.extractor.dim:,} features, "
        f"{written.extractor.identity}."
    )


def _teacher(name: str, spec: Specification, device: str) -> Denoiser:
    """The denoiser that a map was distilled from.

    Raises:
        ValueError: the checkpoint is no map, or the teacher is one, or of other samples.
    """
    from ...models import make_model
    from ..suites.spec import parse_spec

    if all(candidate.kind != "map" for _, candidate in spec.candidates()):
        raise ValueError("--teacher is for few-step maps, and the checkpoint is a denoiser")
    options = parse_spec(name)
    made = make_model(options.pop("name"), **options)
    if made.kind == "map" or made.event not in {c.event for _, c in spec.candidates()}:
        raise ValueError(
            f"--teacher {name} is "
            + ("a few-step map" if made.kind == "map" else f"of samples {made.event}")
            + f"; give a denoiser of samples {spec.event}"
        )
    return made if device == "cpu" else made.to(device)


def _read(
    images: Path, spec: Specification, opened: Opened, most: int
) -> tuple[Tensor | None, Tensor | None, str]:
    """The images, of the first shape that fits them where the file leaves the size open; their classes; and
    a sentence where they are not taken as they are.

    Images of a model of latents are encoded by its autoencoder; where it has none there are none.
    """
    from ...models.loaders.checkpoint.decoding import decoder_of
    from ..conformance.models import read_images, read_latents

    *events, last = dict.fromkeys(candidate.event for _, candidate in spec.candidates())
    if len(last) == 3 and (spec.decoder or spec.limits is None):  # of latents
        return read_latents(images, last, most, lambda: decoder_of(spec, opened))
    for event in events:
        try:
            return *read_images(images, event, spec.limits, most), ""
        except ValueError:
            continue
    return *read_images(images, last, spec.limits, most), ""


def _show(spec: Specification) -> None:
    say(f"A checkpoint of the family {spec.family}:")
    for sentence in spec.evidence:
        say(f"  {sentence}")
    plain = spec.as_json()
    rows = [
        {"field": name, "value": _short(plain[name]), "known from": spec.source(name)}
        for name in SHOWN
        if plain[name] not in ("", None, {}, [])
    ]
    rows += [
        {"field": name, "value": " or ".join(answers), "known from": "open"}
        for name, answers in spec.open.items()
    ]
    print_rows(rows, {"field": "field", "value": "value", "known from": "known from"})


def _short(value: Any) -> str:
    if isinstance(value, dict):
        value = " ".join(f"{k}={v}" for k, v in value.items())
    text = str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _print(found: Checked) -> None:
    where = f"{found.images} images" if found.images else "the model's own samples"
    say(f"Checked on {where}:")
    for check in found.checks:
        say(f"  {'passed' if check.passed else 'FAILED'}  {check.name}: {check.said}")
    if found.fit is not None:
        rows = [
            {"sigma": f"{s:.3g}", "error": f"{e:.3g}", "defect": f"{d:+.3f}", "se": f"{q:.3f}"}
            for s, e, d, q in zip(
                found.fit.levels,
                found.fit.errors.mean(1),
                found.fit.defect,
                found.fit.defect_se,
                strict=True,
            )
        ]
        print_rows(rows, {"sigma": "sigma", "error": "E|d-x0|²/D", "defect": "defect", "se": "±"})


def _as_json(found: Checked, content: str) -> dict[str, Any]:
    fit = found.fit
    return {
        "passed": found.passed,
        "content": content,
        "specification": found.spec.as_json(),
        "answers": found.answers,
        "images": found.images,
        "checks": [vars(check) for check in found.checks],
        "candidates": list(found.candidates),
        "levels": []
        if fit is None
        else [
            {"sigma": s, "error": e, "defect": d, "defect_se": q}
            for s, e, d, q in zip(
                fit.levels.tolist(),
                fit.errors.mean(1).tolist(),
                fit.defect.tolist(),
                fit.defect_se.tolist(),
                strict=True,
            )
        ],
    }
