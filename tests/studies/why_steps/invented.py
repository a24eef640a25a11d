"""Measurements that nobody made: of the shape of a full run, for what is told of them."""

import numpy as np

from samplerbench.models.mmse import Estimate, MMSECurve, gammas
from samplerbench_studies.why_steps.measuring import (
    big_steps,
    cold,
    collapse,
    equal_steps,
    first_schedule,
    grid_searches,
    guiding,
    jumping,
    latent_space,
    learning,
    locality,
    memorising,
    no_noise,
    one_jump,
    one_level,
    one_shot,
    one_step,
    shrinking,
    solver,
    stability,
)  # fmt: skip
from samplerbench_studies.why_steps.statistics import single_steps
from samplerbench_studies.why_steps.statistics.deciding import ClassCourse
from samplerbench_studies.why_steps.statistics.intervals import Interval


def about(value, half=0.01):
    return Interval(value, value - half, value + half)


def falling(counts, start=100.0, power=1.0):
    return [start / n**power for n in counts]


def line(counts, start=100.0):
    return [about(value, 0.1 * value) for value in falling(counts, start)]


def rising(counts):
    return [about(1 - 0.9 / n) for n in counts]


def jump():
    tiles = np.linspace(-1, 1, one_jump.SHOWN * 28 * 28, dtype=np.float32).reshape(-1, 1, 28, 28)

    def measured(steps, pictured):
        distance = about(100 / steps, 3)
        spectrum = np.linspace(1, 1 / steps, 14) if pictured else np.empty(0)
        return one_jump.JumpResult(
            steps,
            about(1 - 0.99 / steps),
            about(0.8 - 0.75 / steps),
            2000 / steps,
            0.8,
            2.0,
            distance,
            distance,
            spectrum,
            tiles,
        )

    return {
        name: [measured(n, name != "plain") for n in one_jump.STEPS] for name in one_jump.MODELS
    }


def candidates():
    levels = np.asarray(shrinking.LEVELS)
    entropy = np.log1p(levels) * np.random.default_rng(0).uniform(0.9, 1.1, (40, 1))
    paths = shrinking.PathEntropies(levels, entropy, 7.5)
    known = {
        name: [Estimate(1 / level, 0.01) for level in shrinking.SHOWN]
        for name in ("fashion-mppca", "fashion", "digits-cloud")
    }
    return shrinking.CandidatesResult(paths, paths, paths, known, about(0.2))


def stairs():
    gamma = gammas(big_steps.LOW, big_steps.HIGH, 33)
    curve = MMSECurve(gamma, np.outer((0.9, 1.0, 1.1), 200 / (1 + gamma)))
    lost = {
        grid: [
            big_steps.Losses(n, about(5e4 / n, 100 / n), about(160 / n, 1))
            for n in big_steps.COUNTS
        ]
        for grid in (*big_steps.GRIDS, big_steps.OPTIMAL)
    }
    single = {
        name: [single_steps.Transition(r, about(r**2), about(0.1 * r)) for r in single_steps.RATIOS]
        for name in single_steps.DRAWS
    }
    return big_steps.BigStepsResult(curve, lost, single, ["N = 192 is below 15 d = 1920", ""])


def quiet():
    counts, fine = no_noise.COUNTS, no_noise.FINE
    errors = {name: falling(fine, 1, order) for order, name in enumerate(no_noise.QUIET, 1)}
    quality = {name: line(counts) for name in no_noise.SAMPLERS}
    return no_noise.NoNoiseResult(
        counts, quality, [about(0, 0.5)] * len(counts), about(180), fine, errors, 104.0, ["", ""]
    )


def clocks():
    counts = one_step.COUNTS
    errors = {one_step.CLOCKS[0]: falling(counts, 1), one_step.CLOCKS[1]: [1e-16] * len(counts)}
    distances = {clock: line(counts) for clock in one_step.CLOCKS}
    return one_step.OneStepResult(
        counts, distances, errors, {clock: about(150) for clock in one_step.CLOCKS}, 104.0, []
    )


def collapsed():
    counts, names = collapse.COUNTS, collapse.SAMPLES
    shares = {name: rising(counts) for name in names}
    copies = {name: [about(0.0, 0.01)] * len(counts) for name in ("digits", "digits-cloud")}
    modes = {name: shares[name] for name in collapse.MODES}
    return collapse.CollapseResult(
        counts, names, shares, modes, copies, {name: [1.0] * len(counts) for name in names}
    )


