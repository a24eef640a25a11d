"""Endpoints to compare samples with one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from numpy.typing import NDArray

from ....models import Denoiser
from ....models.exact.base import ExactModel
from ....results.run_directory.run_dir import RunDir
from ...suites.cell import Cell
from .doubling import Endpoints
from .endpoints import endpoints, path_endpoints

Truth = Callable[..., Endpoints]
"""One of :func:`.endpoints` and :func:`.path_endpoints`."""


def truth_of(model: Denoiser, cell: Cell) -> Truth | None:
    """Return the kind of endpoints for a cell's samples; None for samples without a limit.

    A pathwise limit needs a sampler that claims to converge to it, and an exact denoiser, since it
    takes thousands of evaluations. The Gaussian start follows the ODE, not the path. The path of a
    few-step map is known at its end alone.
    """
    if model.kind == "map":
        return None
    if not cell.sampler.stochastic:
        return endpoints
    claims = getattr(cell.sampler, "strong_order", None) is not None
    follows = (
        cell.noise == "brownian"
        and claims
        and cell.start.name != "gaussian"
        and isinstance(model, ExactModel)
    )
    return path_endpoints if follows else None


def truths_of(
    run: RunDir,
    model: Denoiser,
    solved: Denoiser,
    cells: Sequence[Cell],
    whole: Callable[[Cell], NDArray],
    stage: Callable[[str], None],
) -> Mapping[Truth | None, Endpoints]:
    """Return converged endpoints of both kinds, where cells need them.

    Their required accuracy depends on the cells' own results.

    Args:
        run: stores them.
        model: of the cells.
        solved: the same model, with counted evaluations.
        cells: to be compared.
        whole: gives the samples of a cell that were stored whole, ``(k, *event)``.
        stage: receives the present stage.
    """
    truths: dict[Truth | None, Endpoints] = {}
    for truth in (endpoints, path_endpoints):
        comparable = [cell for cell in cells if truth_of(model, cell) is truth]
        if comparable:
            measured = [whole(cell) for cell in comparable]
            first, count = comparable[0], max(map(len, measured))
            kind = "endpoints" if truth is endpoints else "paths"
            stage(f"{first.model}: converged {kind} of {count} samples")
            truths[truth] = truth(
                run,
                solved,
                first.seed,
                first.dtype,
                first.device,
                count,
                first.batch_size,
                measured,
            )
    return truths
