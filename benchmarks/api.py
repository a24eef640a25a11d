"""Harness in Python: the plan of a suite, and a run of it, without a console.

    import samplerbench
    samplerbench.run("smoke", samplers=["heun", MySampler()], models={"mine": my_model}, nfe=[5, 10])

A suite is the name of a built-in one, the path of a TOML file, a dictionary with the keys of such a
file, or a :class:`~samplerbench.benchmarks.Suite`; keywords replace what it says. Models and samplers may
be objects. These stay in this process, and so does a run of them: a worker could not load them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from .. import samplers as methods
from ..models import use_model
from ..results.result_table import ResultTable
from ..results.run_directory.reading import log
from .planning.planner import load_models
from .planning.planner import plan as plan_suite
from .running import runner
from .running.sequential import run_until_decided
from .running.setup import default_out, pick_device, set_up
from .sampling.execution import check_executions
from .scoring.references import load_references
from .suites.cell import Cell
from .suites.files import load_suite, refuse_untrusted
from .suites.suite import Suite, check_suite

Asked = Suite | Mapping[str, Any] | Path | str
"""A suite, or how one is asked for."""

Device = Literal["auto", "cpu", "cuda"]

DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")

Models = Mapping[str, Any] | Sequence[Any]
"""Models by the names that tables call them, or a list of specs."""


def plan(
    suite: Asked | None = None,
    *,
    models: Models | None = None,
    samplers: Sequence[Any] | None = None,
    device: Device = "auto",
    **replaced: Any,
) -> list[Cell]:
    """Return the cells that a suite would run; nothing is sampled, and nothing is written.

    Args:
        suite: name, path, dictionary or :class:`~samplerbench.benchmarks.Suite`; None where keywords say
            all.
        models: see :func:`run`.
        samplers: see :func:`run`.
        device: where it would run; "auto" takes a CUDA GPU if there is one.
        **replaced: keys of a suite that take the place of its own.

    Returns:
        One cell for each row of the table to be, models outermost and budgets innermost. A cell
        that no budget pays for says so in ``skip``.

    Raises:
        ValueError: something is asked for that does not exist or makes no sense; the sentence names
            it.

    >>> suite = {"models": ["gmm-2d"], "samplers": ["euler", "heun"], "nfe": [5, 10]}
    >>> [(cell.label, cell.budget, cell.steps) for cell in plan(suite, device="cpu")]
    [('euler', 5, 5), ('euler', 10, 10), ('heun', 5, 3), ('heun', 10, 5)]
    """
    full_suite = _suite(suite, models, samplers, replaced)
    where = _device(device, full_suite)
    check_executions(full_suite.execution, where)
    loaded = load_models(full_suite, where)
    references = load_references(loaded, full_suite.extractors, full_suite.reference)
    return plan_suite(full_suite, loaded, references, where)


def run(
    suite: Asked | None = None,
    out: Path | str | None = None,
    *,
    models: Models | None = None,
    samplers: Sequence[Any] | None = None,
    device: Device = "auto",
    progress: bool | None = None,
    retry: bool = False,
    **replaced: Any,
) -> ResultTable:
    """Run a suite into a folder: only what is missing there.

    Everything runs in this process. So nothing outlives a sampler that ends it, and no time or memory
    limit is kept; for foreign code there is the command line, ``samplerbench run``.

    Args:
        suite: name, path, dictionary or :class:`~samplerbench.benchmarks.Suite`. One with ``until``
            is sampled until its question is decided. None where keywords say all.
        out: run directory, made if it does not exist; None for one under ``results/runs`` with the
            name of the suite. A second run into it computes what it lacks, and nothing else.
        models: specs such as ``"fashion"``, or a mapping from names to specs and objects: a
            :class:`~samplerbench.models.Denoiser`, as :func:`~samplerbench.models.from_function` and
            :func:`~samplerbench.models.from_network` make it, or what a factory in a Python file may
            return. An object that behaves otherwise than the one of that name before is measured again.
        samplers: specs such as ``"ddim(eta=0.5)"``, sampler objects, and classes of samplers.
        device: where to run; "auto" takes a CUDA GPU if there is one.
        progress: whether to report progress on stderr, with a bar in a terminal or notebook; None for
            only in a terminal or a notebook.
        retry: whether cells are run again that failed before.
        **replaced: keys of a suite that take the place of its own, such as ``nfe=[5, 10]``,
            ``schedules``, ``samples``, ``seed``; ``timing=False`` leaves timing out.

    Returns:
        The table of the folder, a row for each cell. A cell that fails is a row too, which says
        why.

    Raises:
        ValueError: something is asked for that does not exist or makes no sense, or the folder
            holds something else; the sentence names it.

    >>> from tempfile import TemporaryDirectory
    >>> suite = {"models": ["gmm-2d"], "samplers": ["euler", "heun"], "nfe": [10], "samples": 64}
    >>> suite |= {"timing": {"enabled": False}}
    >>> with TemporaryDirectory() as folder:
    ...     table = run(suite, folder, device="cpu")
    >>> table.frame[["sampler", "nfe", "status"]].values.tolist()
    [['euler', 10.0, 'ok'], ['heun', 9.0, 'ok']]
    """
    full_suite = _suite(suite, models, samplers, replaced)
    where = _device(device, full_suite)
    check_executions(full_suite.execution, where)
    console = Console(stderr=True)
    console.quiet = not (
        console.is_terminal or console.is_jupyter if progress is None else progress
    )
    folder = default_out(full_suite) if out is None else Path(out)
    setup = set_up(full_suite, folder, device=where, console=console)
    table = (
        run_until_decided(setup, full_suite.until, retry=retry).table
        if full_suite.until
        else runner.run(setup, retry=retry)
    )
    if doubt := setup.probes.nonconforming(setup.cells, table):
        log.warning("%s", doubt)
    return table


def _suite(
    suite: Asked | None,
    models: Models | None,
    samplers: Sequence[Any] | None,
    replaced: dict[str, Any],
) -> Suite:
    """Return the suite with what keywords replace; objects and installed samplers are made known.

    Raises:
        ValueError: there is none, an object is no model or no sampler, or a file names Python code, or a
            file elsewhere, that was not asked for.
    """
    for sentence in methods.load_plugins().values():
        log.warning("%s", sentence)
    keys = dict(replaced)
    if isinstance(keys.get("timing"), bool):
        keys["timing"] = {"enabled": keys["timing"]}
    if models is not None:
        keys["models"] = _model_specs(models)
    if samplers is not None:
        keys["samplers"] = [_sampler_spec(sampler) for sampler in samplers]
    if suite is None:
        return check_suite({"name": "suite", **keys}, "the suite")
    if isinstance(suite, Mapping):
        return check_suite({"name": "suite", **suite, **keys}, "the suite")
    full_suite = suite if isinstance(suite, Suite) else _load(suite)
    return full_suite.replaced(**keys) if keys else full_suite


def _model_specs(models: Models) -> list[Any]:
    if isinstance(models, str) or not isinstance(models, Mapping | Sequence):
        raise ValueError(
            'models is a list of specs, or a mapping such as {"mine": model}, not '
            f"a {type(models).__name__}"
        )
    if not isinstance(models, Mapping):
        if wrong := [item for item in models if not isinstance(item, str | Mapping)]:
            kind = type(wrong[0]).__name__
            raise ValueError(
                f'a model that is an object needs a name: models={{"mine": {kind}(…)}}'
            )
        return list(models)
    for name, model in models.items():
        if not isinstance(model, str | Mapping):
            use_model(name, model)
    return [model if isinstance(model, str | Mapping) else name for name, model in models.items()]


def _sampler_spec(sampler: Any) -> Any:
    if isinstance(sampler, str | Mapping):
        return sampler
    return methods.spec_of(sampler() if isinstance(sampler, type) else sampler)


def _load(suite: Any) -> Suite:
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


def _device(name: str, suite: Suite) -> str:
    if name not in DEVICES:
        raise ValueError(f"there is no device {name!r}; choose one of {', '.join(DEVICES)}")
    return pick_device(name, suite)
