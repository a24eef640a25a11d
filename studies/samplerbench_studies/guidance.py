"""Guidance on an exact mixture with classes: orders of samplers, and CFG++ beside guidance at other scales.

The mixture's conditional density p(x | c) is known. Nothing has the density p(x | c)^w p(x)^(1 - w)
at every level as its marginal, so the truth of guided sampling is the end of its ODE.

    python -m samplerbench_studies.guidance orders
    python -m samplerbench_studies.guidance scales
    python -m samplerbench_studies.guidance gains
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from samplerbench.benchmarks.metrics import energy_distance
from samplerbench.results.comparison import Evidence, judge_table
from samplerbench.samplers import Grid, Sampler, karras, make

LABEL = 0
DIM = 8
STEPS = (5, 10, 20)
LAMBDAS = (0.2, 0.6, 1.0)
LEVELS = (0.01, 20.0)
INTERIOR = (0.15, 3.0)
"""Levels for measuring orders: near 0 every method drops to order 1."""
SAMPLES = 1000

Scale = Callable[[float], float | None]


@dataclass(frozen=True)
class Mixture:
    """Equal round Gaussians in classes: as exact as GaussianMixture, and fast on many rows.

    Attributes:
        means: ``(K, d)``.
        classes: class of each component, ``(K,)``.
        std: standard deviation of each component.
    """

    means: Tensor
    classes: Tensor
    std: float

    def shares(self, x: Tensor, sigma: float) -> Tensor:
        """Return the probability of each component given a noisy x, ``(n, K)``."""
        return (-torch.cdist(x, self.means).square() / (2 * (self.std**2 + sigma**2))).softmax(1)

    def denoise(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """Return E[x0 | x, class :data:`LABEL`] and E[x0 | x]."""
        shares, keep = self.shares(x, sigma), self.std**2 / (self.std**2 + sigma**2)
        own = shares * (self.classes == LABEL)
        own = own / own.sum(1, keepdim=True)
        label, free = (keep * x + (1 - keep) * (part @ self.means) for part in (own, shares))
        return label, free

    def draw(self, n: int, seed: int) -> Tensor:
        """Return ``n`` samples of p(x | class :data:`LABEL`), ``(n, d)``."""
        rng = torch.Generator().manual_seed(seed)
        means = self.means[self.classes == LABEL]
        picked = torch.randint(len(means), (n,), generator=rng)
        return means[picked] + self.std * torch.randn(
            n, self.means.shape[1], generator=rng, dtype=torch.float64
        )


def make_mixture() -> Mixture:
    """Make six components of three overlapping classes in eight dimensions."""
    rng = torch.Generator().manual_seed(0)
    means = 0.4 * torch.randn(6, DIM, generator=rng, dtype=torch.float64)
    return Mixture(means, torch.tensor([0, 0, 1, 1, 2, 2]), 0.5)


@dataclass(frozen=True)
class Guided:
    """Guided denoiser of class :data:`LABEL`, with a scale that depends on the level.

    Attributes:
        model: the exact mixture.
        scale: guidance scale as a function of the level; None for the conditional model alone.
    """

    model: Mixture
    scale: Scale

    def __call__(self, x: Tensor, sigma: Any) -> Tensor:
        """Return the guided image."""
        return self.both(x, sigma)[0]

    def both(self, x: Tensor, sigma: Any) -> tuple[Tensor, Tensor]:
        """Return the guided and the unguided image; without guidance, the conditional one twice."""
        label, free = self.model.denoise(x, float(sigma))
        w = self.scale(float(sigma))
        return (label, label) if w is None else (torch.lerp(free, label, w), free)

    def take(self, rows: Tensor) -> Guided:  # noqa: ARG002 - all rows have one label
        """Return the same denoiser for any rows."""
        return self


def constant(w: float | None) -> Scale:
    """Return the scale w at every level."""
    return lambda _: w


def inside(w: float, low: float, high: float) -> Scale:
    """Return the scale w at levels in (low, high], and no guidance elsewhere."""
    return lambda sigma: w if low < sigma <= high else None


def per_step(w: float, grid: Grid, power: int) -> Scale:
    """Return w (1 - nxt / cur)^power at the levels of each step, from cur to above nxt."""
    steps = list(grid.intervals())

    def scale(sigma: float) -> float:
        cur, nxt = next((step for step in steps if sigma > step[1]), steps[-1])
        return w * (1 - nxt / cur) ** power

    return scale


def latents(n: int, seed: int) -> Tensor:
    """Return standard normal noise ``(n, d)``."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, DIM, generator=rng, dtype=torch.float64)


