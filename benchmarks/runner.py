"""Runs a suite into a run directory: only what is missing, everything that was computed kept, an exception is a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ..models import Denoiser
from ..results.bending import KEY as CURVATURE
from ..results.files import read_json, write_json, write_npz
from ..results.record import Record
from ..results.store import RunDir
from ..results.table import ResultTable, rebuild
from . import timing
from .cell import Cell
from .citations import citations
from .machine import device_of
from .pictures import how_many
from .planner import load_models, plan
from .progress import Reporter
from .provenance import provenance, version
from .references import load_references
from .sampling import Failure, sample_shard
from .scoring import Scorer
from .start_error import start_errors
from .suite import Suite
from .timing.table import timing_file, write_timings

SHARD = 512
"""Samples of a part file, at least: what a kill can cost."""

ADAPTIVE_GUESS = 60
"""Evaluations that an adaptive sampler is expected to take, for forecasts only."""


class Runner:
    """One run: a suite, its models, a directory and a device."""

    def __init__(self, suite: Suite, out: Path, *, device: str, console: Console) -> None:
        self.suite, self.device, self.console = suite, device, console
        self.models = {name: model.to(device) if device != "cpu" else model for name, model in load_models(suite).items()}
        self.references = load_references(self.models, suite.extractors, suite.real)
        self.cells = plan(suite, self.models, self.references, device)
        self.run = RunDir.create(out)

    @torch.no_grad()
    def __call__(self, *, time: bool = True) -> ResultTable:
        """Run what is missing, with or without times, and rebuild the table."""
        with self.run.lock():
            self._announce()
            todo = [cell for cell in self.cells if self._to_sample(cell)]
            work = sum(expected(self.models[cell.model], cell) * cell.samples for cell in todo)
            with Reporter(self.console, len(todo), work) as report:
                for name, model in self.models.items():
                    cells = [cell for cell in self.cells if cell.model == name]
                    for cell in cells:
                        if cell in todo:
                            report.stage(f"{name}: {cell.label}")
                            self._sample(model, cell, report)
                            report.cell_done()
                    report.stage(f"{name}: scoring")
                    self._score(name, model, cells)
                    rebuild(self.run.path)
                for name, model in self.models.items():
                    if time and self.suite.timing.enabled:
                        self._time(name, model, report)
            write_timings(self.run, [cell.key for cell in self.cells], self.suite.timing)
            return rebuild(self.run.path)

    @cached_property
    def _start_errors(self) -> dict[str, dict[str, float]]:
        return {name: start_errors(model) for name, model in self.models.items()}

    def _announce(self) -> None:
        """Write what this run is before anything is computed; earlier runs into the same directory stay on record."""
        known = self.run.run()
        record = {"suite": self.suite.model_dump(mode="json"), "provenance": provenance(self.device)}
        earlier = list(known.get("earlier", []))  # type: ignore[call-overload]
        if known and _essence(known) != _essence(record):
            earlier.append({"suite": known.get("suite"), "provenance": known.get("provenance")})
        about = {"models": {k: m.identity for k, m in self.models.items()}, "citations": citations(cell.sampler for cell in self.cells)}
        about["start_errors"] = self._start_errors
        others = {name: found for name, found in dict(known.get(CURVATURE) or {}).items() if name not in self.models}  # type: ignore[call-overload]
        self.run.write_run({**record, **about, CURVATURE: others, "earlier": earlier})
        for cell in self.cells:
            self.run.plan(cell.key, cell.record(self.suite.name) | cell.facts)
            if cell.skip:
                self._conclude(cell, {"status": "skipped", "reason": cell.skip})

    # -- sampling ----------------------------------------------------------------------------------------------------------------

    def _to_sample(self, cell: Cell) -> bool:
        """Whether samples of the cell are missing."""
        return not cell.skip and not self._failed(cell) and bool(self._missing(cell))

    def _failed(self, cell: Cell) -> bool:
        """Whether the cell failed as it would be run now; another batch size or version is another chance."""
        quality = read_json(self.run.part(cell.key, "quality.json"))
        return bool(quality) and quality["status"] != "ok" and quality.get("attempt") == _attempt(cell)

    def _missing(self, cell: Cell) -> list[tuple[int, int]]:
        size = cell.batch_size * -(-SHARD // cell.batch_size)  # whole batches, so that their composition never depends on interruptions
        return self.run.missing(cell.key, cell.samples, shard=size)

    def _sample(self, model: Denoiser, cell: Cell, report: Reporter) -> None:
        cost, reference = expected(model, cell), self.references[cell.model]
        for start, stop in self._missing(cell):
            try:
                arrays = sample_shard(
                    model, reference, cell, start, stop, self.device, how_many(model, self.suite.keep), self._endpoints(cell),
                    lambda n: report.samples(n, n * cost),
                )  # fmt: skip
            except Failure as failure:
                return self._conclude(cell, {"status": failure.status, "reason": failure.reason})
            except Exception as error:
                text = " ".join(str(error).split())[:500]
                return self._conclude(cell, {"status": "failed", "reason": f"{type(error).__name__}: {text}"})
            write_npz(self.run.shard(cell.key, start, stop), arrays)
        return None

    def _endpoints(self, cell: Cell) -> int:
        """How many samples of a cell are compared with their converged endpoints."""
        entry = next(e for e, name in zip(self.suite.models, self.models, strict=True) if name == cell.model)
        return min(cell.samples, entry.reference_samples or self.suite.reference_samples)

    def _conclude(self, cell: Cell, record: Record) -> None:
        write_json(self.run.part(cell.key, "quality.json"), {"samples": cell.samples, "attempt": _attempt(cell), **record})

    def _score(self, name: str, model: Denoiser, cells: Sequence[Cell]) -> None:
        complete = [cell for cell in cells if not cell.skip and not self._failed(cell) and not self._missing(cell)]
        if complete:
            count = max(self._endpoints(cell) for cell in complete)
            Scorer(self.run, self.suite, model, self.references[name], count)(complete)

    # -- timing ------------------------------------------------------------------------------------------------------------------

    def _time(self, name: str, model: Denoiser, report: Reporter) -> None:
        """Time the finished cells that were not timed as they would be now, at each batch size; the first size is the one of the table."""
        cells = [c for c in self.cells if c.model == name and not c.skip and not self._failed(c)]
        for size in self.suite.timing.batch_size:
            self._time_batch(f"{name}: timing" + (f" batches of {size}" if size else ""), model, cells, size, report)

    def _time_batch(self, title: str, model: Denoiser, cells: Sequence[Cell], size: int, report: Reporter) -> None:
        file = timing_file(size, self.suite.timing)
        stamps = {c.key: self._timing_stamp(c, size) for c in cells}
        stale = [c for c in cells if not stamps[c.key].items() <= (read_json(self.run.part(c.key, file)) or {}).items()]
        if stale:
            timing.time_cells(
                model, stale, self.suite.timing, self.device, batch_size=size,
                progress=lambda share, label: report.stage(f"{title} {share:.0%} {label}"),
                done=lambda key, record: write_json(self.run.part(key, file), {**stamps[key], **record}),
            )  # fmt: skip

    def _timing_stamp(self, cell: Cell, size: int) -> Record:
        """What times, or the lack of them, depend on beside the cell's identity; one of these changed is another chance."""
        return {
            "timing_device": self.device,
            "timing_device_name": device_of(self.device)["name"],
            "timing_threads": torch.get_num_threads(),
            "timing_batch_size": size or cell.batch_size,
            "timing_asked": {"samplerbench": version(), **self.suite.timing.model_dump(mode="json", exclude={"enabled", "batch_size"})},
        }


