"""Levels as the command line writes them."""

import pytest
from looping import each

from samplerbench.benchmarks.planning.schedules import levels_of_schedule, read_levels
from samplerbench.models import make_model
from samplerbench.samplers import karras, uniform_lambda


def test_a_list_is_taken_as_it_is():
    assert read_levels("80,2.5,0.1") == (80.0, 2.5, 0.1)
    assert read_levels("80, 1e-2 ,0") == (80.0, 0.01, 0.0)


def test_a_schedule_with_its_range():
    assert read_levels("karras(rho=5):7:0.01:20") == karras(7, 0.01, 20.0, rho=5.0).sigma
    assert read_levels("uniform_lambda:3:0.5:8") == uniform_lambda(3, 0.5, 8.0).sigma


def test_a_schedule_on_a_model_s_range():
    model = make_model("gmm-2d")
    assert (
        levels_of_schedule("karras", 6, model)[0]
        == karras(6, model.sigma_min, model.sigma_max).sigma
    )
    assert (
        levels_of_schedule(None, 6, model)[0] == karras(6, model.sigma_min, model.sigma_max).sigma
    )
    guided = make_model("fashion", guidance=2)
    assert levels_of_schedule("karras", 6, guided)[0] == karras(6, 0.002, 80.0).sigma


@each("text", ["", "80,", "a,b", "karras:2:1", "karras:2.5:1:2", "karras:n:1:2", ":3:1:2"])
def test_levels__what_is_neither_is_refused(text):
    with pytest.raises(ValueError, match="cannot read the levels"):
        read_levels(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2", "must fall strictly"),
        ("karas:3:1:2", "did you mean karras"),
        ("karras:0:1:2", "at least 1 step"),
        ("karras(rho=-1):3:1:2", "rho"),
    ],
)
def test_levels_that_are_no_grid_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_levels(text)
