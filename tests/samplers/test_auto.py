"""The default sampler, without a look at the model and with what one found."""

import math

import pytest
import torch

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.benchmarks.running.executors.tasks import SentSampler
from samplerbench.samplers import NoNoise, SampleNoise, karras, make
from samplerbench.samplers.pilot import Fitted, Rule

FOUND = Fitted(Rule(3, True, False, 0.5, 2.0, 0.3, 1.5, 0.6, 1.0, 0.05), 1000)


def test_auto_is_warped_ab_4_on_its_own_levels():
    grid = karras(8, 0.002, 80.0)
    auto, method = (
        make("auto"),
        make(
            {
                "name": "warped_ab_4",
                "analytic_first": True,
                "deferred": True,
                "through_zero": True,
                "spread": 0.5,
                "end": 0.002,
            }
        ),
    )
    x = 80.0 * SampleNoise(0, torch.arange(5), (2,), torch.float64).initial()
    problem = ThreeModes()
    own = auto.levels(grid)
    assert torch.equal(
        auto.sample(problem, x, grid, NoNoise()), method.sample(problem, x, own, NoNoise())
    )
    assert (len(own), own.sigma[0], own.sigma[-1]) == (9, 80.0, 0.0)
    assert auto.nfe(grid) == method.nfe(own) == 8


def test_auto_depends_on_the_ends_of_the_grid_only():
    ends = [make("auto").levels(karras(8, 0.002, 80.0, rho=rho)) for rho in (2.0, 7.0)]
    assert ends[0] == ends[1]


def test_auto_takes_no_analytic_step_where_the_data_are_visible():
    grid = karras(6, 0.02, 5.0)
    assert len(make("auto").levels(grid)) == 6
    assert make("auto").levels(karras(1, 0.02, 80.0)).sigma == (80.0, 0.0)


@pytest.mark.parametrize(("budget", "rival"), [(8, "dpmpp_2m"), (16, "dpmpp_2m"), (31, "heun")])
def test_auto_is_well_ahead_of_the_usual_defaults(budget, rival):
    problem = ThreeModes()
    x = 80.0 * SampleNoise(0, torch.arange(200), (2,), torch.float64).initial()
    steps = {"dpmpp_2m": budget, "heun": (budget + 1) // 2}[rival]
    truth = make("dpmpp_3m").sample(problem, x, karras(3000, 0.002, 80.0), NoNoise())
    errors = {
        name: float(
            (make(name).sample(problem, x, karras(n, 0.002, 80.0), NoNoise()) - truth)
            .norm(dim=1)
            .median()
        )
        for name, n in (("auto", budget), (rival, steps))
    }
    assert errors["auto"] < errors[rival] / 3


def test_what_was_found_is_neither_an_option_nor_part_of_the_label():
    with pytest.raises(ValueError, match="no option 'found'"):
        make("auto", found=FOUND)
    fitted = make("auto").fitted(FOUND)
    sent = SentSampler.of(fitted)
    assert sent.spec == {"name": "auto"}
    assert sent.restored() == fitted
    assert fitted.facts == {"pilot_evaluations": 1000, "rule": FOUND.rule.text}
    assert make("auto").facts == {}


@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize("deferred", [True, False])
def test_no_evaluation_is_outside_the_range_and_n_steps_cost_n(to_zero, deferred):
    auto = make("auto").fitted(Fitted(FOUND.rule._replace(deferred=deferred), 0))
    problem, asked = ThreeModes(), []

    def denoise(x, sigma):
        asked.append(float(sigma))
        return problem(x, sigma)

    for n in (1, 2, 3, 7, 40):
        grid, before = karras(n, 0.03, 14.6, to_zero=to_zero), len(asked)
        end = auto.sample(denoise, 14.6 * torch.ones(2, 2, dtype=torch.float64), grid)
        assert end.isfinite().all()
        assert len(asked) - before == auto.nfe(grid) == n
    assert min(asked) >= 0.03 * (1 - 1e-12)
    assert max(asked) <= 14.6


def test_it_converges_to_the_end_that_every_sampler_has():
    """x <- d at sigma_min, however far from 0 that is: a reference solution for all."""
    problem, low = ThreeModes(), 0.03
    x = 14.6 * SampleNoise(0, torch.arange(50), (2,), torch.float64).initial()
    truth = make("dpmpp_3m").sample(problem, x, karras(3000, low, 14.6), NoNoise())
    fitted = make("auto").fitted(FOUND)
    errors = [
        float((fitted.sample(problem, x, karras(n, low, 14.6)) - truth).norm(dim=1).median())
        for n in (10, 20, 40)
    ]
    assert errors[0] > 4 * errors[1] > 16 * errors[2]
    assert math.isfinite(errors[2])