def _attempt(cell: Cell) -> Record:
    """What a failure may have depended on beside the cell's identity."""
    return {"batch_size": cell.batch_size, "samplerbench": version(), "samples": cell.samples}


def _essence(run: Mapping[str, Any]) -> tuple[object, ...]:
    """What makes two runs into a directory the same one."""
    where = run.get("provenance") or {}
    return (run.get("suite"), *(where.get(key) for key in ("samplerbench", "git", "machine", "torch", "device")))


def expected(model: Denoiser, cell: Cell) -> float:
    """Evaluations per sample that a cell is expected to take; a guess for adaptive samplers."""
    if cell.grid is None:
        return 0.0
    says = cell.sampler.nfe(cell.grid)
    return float(says * model.passes if says is not None else ADAPTIVE_GUESS)


def default_out(suite: Suite) -> Path:
    """Where a run goes unless told otherwise."""
    return Path("results") / "runs" / f"{suite.name}-{suite.digest}"


def pick_device(device: str, suite: Suite | None = None) -> str:
    """The device to use: ``auto`` becomes ``cuda`` where there is one.

    Raises:
        ValueError: "cuda" without a GPU; or "auto" without one, for a suite that is made for it.
    """
    if device == "auto" and suite is not None and suite.device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"suite {suite.name} is made for a CUDA GPU, and torch sees none here; try a part of it with --device cpu, such as "
            "--model fashion --sampler euler --sampler heun --nfe 5 --samples 16 --batch-size 8"
        )
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device here; use --device cpu, or install a CUDA build of torch")
    return device
