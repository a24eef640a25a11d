"""Small runs with influence values of known truth: what the tests of comparisons read."""

import json
from pathlib import Path

import numpy as np
from new_runs import new_run

from samplerbench.results.run_directory.run_dir import RunDir

ROW = {
    "suite": "quick",
    "model": "gmm-2d",
    "params": "{}",
    "schedule": "karras",
    "start": "noise",
    "end": "zero",
    "sigma_max": 80.0,
    "sigma_min": 0.002,
    "steps": 10,
    "budget": 10,
    "seed": 0,
    "dtype": "float32",
    "device": "cpu",
}
QUALITY = {
    "status": "ok",
    "nfe": 10.0,
    "fid_flag": "",
    "estimator": "frechet/1; identity-2; reference gmm-2d; 300 converged",
}


def make_run(path: Path, *, version=1, identity="gmm-2d-v1") -> RunDir:
    """An empty run."""
    run = new_run(path)
    run.write_run({"suite": {"name": "quick", "version": version}, "models": {"gmm-2d": identity}})
    return run


def add(
    run: RunDir,
    sampler="heun",
    *,
    influence=None,
    times=None,
    timing=None,
    arrays=None,
    quality=None,
    **row,
) -> str:
    """A finished cell: ``influence`` gives value (its mean), error and influence values of
    ``fid_proxy``.
    """
    record = {**ROW, "sampler": sampler, **row}
    cell = f"{sampler}-{abs(hash(json.dumps(record, sort_keys=True))):x}"[:40]
    run.plan(cell, record)
    measured = {**QUALITY, **(quality or {})}
    arrays = dict(arrays or {})
    if influence is not None:
        influence = np.asarray(influence, float)
        measured["fid_proxy"] = measured.get("fid_proxy", float(influence.mean()))
        measured["fid_proxy_se"] = float(influence.std(ddof=1)) / len(influence) ** 0.5
        measured["samples"] = len(influence)
        arrays["influence"] = influence - influence.mean()
    run.write_score(cell, measured, arrays)
    if times is not None:
        stamp = {
            "timing_device": "cpu",
            "timing_device_name": "cpu A",
            "timing_threads": 1,
            "timing_batch_size": 32,
            **(timing or {}),
        }
        run.write(
            cell,
            "timing.json",
            {**stamp, "raw_total_ms": list(times), "ms_per_sample": float(np.median(times)) / 32},
        )
    return cell
