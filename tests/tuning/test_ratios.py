"""Dynamic compensation: one ratio a step that shifts its denoised image in time."""

import numpy as np
import pytest
import torch
from tuners import refusal, tuner

from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.planning.tuned_file import read_tuned
from samplerbench.benchmarks.tuning.free_parameters import FreeParameters
from samplerbench.benchmarks.tuning.problem import TEST_IDS, TRAIN_IDS, tuning_problem
from samplerbench.benchmarks.tuning.search import fit_coefficients
from samplerbench.benchmarks.tuning.tuning import Target
from samplerbench.samplers import karras, make, uniform_lambda
from samplerbench.samplers.families.tabulated import (
    Tabulated,
    apply_dynamic_compensation,
    correction_weights,
    tabulate,
)

SAMPLERS = ("unipc_1", "unipc_2", "unipc_3", "unipc_2_published", "unipc_3(variant='bh1')")


@pytest.fixture(scope="module")
def train(gmm):
    return tuning_problem(gmm, TRAIN_IDS, 64, 0)


def compensated(name, grid, ratios):
    sampler = make(name)
    corrections, times = correction_weights(sampler, grid), -np.log(grid.sigma[:-1])
    return apply_dynamic_compensation(tabulate(sampler, grid), corrections, times, ratios)


def step_by_step(name, grid, ratios, denoise, x):
    """UniPC with the image replaced before each step, as predictor and corrector are written."""
    sampler = make(name)
    lam, images, corrected, state = -np.log(grid.sigma[:-1]), [], None, x
    for i, (cur, nxt) in enumerate(grid.intervals()):
        image = denoise(state, cur)
        if i:
            before, order, start = corrected
            levels = grid.sigma[i - order : i][::-1]
            weights = sampler._corrector_weights(levels, cur)
            state = cur / before * start + sum(
                w * d for w, d in zip(weights, [image, *images[::-1]], strict=False)
            )
        images.append(image)
        if i >= 2:
            to = lam[i - 1] + ratios[i - 2] * (lam[i] - lam[i - 1])
            nodes = lam[i - 2 : i + 1]
            parabola = np.polynomial.Polynomial.fit
            shares = [parabola(nodes, row, 2)(to) for row in np.eye(3)]
            images[i] = sum(s * d for s, d in zip(shares, images[i - 2 : i + 1], strict=True))
        order = sampler.profile(grid)[i]
        corrected = cur, order, state
        if not nxt:
            return images[-1]
        weights = sampler._predictor_weights(grid.sigma[i - order + 1 : i + 1][::-1], nxt)
        state = nxt / cur * state + sum(w * d for w, d in zip(weights, images[::-1], strict=False))
    return state


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("to_zero", [True, False])
def test_compensate__equals_the_method_step_by_step(name, to_zero):
    grid = karras(6, 0.05, 20.0, to_zero=to_zero)
    ratios = [0.7, 1.2, 0.9, 1.4]
    x = 20.0 * torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def denoise(state, sigma):
        return torch.tanh(state / (1 + sigma)) + 0.3 * torch.sin(state / (0.2 + sigma))

    found = Tabulated(stands_for=make(name), table=compensated(name, grid, ratios))
    expected = step_by_step(name, grid, ratios, denoise, x)
    torch.testing.assert_close(found.sample(denoise, x, grid), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SAMPLERS)
def test_compensate__ratios_of_1_leave_every_bit(name):
    grid = karras(6, 0.05, 20.0)
    assert compensated(name, grid, [1.0] * 4) == tabulate(make(name), grid)


