"""Arguments of the Python interface: suites, models, samplers and devices, by name or object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from .. import samplers as methods
from ..models.registry import use_model
from ..results.run_directory.reading import log
from ..samplers import Sampler
from ..samplers.spec import parse_spec
from .running.setup import resolve_device
from .suites.files import load_suite, refuse_untrusted
from .suites.suite import Suite, check_suite

SuiteArgument = Suite | Mapping[str, Any] | Path | str
"""A suite as an object, name, path of a file, or dictionary."""

Device = Literal["auto", "cpu", "cuda"]

DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")

Models = Mapping[str, Any] | Sequence[Any]
"""Models to run: specs, or a mapping whose keys name objects; specs in it keep their own names."""


def suite_from_arguments(
    suite: SuiteArgument | None,
    models: Models | None,
    samplers: Sequence[Any] | None,
    replaced: dict[str, Any],
) -> Suite:
    """Return a suite in which models, samplers and the keys of ``replaced`` are replaced.

    If ``suite`` is None, the other arguments define it. Objects are registered under names.

    Raises:
        ValueError: there is no such suite, a value is invalid, or an object is no model or sampler.
            Also if the suite's file names Python code, or files outside its folder.
    """
    load_installed()
    keys = dict(replaced)
    timed = keys.pop("timing") if isinstance(keys.get("timing"), bool) else None
    if models is not None:
        keys["models"] = _model_specs(models)
    if samplers is not None:
        keys["samplers"] = _sampler_specs(as_sampler_list(samplers))
    if suite is None or isinstance(suite, Mapping):
        # models of the call take the place of the dictionary's; empty values stand for none
        given = {
            key: value
            for key, value in (suite or {}).items()
            if value is not None
            and (key not in keys or (key != "models" and value not in ([], ())))
        }
        budgets = {"steps", "nfe"} if given.keys() & {"steps", "nfe"} else set()
        new = {key: value for key, value in keys.items() if key not in given.keys() | budgets}
        full_suite = check_suite({"name": "suite", **given, **new}, "the suite")
        if "models" not in given:  # else a new value also replaces the values of single models
            keys = {key: value for key, value in keys.items() if key not in new}
    else:
        full_suite = suite if isinstance(suite, Suite) else _load_suite_argument(suite)
    if timed is not None:
        keys["timing"] = full_suite.timing.model_dump() | {"enabled": timed}
    return full_suite.replaced(**keys) if keys else full_suite


def load_installed() -> None:
    """Load the samplers of installed packages; log a warning for each broken package."""
    for sentence in methods.load_plugins().values():
        log.warning("%s", sentence)


def as_sampler_list(samplers: Iterable[Any]) -> list[Any]:
    """Return ``samplers`` as a list. Raises a ValueError for one spec, class or sampler object."""
    if isinstance(samplers, str | Mapping) or not isinstance(samplers, Iterable):
        raise ValueError(f"samplers are a list such as ['heun'], not a {type(samplers).__name__}")
    return list(samplers)


def _model_specs(models: Models) -> list[Any]:
    if isinstance(models, str) or not isinstance(models, Mapping | Sequence):
        raise ValueError(
            'models is a list of specs, or a mapping such as {"mine": model}, not '
            f"a {type(models).__name__}"
        )
    if isinstance(models, Mapping):
        return [model_spec(model, name) for name, model in models.items()]
    if wrong := [item for item in models if not isinstance(item, str | Mapping)]:
        kind = type(wrong[0]).__name__
        raise ValueError(f'a model that is an object needs a name: models={{"mine": {kind}(…)}}')
    return list(models)


def model_spec(model: Any, name: str = "") -> Any:
    """Return a model's spec: a given spec, or the name under which an object is now registered.

    With ``name`` "", this is the object's own name. Raises a ValueError if the object is no model,
    or the name is malformed or belongs to a built-in model.
    """
    if isinstance(model, str | Mapping):
        return model
    known = name or getattr(model, "name", "model")
    use_model(known, model)
    return known


def make_sampler(sampler: Any) -> Sampler:
    """Return the sampler for a spec, an object or a class; register the class of an object.

    Raises a ValueError for an unknown sampler or option, and for an object that is no sampler.
    """
    if isinstance(sampler, str | Mapping):
        spec = parse_spec(sampler)
        if spec["name"] not in methods.names():
            load_installed()
        return methods.make(spec)
    made = sampler() if isinstance(sampler, type) else sampler
    methods.spec_of(made)
    return made


def sampler_spec(sampler: Any) -> Any:
    """Return the spec of a sampler object or class, which is registered; or a given spec, unchecked."""
    if isinstance(sampler, str | Mapping):
        return sampler
    return methods.spec_of(sampler() if isinstance(sampler, type) else sampler)


def _sampler_specs(samplers: Sequence[Any]) -> list[Any]:
    """Return the specs of samplers; raise a ValueError if two of their classes have one name."""
    classes: dict[str, type] = {}
    for sampler in samplers:
        if not isinstance(sampler, str | Mapping):
            cls = sampler if isinstance(sampler, type) else type(sampler)
            if classes.setdefault(name := getattr(cls, "name", ""), cls) is not cls:
                raise ValueError(
                    f"two classes in samplers are called {name!r}, so that their rows would be one; "
                    "give one of them another name"
                )
    return [sampler_spec(sampler) for sampler in samplers]


def _load_suite_argument(suite: Any) -> Suite:
    if not isinstance(suite, str | Path):
        kind = type(suite).__name__
        raise ValueError(f"a suite is a name, a path, a dictionary or a Suite, not a {kind}")
    full_suite = load_suite(str(suite))
    try:
        refuse_untrusted(full_suite, str(suite))
    except ValueError as error:
        message = str(error).partition("; look")[0]
        raise ValueError(
            f"{message}; look at it, and pass load_suite({str(suite)!r}) if it may"
        ) from None
    return full_suite


def resolve_device_argument(name: str, suite: Suite | None = None) -> str:
    """Return "cpu" or "cuda" for a device name.

    Raises a ValueError for a name that is not in :data:`DEVICES`, and for "cuda" without a GPU.
    Also for "auto" without a GPU, if the suite needs one.
    """
    if name not in DEVICES:
        raise ValueError(f"there is no device {name!r}; choose one of {', '.join(DEVICES)}")
    return resolve_device(name, suite)
