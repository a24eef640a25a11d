"""Benchmark of diffusion samplers: quality and cost against the number of steps.

>>> import samplerbench
>>> samplerbench.make("heun").nfe(samplerbench.karras(18, 0.002, 80.0))
35

``run`` runs a suite, or models, samplers and budgets of your own, and returns a table. ``plan`` lists
what would run, ``load`` reads a finished run, and ``compare`` compares two. ``advise`` finds a sampler
for a model, ``tune`` finds noise levels, and ``export`` writes them for other libraries. ``check`` and
``check_model`` test your own samplers and models. ``submit`` measures a solver on the frozen suite, and
``board`` ranks submissions. ``from_function`` and ``from_network`` make a model
of a function or network, and ``make`` makes a sampler by name.

These are the names that most scripts need. The packages ``samplers``, ``models``, ``benchmarks`` and
``results`` have all public names.
"""

from __future__ import annotations as _annotations

import sys as _sys

from .lazy import lazy as _lazy
from .moved import MovedModules as _MovedModules

TYPE_CHECKING = False  # of typing, whose import takes longer than the rest
if TYPE_CHECKING:
    from . import benchmarks, models, results, samplers
    from .benchmarks import (
        advise,
        board,
        check,
        check_model,
        check_sampler,
        export,
        frechet_distance,
        load_suite,
        plan,
        run,
        submit,
        tune,
    )
    from .models.objects import from_function, from_network
    from .models.registry import make_model
    from .results import compare, compare_with, load
    from .samplers import karras, make

    __version__: str

__all__ = [
    "advise",
    "benchmarks",
    "board",
    "check",
    "check_model",
    "check_sampler",
    "compare",
    "compare_with",
    "export",
    "frechet_distance",
    "from_function",
    "from_network",
    "karras",
    "load",
    "load_suite",
    "make",
    "make_model",
    "models",
    "plan",
    "results",
    "run",
    "samplers",
    "submit",
    "tune",
]

_HOMES = {
    "": "benchmarks models results samplers",
    "benchmarks": "advise board check check_model check_sampler export frechet_distance load_suite plan run submit tune",
    "models": "from_function from_network make_model",
    "results": "compare compare_with load",
    "samplers": "karras make",
}

__getattr__, __dir__ = _lazy(__name__, _HOMES)
_sys.meta_path.insert(0, _MovedModules())  # first: else a module in a package would be twice
