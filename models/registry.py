"""Models by name: ``make_model("fashion")``, ``make_model("fashion", guidance=2)``, ``make_model("file.py:factory")``."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from .denoiser import Denoiser
from .guidance import ClassifierFree

_FACTORIES = {
    "gaussian": ".exact.problems:gaussian",
    "gmm-2d": ".exact.problems:gmm_2d",
    "gmm-64d": ".exact.problems:gmm_64d",
    "fashion-mppca": ".exact.mppca:fashion_mppca",
    "wavelet": ".exact.wavelet:wavelet",
    "digits-cloud": ".exact.cloud:digits_cloud",
    "fashion": ".network:fashion",
    "digits": ".network:digits",
}
"""Name to ``module:factory``; a module is imported when its model is asked for."""


def model_names() -> list[str]:
    """Names of the built-in models, in the order in which listings show them."""
    return list(_FACTORIES)


def make_model(spec: str, **params: Any) -> Denoiser:
    """The model that ``spec`` names.

    Args:
        spec: a built-in name (:func:`model_names`), or ``path/to/file.py:factory`` for a model of your own
            (:mod:`samplerbench.models.loaders.python_file`).
        **params: ``guidance`` is the scale of classifier-free guidance, for models with classes; the rest goes to the model's factory.

    Returns:
        The model on the CPU.

    Raises:
        ValueError: no such model, a parameter that it does not take, or guidance of a model without classes.
        CardError: (a ValueError) a file of the model is missing or damaged.
    """
    guidance = params.pop("guidance", None)
    model = _call(spec, _factory(spec), params)
    if guidance is None:
        return model
    if not isinstance(guidance, int | float):
        raise ValueError(f"guidance is a number, not {guidance!r}")
    return ClassifierFree(model, float(guidance))


def _factory(spec: str) -> Callable[..., Denoiser]:
    if ".py:" in spec or spec.endswith(".py"):
        from .loaders.python_file import python_file

        return python_file(spec)
    if spec not in _FACTORIES:
        near = difflib.get_close_matches(spec, _FACTORIES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"there is no model {spec!r}; {hint}The models are: {', '.join(_FACTORIES)}, or a file.py:factory of your own")
    module, name = _FACTORIES[spec].split(":")
    return getattr(import_module(module, __package__), name)


def _call(spec: str, factory: Callable[..., Denoiser], params: dict[str, Any]) -> Denoiser:
    signature = inspect.signature(factory)
    try:
        signature.bind(**params)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "none"
        raise ValueError(f"model {spec}: {error}; its parameters are: {takes} (and guidance, for models with classes)") from None
    return factory(**params)
