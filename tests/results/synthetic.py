"""A run directory such as the runner makes, with invented numbers: what the tests of tables and
reports read.
"""

from pathlib import Path

import numpy as np
from new_runs import new_run

from samplerbench.results.run_directory.run_dir import RunDir

HOSTILE_SAMPLER = "</script><img src=x onerror=alert(1)>"
HOSTILE_MODEL = "evil|<b>model</b>"
MODELS = ("fashion", "gmm-2d", HOSTILE_MODEL)
ORDERS = {"euler": 1, "heun": 2, "dpmpp_2m": 2, "ddpm": 0.5, HOSTILE_SAMPLER: 1}
BUDGETS = (1, 5, 10, 40)
SHARD = 250


def synthetic_run(
    path: Path, *, models=MODELS, orders=ORDERS, budgets=BUDGETS, samples=1000
) -> RunDir:
    """Models × samplers × budgets, and one adaptive sampler.

    Some cells are not there yet, failed or diverged.
    """
    run = new_run(path)
    provenance = {
        "command": "samplerbench run quick --out demo",
        "git": {"commit": "0123abc", "dirty": False},
        "torch": "2.8.0",
    }
    run.write_run(
        {
            "suite": {"name": "quick", "models": list(models), "samples": samples},
            "provenance": provenance,
        }
    )
    rng = np.random.default_rng(0)
    for m, model in enumerate(models):
        for s, (sampler, order) in enumerate(orders.items()):
            for budget in budgets:
                cell = f"m{m}-s{s}-{budget}"
                _plan(run, cell, model=model, sampler=sampler, budget=budget, samples=samples)
                if (m, s, budget) == (2, 2, 5):
                    run.write(
                        cell,
                        "quality.json",
                        {"status": "failed", "reason": f"ValueError: {HOSTILE_SAMPLER} | `x`"},
                    )
                elif (m, s, budget) == (0, 3, 5):
                    run.write(
                        cell,
                        "quality.json",
                        {"status": "diverged", "reason": "3 of 1000 samples are not finite"},
                    )
                elif (m, s, budget) != (2, 3, 40):
                    _measure(
                        run,
                        cell,
                        rng,
                        budget=budget,
                        order=order,
                        samples=samples,
                        heun=sampler == "heun",
                    )
                    _picture(run, cell, rng, model=model, blur=1 / budget ** max(order, 0.5))
        for tol, nfe in ((1e-2, 20.0), (1e-4, 38.5)):
            cell = f"m{m}-adaptive-{nfe:.0f}"
            _plan(
                run,
                cell,
                model=model,
                sampler="torchdiffeq_dopri5",
                params=f'{{"rtol":{tol}}}',
                samples=samples,
            )
            _measure(run, cell, rng, budget=nfe, order=2, samples=samples)
    return run


def _plan(run: RunDir, cell: str, *, budget: int | None = None, **identity: object) -> None:
    fixed = {
        "suite": "quick",
        "schedule": "karras",
        "start": "noise",
        "end": "zero",
        "sigma_max": 80.0,
        "sigma_min": 0.002,
        "seed": 0,
    }
    run.plan(cell, {**fixed, "steps": budget, "budget": budget, **identity})
    run.write(cell, "made.json", {"shard": SHARD})


def _measure(
    run: RunDir, cell: str, rng, *, budget: float, order: float, samples: int, heun: bool = False
) -> None:
    for start, stop in run.missing_shards(cell, samples):
        run.write_shard(cell, start, stop, {"features": np.zeros((stop - start, 2), np.float16)})
    nfe = budget if not heun or budget == 1 else 2 * (budget // 2) - 1
    bias, error = 0.3, 200.0 * max(nfe, 1.0) ** -order if nfe > 1 else 200.0
    fid = error + 0.4 + rng.normal() * 0.05
    quality = {
        "samples": samples,
        "nfe": float(nfe),
        "depth": int(nfe),
        "status": "ok",
        "reason": None,
        "fid_proxy": fid - bias,
        "fid_proxy_se": 0.03 * fid,
        "fid_proxy_raw": fid,
        "fid_proxy_floor": 0.31,
        "fid_flag": "" if nfe > 5 else "fewer than 15 samples a feature",
        "fd_conv": error - 0.02,
        "fd_conv_se": 0.02 + error / 30,
        "typical_error": error / 500,
        "typical_error_se": error / 9000,
        "typical_error_low": error / 520,
        "typical_error_high": error / 480,
        "endpoint_distance": 1.4,
        "rmse": error / 400,
        "rmse_se": error / 9000,
        "rmse_median": error / 500,
        "flip_fraction": min(0.5, error / 300),
        "clamped": 0.01,
        "device": "cpu",
        "dtype": "float32",
        "batch_size": 250,
        "estimator": "frechet-1 fashion-cnn 4f1c",
        "extra_column": nfe * 2,
    }
    if quality["fd_conv"] < 0.3:
        quality["fd_conv"] -= 0.3
    ms, overhead = 1.1 * nfe, 0.02 + 0.3 / nfe
    influence = {"fid_proxy": rng.normal(size=samples).astype(np.float32)}
    run.write_score(cell, quality, influence)
    timing = {
        "ms_per_sample": ms * (1 + overhead),
        "ms_iqr": ms / 50,
        "model_ms_per_sample": ms,
        "overhead": overhead,
    }
    run.write(
        cell, "timing.json", {**timing, "timing_converged": nfe > 5, "raw_ms": [ms, ms * 1.01]}
    )


def _picture(run: RunDir, cell: str, rng, *, model: str, blur: float) -> None:
    if model == "gmm-2d":
        ids = np.random.default_rng(1)
        modes = ids.integers(0, 3, 400)
        points = np.array([[-2.0, 0], [1, 1.5], [1.5, -1]])[modes] * (1 - blur) + ids.normal(
            size=(400, 2)
        ) * 0.25 * (1 - 0.6 * blur)
        run.write_pictures(
            cell,
            {
                "points": points.astype(np.float32),
                "converged": points[:256].astype(np.float32) * 1.1,
            },
        )
        _path(run, cell, points[:64].astype(np.float32))
        return
    ids = np.random.default_rng(2)
    grid = np.mgrid[0:28, 0:28] / 27 - 0.5
    radii, stripes = ids.uniform(0.15, 0.45, (16, 2)), ids.integers(2, 9, 16)
    shape = (np.abs(grid[0]) < radii[:, :1, None]) & (np.abs(grid[1]) < radii[:, 1:, None])
    texture = 0.65 + 0.35 * np.sin(stripes[:, None, None] * 12 * grid[0])
    sharp = shape * texture
    images = 255 * np.clip(
        sharp * (1 - blur) + blur * sharp.mean(0) + rng.normal(size=sharp.shape) * 0.02, 0, 1
    )
    whole = (255 * sharp).round().astype(np.uint8)[:, None]
    run.write_pictures(
        cell, {"images": images.round().astype(np.uint8)[:, None], "converged": whole}
    )
    _path(run, cell, whole[:2])


def _path(run: RunDir, cell: str, end: np.ndarray) -> None:
    """Eight levels on the way to ``end``."""
    sigma = np.geomspace(80, 0.01, 8)
    way = np.stack([end * (1 - level / 100) for level in sigma]).astype(end.dtype)
    run.write_trajectories(cell, {"sigma": sigma, "x": way, "d": way, "end": end})