def by_heart():
    tiles = np.linspace(-1, 1, 2 * one_shot.SHOWN * 784, dtype=np.float32).reshape(-1, 1, 28, 28)

    def fitted(pairs, known, fresh):
        kept = about(0.5, 0.05)
        return one_shot.OneShotResult(pairs, about(known), about(fresh), kept, about(9, 2), tiles)

    errors = {
        "coupled": ((0.03, 1.1), (0.1, 0.8), (0.2, 0.3), (0.2, 0.22)),
        "independent": ((0.03, 1.2), (0.1, 1.8), (0.3, 1.5), (0.9, 1.1)),
    }
    networks = {
        coupling: [fitted(n, *two) for n, two in zip(one_shot.NUMBERS, pairs, strict=True)]
        for coupling, pairs in errors.items()
    }
    levels = np.asarray(stability.LEVELS)
    rates = stability.Eigenvalues(*(np.full(len(levels), rate) for rate in (-1.0, 0.5, 2.0)))
    counts = stability.COUNTS
    spread = {"euler": rising(counts), "euler in log σ": line(counts, 1e3), "heun": line(counts)}
    rows = [
        equal_steps.Comparison(
            model, name, steps, 0.1, about(0.9), *[about(9) if model == "fashion" else None] * 2
        )
        for model in ("gmm-64d", "fashion")
        for name, several in equal_steps.STEPS.items()
        for steps in several
    ]
    return memorising.MemorisingResult(
        one_shot.OneShotResults(networks, 100.0, about(2), tiles, ["few samples"]),
        stability.StabilityResult(
            dict.fromkeys(stability.MODELS, rates),
            {name: (levels / (1 + levels**2)).tolist() for name in stability.MODELS},
            levels.tolist(),
            counts,
            spread,
            {name: falling(counts, 1.0) for name in spread},
            {
                name: {"uniform in log σ": about(135), "karras": about(16)}
                for name in stability.TRIED
            },
        ),
        equal_steps.EqualStepsResult(rows, [*np.geomspace(80, 0.002, 10).tolist(), 0.0], [""]),
    )


def solved():
    steps = solver.STEPS
    orders = dict(zip(solver.SOLVERS, (1, 2, 2, 3, 3, 4), strict=True))
    return [
        solver.SolverCurve(
            name,
            steps,
            order,
            steps,
            [1e-5 * n for n in steps],
            falling(steps, 10, order),
            about(order),
        )
        for name, order in orders.items()
    ]


def guided():
    levels = np.geomspace(80, 0.3, 32)
    courses = {
        scale: ClassCourse(
            np.outer(1 / (1 + levels / scale), (0.9, 1.0)), np.outer(1 + levels / 9, (1.0, 1.0))
        )
        for scale in guiding.SCALES
    }
    outcomes = {
        name: {
            scale: guiding.Outcome(about(0.9), about(1 / scale**0.2)) for scale in guiding.SCALES
        }
        for name in guiding.STEPS
    }
    return guiding.GuidanceResult(
        levels.tolist(),
        courses,
        {scale: about(3 * scale) for scale in guiding.SCALES},
        about(2.5),
        0.01,
        outcomes,
    )


def fields():
    radii = {
        kind: [about(1 + level, 0.1) for level in np.linspace(0, 7, len(locality.LEVELS))]
        for kind in locality.MODELS
    }
    pictures = {kind: [np.eye(28)] * len(locality.LEVELS) for kind in locality.MODELS}
    return locality.LocalityResult(radii, {kind: about(5) for kind in locality.MODELS}, pictures)


def jumped():
    jumps, counts = tuple(jumping.JUMPS), jumping.COUNTS
    levels = np.geomspace(80, 0.1, 8)
    rows = (jumping.PREDICTION, "1 jump", "2 jumps", "4 jumps", jumping.END)
    tiles = np.linspace(-1, 1, jumping.SHOWN * 28 * 28, dtype=np.float32).reshape(-1, 28, 28)
    return jumping.JumpingResult(
        jumps,
        line(jumps, 8.0),
        counts,
        {name: line(counts, 80.0) for name in jumping.SAMPLERS},
        Interval(10.4, 9.1, 12.0),
        about(-2.0, 0.9),
        [about(-72, 2), about(-36, 2), about(1.2, 0.5)],
        3.5e5,
        4.0e6,
        [10.1, 20.0, np.inf],
        {name: jumping.Likeness(about(0.9), 0.7, 0.9) for name in (*rows, jumping.REAL)},
        levels.tolist(),
        [about(0.4 * level / (1 + level)) for level in levels],
        [about(0.6 * level / (1 + level)) for level in levels],
        about(0.03),
        about(-0.6),
        about(0.2, 0.1),
        about(18.6),
        dict.fromkeys(rows, tiles),
        126.0,
        ["N = 192 is below 15 d = 1920", ""],
    )


