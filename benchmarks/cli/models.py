"""Commands ``check-model``, ``convert`` and ``reference``: models, statistics of real samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import typer

from .common.console import announce, err, print_json, print_rows, say, say_next
from .common.options import (
    DeviceOption,
    Json,
    argument,
    option,
    option_default,
)

if TYPE_CHECKING:
    from ...models.checkpoints.specification import Specification
    from ..conformance.models import ModelCheck

EXIT_CODES = {"passed": 0, "failed": 1, "not decided": 3}  # by verdict; 2 is bad input
SPECIFICATION_FIELDS = (
    "event", "process", "prediction", "factor", "half", "time", "snap", "sigma_min", "sigma_max",
    "limits", "classes", "labels", "embeddings", "scalars", "kind", "boundary", "weights",
    "decoder", "decode",
)  # fmt: skip
"""Printed fields of a checkpoint's specification, in order."""
WIDEST = 54  # most characters of a printed value; ``--json`` has the whole value
MODEL_FIELDS = (
    "event", "sigma_min", "sigma_max", "limits", "classes", "conditions", "kind", "passes",
)  # fmt: skip
"""Printed attributes of a model that is not a checkpoint."""


def check_model(
    model: str = argument(
        "A name, file.py:factory, or a checkpoint: PATH or FAMILY:PATH, with ?setting=value&… if "
        "needed."
    ),
    images: str | None = option_default(
        "--images PATH",
        "Clean images like the training data: a folder, .npy, .npz or data set. A latent model "
        "also takes codes of its autoencoder. Without images, the check uses the card's data or "
        "the model's own samples; with these alone nothing can pass.",
    ),
    teacher: str | None = option_default(
        "--teacher MODEL",
        "For a few-step model: compare its endpoints with the paths of this model.",
    ),
    samples: int = option_default(
        "--samples N", "Upper limit on images or own samples.", default=256, min=16, max=10_000
    ),
    device: DeviceOption = "cpu",
    as_json: Json = False,
) -> None:
    """Identify a model, and check that it predicts E[x0 | x].

    Exit code 1 if the model does not. Exit code 3 if this is not decided, as without data.
    """
    from ..checking import check_model as check

    announce(f"Checking {model}: loading PyTorch …")
    identities = []

    def opened(subject: Any, identity: str) -> None:
        identities.append(identity)
        if not as_json:
            _print_description(subject)

    result = check(
        model,
        images=images,
        teacher=teacher,
        samples=samples,
        device=device,
        progress=lambda note: say(note, to=err),
        opened=opened,
    )
    if as_json:
        print_json(_json_of_checks(result, *identities))
    else:
        _print_checks(result)
        if result.verdict == "passed":
            say_next(["advise", "--model", model], ["run", "quick", "--model", model])
        elif images is None:
            say_next(["check-model", model, "--images", "images/"])
        elif result.verdict == "not decided" and result.alike:
            say("The images do not decide this; state the answer of the training.")
            begin = f"{model}{'&' if '?' in model else '?'}"
            paths = [f"{begin}{urlencode(answers)}" for answers in result.alike]
            say_next(*(["check-model", path, "--images", images] for path in paths))
    if code := EXIT_CODES[result.verdict]:
        raise typer.Exit(code)


def _print_description(subject: Any) -> None:
    from ...models.checkpoints.families import family_facts
    from ...models.checkpoints.weights import FIT, chosen_set_in_words
    from ...models.denoiser import Denoiser
    from .listing import unmark

    if isinstance(subject, Denoiser):
        say(f"{subject.name}, {subject.identity}:")
        values = {key: _shortened(getattr(subject, key)) for key in MODEL_FIELDS}
        rows = [{"field": k, "value": v} for k, v in values.items() if v not in ("None", "0")]
        return print_rows(rows)
    spec: Specification = subject
    say(f"A checkpoint of the family {spec.family}:")
    for sentence in spec.evidence:
        if FIT not in sentence or chosen_set_in_words(spec):
            say(f"  {sentence}")
    plain = spec.as_json()
    asked = {
        name: question
        for question, answers in spec.open.items()
        for name in set().union(*answers.values()) - {"network", "event"}
    }
    rows = [
        {"field": name, "value": _shortened(plain[name]), "known from": spec.source(name)}
        if name not in asked
        else {"field": name, "value": f"see {asked[name]}", "known from": "open"}
        for name in SPECIFICATION_FIELDS
        if plain[name] not in ("", None, {}, [])
    ]
    rows += [
        {"field": name, "value": " or ".join(answers), "known from": "open"}
        for name, answers in spec.open.items()
    ]
    print_rows(rows)
    words = ", ".join(f"{k}={v}" for k, v in spec.network.get("arguments", {}).items())
    name = f"{spec.network.get('class', 'a program')}({words})"
    given = [
        f"{q}={next(iter(a))}" for q, a in spec.open.items() if "network" in next(iter(a.values()))
    ]
    say(f"The network{', with ' + given[0] + ',' if given else ''} is {name}.")
    if spec.open:
        say(f"How to answer what is open: {unmark(family_facts(spec.family)['Say'])}")
    return None


