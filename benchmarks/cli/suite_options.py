"""Options of ``run``, ``plan`` and ``samples`` that replace parts of a suite."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from .common.console import err, say
from .common.help_panels import EXECUTION, STATISTICS, TIMING, WHAT
from .common.options import (
    LARGEST_SEED,
    MOST,
    NOISES,
    STARTS,
    DeviceOption,
    NfeOption,
    OutOption,
    PeersPath,
    Plugins,
    StepsOption,
    ThreadsOption,
    TrustOption,
    check_choice,
    flag,
    integers,
    load_plugins,
    option_default,
    parse_share,
)  # fmt: skip

if TYPE_CHECKING:
    from ..suites.suite import Suite


_what_to_run = partial(option_default, panel=WHAT)
_statistics = partial(option_default, panel=STATISTICS)
_execution = partial(option_default, panel=EXECUTION)


@dataclass(frozen=True)
class SuiteOptions:
    """Options that replace parts of a suite, in the order of their help."""

    out_dir: OutOption = None
    models: list[str] | None = _what_to_run(
        "--model MODEL", "Replace the suite's models (repeatable)."
    )
    samplers: list[str] | None = _what_to_run(
        "--sampler SAMPLER", "Replace the samplers, e.g. 'ddim(eta=0.5)' (repeatable)."
    )
    schedules: list[str] | None = _what_to_run(
        "--schedule SCHEDULE", "Replace the schedules, e.g. 'karras(rho=5)'."
    )
    steps: StepsOption = None
    nfe: NfeOption = None
    start: list[str] | None = _statistics(
        "--start NAME", f"Initial state: {', '.join(STARTS)} (repeatable)."
    )
    noise: str | None = _statistics(
        "--noise NAME", f"Noise of stochastic samplers: {' or '.join(NOISES)}."
    )
    samples: int | None = _what_to_run("--samples N", "Samples per cell.", min=2, max=MOST)
    seed: int | None = _statistics("--seed N", "Random seed.", min=0, max=LARGEST_SEED)
    batch_size: int | None = _execution("--batch-size N", "Samples per batch.", min=1, max=MOST)
    device: DeviceOption = "auto"
    dtype: str | None = _execution(
        "--dtype NAME", "Precision of the state: float32, float64, bfloat16, float16."
    )
    network_dtype: list[str] | None = _execution(
        "--network-dtype NAME", "Precision of the network, e.g. bfloat16 (repeatable)."
    )
    threads: ThreadsOption = None
    timing: bool | None = _what_to_run(
        "--timing/--no-timing", "Time the cells after sampling (default: as the suite says)."
    )
    timing_minutes: float | None = option_default(
        "--timing-minutes MINUTES",
        "Upper limit on timing, over all models. The next run times the rest.",
        TIMING,
        min=0.01,
    )
    extractor: str | None = _statistics(
        "--extractor NAME",
        "Feature space: card, card:32, pixels, file.py:factory, or another of "
        "`samplerbench list extractors`.",
    )
    reference: str | None = _statistics(
        "--reference --real PATH",
        "For --extractor: real samples (folder or array), or a file of their statistics.",
    )
    compiled: bool = flag("--compile", "Compile the network with torch.compile.", EXECUTION)
    cuda_graph: bool = flag(
        "--cuda-graph", "Replay whole runs as CUDA graphs; combines with --compile.", EXECUTION
    )
    plugin: Plugins = None
    peers_path: PeersPath = None
    trust_suite: TrustOption = False
    until_decided: bool = flag(
        "--until-decided",
        "Add samples until each difference to the baseline is decided.",
        STATISTICS,
    )
    target_se: float | None = _statistics(
        "--target-se NUMBER", "Add samples until the standard error is this small."
    )
    baseline: str | None = _statistics(
        "--baseline SAMPLER", "Sampler to compare with (default: the suite's first)."
    )
    metric: str | None = _statistics(
        "--metric COLUMN", "Metric for --until-decided and --target-se (default: fd_conv)."
    )
    margin: str | None = _statistics(
        "--margin SHARE", "Equivalence margin, relative to the baseline (1%)."
    )
    max_samples: int | None = _statistics(
        "--max-samples N", "Upper limit on samples per cell (default: 16 times --samples)."
    )
    reference_samples: int | None = _statistics(
        "--reference-samples N",
        "Samples to compare with their converged endpoints (rmse). Fewer are faster.",
    )
    converged_samples: int | None = _statistics(
        "--converged-samples N", "Converged samples for fd_conv, if the model's card has none."
    )
    path_curvature: bool = flag(
        "--path-curvature", "Also measure the curvature of each model's paths.", STATISTICS
    )
    part: str = _statistics("--part NAME", "Suite sb-2026: part, such as 2026.", default="public")
    beacon: str = _statistics(
        "--beacon HEX", "Suite sb-2026: value that draws the part.", default=""
    )


FROZEN, PUBLIC = "sb-2026", "public"
"""Frozen suite, and the part that needs no beacon."""
SAME_NAMES = ("models", "samplers", "schedules", "samples", "seed", "batch_size", "dtype")
SAME_NAMES += ("network_dtype", "extractor", "reference", "reference_samples", "converged_samples")
"""Options with the name and the value of the suite's key that they replace."""
SEQUENTIAL = ("target_se", "baseline", "metric", "max_samples", "margin")
"""Options with the name of the key that they replace in the suite's ``until``."""


