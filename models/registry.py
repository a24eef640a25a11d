"""Registry of models: built-in names, ``file.py:factory`` and ``scheme:rest``."""

from __future__ import annotations

import inspect
import os
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .denoiser import Denoiser
from .guidance import Autoguided, ClassifierFree
from .guidance_formulas import make_formula
from .rounding import ROUNDING, add_rounding

if TYPE_CHECKING:
    from .loaders.schemes import Scheme

_FACTORIES = {
    "gaussian": ".exact.problems:gaussian",
    "gmm-2d": ".exact.problems:gmm_2d",
    "gmm-64d": ".exact.problems:gmm_64d",
    "fashion-mppca": ".exact.mixture:fashion_mppca",
    "wavelet": ".exact.wavelet:Wavelet",
    "fashion-kde": ".exact.cloud:fashion_kde",
    "digits-cloud": ".exact.cloud:digits_cloud",
    "fashion": ".cards.network:load_network",
    "fashion-latent": ".cards.network:load_network",
    "digits": ".cards.network:load_network",
    "emoji": ".cards.network:load_network",
    "emoji-flow": ".cards.network:load_network",
    "fashion-map": ".cards.network:load_network",
    "random-unet-32": ".nets.unet:random_unet_32",
    "random-unet-64": ".nets.unet:random_unet_64",
}
"""Factories ``module:factory`` of the built-in models by name; a module is imported on demand."""


_SESSION: dict[str, Denoiser] = {}
"""Models that :func:`use_model` registered, by name."""


def use_model(name: str, model: Any) -> None:
    """Register an object as a model of this session, in place of an earlier one of that name.

    Args:
        name: name of the model in suites and tables.
        model: an object that :func:`samplerbench.models.objects.as_model` takes.

    Raises:
        ValueError: the name is a built-in model's, or is not a letter followed by letters, digits,
            - and _; or the object lacks an attribute, or one is invalid.
    """
    from .objects import as_model

    if name in _FACTORIES:
        raise ValueError(f"{name} is a built-in model; call yours otherwise")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ValueError(
            f"model name {name!r}: begin with a letter, then use letters, digits, - and _"
        )
    _SESSION[name] = as_model(name, model)


def is_session_model(name: str) -> bool:
    """Return True if an object of this session has the name (:func:`use_model`)."""
    return name in _SESSION


def model_names() -> list[str]:
    """Return names of the built-in models, in the order in which listings show them."""
    return list(_FACTORIES)


def make_model(spec: str, **params: Any) -> Denoiser:
    """Make the model that ``spec`` names.

    Args:
        spec: a built-in name (:func:`model_names`); a name given to :func:`use_model`, with the
            options of :func:`wrap_model` only; the path of a checkpoint;
            ``path/to/file.py:factory`` (:mod:`samplerbench.models.loaders.python_file`); or
            ``scheme:rest`` for a loader of this package, such as ``perturbed:NAME``, or of an
            installed one (:mod:`samplerbench.models.loaders`).
        **params: options that every model takes (:func:`wrap_model`), such as ``guidance``, the scale
            of classifier-free guidance. The model's factory or loader gets all other options.

    Returns:
        The model on the CPU; an object given to :func:`use_model` stays on its device.

    Raises:
        ValueError: the model is unknown, does not take an option, or has no classes to guide by;
            or the installed package that should make it is broken.
        CardError: (a ValueError) a file of the model is missing or damaged.
    """
    options = {name: params.pop(name) for name in EVERY_MODEL if name in params}
    if spec in _SESSION:
        if params:
            raise ValueError(
                f"model {spec} is an object of this session, and takes no {', '.join(params)}; "
                "make the object with it"
            )
        return wrap_model(_SESSION[spec], **options)
    model = _make_built_in(spec, params) if spec in _FACTORIES else _load_by_scheme(spec, params)
    return wrap_model(model, **options)


OF_EVERY_MODEL = " (and network_dtype; and guidance, for models with classes)"
"""Further options, for errors that list those of a factory."""


def wrap_model(model: Denoiser, **options: Any) -> Denoiser:
    """Return ``model`` with the ``options`` of :func:`add_guidance` and :func:`.add_rounding`."""
    rounding = {name: options.pop(name) for name in ROUNDING if name in options}
    return add_rounding(add_guidance(model, **options), **rounding)


