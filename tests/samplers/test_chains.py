"""How many classes a reader opens to know a sampler, and the options that a multistep method
has or does not have.
"""

import math
from abc import ABC
from dataclasses import dataclass, fields
from typing import Generic, Protocol

import pytest
import torch
from looping import each

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import (
    AdamsBashforth,
    AdamsBashforthToZero,
    LinearRow,
    Multistep,
    MultistepToZero,
    SampleNoise,
    Sampler,
    SelfStarting,
    Source,
    StartRow,
    get,
    karras,
    make,
    names,
)

LONGEST = 4
GRID = karras(6, 0.02, 40.0)


def chain(cls: type) -> list[type]:
    """The classes that say what a sampler does: all but Python's own and the contract, which
    does nothing.
    """
    return [c for c in cls.__mro__ if c not in (object, ABC, Generic, Protocol, Sampler)]


@each("name", names())
def test_sampler__inherits_from_at_most_four_classes(name):
    found = chain(get(name))
    words = " < ".join(c.__name__ for c in found)
    assert len(found) <= LONGEST, (
        f"{name} inherits from {len(found)} classes: {words}; "
        "compose what an option or a formula adds"
    )


@each("name", names())
def test_sampler__keeps_the_contract(name):
    assert isinstance(make(name), Sampler)


def test_the_contract_does_nothing():
    """Else it would be a class to read like the others, and to count."""
    assert Sampler.nfe(None, GRID) is None  # type: ignore[arg-type]
    assert Sampler.sample(None, None, None, GRID) is None  # type: ignore[arg-type]


SOURCE = Source("zhang2023deis", "rhoAB-DEIS", "https://arxiv.org/abs/2204.13902v4")


@dataclass(frozen=True, kw_only=True)
class Mine(AdamsBashforthToZero):
    """A user's own family: zab_3, from its variable and moments."""

    name = "mine"
    order = points = 3
    source = SOURCE

    def variable(self, sigma):
        return sigma

    def moments(self, cur, nxt, count):
        return [(nxt - cur) ** (k + 1) / math.factorial(k + 1) for k in range(count)]


@pytest.mark.parametrize(
    "options",
    [{}, {"through_zero": True}, {"startup": "singlestep"}, {"analytic_first": True}],
    ids=str,
)
def test_a_family_of_the_users_own_is_ours(options):
    x = 40 * SampleNoise(1, torch.arange(4), (2,), torch.float64).initial()
    ends = [
        sampler.sample(ThreeModes(), x, GRID)
        for sampler in (Mine(**options), make("zab_3", **options))
    ]
    assert torch.equal(*ends)


OPTIONS = ["first", "last", "analytic_first"]


@pytest.mark.parametrize(
    ("base", "more"),
    [
        (Multistep, []),
        (MultistepToZero, ["through_zero"]),
        (SelfStarting, ["startup"]),
        (AdamsBashforth, ["startup"]),
        (AdamsBashforthToZero, ["startup", "through_zero"]),
    ],
)
def test_a_base_has_the_options_that_its_formulas_allow(base, more):
    assert [f.name for f in fields(base)] == OPTIONS + more


@pytest.mark.parametrize(
    ("name", "option"),
    [("ipndm", "startup"), ("dpmpp_2m", "through_zero"), ("unipc_2", "through_zero")],
)
def test_an_option_that_a_formula_does_not_allow_is_none(name, option):
    with pytest.raises(ValueError, match=f"has no option '{option}'"):
        make(name, **{option: True})


def test_a_start_that_needs_no_single_steps_has_none():
    assert not any(isinstance(row, StartRow) for row in make("vab_4").plan(GRID))
    assert isinstance(make("vab_4", startup="singlestep").plan(GRID)[0], StartRow)
    assert isinstance(make("vab_4", startup="singlestep").plan(GRID)[-1], LinearRow)