def resolve_suite(name: str, options: SuiteOptions) -> tuple[Suite, str]:
    """Return the suite with the options' replacements, and the device; load plugins, set threads.

    Raises a ValueError if the suite does not exist, or an option is invalid. Also, without
    ``--trust-suite``, if the suite's file names Python code, or files outside its folder.
    """
    import torch

    from ..running.setup import resolve_device
    from ..suites.files import load_suite, refuse_untrusted

    load_plugins(options.plugin, options.peers_path)
    if options.steps is not None and options.nfe is not None:
        raise ValueError("give --steps or --nfe, not both")
    suite = load_suite(name)
    is_frozen = name == FROZEN
    if is_frozen:
        from ..frozen.definition import suite_of_part

        suite = suite_of_part(suite, options.part, options.beacon)
    elif options.part != PUBLIC or options.beacon:
        raise ValueError(f"--part and --beacon are for the suite {FROZEN}")
    replaced: dict[str, Any] = {
        **{key: getattr(options, key) for key in SAME_NAMES},
        "steps": integers(options.steps, "--steps"),
        "nfe": integers(options.nfe, "--nfe"),
        "start": tuple(check_choice(value, "--start", STARTS) for value in options.start or ()),
        "noise": None if options.noise is None else check_choice(options.noise, "--noise", NOISES),
        "execution": execution_axis(options.compiled, options.cuda_graph),
        "path_curvature": options.path_curvature or None,
    }
    replaced = {key: value for key, value in replaced.items() if value not in (None, [], ())}
    if not options.trust_suite:
        refuse_untrusted(suite, name, replaced)
    suite = with_sequential_options(suite.replaced(**replaced), options)
    timing: dict[str, Any] = {} if options.timing is None else {"enabled": options.timing}
    if options.timing_minutes is not None:
        timing["minutes"] = options.timing_minutes
    if timing:
        suite = suite.replaced(timing=suite.timing.model_dump() | timing)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if is_frozen:
        from ..frozen.definition import describe_run

        say(describe_run(suite, options.part, options.beacon), to=err)
    return suite, resolve_device(options.device, suite)


def execution_axis(compiled: bool, replayed: bool) -> tuple[str, ...] | None:
    """Return ("compile",), ("cuda-graph",) or ("compile+cuda-graph",); None if both are False."""
    modes = ["compile"] * compiled + ["cuda-graph"] * replayed
    return ("+".join(modes),) if modes else None


def with_sequential_options(suite: Suite, options: SuiteOptions) -> Suite:
    """Return the suite with the options for sampling until rows are decided, in its key ``until``.

    Raises a ValueError for an invalid value. Also for an option in :data:`SEQUENTIAL` if neither
    the options ``--until-decided`` and ``--target-se`` nor the suite request such sampling.
    """
    from ...samplers.spec import parse_spec

    given = {key: value for key in SEQUENTIAL if (value := getattr(options, key)) is not None}
    if "margin" in given:
        given["margin"] = parse_share(given["margin"], "--margin")
    previous = {} if suite.until is None else suite.until.model_dump()
    if given and not (options.until_decided or "target_se" in given or previous):
        raise ValueError(
            f"--{next(iter(given)).replace('_', '-')} says how to extend "
            "rows; give --until-decided or --target-se with it"
        )
    if options.until_decided and not (given.get("baseline") or previous.get("baseline")):
        given["baseline"] = parse_spec(suite.samplers[0])["name"]
    return suite.replaced(until={**previous, **given}) if given else suite
