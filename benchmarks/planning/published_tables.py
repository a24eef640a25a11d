"""Tables of published solvers, read from their authors' files without executing any code."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ...models.checkpoints.opening import AGAIN, CheckpointError, open_checkpoint
from ...models.checkpoints.pickles import PersistentObject, tensors_of
from ...models.checkpoints.processes import betas_of
from ...models.process import VPLinear
from ...results.run_directory.files import LARGEST_JSON, read_regular
from ...samplers.families.linear import LinearRow
from ...samplers.families.tabulated import Table, table_of_rows
from ...samplers.grid import Grid
from ..suites.suite import StrictTable
from .tuned_file import check_table, table_of_numbers

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class PublishedTable:
    """Published solver for one number of steps: its levels and, if the file has them, coefficients.

    Levels end at 0: the state after the last step is the image, even if the file's last level is not quite 0.

    Attributes:
        file: path of the file, for messages.
        grid: levels of the solver.
        table: coefficients, with the level that the network is given at each step; None for levels only.
        sigma_min, sigma_max: range of levels that the table was made for; a ``sigma_min`` of 0 fits any model.
    """

    file: str
    grid: Grid
    table: Table | None
    sigma_min: float
    sigma_max: float


def read_tables(path: Path, part: str, sigma_max: float) -> list[PublishedTable]:
    """Return the tables of a file: ``.json``, a ``.py`` of NeuralSolver, or a ``.pkl`` of DyWeight.

    Args:
        path: the file.
        part: name of the dictionary to read, if a ``.py`` has several; else "".
        sigma_max: highest level of the model, where tables for pure noise begin (:func:`flow_table`).

    Raises:
        ValueError: the file is missing, damaged or of another kind, or has no such ``part``.
    """
    if part and path.suffix != ".py":
        raise ValueError(f"{path} has no parts; leave out part={part!r}")
    if not path.is_file():
        raise ValueError(
            f"schedule published: there is no file {path}; give the file of its authors"
        )
    try:
        if path.suffix == ".json":
            return _read_json(path)
        if path.suffix == ".py":
            return _read_neural_solver(path, part, sigma_max)
        return [_read_dyweight(path)]
    except OSError as error:
        raise ValueError(f"cannot read the table {path}: {error.strerror or error}") from error


class _Numbers(StrictTable):
    """Table of a JSON file; its fields mean the same as in :class:`.TunedEntry`."""

    levels: tuple[float, ...]
    coefficients: tuple[tuple[float, ...], ...] | None = None
    network_levels: tuple[float, ...] | None = None


class _File(StrictTable):
    sigma_min: float
    sigma_max: float
    tables: tuple[_Numbers, ...]


def _read_json(path: Path) -> list[PublishedTable]:
    try:
        file = _File.model_validate_json(read_regular(path, LARGEST_JSON))
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise ValueError(
            f"{path} is no file of tables ({where}: {error.errors()[0]['msg']}); give it sigma_min, "
            "sigma_max and tables, a list of {levels, coefficients, network_levels}"
        ) from None
    if not (file.tables and 0 <= file.sigma_min < file.sigma_max):
        raise ValueError(f"{path} must have tables, and 0 <= sigma_min < sigma_max")
    tables, ends = [], (file.sigma_min, file.sigma_max)
    for each in file.tables:
        steps, given = len(each.levels) - 1, each.network_levels
        check_table(str(path), file.sigma_max, steps, each.levels, each.coefficients, given)
        if given and each.coefficients is None:
            raise ValueError(f"{path} has network_levels without coefficients; give it both")
        table = table_of_numbers(each.coefficients, given)
        tables.append(PublishedTable(str(path), Grid(each.levels), table, *ends))
    return tables


_BETAS = {"ms_coco": (0.00085, 0.012), "lsun_bedroom_ldm": (0.0015, 0.0195)}
"""Ends of the 1000 betas, linear in the square root, of DyWeight's latent models, by data set."""