def add_guidance(
    model: Denoiser,
    guidance: Any = None,
    guidance_is: Any = "w",
    guidance_channels: Any = None,
    guidance_interval: Any = None,
    guidance_formula: Any = None,
    guidance_rescale: Any = None,
    guide: Any = None,
) -> Denoiser:
    """Return ``model`` under guidance, or ``model`` itself if ``guidance`` is None.

    Args:
        model: model with classes or other conditions; any model if there is a ``guide``.
        guidance: the scale w, or s = w - 1; w = 1 is the conditional model alone.
        guidance_is: ``w``, or ``w-1`` if ``guidance`` is s, as for U-ViT and flow_matching.
        guidance_channels: number of guided channels, the first ones; None for all.
        guidance_interval: levels (low, high] with guidance; None for all.
        guidance_formula: ``spec`` of :func:`.guidance_formulas.make_formula`.
        guidance_rescale: ``rescale`` of :func:`.guidance_formulas.make_formula`.
        guide: spec of a worse model that takes the place of the unconditional one.

    Raises:
        ValueError: an option has a wrong value, a scale is missing, or the model cannot be guided.
    """
    if guidance is None:
        others = (guide, guidance_channels, guidance_interval, guidance_formula, guidance_rescale)
        if guidance_is != "w" or any(option is not None for option in others):
            raise ValueError("guidance without a scale; give one, such as guidance=2")
        return model
    is_number = isinstance(guidance, int | float) and not isinstance(guidance, bool)
    if not is_number or not abs(guidance) < float("inf"):
        raise ValueError(f"guidance is a number, not {guidance!r}")
    if guidance_is not in ("w", "w-1"):
        raise ValueError(f"guidance_is is 'w' or 'w-1', not {guidance_is!r}")
    scale = float(guidance) + (guidance_is == "w-1")
    formula = make_formula(scale, guidance_formula, guidance_rescale)
    options = {"channels": guidance_channels, "interval": _read_interval(guidance_interval)}
    if guidance_channels is not None and type(guidance_channels) is not int:
        raise ValueError(f"guidance_channels is a whole number, not {guidance_channels!r}")
    if guide is None:
        return ClassifierFree(model, formula, **options)
    if not isinstance(guide, str):
        raise ValueError(f"guide is the name or path of a model, not {guide!r}")
    return Autoguided(model, make_model(guide), formula, **options)


GUIDANCE = tuple(inspect.signature(add_guidance).parameters)[1:]
"""Names of the options of guidance, which every model with classes or other conditions takes."""
EVERY_MODEL = (*GUIDANCE, *ROUNDING)
"""Names of the options of :func:`wrap_model`."""


def _read_interval(levels: Any) -> tuple[float, float] | None:
    if levels is None:
        return None
    numbers = isinstance(levels, list | tuple) and len(levels) == 2
    if not numbers or not all(isinstance(level, int | float) for level in levels):
        raise ValueError(f"guidance_interval is two levels, such as [0.2, 5], not {levels!r}")
    return float(levels[0]), float(levels[1])


def _make_built_in(name: str, params: dict[str, Any]) -> Denoiser:
    from .loaders.source_file import check_options

    module, factory = _FACTORIES[name].split(":")
    make = getattr(import_module(module, __package__), factory)
    given = (name,) if factory == "load_network" else ()
    check_options(f"model {name}", make, given, params, OF_EVERY_MODEL)
    return make(*given, **params)


def _load_by_scheme(spec: str, params: dict[str, Any]) -> Denoiser:
    from .loaders.python_file import as_denoiser
    from .loaders.source_file import check_options, identity_of_options
    from .loaders.user_files import FilesRead, record_files

    scheme, rest = _scheme_of(spec)
    check_options(f"model {spec}", scheme.load, (rest,), params, OF_EVERY_MODEL)
    if scheme.origin:
        product = scheme.load_value(rest, **params)
        identity = f"{scheme.identity(rest, product.read.digest)}{identity_of_options(params)}"
        return as_denoiser(product, scheme.short_spec(rest), identity)
    with record_files() as recorder:
        model = scheme.load(rest, **params)
    # a checkpoint's files are recorded by their names in its folder
    if model.read is None and recorder.paths:
        model.read = FilesRead(Path(rest), recorder.paths)
    return model


def _scheme_of(spec: str) -> tuple[Scheme, str]:
    """Return the scheme that loads ``spec``, and its argument; raise a ValueError without one."""
    from .checkpoints.families import family_names
    from .checkpoints.opening import SUFFIXES
    from .loaders import LOADERS

    if spec in LOADERS:
        return LOADERS.find(spec)
    if ".py:" in spec or spec.endswith(".py"):
        return LOADERS.get("python_file"), spec
    path = spec.rpartition("?")[0] or spec  # ``?setting=value`` may follow
    if spec.partition(":")[0] in family_names() or os.path.exists(os.path.expanduser(path)):
        return LOADERS.get("checkpoint"), spec
    if os.sep in path or path.endswith(SUFFIXES):
        raise ValueError(
            f"there is no file or folder {path}; give the path of a checkpoint or file.py:factory, or a name "
            "of samplerbench list models"
        )
    near = LOADERS.suggestion_for(spec, model_names())
    choices = ", or ".join([", ".join(_FACTORIES), *LOADERS.usages()])
    raise ValueError(
        f"there is no model {spec!r}{'; ' if near else '. '}{near}The models are: {choices}"
    )


def is_checkpoint(spec: str) -> bool:
    """Return True if ``spec`` loads as a checkpoint; raise a ValueError if it names no model."""
    return spec not in {*_FACTORIES, *_SESSION} and _scheme_of(spec)[0].name == "checkpoint"
