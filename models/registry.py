"""Models by name: ``make_model("fashion")``, ``make_model("fashion", guidance=2)``,
``make_model("file.py:factory")``.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .denoiser import Denoiser
from .guidance import ClassifierFree

if TYPE_CHECKING:
    from .loaders.schemes import Scheme

_FACTORIES = {
    "gaussian": ".exact.problems:gaussian",
    "gmm-2d": ".exact.problems:gmm_2d",
    "gmm-64d": ".exact.problems:gmm_64d",
    "fashion-mppca": ".exact.mppca:fashion_mppca",
    "wavelet": ".exact.wavelet:wavelet",
    "fashion-kde": ".exact.kde:fashion_kde",
    "digits-cloud": ".exact.cloud:digits_cloud",
    "fashion": ".cards.network:fashion",
    "digits": ".cards.network:digits",
    "emoji": ".cards.network:emoji",
    "random-unet-32": ".nets.random_unet:random_unet_32",
    "random-unet-64": ".nets.random_unet:random_unet_64",
}
"""Name to ``module:factory``; a module is imported when its model is asked for."""


def model_names() -> list[str]:
    """Names of the built-in models, in the order in which listings show them."""
    return list(_FACTORIES)


def make_model(spec: str, **params: Any) -> Denoiser:
    """The model that ``spec`` names.

    Args:
        spec: a built-in name (:func:`model_names`); ``path/to/file.py:factory`` for a model of your
            own (:mod:`samplerbench.models.loaders.python_file`); or ``scheme:rest`` for one that a
            loader makes, of this package, such as ``perturbed:NAME``, or of an installed one
            (:mod:`samplerbench.models.loaders`).
        **params: ``guidance`` is the scale of classifier-free guidance, for models with classes;
            the rest goes to the model's factory, or to its loader.

    Returns:
        The model on the CPU.

    Raises:
        ValueError: no such model, a parameter that it does not take, or guidance of a model without
            classes; or a loader of an installed package that is broken.
        CardError: (a ValueError) a file of the model is missing or damaged.
    """
    guidance = params.pop("guidance", None)
    model = _built_in(spec, params) if spec in _FACTORIES else _loaded(spec, params)
    if guidance is None:
        return model
    if not isinstance(guidance, int | float):
        raise ValueError(f"guidance is a number, not {guidance!r}")
    return ClassifierFree(model, float(guidance))


def _built_in(name: str, params: dict[str, Any]) -> Denoiser:
    module, factory = _FACTORIES[name].split(":")
    make = getattr(import_module(module, __package__), factory)
    _check(name, make, (), params)
    return make(**params)


def _loaded(spec: str, params: dict[str, Any]) -> Denoiser:
    from .loaders.python_file import as_denoiser
    from .loaders.reading import FilesRead, reading
    from .loaders.source_file import options_text

    scheme, rest = _scheme(spec)
    _check(spec, scheme.load, (rest,), params)
    if scheme.origin:
        made = scheme.made(rest, **params)
        identity = f"{scheme.identity(rest, made.digest)}{options_text(params)}"
        return as_denoiser(made, scheme.called(rest), identity)
    with reading() as seen:
        model = scheme.load(rest, **params)
    # a checkpoint, by the names that its files have in its folder
    if model.read is None and seen.paths:
        model.read = FilesRead(Path(rest), seen.paths)
    return model


def _scheme(spec: str) -> tuple[Scheme, str]:
    """Who loads ``spec``, and what of it."""
    from .loaders import LOADERS

    if spec in LOADERS:
        return LOADERS.find(spec)
    if ".py:" in spec or spec.endswith(".py"):
        return LOADERS.get("python_file"), spec
    if _is_checkpoint(spec):
        return LOADERS.get("checkpoint"), spec
    near = LOADERS.near(spec, model_names())
    there = ", or ".join([", ".join(_FACTORIES), *LOADERS.usages()])
    raise ValueError(f"there is no model {spec!r}; {near}The models are: {there}")


def _is_checkpoint(spec: str) -> bool:
    """Whether it is ``FAMILY:PATH``, or the path of something that is there."""
    from .loaders.checkpoint.families import family_names

    path = spec.rpartition("?")[0] or spec
    return spec.partition(":")[0] in family_names() or os.path.exists(os.path.expanduser(path))


def _check(spec: str, make: Any, args: tuple[str, ...], params: dict[str, Any]) -> None:
    from .loaders.schemes import check_options

    try:
        check_options(f"model {spec}", make, args, params)
    except ValueError as error:
        raise ValueError(f"{error} (and guidance, for models with classes)") from None
