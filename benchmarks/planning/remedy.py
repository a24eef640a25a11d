"""Command, ready to paste, that tunes the missing levels of a suite's samplers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from ...samplers import plugin_file
from ...samplers.peers import peers_path
from ...samplers.spec import label_of
from .budget import evaluations_by_steps, most_steps_within
from .model_loading import NamedModel
from .schedules import make_schedule
from .tuned_file import TunedEntry
from .tuned_schedule import UntunedError, check_tunable, why_untunable


def tuning_hint(
    missing: UntunedError,
    subject: NamedModel,
    samplers: Sequence[Any],
    counts: Sequence[int] | None,
    budgets: Sequence[int] | None,
) -> str:
    """Return the end of a message: commands that tune missing levels, or that none can be tuned.

    ``samplers`` are the run's. Sizes to tune are the ``budgets`` or, if ``budgets`` is None, the
    numbers of steps (``counts``). Settings come from the tuning file's last entry for this model,
    or else for any model. Samplers with the same sizes share a command.
    """
    flag, sizes = ("--nfe", budgets) if budgets is not None else ("--steps", counts or ())
    karras, options = make_schedule("karras"), _tuning_options(missing.entries, subject)
    levels = [pair for pair in options if pair[0] not in ("--what", "--also")]
    what: Any = dict(options).get("--what", "grid")
    also: Any = [value for name, value in options if name == "--also"]
    groups = dict[tuple[tuple[int, ...], bool], dict[str, Any]]()
    for sampler in (one for one in samplers if not why_untunable(one)):
        cost = evaluations_by_steps(subject.model, sampler, karras, "zero")
        steps = {
            size: most_steps_within(size, cost) if budgets is not None else size for size in sizes
        }
        able = [size for size, n in steps.items() if _can_be_tuned(sampler, n, what, also)]
        # levels alone where the sampler has no coefficients, or too few or many steps for them
        alone = [s for s, n in steps.items() if s not in able and _can_be_tuned(sampler, n)]
        for part, whole in ((able, True), (alone, False)):
            if part:
                groups.setdefault((tuple(part), whole), {})[label_of(sampler)] = sampler
    commands = []
    for (fitting, whole), alike in groups.items():
        axes = [
            ("--model", subject.name),
            *(("--sampler", label) for label in alike),
            (flag, ",".join(map(str, fitting))),
            *(options if whole else levels),
            ("--out", missing.file),
        ]
        words = ["samplerbench", "tune", *(word for axis in axes for word in axis)]
        commands.append(shlex.join(words + plugin_arguments(list(alike.values()))))
    if not commands:
        return f"no sampler of {subject.name} has levels to tune; take another schedule"
    return f"make it with: {' && '.join(commands)}"


def _can_be_tuned(sampler: Any, steps: int | None, *how: Any) -> bool:
    try:
        check_tunable(sampler, steps or 0, *how)
    except ValueError:
        return False
    return True


def plugin_arguments(samplers: Sequence[Any]) -> list[str]:
    """Return the options ``--plugin`` and ``--peers-path`` that load these samplers."""
    files = dict.fromkeys(
        str(file) for one in samplers if (file := plugin_file(one.name)) is not None
    )
    clones = peers_path() if any(":" in one.name for one in samplers) else None
    words = [word for file in files for word in ("--plugin", file)]
    return words if clones is None else [*words, "--peers-path", str(clones)]


def _tuning_options(entries: Sequence[TunedEntry], subject: NamedModel) -> list[tuple[str, str]]:
    if not entries:
        return []
    own = [entry for entry in entries if entry.subject.identity == subject.model.identity]
    last = (own or entries)[-1]
    setting = last.setting
    return [
        *([] if setting.what == "grid" else [("--what", setting.what)]),
        *(("--also", name) for name in setting.also),
        *([] if setting.loss is None else [("--loss", setting.loss.extractor)]),
        ("--objective", setting.objective),
        ("--latents", str(setting.latents)),
        ("--test-latents", str(setting.test_latents)),
        ("--seed", str(setting.seed)),
        *([("--holdout-model", last.elsewhere.model)] if own else []),
    ]
