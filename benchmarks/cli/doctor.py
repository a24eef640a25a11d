"""Command ``doctor``: the machine, what it can measure, and whether its times can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from .common.console import announce, out, print_json, say, say_next
from .common.options import Json, option_default

if TYPE_CHECKING:
    from ..timing.doctor import Diagnosis

COUNTERS = {
    "run_queue": "time that threads wait for a core",
    "machine_load": "load of all cores",
    "cuda_events": "CUDA events",
    "nvml": "state of the GPU (NVML)",
    "gpu_energy": "energy of the GPU",
}


def doctor(
    seconds: float = option_default(
        "--seconds SECONDS", "Duration of the reference measurement.", default=1.5, min=0.1, max=600
    ),
    as_json: Json = False,
) -> None:
    """Check this machine, and whether its times can be trusted.

    Exit code 1 if a required part is broken.
    """
    from ..timing.doctor import diagnose_machine

    announce("Measuring this machine …")
    diagnosis = diagnose_machine(seconds)
    if as_json:
        print_json(diagnosis.as_dict())
    else:
        _print(diagnosis)
    if diagnosis.broken:
        raise typer.Exit(1)
    if not as_json:
        say_next(["run", "quick"])


def _print(diagnosis: Diagnosis) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _lines_of_diagnosis(diagnosis):
        table.add_row(name, text.replace("[", "\\["))
    out.print(table)
    for device, steady in diagnosis.steadiness.items():
        say(f"\n{device}: {steady.verdict}")
    for sentence in diagnosis.broken:
        say(f"broken: {sentence}")


def _lines_of_diagnosis(diagnosis: Diagnosis) -> Iterable[tuple[str, str]]:
    machine, counters = diagnosis.machine, diagnosis.counters
    yield "samplerbench", f"{diagnosis.version}, Python {machine['python']}"
    yield "system", machine["system"]
    yield "processor", machine["cpu"]
    cores = [f"{machine['cores']}"]
    if machine["cores_allowed"] not in (None, machine["cores"]):
        cores.append(f"{machine['cores_allowed']} allowed")
    if machine["cpu_limit"] is not None:
        cores.append(f"limited to {machine['cpu_limit']:g} cores' worth of time")
    cores.append(f"torch uses {diagnosis.threads} thread{'s' * (diagnosis.threads != 1)}")
    yield "cores", ", ".join(cores)
    memory = machine["memory_mb"]
    yield "memory", "unknown" if memory is None else f"{memory / 1024:.1f} GiB"
    load = ", ".join(map(str, diagnosis.conditions["load_average"] or ["unknown"]))
    yield "load", f"{load} (over 1, 5 and 15 minutes)"
    yield "governor", machine["governor"] or "not readable"
    card, gpu = diagnosis.device, "none that torch sees"
    if card["type"] != "cpu":
        gpu = f"{card['name']}, {card['memory'] / 2**30:.0f} GiB"
        gpu += f", driver {card['driver']}" if card["driver"] else ""
        gpu += f", at most {card['power_limit_w']:.0f} W" if card["power_limit_w"] else ""
    yield "GPU", gpu
    yield "counters", ", ".join(text for key, text in COUNTERS.items() if counters[key]) or "none"
    lacking = ", ".join(text for key, text in COUNTERS.items() if not counters[key])
    yield "not here", lacking or "nothing"
    for device, s in diagnosis.steadiness.items():
        yield (
            f"work ({device})",
            f"{s.ms:.3g} ms, spread {s.spread:.1%}, median within {s.half_width:.1%}, "
            f"slowest {s.slowest:.1f} times, {s.runs} runs",
        )
    packages = [f"{p.name} {p.version}" for p in diagnosis.packages if not p.extra and p.version]
    yield "packages", ", ".join(packages)
    for name, extra in diagnosis.as_dict()["extras"].items():
        state = f"missing {', '.join(extra['missing'])}" if extra["missing"] else "complete"
        yield f"extra {name}", f"{state}: {extra['for']}"
