"""Runs a suite into a run directory: only what is missing, everything that was computed kept,
an exception is a row.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ...models import Denoiser
from ...results.record import Record
from ...results.result_table import ResultTable, rebuild
from ...results.run_directory.places import QUALITY
from ...results.run_directory.reading import log
from ...results.run_directory.run_dir import RunDir
from ...results.terminal.path_curvature import KEY as CURVATURE
from .. import timing
from ..planning.planner import load_models, plan
from ..sampling.snapshots import how_many
from ..sampling.trajectories import Seen
from ..scoring import Gone, Scorer
from ..scoring.cost import reference_evaluations
from ..scoring.references import load_references
from ..scoring.start_error import start_errors
from ..scoring.versions import asked_metrics
from ..suites.cell import Cell
from ..suites.suite import Suite
from ..timing.machine import device_of, version
from ..timing.table import timing_file, write_timings
from .admission import Admission
from .executing import Executor, Failure, InProcess
from .executing.pace import SHORTEST_COMPILED, Limits, expected
from .executing.tasks import Pace, Shard, Way
from .executing.world import Setting, World
from .identity import UNPROVEN
from .progress import Reporter
from .provenance import citations, provenance


class Runner:
    """One run: a suite, its models, a directory and a device.

    Args:
        suite: what to run.
        out: run directory.
        device: "cpu" or "cuda".
        console: for progress.
        executor: where samplers run; None runs them in this process.
        time_limit: seconds that a shard of samples may take; None has it forecast
            (:class:`.pace.Limits`), 0 sets none.
        retry: whether cells that have no result are run again though nothing changed.
    """

    def __init__(
        self,
        suite: Suite,
        out: Path,
        *,
        device: str,
        console: Console,
        executor: Executor | None = None,
        time_limit: float | None = None,
        retry: bool = False,
    ) -> None:
        # one that is unknown or broken is said now, and not after sampling
        asked_metrics(suite.metrics)
        self.suite, self.device, self.console = suite, device, console
        self.executor, self.retry = executor or InProcess(), retry
        self.run = RunDir.create(out)
        with self.run.lock():
            pass  # refused now, and not after models are loaded, which can take minutes
        self.models = {
            name: model.to(device) if device != "cpu" else model
            for name, model in load_models(suite).items()
        }
        self.references = load_references(self.models, suite.extractors, suite.real)
        self.cells = plan(suite, self.models, self.references, device)
        self.world = World(Setting.here(suite.extractors, device), self.models, self.references)
        self.limits = Limits(
            self.models, time_limit if self.executor.keeps_limits else 0, self._pace
        )
        self.admission = Admission(self.run, suite, self.world, self.executor, device, time_limit)

    @torch.no_grad()
    def __call__(self, *, time: bool = True) -> ResultTable:
        """Run what is missing, with or without times, and rebuild the table."""
        with self.run.lock(), self._rebuilt_whatever_happens():
            self._forget_failures()
            self._announce()
            todo = {
                cell.key: self._evaluations(cell) for cell in self.cells if self._to_sample(cell)
            }
            upfront = {
                name: self._until_scored(name)
                for name in {cell.model for cell in self.cells if cell.key in todo}
            }
            with Reporter(
                self.console, len(todo), sum(todo.values()) + sum(upfront.values())
            ) as report:
                if todo:
                    self.executor.start()
                for name, model in self.models.items():
                    before = self.run.changes
                    cells = [cell for cell in self.cells if cell.model == name]
                    for cell in cells:
                        if cell.key in todo:
                            with report.part(f"{name}: {cell.label}", todo[cell.key]):
                                self._sample(model, cell, report)
                            report.cell_done()
                    with report.part(f"{name}: scoring", upfront.get(name, 0.0)):
                        self._score(name, model, cells, report)
                    if self.run.changes != before:  # so that an interrupted run shows this model
                        rebuild(self.run)
                if time:  # else another look follows, which needs it again
                    self.executor.close()  # what it holds would disturb the times
                for name, model in self.models.items():
                    if time and self.suite.timing.enabled:
                        self._time(name, model, report)
            write_timings(self.run, [cell.key for cell in self.cells], self.suite.timing)
            return rebuild(self.run)

    def admit(self) -> None:
        """Plan the cells in the run directory, so that what is there is of the present code,
        and compute nothing.
        """
        with self.run.lock():
            self._announce()

    @cached_property
    def _start_errors(self) -> dict[str, dict[str, float]]:
        return {name: start_errors(model) for name, model in self.models.items()}

    def _announce(self) -> None:
        """Write what this run is before anything is computed.

        Earlier runs into the same directory stay on record.
        """
        known = self.run.run()
        record = {
            "suite": self.suite.model_dump(mode="json"),
            "provenance": provenance(self.device),
        }
        earlier = list(known.get("earlier", []))  # type: ignore[call-overload]
        if known and _essence(known) != _essence(record):
            earlier.append({"suite": known.get("suite"), "provenance": known.get("provenance")})
        about = {
            "models": {k: m.identity for k, m in self.models.items()},
            "citations": citations(cell.sampler for cell in self.cells),
        }
        about["start_errors"] = self._start_errors
        about["fingerprints"] = {
            name: found.model.to_json() for name, found in self.admission.makers.items()
        }
        same = {
            name
            for name, identity in dict(known.get("models") or {}).items()
            if about["models"].get(name, identity) == identity
        }  # type: ignore[call-overload]
        bent = {
            name: found for name, found in dict(known.get(CURVATURE) or {}).items() if name in same
        }  # type: ignore[call-overload]
        if self.run.old and (count := self.run.set_all_aside(UNPROVEN)):
            log.warning(
                "%d cells in %s are set aside: what made them was not kept by the "
                "version that they are from.",
                count,
                self.run.path,
            )
        self.run.announce({**record, **about, CURVATURE: bent, "earlier": earlier})
        self.digests = self.admission(self.cells)
        for cell in self.cells:
            if cell.skip:
                self._conclude(cell, {"status": "skipped", "reason": cell.skip})
            elif failure := self.admission.unfit.get(cell.key):
                self._conclude(cell, {"status": failure.status, "reason": failure.reason})

    @contextmanager
    def _rebuilt_whatever_happens(self) -> Iterator[None]:
        """Where a run is stopped or fails, its table still has what was computed."""
        try:
            yield
        except BaseException as error:
            self.executor.close()
            with suppress(OSError, ValueError):
                rebuild(self.run)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ValueError(
                    f"the disk is full: {error.filename or self.run.path} could not be "
                    "written; free some space and run the same command "
                    "again, what is done is kept"
                ) from error
            raise

    # -- sampling
    # ----------------------------------------------------------------------------------------------------------------

    def _forget_failures(self) -> None:
        """Where a retry was asked for, once: cells without a result are as good as new."""
        for cell in self.cells if self.retry else ():
            if (
                not cell.skip
                and (self.run.read(cell.key, QUALITY) or {}).get("status", "ok") != "ok"
            ):
                self.run.delete(cell.key, QUALITY)
        self.retry = False

    def _to_sample(self, cell: Cell) -> bool:
        """Whether samples of the cell are missing."""
        return not cell.skip and not self._failed(cell) and bool(self._missing(cell))

    def _failed(self, cell: Cell) -> bool:
        """Whether the cell failed as it would be run now.

        Another batch size or version is another chance.
        """
        quality = self.run.read(cell.key, QUALITY)
        return (
            bool(quality) and quality["status"] != "ok" and quality.get("attempt") == _attempt(cell)
        )

    def _evaluations(self, cell: Cell) -> float:
        """What the missing samples of a cell are expected to take."""
        return expected(self.models[cell.model], cell) * sum(
            stop - start for start, stop in self._missing(cell)
        )

    def _until_scored(self, name: str) -> float:
        """Evaluations that the references of a model are expected to take."""
        cells = [cell for cell in self.cells if cell.model == name and not cell.skip]
        count = max((self._endpoints(cell) for cell in cells), default=0)
        return reference_evaluations(
            self.suite, self.models[name], self.references[name], cells, count
        )

    def _missing(self, cell: Cell) -> list[tuple[int, int]]:
        return self.run.missing(cell.key, cell.samples)

    def _sample(self, model: Denoiser, cell: Cell, report: Reporter) -> None:
        cost, reference = expected(model, cell), self.references[cell.model]
        keep, clamp = how_many(model, self.suite.keep), reference.clamp if reference else None
        for start, stop in self._missing(cell):
            shard = Shard(cell, start, stop, keep, self._endpoints(cell), clamp)
            try:
                limit = self.limits.of(cell, stop - start)
                arrays = self.executor.run(
                    shard, self.world, tell=lambda n: report.samples(n, n * cost), limit=limit
                )
            except Failure as failure:
                return self._conclude(cell, {"status": failure.status, "reason": failure.reason})
            self.run.write_shard(cell.key, start, stop, arrays)
        return None

    def _pace(self, cell: Cell) -> float:
        """Evaluations per second where cells run.

        Nothing is expected of a model that fails, whose rows will say why.
        """
        try:
            return self.executor.run(Pace(cell, 0.1), self.world, limit=SHORTEST_COMPILED)
        except Failure:
            return math.inf

    def _watch(self, cell: Cell, count: int) -> Seen:
        """The way of a cell's first samples, run as its samples were."""
        return self.executor.run(Way(cell, count), self.world, limit=self.limits.of(cell, count))

    def _endpoints(self, cell: Cell) -> int:
        """How many samples of a cell are compared with their converged endpoints."""
        entry = next(
            e for e, name in zip(self.suite.models, self.models, strict=True) if name == cell.model
        )
        return min(cell.samples, entry.reference_samples or self.suite.reference_samples)

    def _conclude(self, cell: Cell, record: Record) -> None:
        whole = {"samples": cell.samples, "attempt": _attempt(cell), **record}
        if self.run.read(cell.key, QUALITY) != whole:
            self.run.write(cell.key, QUALITY, whole)

    def _score(self, name: str, model: Denoiser, cells: Sequence[Cell], report: Reporter) -> None:
        complete = [
            cell
            for cell in cells
            if not cell.skip and not self._failed(cell) and not self._missing(cell)
        ]
        if complete:
            count = max(self._endpoints(cell) for cell in complete)
            run = self.run.of_model(*self.digests[name])
            try:
                Scorer(run, self.suite, model, self.references[name], count, self._watch, report)(
                    complete
                )
            except Gone as gone:
                self.run.mend_shards(gone.cell)
                cell = next(cell for cell in complete if cell.key == gone.cell)
                report.stage(f"{name}: {cell.label} again")
                self._sample(model, cell, report)
                self._score(name, model, cells, report)

    # -- timing
    # ------------------------------------------------------------------------------------------------------------------

    def _time(self, name: str, model: Denoiser, report: Reporter) -> None:
        """Time the finished cells that were not timed as they would be now, at each batch size.

        The first size is the one of the table.
        """
        cells = [c for c in self.cells if c.model == name and not c.skip and not self._failed(c)]
        for size in self.suite.timing.batch_size:
            self._time_batch(
                f"{name}: timing" + (f" batches of {size}" if size else ""),
                model,
                cells,
                size,
                report,
            )

    def _time_batch(
        self, title: str, model: Denoiser, cells: Sequence[Cell], size: int, report: Reporter
    ) -> None:
        file = timing_file(size, self.suite.timing)
        stamps = {c.key: self._timing_stamp(c, size) for c in cells}
        stale = [
            c
            for c in cells
            if not stamps[c.key].items() <= (self.run.read(c.key, file) or {}).items()
        ]
        if stale:
            timing.time_cells(
                model, stale, self.suite.timing, self.device, batch_size=size,
                progress=lambda share, label: report.stage(f"{title} {share:.0%} {label}"),
                done=lambda key, record: self.run.write(key, file, {**stamps[key], **record}),
            )  # fmt: skip

    def _timing_stamp(self, cell: Cell, size: int) -> Record:
        """What times, or the lack of them, depend on beside the cell's identity.

        One of these changed is another chance.
        """
        return {
            "timing_device": self.device,
            "timing_device_name": device_of(self.device)["name"],
            "timing_threads": torch.get_num_threads(),
            "timing_batch_size": size or cell.batch_size,
            "timing_asked": {
                "samplerbench": version(),
                **self.suite.timing.model_dump(mode="json", exclude={"enabled", "batch_size"}),
            },
        }