def _read_dyweight(path: Path) -> PublishedTable:
    """Return the table in a ``network-snapshot-*.pkl`` of DyWeight (Zhao et al. 2026)."""
    value = open_checkpoint(path).value
    found = [value.get(k) for k in ("predictor", "loss_fn")] if isinstance(value, Mapping) else []
    parts = [part for part in found if isinstance(part, PersistentObject)]
    if [part.class_name for part in parts] != ["DyWeight_predictor", "DyWeight_loss"]:
        raise CheckpointError(
            f"{path} is no table of DyWeight; give a network-snapshot-*.pkl from its folder exps"
        )
    predictor, loss = parts
    try:
        arrays = {k: v.detach().double().numpy() for k, v in tensors_of(predictor).items()}
        n, afs = int(predictor.state["num_steps"]) - 1, bool(predictor.state["afs"])
        weights = np.where(arrays["mask"], arrays["hybrid_weights"], 0.0)
        scales = arrays.get("t_scale", np.ones(len(weights) - afs))
        if weights.shape != (n, n) or scales.shape != (n - afs,):
            raise ValueError(f"weights {weights.shape} and scales {scales.shape} for {n} steps")
        if not (np.isfinite(weights).all() and np.isfinite(scales).all()):
            raise ValueError("a weight is not finite")
        levels = _dyweight_levels(n, loss.state)
        grid, table = dyweight_table(levels, weights, scales, analytic_first=afs)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        what = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{path} is a damaged table of DyWeight ({what}); {AGAIN}") from None
    return PublishedTable(str(path), grid, table, float(levels[-1]), float(levels[0]))


def _dyweight_levels(n: int, settings: Mapping[str, Any]) -> Matrix:
    """Return the nominal levels ``(n + 1,)``, falling, by the settings of a DyWeight_loss."""
    kind, rho, u = settings["schedule_type"], settings["schedule_rho"], np.arange(n + 1) / n
    low, high = settings["sigma_min"], settings["sigma_max"]
    if (betas := _BETAS.get(settings.get("dataset_name", ""))) is not None:
        # the authors' sampler takes the range of the model, as here, and not the file's
        signal = np.cumprod(1 - np.array(betas_of("scaled_linear", 1000, *betas)))
        known = np.sqrt(1 / signal - 1)
        low, high = known[0], known[-1]
        if kind == "discrete":
            times = (1 + u * (1e-3 ** (1 / rho) - 1)) ** rho
            log_signal = np.interp(1000 * times - 1, np.arange(1000), -np.log1p(known**2))
            return np.sqrt(np.expm1(-log_signal))
    if kind != "polynomial":
        raise ValueError(f"unknown schedule_type {kind!r}")
    inner = (high ** (1 / rho) + u * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    return np.array([high, *inner[1:-1], low])


def dyweight_table(
    levels: Matrix, weights: Matrix, scales: Matrix, *, analytic_first: bool
) -> tuple[Grid, Table]:
    """Return levels and coefficients of DyWeight's solver (Zhao et al. 2026, arXiv:2603.11607).

    With slopes e_j = (x_j - d_j) / s_j, the step from s_i towards the nominal level t_{i+1} is

        x <- x + (t_{i+1} - s_i) sum_{j <= i} w_ij e_j,   s_{i+1} = s_i + (t_{i+1} - s_i) sum_j w_ij

    Args:
        levels: nominal levels t, falling, ``(n + 1,)``.
        weights: w, lower triangular, ``(n, n)``.
        scales: for each evaluation, the factor from s_i to the level that the network is given, at most s_0.
        analytic_first: True if the first slope is x / sqrt(1 + s²), without an evaluation.

    Raises:
        ValueError, ZeroDivisionError: the levels s do not fall, or a level before the last is not above 0.
    """
    n, s, rows = len(weights), [float(levels[0])], []
    given = [1.0] * analytic_first + scales.tolist()
    for i in range(n):
        step = float(levels[i + 1]) - s[i]
        rows.append(
            LinearRow(
                min(abs(given[i] * s[i]), s[0]),
                a=1.0,
                b=tuple((step * weights[i, i::-1]).tolist()),
                p=1 / s[i],
                q=-1 / s[i],
                gain=1 - s[i] / math.sqrt(1 + s[i] ** 2) if analytic_first and i == 0 else None,
            )
        )
        s.append(s[i] + step * float(weights[i, : i + 1].sum()))
    grid = Grid((*s[:-1], 0.0))
    return grid, table_of_rows(rows, grid)


def _read_neural_solver(path: Path, part: str, sigma_max: float) -> list[PublishedTable]:
    """Return the tables in a Python file of NeuralSolver (Wang et al. 2025), read as literals."""
    try:
        tree = ast.parse(read_regular(path, LARGEST_JSON))
        named = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call | ast.Dict)
            for target in node.targets
            if isinstance(target, ast.Name) and target.id.startswith(tuple(_NEURAL_SOLVERS))
        }
        chosen = [name for name in named if part in ("", name)]
        if len(chosen) != 1:
            what = f"no dictionary {part!r}" if part else "no or several dictionaries of tables"
            choice = f"choose one with part=…: {', '.join(named)}"
            raise ValueError(f"{what}; {choice if named else 'give ns_sampling.py'}")
        name = chosen[0]
        read = _NEURAL_SOLVERS[name.partition("_")[0]]
        tables = []
        for numbers in _literal(named[name]).values():
            steps = np.array(numbers["timedeltas"], dtype=float)
            weights = np.tril(np.array(numbers["coeffs"], dtype=float), -1)
            if weights.shape != (len(steps), len(steps)) or not (steps > 0).all():
                raise ValueError(f"{len(steps)} time steps and coefficients {weights.shape}")
            # the newest value has what is missing to a sum of 1
            weights += np.diag(1 - weights.sum(axis=1))
            grid, table, low, high = read(steps, weights, sigma_max)
            tables.append(PublishedTable(str(path), grid, table, low, high))
        return tables
    except (SyntaxError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{path} has no table of NeuralSolver: {error}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"{path} is no file of NeuralSolver, but nested too deeply") from None


