"""Scoring of one model's sampled cells against shared references, with files for reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

from numpy.typing import NDArray

from ...models import Denoiser, Reference
from ...models.rounding import in_full_precision
from ...results.run_directory.layout import INFLUENCE, QUALITY
from ...results.run_directory.reading import log
from ...results.run_directory.run_dir import RunDir
from ...results.run_directory.sealed import DamagedError, StoredArray
from ...results.terminal.path_curvature import KEY as CURVATURE
from ...results.values import Record
from ..identity.model import runs_users_code
from ..metrics.metric import PRECISE_RUN, Context, Endpoints, Metric, metrics, origin
from ..sampling.counting import Meter
from ..sampling.failure import error_in_words, is_out_of_memory
from ..sampling.shard import Arrays, is_low_precision
from ..sampling.trajectories import Trajectories, picture_arrays, trajectory_arrays
from ..suites.cell import Cell
from ..suites.suite import Suite
from .context import (
    CellContext,
    GatheredShards,
    count_columns,
    gather_shards,
    mean_over_batches,
    read_consecutive_samples,
)
from .converged_endpoints import (
    EndpointSolver,
    choose_endpoint_solver,
    converged_endpoints,
    converged_features,
    converged_path_endpoints,
)
from .data import ModelData, ScoringReference
from .versions import (
    METRICS,
    check_results,
    requested_metrics,
    stored_numbers,
    version_of,
)


def _run_metric(
    metric: Metric, cell: Cell, context: Context, record: Record
) -> tuple[Record | None, Arrays]:
    """Return the results of a metric; (None, {}) if a plugin fails, with a reason in ``record``."""
    if not origin(metric):
        measured = metric(context)
        return dict(measured.columns), dict(measured.influence)
    try:
        return check_results(metric, metric(context))
    except (Exception, SystemExit) as error:
        words = f"metric {metric.name}: {type(error).__name__}: {' '.join(str(error).split())}"
        log.warning("%s of %s on %s has no value: %s.", metric.name, cell.label, cell.model, words)
        record["reason"] = "; ".join(filter(None, (str(record.get("reason") or ""), words)))
        return None, {}


TrajectorySource = Callable[[Cell, int], Trajectories]

STORED_FILES, PICTURES, PATHS = "kept", "pictures", "paths"
"""Item of ``quality.json`` that lists a cell's other files; two names in this list."""

SCORE_INPUTS = "asked"
"""Item of ``quality.json`` with the inputs of a score, which decide if it is outdated."""


