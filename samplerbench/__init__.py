"""Benchmark of diffusion samplers: quality and cost against the number of steps.

>>> import samplerbench
>>> samplerbench.make("heun").nfe(samplerbench.karras(18, 0.002, 80.0))
35

``run`` runs a suite, or models, samplers and budgets of your own, and gives a table. ``plan`` says what it
would run, ``load`` reads a run again, ``compare`` judges two, ``advise`` finds a sampler for a model.
``from_function`` and ``from_network`` make a model of what you have, ``make`` a sampler of a name.

The names here are those that most scripts need. The packages ``samplers``, ``models``,
``benchmarks`` and ``results`` have all of them.
"""

from __future__ import annotations as _annotations

from importlib import import_module as _import_module

_HOMES = {
    "advise": "benchmarks",
    "check_sampler": "benchmarks",
    "compare": "results",
    "compare_with": "results",
    "from_function": "models",
    "from_network": "models",
    "karras": "samplers",
    "load": "results",
    "load_suite": "benchmarks",
    "make": "samplers",
    "make_model": "models",
    "plan": "benchmarks",
    "run": "benchmarks",
}
_PACKAGES = ("benchmarks", "models", "results", "samplers")

__all__ = [*_HOMES, *_PACKAGES]


def __getattr__(name: str) -> object:
    """Import what is asked for: torch and pandas are slow."""
    if name in _PACKAGES:
        return _import_module(f".{name}", __name__)
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted([*__all__, "__version__"])
