"""Row 12: both algorithms of cold diffusion against closed forms, and its verdict where it would
be another.
"""

from functools import partial

import numpy as np
import pytest
import torch
from looping import each

from samplerbench.models import make_model
from samplerbench.samplers import Grid, NoNoise, karras, make
from samplerbench_studies.models.degradation import (
    DEGRADATIONS,
    Blend,
    Degradation,
    Mask,
    Separable,
    blur_matrix,
    pixel_matrix,
)
from samplerbench_studies.why_steps.measuring import cold
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.measuring.restoring import (
    Process,
    State,
    estimated,
    improved,
    naive,
    rebuild,
    severities,
)
from samplerbench_studies.why_steps.rows import row_12_cold
from samplerbench_studies.why_steps.statistics.alike import alike, reach_of
from samplerbench_studies.why_steps.statistics.intervals import Interval

SIDE = 6
NOISE = Blend(lambda n, generator: torch.randn(n, 1, SIDE, SIDE, generator=generator))


def seeded(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def denoising(model) -> Process:
    """Noise as a degradation, undone by a model's exact denoiser: (1 - s) x0 + s z is x0 + sigma z
    with sigma = s / (1 - s), times 1 - s.
    """

    def restore(x, severity):
        s = severity.reshape(-1, *(1 for _ in x.shape[1:]))
        return model.denoise(x / (1 - s), severity / (1 - severity), None)

    return Process(NOISE, restore)


def uneven(steps):
    """Levels of which no two steps are alike, down to 0."""
    drawn = np.random.default_rng(steps).uniform(np.log(0.01), np.log(80), steps)
    return (*np.exp(np.sort(drawn)[::-1]).tolist(), 0.0)


GRIDS = {
    **{f"karras-{n}": (*karras(n, 0.002, 80.0, to_zero=False).sigma, 0.0) for n in (2, 9)},
    **{f"uneven-{n}": uneven(n) for n in (1, 5, 12)},
}


@each("levels", GRIDS.values(), ids=GRIDS)
@each("sampler", ["euler", "ddim"])
@each("name", ["gmm-2d", "gmm-64d", "gaussian"])
def test_cold_diffusion__algorithm_2_with_noise_is_ddim(name, sampler, levels):
    model = make_model(name)
    x = seeded(5, *model.event, seed=len(levels)) * levels[0]
    expected = make(sampler).sample(
        model.bind(torch.arange(5), 0), x.clone(), Grid(levels), NoNoise()
    )
    severity = [sigma / (1 + sigma) for sigma in levels]
    found = rebuild(denoising(model), estimated, x * (1 - severity[0]), torch.zeros(5, 0), severity)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_with_the_estimated_companion_both_algorithms_are_the_same():
    x, restored = seeded(4, 1, SIDE, SIDE), seeded(4, 1, SIDE, SIDE, seed=1)
    now, then = torch.tensor([0.7, 0.4], dtype=torch.float64)
    own = (x - (1 - now) * restored) / now
    both = [rule(NOISE, State(x, now, own), restored, then) for rule in (naive, improved)]
    for found in both:
        torch.testing.assert_close(
            found, estimated(NOISE, State(x, now, x), restored, then), rtol=0, atol=1e-12
        )


def test_with_the_kept_companion_algorithm_2_is_the_mean_of_what_was_restored():
    """x goes by (s - s') (x̂ - z), so that z drops out at the end: DDIM gives another picture, and
    Algorithm 1 the last x̂.
    """
    process, companion = denoising(make_model("gmm-2d")), seeded(7, 2) / 81 * 80
    levels = [80 / 81, 0.6, 0.25, 0.1, 0.0]
    made = []

    def restore(x, severity):
        made.append(process.restore(x, severity))
        return made[-1]

    watched = Process(NOISE, restore)
    first = rebuild(watched, naive, companion, companion, levels)
    torch.testing.assert_close(first, made[-1], rtol=0, atol=1e-12)
    made.clear()
    second = rebuild(watched, improved, companion, companion, levels)
    shares = -np.diff(levels)
    expected = sum(share * one for share, one in zip(shares, made, strict=True))
    start = companion * (1 - 80 / 81)  # of what was not noise yet
    torch.testing.assert_close(second, expected + start, rtol=0, atol=1e-12)
    ddim = rebuild(watched, estimated, companion, companion, levels)
    assert (second - ddim).abs().max() > 0.1


def linear(degradation, severity):
    """The matrix of a degradation of pictures of ``SIDE``, ``(d, d)``."""
    d = SIDE**2
    basis = torch.eye(d, dtype=torch.float64).reshape(d, 1, SIDE, SIDE)
    return degradation(basis, severity, torch.zeros(d, 0)).reshape(d, d).T


class GaussianPictures:
    """Pictures from a Gaussian, and the exact E[x0 | D(x0, s)] for a linear degradation:

    mean + B (L B)⁺ (y - L mean), for a covariance B Bᵀ.
    """

    def __init__(self):
        d = SIDE**2
        self.mean = seeded(d, seed=5)
        self.root = seeded(d, d, seed=6) / SIDE

    def draw(self, n, seed):
        return (self.mean + seeded(n, SIDE**2, seed=seed) @ self.root.T).reshape(n, 1, SIDE, SIDE)

    def process(self, degradation) -> Process:
        def restore(x, severity):
            matrix = linear(degradation, severity[0])
            gain = self.root @ torch.linalg.pinv(matrix @ self.root, rtol=1e-7)
            off = x.flatten(1) - self.mean @ matrix.T
            return (self.mean + off @ gain.T).reshape(x.shape)

        return Process(degradation, restore)


LINEAR = {
    "blur": Separable(partial(blur_matrix, side=SIDE)),
    "mask": Mask(),
    "pixels": Separable(partial(pixel_matrix, side=SIDE)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_the_closed_form_leaves_an_error_that_the_degraded_picture_says_nothing_of(name):
    data, process = GaussianPictures(), GaussianPictures().process(LINEAR[name])
    x0 = data.draw(40_000, 7)
    severity = torch.tensor([0.7], dtype=torch.float64)
    seen = process.degradation(x0, severity, torch.zeros(len(x0), 0))
    error = (x0 - process.restore(seen, severity)).flatten(1)
    assert error.var() > 0.05 * x0.var()
    assert error.mean(0).abs().max() < 0.03
    assert (error.T @ (seen.flatten(1) - seen.flatten(1).mean(0)) / len(x0)).abs().max() < 0.03


@each("steps", [1, 2, 7])
@each("rule", [naive, improved])
@each("name", LINEAR)
def test_cold_diffusion__an_exact_restorer_of_a_gaussian_never_leaves_the_jump(name, rule, steps):
    data = GaussianPictures()
    process = data.process(LINEAR[name])
    one = torch.ones((), dtype=torch.float64)
    start = process.degradation(data.draw(5, 8), one, torch.zeros(5, 0))
    found = rebuild(process, rule, start, torch.zeros(5, 0), severities(steps))
    torch.testing.assert_close(found, process.restore(start, one.expand(5)), rtol=0, atol=1e-7)


def test_alike_counts_pairs():
    x = np.random.default_rng(0).normal(size=(40, 3))
    near = [np.linalg.norm(x[i] - x[j]) <= 1.0 for i in range(40) for j in range(i)]
    found = alike(x, 1.0)
    assert found.value == pytest.approx(np.mean(near))
    assert found.low < found.value < found.high
    points = np.repeat(np.eye(4), 50, axis=0)
    assert alike(points, 0.1).value == pytest.approx((4 * 50 * 49) / (200 * 199))
    assert alike(np.zeros((30, 2)), 0.1) == (1.0, 1.0, 1.0)
    assert alike(np.eye(60), 0.1) == pytest.approx((0.0, 0.0, 0.1))
    assert reach_of(np.array([[0.0], [1.0], [3.0], [7.0], [7.5]])) == pytest.approx(1.0)


class Sudden(Degradation):
    """Leaves everything as it is, until it leaves nothing."""

    def __call__(self, x, severity, companion):
        return x * (severity < 1).to(x.dtype).expand(len(x))[:, None, None, None]


@pytest.fixture(scope="module")
def pictures():
    """Few enough that their exact posterior costs nothing."""
    return cold.pictures_of(Effort("fast"))[::11]


@pytest.fixture(scope="module")
def exact(pictures):
    """Processes on these pictures, whose restorers make no error."""
    points = pictures.flatten(1)

    def denoise(x, severity):
        s = severity.clamp(max=80 / 81)
        off = torch.cdist(x.flatten(1) / (1 - s)[:, None], points)
        weights = (-0.5 * (off * ((1 - s) / s)[:, None]).square()).softmax(1)
        return (weights @ points).reshape(x.shape)

    def recall(x, severity):
        return torch.where((severity < 1)[:, None, None, None], x, pictures.mean(0))

    noise = Process(DEGRADATIONS["noise"], denoise)
    return {"noise": noise, "blend": noise, "mask": Process(Sudden(), recall)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("noise", "blend"), "supports"),
        (("noise", "mask"), "refutes"),
        (("noise", "blend", "mask"), "refines"),
    ],
)
def test_the_verdict_follows_the_degradations(monkeypatch, pictures, exact, names, kind):
    """Another noise does as well as noise. What destroys nothing until the last step leaves every
    other step nothing to do, however good the restorer.
    """
    monkeypatch.setattr(cold, "FAST", (1, 6))
    monkeypatch.setattr(cold, "pictures_of", lambda _: pictures)
    monkeypatch.setattr(cold, "processes", lambda: {name: exact[name] for name in names})
    monkeypatch.setattr(row_12_cold, "draw", lambda *_: None)
    monkeypatch.setattr(row_12_cold, "strips", lambda *_: None)
    answer = row_12_cold.ROW(Effort("fast"))
    assert answer.verdict.kind == kind
    if kind == "refines":
        assert "a digit blended in does as well" in answer.verdict.sentence


def course(end=70.0, gain=100.0, alike_pairs=0.002, width=1.0):
    line = [Interval(value, value - width, value + width) for value in (end + gain, end)]
    around = Interval(1.0, 0.9, 1.1)
    return cold.Course(
        [end + gain, end],
        1,
        line,
        Interval(gain, gain - width, gain + width),
        Interval(end - 70, end - 70 - width, end - 70 + width),
        [around, around],
        [around, around],
        Interval(alike_pairs, 0.9 * alike_pairs, 1.1 * alike_pairs),
        np.zeros((cold.SHOWN, 28, 28), dtype=np.float32),
    )


@pytest.mark.parametrize(
    ("snow", "kind", "said"),
    [
        (course(), "supports", "does as well"),
        (course(end=40.0), "supports", "does as well"),
        (course(end=90.0), "refines", "no other way"),
        (course(alike_pairs=0.5), "refines", "no other way"),
        (course(gain=0.0), "refutes", "gain nothing"),
        (course(gain=0.0, width=9.0), "inconclusive", "too few"),
    ],
)
def test_the_verdict_is_a_function_of_the_numbers(snow, kind, said):
    courses = {"noise": {cold.DDIM: course()}, "snow": {cold.NAIVE: snow}}
    found = cold.ColdResult((1, 100), courses, {}, {}, 0.002, 126.0, [])
    best = {name: one for name, rules in courses.items() for one in rules.values()}
    verdict = row_12_cold.judge(found, best)
    assert verdict.kind == kind
    assert said in verdict.sentence
    assert ("snow even ends nearer" in verdict.surprise) == (snow.behind.high < -9)


def test_row_12__takes_the_steps_that_other_pictures_choose():
    """A rule that is nearest on the pictures that are measured, by luck, is not taken for it."""
    lucky = course(end=20.0)._replace(tried=[170.0, 90.0])
    courses = {"noise": {cold.DDIM: course()}, "snow": {cold.NAIVE: lucky, cold.IMPROVED: course()}}
    found = cold.ColdResult((1, 100), courses, {}, {}, 0.002, 126.0, [])
    assert row_12_cold.chosen(found)["snow"] == cold.IMPROVED


def test_a_trace_of_noise_that_frees_a_start_is_the_surprise():
    courses = {"noise": {cold.DDIM: course()}, "blur": {cold.IMPROVED: course(alike_pairs=0.2)}}
    best = {name: one for name, rules in courses.items() for one in rules.values()}

    def judged(share, gap):
        traces = {
            "blur": [Interval(share, 0.9 * share, 1.1 * share), Interval(gap, gap - 1, gap + 1)]
        }
        found = cold.ColdResult((1, 100), courses, {}, traces, 0.002, 126.0, [])
        return row_12_cold.judge(found, best)

    assert "makes about 500 different pictures of the 5 of blur" in judged(0.002, -9).surprise
    assert judged(0.05, -9).surprise == judged(0.002, 2).surprise == ""
    assert judged(0.002, -9).kind == "refines"
    assert "nothing left to chance" in judged(0.002, -9).sentence


def test_the_pictures_come_from_a_model_that_has_some():
    model = make_model("gmm-2d")
    with pytest.raises(ValueError, match="gmm-2d has no pictures of 28 x 28"):
        cold.measure(Effort("fast", models={"fashion-kde": model}))


def test_what_is_no_blend_has_nothing_to_estimate():
    x, half = seeded(1, 1, SIDE, SIDE), torch.tensor(0.5)
    with pytest.raises(TypeError, match="only what a picture is blended with"):
        estimated(Mask(), State(x, half, x), x, half)
