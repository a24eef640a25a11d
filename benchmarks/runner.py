"""Runs a suite into a run directory: only what is missing, everything that was computed kept, an exception is a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from ..models import Denoiser
from ..results.files import read_json, read_npz, write_json, write_npz
from ..results.record import Record
from ..results.store import RunDir
from ..results.table import ResultTable, rebuild
from . import timing
from .pictures import how_many, pictures
from .planner import Cell, load_models, plan
from .progress import Reporter
from .provenance import provenance
from .quality import Scale, count_columns, distribution_columns, endpoint_columns, kept, label_columns
from .sampling import Arrays, Failure, sample_shard
from .suite import Suite
from .truth import converged_features, endpoints

SHARD = 512
"""Samples of a part file, at least: what a kill can cost."""

QUALITY_VERSION = 1
"""Raised when a formula behind the quality columns changes, so that finished cells are scored again from their parts."""

ADAPTIVE_GUESS = 60
"""Evaluations that an adaptive sampler is expected to take, for forecasts only."""


class Runner:
    """One run: a suite, its models, a directory and a device."""

    def __init__(self, suite: Suite, out: Path, *, device: str, console: Console) -> None:
        self.suite, self.device, self.console = suite, device, console
        self.models = {name: model.to(device) if device != "cpu" else model for name, model in load_models(suite).items()}
        self.cells = plan(suite, self.models)
        self.run = RunDir.create(out)

    def __call__(self) -> ResultTable:
        """Run what is missing and rebuild the table."""
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
                    self._score(model, cells)
                    rebuild(self.run.path)
                for name, model in self.models.items():
                    self._time(name, model, report)
            return rebuild(self.run.path)

    def _announce(self) -> None:
        """Write what this run is before anything is computed; earlier runs into the same directory stay on record."""
        known = self.run.run()
        record = {"suite": self.suite.model_dump(mode="json"), "provenance": provenance(self.device)}
        earlier = list(known.get("earlier", []))  # type: ignore[call-overload]
        if known and known.get("suite") != record["suite"]:
            earlier.append({"suite": known["suite"], "provenance": known.get("provenance")})
        self.run.write_run({**record, "models": {k: m.identity for k, m in self.models.items()}, "earlier": earlier})
        for cell in self.cells:
            self.run.plan(cell.key, {**cell.record(self.suite.name), "device": self.device})
            if cell.skip:
                self._conclude(cell, {"status": "skipped", "reason": cell.skip})

    # -- sampling ----------------------------------------------------------------------------------------------------------------

    def _to_sample(self, cell: Cell) -> bool:
        """Whether samples of the cell are missing; a cell that failed is not tried again in the same directory."""
        return not cell.skip and not self._failed(cell) and bool(self._missing(cell))

    def _failed(self, cell: Cell) -> bool:
        quality = read_json(self.run.part(cell.key, "quality.json"))
        return bool(quality) and quality["status"] != "ok"

    def _missing(self, cell: Cell) -> list[tuple[int, int]]:
        size = cell.batch_size * -(-SHARD // cell.batch_size)  # whole batches, so that their composition never depends on interruptions
        return self.run.missing(cell.key, cell.samples, shard=size)

    def _sample(self, model: Denoiser, cell: Cell, report: Reporter) -> None:
        cost = expected(model, cell)
        reference = model.reference()
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
            if len(arrays["picture"]):
                write_npz(self.run.samples(cell.key), pictures(model, arrays["picture"]))
            write_npz(self.run.shard(cell.key, start, stop), arrays)
        return None

    def _endpoints(self, cell: Cell) -> int:
        """How many samples of a cell are compared with their converged endpoints."""
        entry = next(e for e, name in zip(self.suite.models, self.models, strict=True) if name == cell.model)
        return min(cell.samples, entry.reference_samples or self.suite.reference_samples)

    def _conclude(self, cell: Cell, record: Record) -> None:
        write_json(self.run.part(cell.key, "quality.json"), {"samples": cell.samples, **record})

    # -- scoring -----------------------------------------------------------------------------------------------------------------

    def _score(self, model: Denoiser, cells: Sequence[Cell]) -> None:
        """The quality columns of every cell that is complete and not scored yet, against truths that all cells of the model share."""
        shards = {cell.key: self._shards(cell) for cell in cells if not cell.skip and not self._failed(cell) and not self._missing(cell)}
        sampled = [cell for cell in cells if cell.key in shards]
        if not sampled:
            return
        reference = model.reference()
        comparable = [cell for cell in sampled if not cell.sampler.stochastic]
        measured = [kept(shards[cell.key]) for cell in comparable]
        shared = sampled[0]
        where = (shared.seed, shared.dtype, self.device)
        truth = None
        if comparable:
            truth = endpoints(self.run, model, *where, max(map(len, measured)), shared.batch_size, measured)
        scale = None
        if reference is not None:
            converged = converged_features(self.run, model, reference, *where, self.suite.converged_samples, shared.batch_size)
            scale = Scale(reference, converged)
        for cell in sampled:
            steps = truth.steps if truth is not None and not cell.sampler.stochastic else None
            stamp = {"samples": cell.samples, "status": "ok", "reason": "", "quality_version": QUALITY_VERSION, "reference_steps": steps}
            done = read_json(self.run.part(cell.key, "quality.json")) or {}
            if all(key in done and done[key] == value for key, value in stamp.items()):
                continue
            record: Record = {**stamp, **count_columns(shards[cell.key]), **label_columns(shards[cell.key], cell.samples)}
            if scale is not None:
                columns, influence = distribution_columns(scale, shards[cell.key], cell.samples)
                record |= columns
                write_npz(self.run.part(cell.key, "influence.npz"), {"influence": influence.astype("float32")})
            if truth is not None and not cell.sampler.stochastic:
                record |= endpoint_columns(model, truth, shards[cell.key], self.device)
            write_json(self.run.part(cell.key, "quality.json"), record)

    def _shards(self, cell: Cell) -> list[Arrays]:
        """The shards that cover the cell's samples, in order."""
        ranges = [(start, stop) for start, stop in self.run.shards(cell.key) if start < cell.samples]
        loaded = [read_npz(self.run.shard(cell.key, *r)) for r in ranges]
        return [shard for shard in loaded if shard is not None]

    # -- timing ------------------------------------------------------------------------------------------------------------------

    def _time(self, name: str, model: Denoiser, report: Reporter) -> None:
        """Time the finished cells that have no times yet."""
        if not self.suite.timing.enabled:
            return
        cells = [c for c in self.cells if c.model == name and not c.skip and not self._failed(c)]
        cells = [c for c in cells if not read_json(self.run.part(c.key, "timing.json"))]
        if not cells:
            return
        times = timing.time_cells(
            model, cells, self.suite.timing, self.device, lambda share, label: report.stage(f"{name}: timing {share:.0%} {label}")
        )
        for key, record in times.items():
            write_json(self.run.part(key, "timing.json"), record)


def expected(model: Denoiser, cell: Cell) -> float:
    """Evaluations per sample that a cell is expected to take; a guess for adaptive samplers."""
    if cell.grid is None:
        return 0.0
    says = cell.sampler.nfe(cell.grid)
    return float(says * model.passes if says is not None else ADAPTIVE_GUESS)


def default_out(suite: Suite) -> Path:
    """Where a run goes unless told otherwise."""
    return Path("results") / "runs" / f"{suite.name}-{suite.digest}"


def pick_device(device: str) -> str:
    """The device to use: ``auto`` becomes ``cuda`` where there is one.

    Raises:
        ValueError: "cuda" without a GPU.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device here; use --device cpu, or install a CUDA build of torch")
    return device
