"""Every registered sampler, installed plugins included, passes the suite its authors are given."""

import functools
import json
from io import StringIO

import pytest
import torch
from looping import each
from rich.console import Console

from samplerbench.benchmarks.conformance import check_sampler, order, print_conformance
from samplerbench.benchmarks.conformance.basic_checks import check_same_as
from samplerbench.benchmarks.conformance.check import Conformance
from samplerbench.benchmarks.conformance.order import rms
from samplerbench.benchmarks.conformance.problems import (
    GRIDS,
    INTERIOR,
    ThreeModes,
    noise_and_latents,
    problems,
)
from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.samplers import get, karras, load_plugins, make, names

FAILURES = load_plugins()


@functools.cache
def checked(name: str) -> Conformance:
    """A sampler's whole result, for all tests that look at it.

    The largest number of steps, which is half of the work, is left out: the slope is then that of
    the four numbers before it, and its bounds are the same.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(order, "STEPS", order.STEPS[:-1])
        patched.setattr(order, "_prepare_truths", order._prepare_truths.__wrapped__)
        return check_sampler(name)


def test_installed_plugins_load() -> None:
    assert FAILURES == {}


@pytest.mark.slow
@each("name", names())
def test_check_sampler__every_sampler_passes(name: str) -> None:
    result = checked(name)
    assert result.passed, "; ".join(f"{check.name}: {check.detail}" for check in result.failures)


def test_options_are_checked_too() -> None:
    result = check_sampler({"name": "ddim", "eta": 0.5})
    assert result.passed
    assert result.params == {"eta": 0.5}
    assert "moments" in {check.name for check in result.checks}


@pytest.mark.slow
def test_no_two_names_are_one_method_unless_they_say_so() -> None:
    """On a nonlinear problem, at 10 steps, to 0 and to sigma_min."""
    problem, grids = ThreeModes(), [karras(10, 0.02, 20.0, to_zero=end) for end in (True, False)]
    seen: dict[str, torch.Tensor] = {}
    for name in names():
        noise, latents = noise_and_latents(make(name), torch.arange(8), (2,))
        ends = [make(name).sample(problem, latents * g.sigma[0], g, noise) for g in grids]
        seen[name] = torch.stack(ends)
    for a in names():
        for b in names():
            if a < b:
                related = (get(a).same_as or a) == (get(b).same_as or b)
                close = float((seen[a] - seen[b]).abs().max()) < 1e-12
                assert close == related, (
                    f"{a} and {b}: declared {'the same' if related else 'different'}"
                )


def test_the_mixture_and_its_flow_agree_with_the_exact_model() -> None:
    problem = ThreeModes()
    none = torch.zeros(3, 2, 0, dtype=torch.float64)
    model = GaussianMixture(
        "three", (2,), problem.weights, problem.means, none, problem.variances.sqrt()
    )
    for sigma in (INTERIOR[0], 0.7, INTERIOR[1]):
        torch.testing.assert_close(
            problem(problem.start, sigma), model.denoise(problem.start, sigma), rtol=0, atol=1e-13
        )
    few = problem.start[:3]
    torch.testing.assert_close(
        problem.truth(INTERIOR[0])[:3],
        model.flow(few, INTERIOR[1], INTERIOR[0]),
        rtol=0,
        atol=3e-11,
    )


def test_the_error_as_shipped_is_that_of_the_sampler_by_itself() -> None:
    """It is measured in one batch with the run from exact start values."""
    problem, sampler = problems()[1], make("dpmpp_3m")
    entry = next(c for c in checked("dpmpp_3m").checks if c.name == "order").data["mixture/karras"]
    grid = GRIDS["karras"](entry["N"][0])
    end = sampler.sample(problem, problem.start, grid)
    assert entry["as_shipped_error"][0] == rms(end, problem.truth(grid.sigma[-1]))
    assert entry["as_shipped_error"][0] != entry["error"][0]


def test_uneven_steps_expose_weights_that_ignore_the_step_ratio() -> None:
    found = {
        name: next(c for c in checked(name).checks if c.name == "order, uneven steps")
        for name in ("dpmpp_2m", "ipndm_2")
    }
    assert found["dpmpp_2m"].data["slope"] == pytest.approx(2, abs=0.25)
    assert found["ipndm_2"].data["slope"] == pytest.approx(1, abs=0.25)


def test_result_is_plain_data_and_prints() -> None:
    result = check_sampler("euler")
    data = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    order = next(check for check in data["checks"] if check["name"] == "order")
    pair = order["data"]["gaussian/uniform_lambda"]
    assert data["name"] == "euler"
    assert len(pair["N"]) == len(pair["error"])
    out = StringIO()
    print_conformance(result, Console(file=out, width=140))
    assert "passed" in out.getvalue()
    assert "N=768" in out.getvalue()


def test_check__names_the_registered_sampler_that_takes_the_same_steps():
    renamed = type("Renamed", (type(make("dpmpp_2m")),), {"name": "renamed"})
    found = next(check for check in check_same_as(renamed()) if check.name == "same as")
    assert (found.mark, "takes the steps of dpmpp_2m" in found.detail) == ("measured", True)
    assert not list(check_same_as(make("dpmpp_2m")))


def test_check__no_registered_sampler_takes_the_steps_of_another_without_saying_so():
    silent = [make(name) for name in names() if not make(name).same_as]
    assert not [sampler.name for sampler in silent if list(check_same_as(sampler))]