def test_compensate__keeps_sums_and_is_exact_for_images_on_a_parabola():
    """Images that are quadratic in time are moved along their own parabola."""
    grid, ratios = karras(6, 0.05, 20.0), [0.7, 1.2, 0.9, 1.4]
    own = tabulate(make("unipc_2"), grid)
    for row, other in zip(compensated("unipc_2", grid, ratios), own, strict=True):
        assert row.a + sum(row.b) == pytest.approx(other.a + sum(other.b), abs=1e-13)
    table = tuple(row._replace(a=0.0, b=(1.0, *[0.0] * i)) for i, row in enumerate(own))
    times = np.array([0.0, 1.0, 3.0, 4.0, 6.0, 7.0])
    row = apply_dynamic_compensation(table, [0.0] * 6, times, [0.5, 1.0, 1.0, 1.0])[2]
    assert np.array(row.b[::-1]) @ times[:3] ** 2 == pytest.approx(2.0**2)
    assert (
        apply_dynamic_compensation(table, [1.0] * 6, times, ratios) == table
    )  # only the correction reads them


def test_compensate__zero_takes_the_image_before():
    """Which is compensated itself."""
    grid = karras(5, 0.05, 20.0)
    own = tuple(
        row._replace(a=0.0, b=(1.0, *[0.0] * i))
        for i, row in enumerate(tabulate(make("euler"), grid))
    )
    rows = apply_dynamic_compensation(own, [0.0] * 5, [0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0])
    assert [row.b[::-1].index(1.0) for row in rows] == [0, 1, 1, 1, 1]


def test_free_parameters__one_ratio_a_step_from_the_third_on_and_start_at_the_sampler():
    grid = uniform_lambda(5, 0.1, 10.0)
    free = FreeParameters(make("unipc_2"), grid, 0.1, 10.0, "ratios")
    assert (free.size, free.has_free_levels) == (3, False)
    assert free.table(np.zeros(3)) == tabulate(make("unipc_2"), grid)
    moved = free.table(np.array([0.1, 0.0, -0.2]))
    assert moved == compensated("unipc_2", grid, [1.1, 1.0, 0.8])
    assert free.grid(np.ones(3)) == grid


@pytest.mark.slow
def test_fit_coefficients__ratios_are_no_worse_on_the_best_schedule_and_nearer_on_others(
    train, gmm
):
    found = fit_coefficients(train, make("unipc_2"), 5, "geometric", "ratios")
    tuned = found.apply_coefficients(make("unipc_2"))
    test = tuning_problem(gmm, TEST_IDS, 128, 0)
    assert found.grid == found.untuned
    assert np.median(test.distances(tuned, found.grid)) < np.median(
        test.distances(make("unipc_2"), found.grid)
    )
    again = fit_coefficients(train, make("unipc_2"), 5, "geometric", "ratios", found)
    assert again.table == found.table  # a search that goes on starts from the sampler


def test_tune__ratios_are_written_read_and_run(tmp_path, gmm):
    file = tmp_path / "tuned.json"
    (entry,) = tuner(file, gmm, what="ratios")([Target(make("unipc_2"), 4)])
    assert entry.facts["tuning_what"] == "ratios"
    assert read_tuned(file) == (entry,)
    schedule = make_schedule(f"tuned(file='{file}')").for_model(gmm).for_sampler(make("unipc_2"))
    assert schedule.sampler_at(make("unipc_2"), 4).table == entry.table


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ("--sampler dpmpp_2m --steps 4", "dpmpp_2m has no corrector, which ratios need; give unipc_2"),
        ("--sampler unipc_2(corrector=False) --steps 4", "has no corrector"),
        ("--sampler unipc_2(prediction='noise') --steps 4", "with prediction='data'"),
        ("--sampler unipc_2(analytic_first=True) --steps 4", "image of every step"),
        ("--sampler heun --steps 4", "has no coefficients to tune"),
        ("--sampler unipc_2 --steps 2", "have no ratio to tune; give more"),
        ("--sampler unipc_2 --steps 4 --also sums", "leave out --also"),
    ],
)  # fmt: skip
def test_tune__mistakes_about_ratios_are_one_sentence(args, sentence, monkeypatch, capsys):
    words = ["--model", "gmm-2d", "--what", "ratios", *args.split()]
    assert sentence in refusal(words, monkeypatch, capsys)