def interior_grid(n: int) -> Grid:
    """Return ``n`` steps of equal length in log sigma over :data:`INTERIOR`."""
    low, high = INTERIOR
    return Grid(tuple(high * (low / high) ** (i / n) for i in range(n + 1)))


# Orders

ORDERS = [
    "euler",
    "heun",
    "dpm_solver_2",
    "dpmpp_2s",
    "dpmpp_2m",
    "unipc_2",
    "ipndm",
    "res_3s",
    "dpmpp_3m",
    "warped_ab_3",
    "auto",
]
FEW = (64,)
MANY = tuple(range(64, 96, 2))
"""Numbers of steps for an interval whose ends lie somewhere in a step, in each grid elsewhere."""
EXACT = 1024


def solve_pieces(model: Mixture, x: Tensor, w: float, ends: Sequence[float]) -> Tensor:
    """Return the guided ODE's states at the last of ``ends``; every second piece has scale w."""
    sampler = make("dpmpp_3s")
    for piece, (high, low) in enumerate(pairwise(ends)):
        levels = tuple(high * (low / high) ** (i / EXACT) for i in range(EXACT + 1))
        scale = constant(w if piece % 2 or len(ends) == 2 else None)
        x = sampler.sample(Guided(model, scale), x, Grid(levels))
    return x


def error(sampler: Sampler, guided: Guided, grid: Grid, x: Tensor, truth: Tensor) -> float:
    """Return the median over samples of the distance to the truth."""
    return float((sampler.sample(guided, x, grid) - truth).norm(dim=1).median())


def order(
    sampler: Sampler,
    guided: Callable[[Grid], Guided],
    x: Tensor,
    truth: Tensor,
    counts: Sequence[int] = FEW,
) -> str:
    """Return the order from the mean errors with these numbers of steps, and with twice as many."""
    coarse, fine = (
        sum(
            error(sampler, guided(grid), grid, x, truth)
            for grid in map(interior_grid, (factor * n for n in counts))
        )
        for factor in (1, 2)
    )
    return f"{math.log2(coarse / fine):.2f}"


def order_rows() -> Iterator[tuple[str, ...]]:
    """Yield a row of orders for each sampler, and the errors with 10 steps."""
    model, x = make_mixture(), INTERIOR[1] * latents(64, 1)
    high, low = INTERIOR[1], INTERIOR[0]
    at = {share: high * (low / high) ** share for share in (0.25, 0.2718, 0.7071, 0.75)}
    cases: list[tuple[str, Callable[[Grid], Guided], Tensor]] = []
    for w in (1.0, 3.0, 7.5):
        truth = solve_pieces(model, x, w, (high, low))
        cases.append((f"w = {w:g}", lambda _, w=w: Guided(model, constant(w)), truth))
    for name, first, last in (("off the levels", 0.2718, 0.7071), ("on levels", 0.25, 0.75)):
        truth = solve_pieces(model, x, 3.0, (high, at[first], at[last], low))
        guided = Guided(model, inside(3.0, at[last], at[first]))
        cases.append((f"interval {name}", lambda _, guided=guided: guided, truth))
    yield (
        "sampler",
        *(f"order, {name}" for name, *_ in cases),
        *(f"10 steps, {name}" for name, *_ in cases[:3]),
    )
    ten = interior_grid(10)
    for name in ORDERS:
        sampler = make(name)
        orders = (
            order(sampler, guided, x, truth, MANY if "off" in label else FEW)
            for label, guided, truth in cases
        )
        coarse = (error(sampler, guided(ten), ten, x, truth) for _, guided, truth in cases[:3])
        yield (name, *orders, *(f"{value:.2g}" for value in coarse))
    _, _, truth = cases[1]
    for name in ("euler", "heun", "dpmpp_2m", "res_3s"):
        sampler = make("cfgpp", sampler=name)
        shrinking = order(sampler, lambda grid: Guided(model, per_step(3.0, grid, 1)), x, truth)
        fixed = (
            error(sampler, Guided(model, constant(0.5)), interior_grid(n), x, truth)
            for n in (5, 10, 20, 40, 80)
        )
        yield (
            f"cfgpp({name})",
            f"scale 3 (1 - nxt / cur): order {shrinking}",
            f"scale 0.5, distance to w = 3 with 5, 10, … 80 steps: {', '.join(f'{v:.2g}' for v in fixed)}",
        )


# Scales and gains


def draw(
    model: Mixture, sampler: str, steps: int, rule: Callable[[Grid], Scale], seed: int
) -> Tensor:
    """Return samples ``(n, d)`` with ``steps`` steps, guided at the scale that ``rule`` makes."""
    grid = karras(steps, *LEVELS)
    return make(sampler).sample(Guided(model, rule(grid)), LEVELS[1] * latents(SAMPLES, seed), grid)