class _UnusableShardError(Exception):
    """Error: a shard of ``cell`` is unreadable or has too few endpoints; draw the cell again."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell


class Progress(Protocol):
    """Receiver of the progress of scoring."""

    def set_stage(self, text: str) -> None:
        """Receive the name of the present stage."""

    def add_evaluations(self, count: float) -> None:
        """Receive the number of evaluations since the last call."""


@dataclass(frozen=True)
class Scorer:
    """Scorer of one model's cells in one run directory.

    Attributes:
        run, suite, report: run directory to write to, suite of the cells, receiver of progress.
        model: model, on the device of the cells.
        reference: reference of the model in a feature space; None for a model without one.
        endpoint_count: number of a cell's first samples that are compared with converged endpoints.
        trajectories_of: function that records trajectories of a cell's first samples, for pictures.
    """

    run: RunDir
    suite: Suite
    model: Denoiser
    reference: Reference | None
    endpoint_count: int
    trajectories_of: TrajectorySource
    report: Progress

    @cached_property
    def metric_versions(self) -> dict[str, str]:
        """Versions of the suite's metrics by name; metrics of rounding only for runs in 16 bits."""
        requested = requested_metrics(self.suite.metrics)
        if not is_low_precision(self.model, self.suite.dtype):
            requested = [each for each in requested if PRECISE_RUN not in each.needs]
        return {each.name: version_of(each) for each in requested}

    @cached_property
    def precise_model(self) -> Denoiser:
        """The model in full precision, whose endpoints and converged samples are references."""
        return in_full_precision(self.model)

    @cached_property
    def reporting_model(self) -> Denoiser:
        """The model in full precision, with its evaluations reported to :attr:`report`."""
        return Meter(tell=self.report.add_evaluations).attach(self.precise_model)

    def score(self, cells: Sequence[Cell]) -> Cell | None:
        """Score cells with a missing or outdated score, and measure path curvature if requested.

        Returns None if all are scored. Otherwise it returns a cell with damaged samples, or with
        too few unrounded samples. This cell must be drawn again before others can be scored.
        """
        curvatures = self.run.read_run().get(CURVATURE) or {}
        needs_curvature = self.suite.path_curvature and cells[0].model not in curvatures
        if not needs_curvature and not any(map(self.why_unscored, cells)):
            return None
        try:
            self._score_all(cells)
        except _UnusableShardError as gone:
            return gone.cell
        return None

    def _score_all(self, cells: Sequence[Cell]) -> None:
        try:
            solutions = self._converged_endpoints(cells)
            reference = self._load_scoring_reference(cells[0])
        except (_UnusableShardError, DamagedError, OSError):
            raise
        except Exception as error:
            if is_out_of_memory(error) or not runs_users_code(self.model):
                raise
            # the model works at the cells' levels, and fails at those of its converged samples
            for cell in filter(self.why_unscored, cells):
                self._fail(cell, {}, error_in_words(error))
            return
        data = ModelData(self.precise_model, cells[0].device)
        for place, cell in enumerate(cells, 1):
            solution = solutions.get(choose_endpoint_solver(self.precise_model, cell))
            stamp = self._stamp(cell, solution, reference)
            done = self.run.read(cell.key, QUALITY) or {}
            before = {key: done.get(key, ()) for key in stamp}
            same = done.get("status") == "ok" and before == stamp
            if same and not self.why_unscored(cell):
                continue
            self.report.set_stage(f"{cell.model}: scoring {place}/{len(cells)}, {cell.label}")
            try:
                shards, follows_path = self._gather(cell), cell.sampler.stochastic
                context = CellContext(shards, cell.samples, data, reference, solution, follows_path)
                record, influences = self._score_cell(cell, context, done if same else {})
                whole = {"status": "ok", "reason": "", **stamp, **record}
                self.run.write_score(cell.key, whole, influences)
            except (ArithmeticError, ValueError) as error:
                # numbers that no formula can take fail this row only
                self._fail(cell, stamp, " ".join(str(error).split()))
        if self.suite.path_curvature and converged_endpoints in solutions:
            self.report.set_stage(f"{cells[0].model}: curvature of paths")
            from .path_curvature import store_curvature  # imported here, since few runs need it

            ends = solutions[converged_endpoints].x
            store_curvature(self.run, self.precise_model, cells[0], ends)

    def _converged_endpoints(
        self, cells: Sequence[Cell]
    ) -> Mapping[EndpointSolver | None, Endpoints]:
        """Return converged endpoints of cells, by solver (:func:`.choose_endpoint_solver`)."""
        solutions: dict[EndpointSolver | None, Endpoints] = {}
        kinds = {converged_endpoints: "endpoints", converged_path_endpoints: "paths"}
        for solver, kind in kinds.items():
            comparable = [
                cell for cell in cells if choose_endpoint_solver(self.precise_model, cell) is solver
            ]
            if comparable:
                # unrounded samples set the number and the accuracy of endpoints
                measured = [
                    read_consecutive_samples(self._shards(cell), most=self.endpoint_count)
                    for cell in comparable
                ]
                count = max(map(len, measured))
                self.report.set_stage(f"{cells[0].model}: converged {kind} of {count} samples")
                solutions[solver] = solver(self.run, self.reporting_model, comparable[0], measured)
        return solutions

    def _fail(self, cell: Cell, stamp: Record, words: str) -> None:
        failed = {**stamp, "status": "failed", "reason": f"scoring: {words}"}
        self.run.write(cell.key, QUALITY, failed)

    def why_unscored(self, cell: Cell) -> str:
        """Return the reason why a cell's score is missing or outdated; "" for a valid score."""
        done = self.run.read(cell.key, QUALITY) or {}
        if not done:
            return "its samples are not scored yet"
        before, now = done.get(SCORE_INPUTS) or {}, self._inputs(cell)
        if before != now:
            other = [name for name in now if before.get(name) != now[name]] or ["what is asked"]
            return f"scored with other {' and '.join(other).replace('_', ' ')}"
        stored_versions = done.get(METRICS) or {}
        other = [
            name
            for name, version in self.metric_versions.items()
            if stored_versions.get(name) != version
        ]
        if other:
            kind = "is new" if other[0] not in stored_versions else "has another version"
            more = f", and {len(other) - 1} more" if len(other) > 1 else ""
            return f"metric {other[0]} {kind}{more}"
        written = done.get(STORED_FILES) or {}
        files = {
            PICTURES: self.run.pictures_path(cell.key),
            PATHS: self.run.trajectories_path(cell.key),
            INFLUENCE: self.run.part_path(cell.key, INFLUENCE),
        }
        gone = (name for name, path in files.items() if written.get(name) and not path.is_file())
        return next((f"its {name} is gone" for name in gone), "")

    def _inputs(self, cell: Cell) -> Record:
        return {
            "samples": cell.samples,
            "endpoints": self.endpoint_count,
            "converged_samples": self.suite.converged_samples,
            "reference": self.reference.identity if self.reference else None,
        }

    def _score_cell(
        self, cell: Cell, context: CellContext, done: Mapping[str, Any]
    ) -> tuple[Record, Arrays]:
        """Write the pictures of a cell, and return its quality columns and influence values."""
        shards = context.shards.parts
        arrays = self.run.read_influence(cell.key) if done else None
        if (done.get(STORED_FILES) or {}).get(INFLUENCE) and arrays is None:
            done = {}  # its numbers are of no use without their influence values
        record, influences = self._measure(cell, context, done, arrays or {})
        written = {INFLUENCE: bool(influences)}
        record |= {**count_columns(shards), STORED_FILES: written}
        if context.scoring_reference is not None:
            record["clamped"] = mean_over_batches(shards, "clamped")
        picture = read_consecutive_samples(shards, "picture")
        if len(picture):
            written[PICTURES] = True
            converged = context.endpoints.x if context.endpoints else None
            pictures = picture_arrays(self.model, self.reference, picture, converged)
            self.run.write_pictures(cell.key, pictures)
            path = trajectory_arrays(
                self.model, self.reference, cell, partial(self.trajectories_of, cell)
            )
            if path:
                written[PATHS] = True
                self.run.write_trajectories(cell.key, path)
        return record, influences

    def _measure(
        self, cell: Cell, context: CellContext, done: Mapping[str, Any], arrays: Arrays
    ) -> tuple[Record, Arrays]:
        """Return the quality columns and the influence values of a cell.

        Those of an earlier score, ``done`` and ``arrays``, are kept for metrics of an equal version.
        The other metrics of the suite are measured if their needs are met.
        """
        requested, stored_versions = self.metric_versions, done.get(METRICS) or {}
        versions: dict[str, str] = {}
        record: Record = {METRICS: versions}
        influences: Arrays = {}
        for metric in metrics().values():
            if metric.name not in {**requested, **stored_versions}:
                continue
            columns: Record | None = {}
            values: Arrays = {}
            version = requested.get(metric.name) or version_of(metric)
            if stored_versions.get(metric.name) == version:
                columns, values = stored_numbers(metric, done, arrays)
            elif metric.name not in requested:
                continue
            elif metric.needs <= context.met_needs:
                columns, values = _run_metric(metric, cell, context, record)
            if columns is None:
                continue  # the metric failed; without a version the next run tries again
            versions[metric.name] = version
            record |= columns
            influences |= values
        return record, influences

    def _stamp(
        self, cell: Cell, solution: Endpoints | None, reference: ScoringReference | None
    ) -> Record:
        """Return settings, endpoints and reference, whose change makes a cell's score outdated."""
        return {
            "samples": cell.samples,
            "reference_steps": solution.steps if solution else None,
            "reference_count": len(solution.x) if solution else None,
            "estimator": reference.identity if reference else None,
            SCORE_INPUTS: self._inputs(cell),
        }

    def _load_scoring_reference(self, first: Cell) -> ScoringReference | None:
        if self.reference is None:
            return None
        count = self.suite.converged_samples
        if self.model.kind == "map":  # a map has no converged samples
            return ScoringReference(self.reference, None)
        self.report.set_stage(f"{first.model}: {count} converged samples")
        converged = converged_features(self.run, self.reporting_model, self.reference, first, count)
        return ScoringReference(self.reference, converged)

    def _gather(self, cell: Cell) -> GatheredShards:
        stored: list[StoredArray] = []

        def reread_features() -> Iterator[NDArray]:
            ranges = self.run.shard_ranges(cell.key, cell.samples)
            paths = [self.run.shard_path(cell.key, *bounds) for bounds in ranges]
            try:
                stored.extend(
                    StoredArray.from_file(path, "features") for path in paths[len(stored) :]
                )
                for array in stored:
                    yield array.read()
            except DamagedError as fault:
                raise _UnusableShardError(cell) from fault

        return gather_shards(self._shards(cell), cell.samples, reread_features)

    def _shards(self, cell: Cell) -> Iterator[Arrays]:
        """Yield the shards of a cell's samples, or raise an _UnusableShardError."""
        for start, stop in self.run.shard_ranges(cell.key, cell.samples):
            shard = self.run.read_shard(cell.key, start, stop)
            if shard is None:
                raise _UnusableShardError(cell)
            if len(shard["endpoint"]) < min(stop, self.endpoint_count) - start:
                # drawn when fewer samples were compared with endpoints
                self.run.drop_shard(cell.key, start, stop)
                raise _UnusableShardError(cell)
            yield shard
