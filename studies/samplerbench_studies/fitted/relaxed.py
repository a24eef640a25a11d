r"""Soft teacher of LD3 and S4S: a solver is fitted while its initial noise may move a little.

A solver Psi with the numbers z makes a sample of the initial noise x_s, and the teacher's sample is
e_s. `tune` minimises a mean over s of the hard distance |Psi(x_s; z) - e_s|. LD3 (Tong et al. 2025,
arXiv:2405.15506) and S4S (Frankel et al. 2025, arXiv:2502.17423) minimise the soft distance

    min |Psi(x_s + delta; z) - e_s|     over the moves |delta| <= r sigma_max.

**Meaning.** Let T(x) be x with its best move, and L a Lipschitz constant of Psi. For means over x in
the root-mean-square sense, W the 2-Wasserstein distance of the laws of both samples,

    soft <= hard <= soft + L r sigma_max     and     W <= hard.

If all soft distances are 0, the teacher's law is the student's law with the noise T(x) in place of x.
Then KL(teacher || student) <= r sqrt(d) + r² / 2 + E|log det T'|, if Psi and T are invertible. The
radius bounds the first two terms, but not the last (LD3, theorem 1, has the same three).

**Underdetermined.** For data N(0, s² I) a linear method is Psi(x) = a x, the teacher b x with b > 0.
The soft distance is max(0, |a - b| |x| - |a| r sigma_max): it is 0 for all a near b. So it does not
tell a solver that is right from one that is wrong by less than the noise may move.

**Descent.** By the envelope theorem the slope of a soft distance by z is the slope at the fixed best
move. So both parts alternate, as in LD3. Least squares fit z to the moved noise, without a backward
pass (:func:`samplerbench.benchmarks.tuning.fit`). Then each delta goes down its own slope, which
needs the model's backward pass, back into the ball, and stays only where the distance falls. The
latents that choose z move too, as LD3's validation noise does, so their error never rises.

**Deviations.** LD3 follows gradients of RMSprop and SGD also for z, of LPIPS or a mean square, and
makes one step of fixed length a round for each delta. Here z is fitted by least squares to the mean
distance or another mean, and the steps of delta have lengths of their own. LD3 keeps the network's
levels within half of the smallest gap, and moves neither the first nor the last. The full text of
S4S was not at hand: its loss is taken to be LD3's. S4S-Alt fits levels and coefficients in turn, and
here together.

    python -m samplerbench_studies.fitted.relaxed --model gmm-64d --nfe 5 --recipe ld3 --radius authors
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samplerbench.benchmarks.advice import make_request
from samplerbench.benchmarks.metrics import FrechetEstimate, paired_difference, population_estimate
from samplerbench.benchmarks.sampling import clamp, latents
from samplerbench.benchmarks.tuning import (
    OBJECTIVES,
    TEST_IDS,
    TRAIN_IDS,
    FreeKind,
    FreeParameters,
    Runs,
    TuningProblem,
    candidate_grids,
    fit,
    power_mean,
    project_grid,
    tuning_problem,
)
from samplerbench.models import Denoiser
from samplerbench.samplers import Grid, NoNoise, Sampler, make

from ..gradient import slopes_by_noise


class Stage(NamedTuple):
    """Numbers that are free at a time: a kind, and the levels that the network is given."""

    what: FreeKind
    network_levels: bool = False


RECIPES: dict[str, tuple[Stage, ...]] = {
    "ld3": (Stage("levels"), Stage("levels", network_levels=True)),
    "s4s": (Stage("coefficients"),),
    "s4s-alt": (Stage("coefficients"), Stage("both")),
}
"""Stages by method; each starts from the result of the one before."""

LATENTS = (50, 50)
"""Numbers of latents to fit to, and to choose by, as in LD3."""
MOVES = 10
"""Number of slopes by the noise in a round."""
ROUNDS = 3
"""Largest number of rounds of a stage."""
ENOUGH = 0.003
"""Smallest relative gain of a round for the stage to continue."""
TESTED, DRAWN, BATCH = 256, 4000, 250


def authors_radius(dim: int, steps: int) -> float:
    """Return LD3's radius in units of sigma_max, for ``dim`` values a sample and ``steps`` steps.

    It is 0.001 dim / steps² (``adjust_hyper`` in ``utils.py`` of github.com/vinhsuhi/LD3).
    """
    return 0.001 * dim / steps**2


@dataclass(eq=False)
class SoftTeacher:
    """Problem whose initial noise may move within balls.

    Attributes:
        problem: the problem with the noise as drawn.
        radius: largest Euclidean length of a move, in units of sigma_max, >= 0.
        moved: the same problem with the moved noise, for all that measures distances or fits.

    Raises:
        ValueError: the radius is negative or not finite.
    """

    problem: TuningProblem
    radius: float

    def __post_init__(self) -> None:
        if not 0 <= self.radius < np.inf:
            raise ValueError(f"radius {self.radius:g} of a soft teacher: give a number >= 0")
        self.moved = replace(self.problem)
        self._drawn = torch.cat([x for _, x in self.problem.batches])

    @property
    def noise(self) -> Tensor:
        """Moved states at sigma_max ``(n, *event)``."""
        return torch.cat([x for _, x in self.moved.batches])

    def move(self, sampler: Sampler, grid: Grid, moves: int = MOVES) -> NDArray[np.float64]:
        """Move each latent's noise downhill; return distances ``(n,)``, none larger than before.

        A step that gains doubles its latent's next step, and one that does not is undone and
        followed by one of a quarter. ``moves`` is the number of steps.

        Raises:
            ValueError: the model has no backward pass, or the sampler no table of coefficients.
        """
        if self.radius == 0:
            return self.moved.distances(sampler, grid)
        x = self.noise
        squares, slopes = slopes_by_noise(self.moved, sampler, grid)
        reach = self.radius * self.problem.model.sigma_max
        lengths = reach / _norms(slopes).clamp(min=torch.finfo(x.dtype).tiny)
        for _ in range(moves):
            trial = self._into_ball(x - lengths * slopes)
            self._place(trial)
            found, steeper = slopes_by_noise(self.moved, sampler, grid)
            better = found < squares
            squares = torch.where(better, found, squares)
            gained = better.reshape(lengths.shape)
            x, slopes = torch.where(gained, trial, x), torch.where(gained, steeper, slopes)
            lengths = lengths * torch.where(gained, 2.0, 0.25).to(lengths.dtype)
        self._place(x)
        return squares.sqrt().cpu().numpy()

    def _into_ball(self, x: Tensor) -> Tensor:
        """Return the nearest states whose moves have at most the radius."""
        shift = x - self._drawn
        reach = self.radius * self.problem.model.sigma_max
        return self._drawn + shift * (reach / _norms(shift).clamp(min=reach))

    def _place(self, x: Tensor) -> None:
        ids = [ids for ids, _ in self.problem.batches]
        parts = x.split([len(part) for part in ids])
        self.moved.batches = list(zip(ids, parts, strict=True))


def _norms(x: Tensor) -> Tensor:
    """Return the Euclidean norms of rows ``(n, *event)``, in a shape that multiplies them."""
    return x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.ndim - 1))


class Fitted(NamedTuple):
    """Solver that was fitted with a soft teacher.

    Attributes:
        sampler, grid: the solver and its levels.
        losses: soft error of the latents that choose, at the start and after each part of a round.
        teacher: the teacher with the noise where it was moved.
    """

    sampler: Sampler
    grid: Grid
    losses: tuple[float, ...]
    teacher: SoftTeacher


def fit_relaxed(
    problem: TuningProblem,
    sampler: Sampler,
    grid: Grid,
    stages: Sequence[Stage],
    radius: float,
    equations: int = LATENTS[0],
    power: int = 1,
) -> Fitted:
    """Fit a solver to a soft teacher, from ``sampler`` on ``grid`` on, a stage at a time.

    Args:
        problem: latents with converged endpoints.
        sampler: deterministic linear method that makes one evaluation a step.
        grid: its levels, from the model's sigma_max to 0.
        stages: free numbers, one after the other, such as one of :data:`RECIPES`.
        radius: largest length of a move in units of sigma_max; 0 is the hard teacher.
        equations: number of latents to fit to; the others choose the step.
        power: exponent of the power mean of distances: 2 for a mean square, 0 for the geometric mean.

    Raises:
        ValueError: the radius is negative, no latent is left to choose by, the model has no
            backward pass, or the sampler no table of coefficients.
    """
    if not 0 < equations < len(problem.ids):
        raise ValueError(
            f"{equations} of {len(problem.ids)} latents to fit to; give at least 1, and leave one to choose by"
        )
    model, teacher = problem.model, SoftTeacher(problem, radius)
    if any(stage.what != "coefficients" for stage in stages):
        grid = project_grid(grid, model.sigma_min, model.sigma_max)

    def soft_error(distances: NDArray[np.float64]) -> float:
        return power_mean(distances[equations:], power)

    losses = [soft_error(problem.distances(sampler, grid))]
    for stage in stages:
        for _ in range(ROUNDS):
            before = losses[-1]
            losses.append(soft_error(teacher.move(sampler, grid)))
            free = FreeParameters(
                sampler,
                grid,
                model.sigma_min,
                model.sigma_max,
                stage.what,
                network_levels=stage.network_levels,
            )
            runs = Runs(
                model, problem.ids, problem.seed, teacher.noise, problem.endpoints, len(problem.ids)
            )
            found = fit(free, runs.differences_from_ends, equations, power)
            sampler, grid = found.sampler, found.grid
            losses.append(found.after)
            if found.after > (1 - ENOUGH) * before:
                break
    return Fitted(sampler, grid, tuple(losses), teacher)


class Score(NamedTuple):
    """Errors of a solver on other latents, whose noise does not move.

    Attributes:
        rms, median: of the distances to the endpoints.
        law: Fréchet distance of samples to exact data, in the model's features, without bias.
    """

    rms: float
    median: float
    law: FrechetEstimate


def score(test: TuningProblem, sampler: Sampler, grid: Grid, data: Tensor) -> Score:
    """Score a solver on the latents of ``test``, and the law of its samples against exact data.

    ``data`` ``(m, *event)`` are exact samples; as many latents after those of ``test`` are sampled.

    Raises:
        ValueError: the model has no reference with features.
    """
    reference = test.model.reference()
    if reference is None:
        raise ValueError(f"model {test.model.name} has no features to compare its samples in")
    first = int(test.ids[-1]) + 1
    samples = _samples(test.model, torch.arange(first, first + len(data)), test.seed, sampler, grid)
    features = [
        np.concatenate(
            [reference.extractor(part) for part in clamp(x, reference.clamp)[0].split(BATCH)]
        )
        for x in (samples, data)
    ]
    distances = test.distances(sampler, grid)
    return Score(
        power_mean(distances, OBJECTIVES["rms"]),
        float(np.median(distances)),
        population_estimate(*features),
    )


@torch.no_grad()
def _samples(model: Denoiser, ids: Tensor, seed: int, sampler: Sampler, grid: Grid) -> Tensor:
    return torch.cat(
        [
            sampler.sample(
                model.bind(part, seed),
                latents(model, part, seed, model.dtype)[0],
                grid,
                NoNoise(),
            )
            for part in ids.split(BATCH)
        ]
    )


def best_grid(problem: TuningProblem, sampler: Sampler, steps: int, power: int) -> Grid:
    """Return the built-in levels, as `tune` takes them, on which the hard error is least."""
    untuned, early = candidate_grids(steps, problem.model)
    errors = {g: power_mean(problem.distances(sampler, g), power) for g in [*untuned, *early]}
    return min(errors, key=errors.__getitem__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="as run takes it, with exact data")
    parser.add_argument("--sampler", default="dpmpp_2m")
    parser.add_argument("--nfe", default="5,8", help="budgets")
    parser.add_argument("--recipe", choices=RECIPES, default="ld3")
    parser.add_argument(
        "--radius", default="0,0.01,0.1", help="in units of sigma_max; or 'authors', LD3's"
    )
    parser.add_argument("--latents", default="50,50", help="to fit to, and to choose by")
    parser.add_argument("--objective", choices=OBJECTIVES, default="mean")
    parser.add_argument("--seeds", default="0,1,2")
    args = parser.parse_args(arguments)
    try:
        print_rows(args)
    except ValueError as refused:
        parser.error(str(refused))


def print_rows(args: argparse.Namespace) -> None:
    """Print a row for each seed, budget and radius, of a command line's arguments.

    The first radius starts from the sampler on its best built-in levels. The others go on from its
    result, and are compared with it.

    Raises:
        ValueError: a setting is refused, or the model has no exact data.
    """
    model, sampler = make_request(args.model, "cpu", 0, "card", ()).model, make(args.sampler)
    equations, choosing = (int(text) for text in args.latents.split(","))
    power = OBJECTIVES[args.objective]
    print("| seed | evaluations | radius | error, hard → soft | rms | median | Fréchet | change |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for seed in (int(text) for text in args.seeds.split(",")):
        train = tuning_problem(model, TRAIN_IDS, equations + choosing, seed)
        test = tuning_problem(model, TEST_IDS, TESTED, seed)
        data = model.data(DRAWN, seed)
        if data is None:
            raise ValueError(f"model {args.model} has no exact data to compare its samples with")
        for budget in (int(text) for text in args.nfe.split(",")):
            steps, laws = budget // model.passes, []
            grid = best_grid(train, sampler, steps, power)
            for problem in (train, test):
                problem.converge_endpoints((sampler, grid))
            authors = authors_radius(int(np.prod(model.event)), steps)
            solver, levels = sampler, grid
            for text in args.radius.split(","):
                radius = authors if text == "authors" else float(text)
                found = fit_relaxed(
                    train, solver, levels, RECIPES[args.recipe], radius, equations, power
                )
                got = score(test, found.sampler, found.grid, data)
                if not laws:
                    solver, levels = found.sampler, found.grid
                laws.append(got.law)
                change, se = paired_difference(laws[-1], laws[0])
                print(
                    f"| {seed} | {budget} | {radius:.3g} | {found.losses[0]:.3g} → "
                    f"{found.losses[-1]:.3g} | {got.rms:.3g} | {got.median:.3g} | "
                    f"{got.law.value:.3g} | {change:+.3g} ± {se:.2g} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