def distance(a: Tensor, b: Tensor) -> Any:
    """Return the energy distance of two independent sets."""
    return energy_distance(a.numpy(), b.numpy())


Kind = Callable[[float], tuple[str, Callable[[Grid], Scale]]]
"""Sampler and rule of the scale, from a number."""


def kinds(sampler: str) -> dict[str, Kind]:
    """Return the kinds of guidance that are compared, from one number each, for a sampler."""
    return {
        "guidance": lambda w: (sampler, lambda _: constant(w)),
        "CFG++": lambda w: (f"cfgpp(sampler={sampler!r})", lambda _: constant(w)),
        "guidance, w / (1 - nxt / cur)": lambda w: (sampler, lambda grid: per_step(w, grid, -1)),
    }


def best_number(model: Mixture, kind: Kind, steps: int, target: Tensor, rounds: int = 12) -> float:
    """Return the number whose samples are nearest to a target, by golden section in its logarithm."""
    ratio, low, high = (math.sqrt(5) - 1) / 2, math.log(0.05), math.log(60.0)

    def at(place: float) -> float:
        sampler, rule = kind(math.exp(place))
        x = draw(model, sampler, steps, rule, 2)
        return distance(x, target).value if bool(x.isfinite().all()) else math.inf

    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = at(a), at(b)
    for _ in range(rounds):
        if at_a < at_b:
            high, b, at_b, a = b, a, at_a, b - ratio * (b - low)
            at_a = at(a)
        else:
            low, a, at_a, b = a, b, at_b, a + ratio * (high - a)
            at_b = at(b)
    return math.exp(a if at_a < at_b else b)


def scale_rows() -> Iterator[tuple[str, ...]]:
    """Yield the scale of guidance that is nearest to CFG++ at each scale and number of steps."""
    model = make_mixture()
    yield (
        "sampler",
        "steps",
        "lambda",
        "nearest w",
        "energy distance",
        "± se",
        "p(x | c) to CFG++",
    )
    for sampler in ("euler", "dpmpp_2m"):
        guidance, plus, _ = kinds(sampler).values()
        for steps in (*STEPS, 40, 80):
            for lam in LAMBDAS:
                target = draw(model, *_at(plus, lam, steps), 1)
                w = best_number(model, guidance, steps, target)
                best = distance(draw(model, *_at(guidance, w, steps), 3), target)
                truth = distance(model.draw(SAMPLES, 7), target)
                numbers = (f"{w:.2f}", f"{best.value:.4f}", f"{best.se:.4f}", f"{truth.value:.3f}")
                yield (sampler, str(steps), f"{lam:g}", *numbers)


def _at(kind: Kind, number: float, steps: int) -> tuple[str, int, Callable[[Grid], Scale]]:
    sampler, rule = kind(number)
    return sampler, steps, rule


def gain_rows() -> Iterator[tuple[str, ...]]:
    """Yield distances to two truths, of each kind of guidance at its best number on other latents."""
    model = make_mixture()
    ends = draw(model, "dpmpp_2m", 200, lambda _: constant(3.0), 5)
    targets = {"p(x | c)": model.draw(SAMPLES, 7), "end of the ODE at w = 3": ends}
    rows: list[tuple[str, ...]] = []
    evidence: list[Evidence | None] = []
    for name, target in targets.items():
        for sampler in ("euler", "dpmpp_2m"):
            for steps in STEPS:
                first = None
                for label, kind in kinds(sampler).items():
                    number = best_number(model, kind, steps, target)
                    found = distance(draw(model, *_at(kind, number, steps), 3), target)
                    first = first or found
                    parts = (
                        found.influence - first.influence,
                        found.reference_influence - first.reference_influence,
                    )
                    se = math.sqrt(sum(float(part.var()) / len(part) for part in parts))
                    gap = Evidence(found.value - first.value, se, 0.002)
                    evidence.append(None if found is first else gap)
                    rows.append(
                        (
                            name,
                            sampler,
                            str(steps),
                            label,
                            f"{number:.2f}",
                            f"{found.value:.4f}",
                            f"{found.se:.4f}",
                        )
                    )
    yield (
        "target",
        "sampler",
        "steps",
        "kind",
        "best number",
        "energy distance",
        "± se",
        "against guidance",
    )
    for row, verdict in zip(rows, judge_table(evidence), strict=True):
        yield (*row, verdict)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    tables = {"orders": order_rows, "scales": scale_rows, "gains": gain_rows}
    parser.add_argument("table", choices=tables)
    for i, row in enumerate(tables[parser.parse_args().table]()):
        print(f"| {' | '.join(row)} |", flush=True)
        if i == 0:
            print("|---" * len(row) + "|")


if __name__ == "__main__":
    main()