def oldest():
    counts, betas = first_schedule.COUNTS, list(first_schedule.BETAS)
    shown = list(first_schedule.SHOWN)
    tiles = np.arange(len(shown) * first_schedule.PICTURED * 28 * 28) % 3 == 0
    binary = first_schedule.Binary(
        [about(0.25 + 0.45 / n) for n in counts],
        [about(9e4 / n, 900 / n) for n in counts],
        ["", ""],
        about(0.45),
        about(8e4, 900),
        about(0.003),
        9e4,
        shown,
        tiles.reshape(-1, first_schedule.PICTURED, 28, 28).astype(np.uint8),
    )
    nats = {grid: line(counts, 5e4) for grid in first_schedule.GRIDS}
    nats[first_schedule.EARLY] = line(counts, 4e4)[:1] + line(counts, 3e4)[1:-1] + [about(900)]
    quality = [
        first_schedule.Quality(
            *cell, {grid: about(90 / cell[-1], 1) for grid in first_schedule.GRIDS}, about(9), 104.0
        )
        for cell in first_schedule.CELLS
    ]
    first = first_schedule.FirstRate(
        betas,
        [about(40 + 32 * np.log(beta)) for beta in betas],
        [about(100 + 32 * np.log(beta) + 4 / beta, 2) for beta in betas],
        Interval(1.0, 1.0, 1.0),
        about(0.125),
        1000,
        64,
    )
    return first_schedule.FirstScheduleResult(counts, binary, nats, quality, ["", ""], first)


def learned():
    marks = [30, 60, 120, 240, 480, 960]
    levels = [80.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.0]

    def course(method, end):
        errors = np.geomspace(0.1, end, len(marks)).tolist()
        return learning.Course(method, marks, errors, about(end), 1.5, levels)

    grids = (*grid_searches.SEARCHES, *grid_searches.DESCENTS)
    cases = [
        learning.LearnedCase(
            model,
            sampler,
            about(0.1),
            levels,
            [course(method, 0.08 - 0.003 * k) for k, method in enumerate(grids)],
            [course("all by gradient", 0.02), course("all by CMA-ES", 0.03)],
        )
        for model in learning.MODELS
        for sampler in learning.SAMPLERS
    ]
    searches = {name: about(0.95 + 0.01 * k) for k, name in enumerate(grid_searches.SEARCHES)}
    return learning.LearnedResult(
        cases, [], about(0.7), about(0.97), searches, about(0.4), about(0.6), 0.5
    )


def alone():
    counts, tiles = one_level.COUNTS, np.zeros((2, one_level.SHOWN, 1, 28, 28), np.float32)
    single = {
        name: one_level.Made(line(counts, 300 / level), [1.0] * len(counts), rising(counts), tiles)
        for name, level in one_level.SINGLE.items()
    }
    every = one_level.Made(line(counts, 90.0), [0.01] * len(counts), rising(counts), tiles)
    losses = [about(1e4 / level) for level in one_level.SINGLE.values()]
    return one_level.OneLevelResult(
        counts,
        [
            one_level.AtItsLevel(level, about(0.10), about(0.11), about(0.9))
            for level in one_level.SINGLE.values()
        ],
        single,
        every,
        one_level.Nats(losses, losses, line(one_level.NATS, 5e4)),
        104.0,
        ["N = 576 is below 15 d = 1920"],
    )


def squeezed():
    counts = latent_space.COUNTS
    shown = len(latent_space.pictured(counts))
    tiles = np.zeros((shown, latent_space.SHOWN, 1, 28, 28), np.float32)

    def course(cost, before):
        times = [cost + 0.001 * k for k in range(9)]
        price = latent_space.Price(
            9e6 * cost, 5e5 * before, times, [0.001] * 9, [0.1 * before] * 9, 100.0, 20.0 * before
        )
        return [latent_space.Course(line(counts), line(counts, 1.0), 10.0, price, tiles)] * 3

    return latent_space.LatentSpaceResult(
        counts,
        course(0.3, 0),
        course(0.1, 1),
        about(1.03, 0.05),
        about(0.4, 0.3),
        about(0.9, 0.1),
        104.0,
        [""],
    )


def thawed():
    tiles = np.linspace(-1, 1, cold.SHOWN * 28 * 28, dtype=np.float32).reshape(-1, 28, 28)
    steps = cold.COUNTS

    def course(end, pairs):
        distances = [about(end + 200 / n, 3) for n in steps]
        kept = [about(1 - 1 / (n + 1), 0.03) for n in steps]
        alike = Interval(pairs, 0.9 * pairs, 1.1 * pairs)
        tried, best = [one.value for one in distances], len(steps) - 1
        return cold.Course(
            tried, best, distances, about(190, 4), about(end - 40, 4), kept, kept, alike, tiles
        )

    courses = {
        name: {
            rule: course(40 + 9 * k + 5 * place, min(0.9, 0.001 * 4**place))
            for k, rule in enumerate(cold.RULES)
            if k < 2 or name in ("noise", "blend")
        }
        for place, name in enumerate(("noise", "snow", "blend", "blur", "pixels", "mask"))
    }
    still = {name: [about(0.3), about(-20, 2)] for name in ("blur", "pixels", "mask")}
    return cold.ColdResult(
        steps, courses, dict.fromkeys(courses, tiles), still, 0.0018, 126.0, ["", ""]
    )


IN_ORDER = (
    jump, candidates, stairs, quiet, clocks, collapsed, by_heart, solved, alone, oldest,
    learned, thawed, guided, squeezed, jumped, fields,
)  # fmt: skip
INVENTED = dict(enumerate(IN_ORDER, 1))
"""By number of the row."""
