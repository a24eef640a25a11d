"""Loading of models by their specs."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...models import Denoiser, make_model
from ...models.denoiser import innermost_model
from ...results.run_directory.reading import log
from ...samplers.spec import format_spec, parse_spec


class NamedModel(NamedTuple):
    """Model, and the text of the model's spec as its name."""

    name: str
    model: Denoiser


def load_model(spec: Any, device: str = "cpu") -> NamedModel:
    """Load a spec's model onto a device; log the choice of weights; raise ValueError on failure."""
    options = parse_spec(spec)
    name = format_spec(options)
    model = make_model(options.pop("name"), **options)
    checkpoint = getattr(innermost_model(model), "spec", None)
    if checkpoint is not None:
        from ...models.checkpoints.weights import chosen_set_in_words  # slow to import

        if weights := chosen_set_in_words(checkpoint):
            log.info(
                "model %s: %s; samplerbench check-model says how to take another.", name, weights
            )
    return NamedModel(name, model.to(device) if device != "cpu" else model)


def load_denoiser(spec: Any, device: str) -> NamedModel:
    """Load a model as :func:`load_model` does, but raise a ValueError for a few-step map."""
    named = load_model(spec, device)
    if named.model.kind == "map":
        raise ValueError(
            f"model {named.name} is a few-step map: it jumps to the end of the path, and there is no solver to "
            "choose and no level to tune; give the denoiser that it was distilled from, or see how many "
            f"jumps are worth it: samplerbench run quick --model {named.name} --sampler consistency --nfe 1,2,4"
        )
    return named