def _attempt(cell: Cell) -> Record:
    """What a failure may have depended on beside the cell's identity."""
    return {"batch_size": cell.batch_size, "samplerbench": version(), "samples": cell.samples}


def _essence(run: Mapping[str, Any]) -> tuple[object, ...]:
    """What makes two runs into a directory the same one."""
    where = run.get("provenance") or {}
    return (
        run.get("suite"),
        *(where.get(key) for key in ("samplerbench", "git", "machine", "torch", "device")),
    )


def default_out(suite: Suite) -> Path:
    """Where a run goes unless told otherwise."""
    return Path("results") / "runs" / f"{suite.name}-{suite.digest}"


def pick_device(device: str, suite: Suite | None = None) -> str:
    """The device to use: ``auto`` becomes ``cuda`` where there is one.

    Raises:
        ValueError: "cuda" without a GPU; or "auto" without one, for a suite that is made for it.
    """
    if (
        device == "auto"
        and suite is not None
        and suite.device == "cuda"
        and not torch.cuda.is_available()
    ):
        raise ValueError(
            f"suite {suite.name} is made for a CUDA GPU, and torch sees none here; try a "
            "part of it with --device cpu, such as "
            "--model fashion --sampler euler --sampler heun --nfe 5 --samples 16 --batch-size 8"
        )
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "--device cuda: torch sees no CUDA device here; use --device "
            "cpu, or install a CUDA build of torch"
        )
    return device
