"""Scores the finished cells of one model, against truths that all of them share, and writes
what reports read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from ...models import Denoiser, Reference
from ...models.exact.base import ExactModel
from ...results.record import Record
from ...results.run_directory.places import INFLUENCE, QUALITY
from ...results.run_directory.reading import log
from ...results.run_directory.run_dir import RunDir
from ...results.terminal.path_curvature import KEY as CURVATURE
from ..metrics.metric import Metric, origin
from ..sampling.meter import Teller
from ..sampling.shard import Arrays
from ..sampling.snapshots import pictures
from ..sampling.trajectories import Seen, evolution
from ..suites.cell import Cell
from ..suites.suite import Suite
from .context import CellContext
from .data import Data
from .scale import Scale
from .shards import clamped, count_columns, kept
from .solutions.doubling import Endpoints
from .solutions.endpoints import converged_features, endpoints, path_endpoints
from .versions import METRICS, asked_metrics, checked, kept_numbers, measured_versions, versions_of

Truth = Callable[..., Endpoints]
Watch = Callable[[Cell, int], Seen]

KEPT, PICTURES, PATHS = "kept", "pictures", "paths"
"""Item of ``quality.json`` that says which files beside it were written."""

ASKED = "asked"
"""Item of ``quality.json`` with all that can be known before scoring of what a score depends on."""


class Gone(Exception):  # noqa: N818 - it says what a shard is
    """A shard that was to be scored is damaged, missing, or keeps too few samples whole.

    ``cell`` is the key of its cell.
    """

    def __init__(self, cell: str) -> None:
        super().__init__(f"a shard of {cell} is gone")
        self.cell = cell


class Progress(Protocol):
    """Told how scoring gets on."""

    def stage(self, text: str) -> None:
        """What is being done now."""
        ...

    def evaluations(self, count: float) -> None:
        """``count`` more evaluations are done."""
        ...


class Scorer:
    """The scoring of one model's cells in one run directory.

    Args:
        run: where the parts are.
        suite: what was asked for.
        model: on the device.
        reference: its truth; None for none.
        endpoint_count: how many samples are compared with their converged endpoints.
        watch: runs the first samples of a cell and looks on, for a picture
            (:func:`..sampling.trajectories.watched`).
        report: told what is being done, and the evaluations that references take.
    """

    def __init__(
        self,
        run: RunDir,
        suite: Suite,
        model: Denoiser,
        reference: Reference | None,
        endpoint_count: int,
        watch: Watch,
        report: Progress,
    ) -> None:
        self.run, self.suite, self.model, self.reference, self.endpoint_count = (
            run,
            suite,
            model,
            reference,
            endpoint_count,
        )
        self.watch, self.report = watch, report
        self.versions = versions_of(asked_metrics(suite.metrics))
        # the same model, whose evaluations move the bar
        self.solved = Teller(tell=report.evaluations).attach(model)

    def __call__(self, cells: Sequence[Cell]) -> None:
        """Write ``quality.json``, ``influence.npz`` and the pictures of every cell that is not
        scored as it would be now.

        Where it is asked for and endpoints are known, the curvature of the paths to them goes into
        ``run.json``.
        """
        bending = (
            self.suite.path_curvature
            and cells[0].model not in (self.run.run().get(CURVATURE) or {})
            if cells
            else False
        )
        if not bending and not any(map(self._pending, cells)):
            return
        truths, scale, data = (
            self._truths(cells),
            self._scale(cells[0]),
            Data(self.model, cells[0].device),
        )
        for place, cell in enumerate(cells, 1):
            own = truths.get(self._truth_of(cell))
            stamp = self._stamp(cell, own, scale)
            done = self.run.read(cell.key, QUALITY) or {}
            same = (
                done.get("status") == "ok"
                and {**{key: done.get(key, ()) for key in stamp}, ASKED: _asked_of(done)} == stamp
            )
            if same and not self._pending(cell):
                continue
            self.report.stage(f"{cell.model}: scoring {place}/{len(cells)}, {cell.label}")
            try:
                context = CellContext(
                    list(self._shards(cell)),
                    cell.samples,
                    data,
                    scale,
                    own,
                    cell.sampler.stochastic,
                )
                record, influences = self._score(cell, context, done if same else {})
                self.run.write_score(
                    cell.key, {"status": "ok", "reason": "", **stamp, **record}, influences
                )
            except (
                ArithmeticError,
                ValueError,
            ) as error:  # numbers that no formula can take: this row only
                self.run.write(
                    cell.key,
                    QUALITY,
                    {
                        **stamp,
                        "status": "failed",
                        "reason": f"scoring: {' '.join(str(error).split())}",
                    },
                )
        if self.suite.path_curvature and endpoints in truths:
            self.report.stage(f"{cells[0].model}: curvature of paths")
            from .path_curvature.curvature import keep_curvature  # few runs ask for it

            keep_curvature(self.run, self.model, cells[0], truths[endpoints].x)

    def _pending(self, cell: Cell) -> bool:
        """Whether a cell is not scored as it would be now, as far as can be said without its
        samples and truths.
        """
        done = self.run.read(cell.key, QUALITY) or {}
        kept = done.get(KEPT) or {}
        files = {
            PICTURES: self.run.samples(cell.key),
            PATHS: self.run.evolution(cell.key),
            INFLUENCE: self.run.part(cell.key, INFLUENCE),
        }
        if (
            _asked_of(done) != self._asked(cell)
            or not self.versions.items() <= measured_versions(done).items()
        ):
            return True
        return any(kept.get(name) and not path.is_file() for name, path in files.items())

    def _asked(self, cell: Cell) -> Record:
        return {
            "samples": cell.samples,
            "endpoints": self.endpoint_count,
            "converged_samples": self.suite.converged_samples,
            "reference": self.reference.identity if self.reference else None,
        }

    def _score(
        self, cell: Cell, context: CellContext, done: Mapping[str, Any]
    ) -> tuple[Record, Arrays]:
        """The quality columns and influence values of a cell, with its pictures written.

        What is ``done`` and valid stays.
        """
        shards, written = context.shards, {}
        record, influences = self._measured(cell, context, done)
        record |= {**count_columns(shards), KEPT: written}
        if context.scale is not None:
            record["clamped"] = clamped(shards)
        written[INFLUENCE] = bool(influences)
        picture = kept(shards, "picture")
        if len(picture):
            written[PICTURES] = True
            truth = context.truth
            self.run.write_samples(
                cell.key, pictures(self.model, self.reference, picture, truth.x if truth else None)
            )
            path = evolution(self.model, self.reference, cell, partial(self.watch, cell))
            if path:
                written[PATHS] = True
                self.run.write_evolution(cell.key, path)
        return record, influences

    def _measured(
        self, cell: Cell, context: CellContext, done: Mapping[str, Any]
    ) -> tuple[Record, Arrays]:
        """What the metrics give; those whose numbers are there are not asked again."""
        there, arrays = measured_versions(done), self.run.influence(cell.key) if done else None
        if (done.get(KEPT) or {}).get(INFLUENCE) and arrays is None:
            there = {}
        present, versions = versions_of(asked_metrics(None)), {}
        record: Record = {METRICS: versions}
        influences: Arrays = {}
        for metric in asked_metrics(None):
            columns: Record | None = {}
            values: Arrays = {}
            if there.get(metric.name) == present[metric.name]:
                columns, values = kept_numbers(metric, done, arrays or {})
            elif metric.name not in self.versions:
                continue
            elif metric.needs <= context.met:
                columns, values = self._asked_of_metric(metric, cell, context, record)
            if columns is None:
                continue  # it failed, and is asked again by the next run
            versions[metric.name] = present[metric.name]
            record |= columns
            influences |= values
        return record, influences

    def _asked_of_metric(
        self, metric: Metric, cell: Cell, context: CellContext, record: Record
    ) -> tuple[Record | None, Arrays]:
        """What one metric gives.

        One that is not built in fails alone: it gives None, and the reason is put into the row.
        """
        if not origin(metric):
            found = metric(context)
            return dict(found.columns), dict(found.influence)
        try:
            return checked(metric, metric(context))
        except (Exception, SystemExit) as error:
            words = f"metric {metric.name}: {type(error).__name__}: {' '.join(str(error).split())}"
            log.warning(
                "%s of %s on %s has no value: %s.", metric.name, cell.label, cell.model, words
            )
            record["reason"] = "; ".join(filter(None, (str(record.get("reason") or ""), words)))
            return None, {}

    def _stamp(self, cell: Cell, truth: Endpoints | None, scale: Scale | None) -> Record:
        """What a score depends on beside the parts and the metrics."""
        return {
            "samples": cell.samples,
            "reference_steps": truth.steps if truth else None,
            "reference_count": len(truth.x) if truth else None,
            "estimator": scale.identity if scale else None,
            ASKED: self._asked(cell),
        }

    def _truth_of(self, cell: Cell) -> Truth | None:
        """What a cell's samples are compared with one by one.

        None for samples that no limit belongs to.

        A pathwise limit needs a sampler that claims to converge to it and an exact denoiser, since
        it takes thousands of evaluations; the Gaussian start follows the ODE, not the path.
        """
        if not cell.sampler.stochastic:
            return endpoints
        claims = getattr(cell.sampler, "strong_order", None) is not None
        follows = (
            cell.noise == "brownian"
            and claims
            and cell.start.name != "gaussian"
            and isinstance(self.model, ExactModel)
        )
        return path_endpoints if follows else None

    def _truths(self, cells: Sequence[Cell]) -> dict[Truth | None, Endpoints]:
        """Converged endpoints of both kinds.

        How exact they must be depends on what the cells made of the latents.
        """
        truths: dict[Truth | None, Endpoints] = {}
        for truth in (endpoints, path_endpoints):
            comparable = [cell for cell in cells if self._truth_of(cell) is truth]
            if comparable:
                measured = [
                    kept(list(self._shards(cell)))[: self.endpoint_count] for cell in comparable
                ]
                first, count = comparable[0], max(map(len, measured))
                self.report.stage(
                    f"{first.model}: converged {'endpoints' if truth is endpoints else 'paths'} "
                    f"of {count} samples"
                )
                truths[truth] = truth(
                    self.run,
                    self.solved,
                    first.seed,
                    first.dtype,
                    first.device,
                    count,
                    first.batch_size,
                    measured,
                )
        return truths

    def _scale(self, first: Cell) -> Scale | None:
        if self.reference is None:
            return None
        count = self.suite.converged_samples
        where = (first.seed, first.dtype, first.device, count, first.batch_size)
        self.report.stage(f"{first.model}: {count} converged samples")
        return Scale(
            self.reference, converged_features(self.run, self.solved, self.reference, *where)
        )

    def _shards(self, cell: Cell) -> Iterable[Arrays]:
        """The shards that cover the cell's samples, in order."""
        for start, stop in self.run.ranges(cell.key, cell.samples):
            shard = self.run.read_shard(cell.key, start, stop)
            if (
                shard is not None
                and len(shard["endpoint"]) < min(stop, self.endpoint_count) - start
            ):
                # made when fewer samples were to be compared with their endpoints
                self.run.drop_shard(cell.key, start, stop)
                shard = None
            if shard is None:
                raise Gone(cell.key)
            yield shard


def _asked_of(done: Mapping[str, Any]) -> Any:
    """What a score was asked for, without the one version of before metrics had their own."""
    asked = done.get(ASKED)
    return (
        {name: value for name, value in asked.items() if name != "quality_version"}
        if isinstance(asked, dict)
        else asked
    )