def _shortened(value: Any) -> str:
    if isinstance(value, dict):
        value = " ".join(f"{k}={v}" for k, v in value.items())
    text = str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _print_checks(result: ModelCheck) -> None:
    where = f"{result.images} {result.source}" if result.images else "the model's own samples"
    say(f"Checked on {where}:" if result.source else "Checked without samples:")
    words = {True: "passed", False: "FAILED", None: "not decided"}
    for check in result.checks:
        say(f"  {words[check.passed]}  {check.name}: {check.detail}")
    columns = {"sigma": "sigma", "error": "E|d-x0|²/D", "defect": "defect", "defect_se": "±"}
    formats = {"sigma": ".3g", "error": ".3g", "defect": "+.3f", "defect_se": ".3f"}
    if levels := _levels_of_fit(result):
        rows = [{key: format(level[key], of) for key, of in formats.items()} for level in levels]
        print_rows(rows, columns)
    say(f"Verdict: {result.verdict_in_words}.")


def _levels_of_fit(result: ModelCheck) -> list[dict[str, float]]:
    if (fit := result.fit) is None:
        return []
    names = ("sigma", "error", "defect", "defect_se")
    columns = zip(fit.levels, fit.errors.mean(1), fit.defect, fit.defect_se, strict=True)
    return [dict(zip(names, map(float, level), strict=True)) for level in columns]


def _json_of_checks(result: ModelCheck, content: str) -> dict[str, Any]:
    return {
        "verdict": result.verdict,
        "passed": result.passed,
        "content": content,
        "specification": None if result.spec is None else result.spec.as_json(),
        "answers": result.answers,
        "alike": result.alike,
        "given": result.given,
        "images": result.images,
        "checks": [vars(check) for check in result.checks],
        "candidates": list(result.candidates),
        "levels": _levels_of_fit(result),
    }


def convert(
    model: str = argument("PATH or FAMILY:PATH, with ?setting=value&… if needed."),
    out: Path = argument("New or empty folder."),
) -> None:
    """Convert a checkpoint to safetensors with a card.

    Loading never executes code from the file. --model OUT is the same model.
    """
    from ...models.loaders.checkpoint import split_settings, write_converted

    tensors, numbers = write_converted(*split_settings(model.removeprefix("checkpoint:")), out)
    say(
        f"{out} has {tensors} tensors of {numbers:,} numbers and card.json; "
        f"run it with --model {out}"
    )
    say_next(["check-model", out], ["run", "quick", "--model", out])


def reference(
    data: str = argument("Real samples: a folder of images, .npy, .npz or a data set."),
    extractor: str = option(
        "--extractor NAME", "Feature space (see samplerbench list extractors)."
    ),
    out: Path = option("--out FILE", ".npz file to write."),
    model: str | None = option_default(
        "--model MODEL",
        "Model of these data; gives shape and range if they are not 8-bit images.",
    ),
) -> None:
    """Write feature statistics of real samples, as EDM does.

    The file has the mean and covariance of all samples. Use it with run --reference FILE.
    """
    from ..planning.model_loading import load_model
    from ..scoring.real_data import write_features_statistics

    denoiser = None if model is None else load_model(model).model
    count, space = write_features_statistics(data, extractor, out, denoiser)
    say(
        f"{out}: mean and covariance of {count:,} samples in {space.dim:,} features, "
        f"{space.identity}."
    )
    words = ["--extractor", extractor, "--reference", out]
    say_next(["run", "quick", "--model", model or "MODEL", *words])