def _literal(node: ast.expr) -> Any:
    """Return the value of a literal that may contain calls of ``dict`` with keywords."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {str(word.arg): _literal(word.value) for word in node.keywords}
    return ast.literal_eval(node)


PURE_NOISE = 1e3
"""Smallest sigma_max of a model whose first state counts as pure noise, where flow tables begin."""


def flow_table(
    steps: Matrix, weights: Matrix, sigma_max: float
) -> tuple[Grid, Table, float, float]:
    """Return grid, table, lowest (0) and first level of NeuralSolver for flows (arXiv:2505.21114).

    On the path y_t = t x0 + (1 - t) z from noise at 0 to data at 1, with v = (d - y) / (1 - t),

        y_{i+1} = y_i + (t_{i+1} - t_i) sum_{j <= i} c_ij v_j,   level = (1 - t) / t,   x = y / t

    On this path the first level is infinite. Here the first level is ``sigma_max``, or 1e4 if
    ``sigma_max`` is below :data:`PURE_NOISE`. The part of the first step above this level is cut off.

    Args:
        steps: t_{i+1} - t_i, ``(n,)``, with a sum near 1.
        weights: c, lower triangular, ``(n, n)``.
        sigma_max: highest level of the model.

    Raises:
        ValueError, ZeroDivisionError: the first step is within the part cut off, or an inner time is >= 1.
    """
    top = sigma_max if sigma_max >= PURE_NOISE else 1e4
    t = [1 / (1 + top), *np.cumsum(steps).tolist()]
    sizes = [t[1] - t[0], *steps[1:].tolist()]
    t[-1] = 1.0  # the last state is the image, and printed steps are rounded
    if not sizes[0] > 0:
        raise ValueError(f"its first step ends at {(1 - t[1]) / t[1]:.4g}, above {top:g}")
    sigma = (top, *((1 - time) / time for time in t[1:-1]), 0.0)
    rows = [
        LinearRow(
            sigma[i],
            a=t[i] / t[i + 1],
            b=tuple((sizes[i] / t[i + 1] * weights[i, i::-1]).tolist()),
            p=-t[i] / (1 - t[i]),
            q=1 / (1 - t[i]),
        )
        for i in range(len(steps))
    ]
    grid = Grid(sigma)
    return grid, table_of_rows(rows, grid), 0.0, top


def vp_table(steps: Matrix, weights: Matrix, _sigma_max: float) -> tuple[Grid, Table, float, float]:
    """Return grid, table, lowest and first level of NeuralSolver for VP models (arXiv:2505.21114).

    Step i, from level s to s', is a step of DDIM with a sum of denoised images:
    s' / s x + (1 - s' / s) sum_{j <= i} c_ij d_j. Times of the levels in the linear VP process fall from
    0.999, and stay at 0.001 or above.
    """
    times = np.maximum(0.999 - np.array([0.0, *np.cumsum(steps)]), 1e-3)
    sigma = [float(VPLinear().level(time)) for time in times.tolist()]
    ratios = [nxt / cur for cur, nxt in pairwise(sigma)]
    rows = [
        LinearRow(cur, a=ratio, b=tuple(((1 - ratio) * weights[i, i::-1]).tolist()))
        for i, (cur, ratio) in enumerate(zip(sigma[:-1], ratios, strict=True))
    ]
    grid = Grid((*sigma[:-1], 0.0))
    return grid, table_of_rows(rows, grid), float(VPLinear().level(1e-3)), sigma[0]


_NEURAL_SOLVERS: dict[str, Callable[..., Any]] = {"FM": flow_table, "DDPM": vp_table}
"""Functions that make NeuralSolver's tables, by the first word of their dictionary's name."""
