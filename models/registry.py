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
    "fashion-kde": ".exact.kde:fashion_kde",
    "digits-cloud": ".exact.cloud:digits_cloud",
    "fashion": ".nets.network:fashion",
    "digits": ".nets.network:digits",
    "random-unet-32": ".nets.random_unet:random_unet_32",
    "random-unet-64": ".nets.random_unet:random_unet_64",
}
"""Name to ``module:factory``; a module is imported when its model is asked for."""

_WRAPPERS = {"perturbed": ".exact.perturbed:perturbed"}
"""The same for factories that take another model's name: ``perturbed:gmm-2d`` is ``perturbed`` with ``model="gmm-2d"``."""


def model_names() -> list[str]:
    """Names of the built-in models, in the order in which listings show them."""
    return list(_FACTORIES)


def make_model(spec: str, **params: Any) -> Denoiser:
    """The model that ``spec`` names.

    Args:
        spec: a built-in name (:func:`model_names`), ``perturbed:NAME`` for one with an error of known size
            (:mod:`samplerbench.models.exact.perturbed`), or ``path/to/file.py:factory`` for a model of your own
            (:mod:`samplerbench.models.loaders.python_file`).
        **params: ``guidance`` is the scale of classifier-free guidance, for models with classes; the rest goes to the model's factory.

    Returns:
        The model on the CPU.

    Raises:
        ValueError: no such model, a parameter that it does not take, or guidance of a model without classes.
        CardError: (a ValueError) a file of the model is missing or damaged.
    """
    wrapper, colon, inner = spec.partition(":")
    if colon and wrapper in _WRAPPERS:
        if "model" in params:
            raise ValueError(f"{spec!r} names its model; leave out model={params['model']!r}, or write {wrapper}(model=…)")
        return make_model(wrapper, model=inner, **params)
    guidance = params.pop("guidance", None)
    model = _call(spec, _factory(spec), params)
    if guidance is None:
        return model
    if not isinstance(guidance, int | float):
        raise ValueError(f"guidance is a number, not {guidance!r}")
    return ClassifierFree(model, float(guidance))


def _factory(spec: str) -> Callable[..., Denoiser]:
    if spec in _WRAPPERS:
        return _imported(_WRAPPERS[spec])
    if ".py:" in spec or spec.endswith(".py"):
        from .loaders.python_file import python_file

        return python_file(spec)
    if spec not in _FACTORIES:
        near = difflib.get_close_matches(spec, [*_FACTORIES, *_WRAPPERS], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        others = ", ".join(f"{name}:MODEL" for name in _WRAPPERS)
        raise ValueError(
            f"there is no model {spec!r}; {hint}The models are: {', '.join(_FACTORIES)}, or {others}, or a file.py:factory of your own"
        )
    return _imported(_FACTORIES[spec])


def _imported(place: str) -> Callable[..., Denoiser]:
    module, name = place.split(":")
    return getattr(import_module(module, __package__), name)


def _call(spec: str, factory: Callable[..., Denoiser], params: dict[str, Any]) -> Denoiser:
    signature = inspect.signature(factory)
    try:
        signature.bind(**params)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "none"
        raise ValueError(f"model {spec}: {error}; its parameters are: {takes} (and guidance, for models with classes)") from None
    return factory(**params)
