"""What the orders file says, and that the shipped one speaks of the samplers that there are."""

import json
import math

import pytest

from samplerbench import samplers
from samplerbench.benchmarks.conformance import Check, Conformance, check_sampler, measured


def conformance(*checks: Check, order: int | None = 2) -> Conformance:
    return Conformance("ddim", {"eta": 0.5}, order, list(checks), 1.0)


@pytest.mark.parametrize(
    ("slopes", "text"),
    [([2.004, 1.996], "2.00"), ([3.01, 2.97, 2.99], "2.97 to 3.01"), ([0.5], "0.50")],
)
def test_a_span_is_the_smallest_and_the_largest(slopes, text):
    assert measured.range_in_words(slopes) == text


def test_an_entry_of_a_deterministic_sampler():
    entry = measured.entry_of(check_sampler("heun", fast=True))
    assert entry["order"] == 2
    assert 1.75 < float(entry["measured"].split(" to ")[0]) < 2.25
    assert (entry["weak"], entry["strong"], entry["nfe_per_step"], entry["passed"]) == (
        None,
        None,
        2,
        True,
    )


def test_an_entry_of_a_stochastic_sampler():
    entry = measured.entry_of(check_sampler("ddpm"))
    assert entry["measured"] is None
    assert 0.75 < entry["weak"] < 1.25
    assert 0.75 < entry["strong"] < 1.25
    assert entry["nfe_per_step"] == 1


def test_an_entry_of_an_adaptive_sampler_has_no_numbers():
    entry = measured.entry_of(check_sampler("scipy_rk23"))
    assert entry == {
        "order": None,
        "measured": None,
        "weak": None,
        "strong": None,
        "nfe_per_step": None,
        "passed": True,
    }


def test_a_check_that_raised_leaves_gaps():
    entry = measured.entry_of(
        conformance(Check("order", False, "raised"), Check("nfe", False, "raised"))
    )
    assert (entry["order"], entry["measured"], entry["nfe_per_step"], entry["passed"]) == (
        2,
        None,
        None,
        False,
    )


def test_the_weak_order_is_the_worst_and_nan_is_none():
    assert (
        measured.entry_of(
            conformance(Check("weak order", True, "", {"weak_order": [2.041, 1.978]}))
        )["weak"]
        == 1.98
    )
    assert (
        measured.entry_of(conformance(Check("strong order", True, "", {"strong_order": math.nan})))[
            "strong"
        ]
        is None
    )


@pytest.mark.parametrize("name", ["euler", "heun", "dpm_solver_3", "dpmpp_2m", "scipy_rk45"])
def test_the_declared_cost_of_a_step_is_the_counted_one(name):
    assert (
        measured.nfe_per_step(samplers.make(name))
        == measured.entry_of(check_sampler(name, fast=True))["nfe_per_step"]
    )


def test_options_are_part_of_the_name():
    assert conformance().title == "ddim(eta=0.5)"


def test_the_file_has_a_sampler_a_line(tmp_path):
    entries = {"b": {"order": 1}, "a": {"order": None}}
    measured.write_measured(tmp_path / "m.json", entries)
    lines = (tmp_path / "m.json").read_text().splitlines()
    assert lines == ["{", '  "a": {"order": null},', '  "b": {"order": 1}', "}"]
    assert json.loads("".join(lines)) == entries


def test_what_ships_are_samplers_with_the_orders_that_they_declare():
    assert measured.shipped_entries()
    for name, entry in measured.shipped_entries().items():
        assert entry["passed"], name
        assert entry["order"] == samplers.make(name).order, (
            f"{name}: run samplerbench check --all --write benchmarks/conformance/measured.json"
        )
