"""What the program's own work takes on this machine: the costs of a simulation that no GPU enters."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from ....models import make_model
from ....models.reference import Identity, Reference, Statistics
from ....results.run_directory.claims import Claims
from ....results.run_directory.reading import RunReader
from ....results.run_directory.run_dir import RunDir
from ...metrics.estimators.moments import Moments
from ...running.executing import Call, Pool
from ...running.executing.world import Setting, World
from ...sampling.shard import SHARD, Arrays
from ...scoring.context import CellContext
from ...scoring.data import Data
from ...scoring.scale import Scale
from ...scoring.shards import gathered
from ...scoring.versions import asked_metrics

SIZES = ((10_000, 64), (50_000, 64), (10_000, 512), (50_000, 512), (10_000, 2048))
"""Samples and dimensions of the features of cells that are scored."""

DIMENSIONS = (64, 512, 2048)
REPEATS = 30


def measured(sizes: tuple[tuple[int, int], ...] = SIZES) -> Iterator[dict[str, Any]]:
    """Rows with ``what`` was done and the ``seconds`` it took, each the median of some."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _files(Path(folder) / "run")
    yield from _workers()
    for samples, dimensions in sizes:
        what = f"score a cell of {samples:,} samples in {dimensions} dimensions"
        yield {"what": what, "seconds": score_seconds(samples, dimensions)}


def _files(folder: Path) -> Iterator[dict[str, Any]]:
    """On the disk that temporary files are on."""
    directory = RunDir.create(folder)
    with directory.lock():
        directory.plan("cell", {"made_by": "a"})
        for dimensions in DIMENSIONS:
            arrays, places = _shard(dimensions), iter(range(2 * REPEATS))

            def write(arrays: Arrays = arrays, places: Iterator[int] = places) -> None:
                start = next(places) * SHARD
                directory.write_shard("cell", start, start + SHARD, arrays)

            seconds = _median(write)
            size = directory.shard("cell", 0, SHARD).stat().st_size
            words = f"a shard in {dimensions} dimensions, {size / 1e6:.1f} MB"
            yield {"what": f"write {words}", "seconds": seconds}
            yield {
                "what": f"read {words}, digest and all",
                "seconds": _median(lambda: RunReader.open(folder).read_shard("cell", 0, SHARD)),
            }
        mine, others = Claims(folder), Claims(folder)
        mine.lead(["cell"])

        def claim() -> None:
            mine.take("cell", 0, SHARD)
            mine.release("cell", 0, SHARD)

        yield {"what": "claim a shard and give it back", "seconds": _median(claim)}
        mine.take("cell", 0, SHARD)
        yield {
            "what": "ask for a shard that another process has",
            "seconds": _median(lambda: others.take("cell", 0, SHARD)),
        }
        yield {"what": "list the claims", "seconds": _median(lambda: others.listed())}
        others.close()
        mine.end()


def _workers() -> Iterator[dict[str, Any]]:
    """Tasks that do nothing, in a worker process."""
    world = World(Setting.here({}, "cpu"))
    with closing(Pool(1)) as pool:
        begin = time.perf_counter()
        pool.run(Call(_shard, (1,)), world)
        yield {"what": "start a worker", "seconds": time.perf_counter() - begin}
        for dimensions in DIMENSIONS:
            tasks = [Call(_zeros, (dimensions,))] * REPEATS
            begin = time.perf_counter()
            for _ in pool.map(tasks, world):
                pass
            yield {
                "what": f"send a task and receive a shard in {dimensions} dimensions",
                "seconds": (time.perf_counter() - begin) / REPEATS,
            }


def score_seconds(samples: int, dimensions: int) -> float:
    """Seconds that the metrics of features take for one cell, once what all cells share is there."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((samples, dimensions)).astype(np.float32)
    reference = Reference(
        Identity((dimensions,)),
        None,
        "normal",
        lambda: Statistics(
            np.zeros(dimensions),
            np.eye(dimensions),
            lambda n: np.random.default_rng(1).standard_normal((min(n, samples), dimensions)),
        ),
    )
    converged = rng.standard_normal((10_000, dimensions))
    data, scale = Data(make_model("gmm-2d"), "cpu"), Scale(reference, converged)
    parts = {
        "features": features,
        "sizes": np.array([samples]),
        "endpoint": np.empty((0, dimensions)),
    }
    begin = 0.0
    for _ in range(2):
        context = CellContext(
            gathered([parts], samples), samples, data, scale, None, follows_path=False
        )
        begin = time.perf_counter()
        for metric in asked_metrics(None):
            if metric.needs <= {"features"}:
                metric(context)
    return time.perf_counter() - begin


def _shard(dimensions: int) -> Arrays:
    """What a shard of samples comes to."""
    features = np.random.default_rng(0).standard_normal((SHARD, dimensions))
    exact = dimensions <= SHARD
    arrays: Arrays = {
        "features": features.astype(np.float16 if exact else np.float32),
        "nfe": np.array([10.0]),
        "sizes": np.array([SHARD]),
        "depth": np.array(10),
        "clamped": np.zeros(1),
    }
    if exact:
        moments = Moments.of(features).as_dict()
        arrays |= {f"moments_{name}": value for name, value in moments.items()}
    return arrays


def _zeros(dimensions: int) -> Arrays:
    """Arrays of the same size, which take no time to make."""
    return {name: np.zeros_like(value) for name, value in _shard(1).items()} | {
        "features": np.zeros((SHARD, dimensions), np.float16 if dimensions <= SHARD else np.float32)
    }


def _median(do: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        do()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))
