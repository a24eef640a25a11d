"""The guide's code runs; what it calls wrong is rejected, and what it calls right passes."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from samplerbench.benchmarks.conformance import check_sampler
from samplerbench.samplers import karras, make

GUIDE = Path(__file__).parents[1] / "docs" / "how-to" / "adding-a-sampler.md"


@pytest.fixture(scope="module")
def guide():
    """A module made of all Python snippets of the guide, in order."""
    snippets = re.findall(
        r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    module = ModuleType("adding_a_sampler")
    sys.modules[module.__name__] = module
    exec("\n".join(snippets), module.__dict__)
    yield module
    del sys.modules[module.__name__]


PITFALLS = {
    "Cache": "nfe",
    "Noise": "repeatable",
    "InPlace": "arguments untouched",
    "Count": "nfe",
    "Digits": "plan",
}


def test_the_list_of_pitfalls_is_the_guides(guide):
    assert {name for name in vars(guide) if name.startswith(("Wrong", "Right"))} == {
        f"{w}{p}" for w in ("Wrong", "Right") for p in PITFALLS
    }


@pytest.mark.parametrize(("pitfall", "check"), PITFALLS.items())
def test_a_pitfall_is_caught_and_its_remedy_passes(guide, pitfall, check):
    wrong = check_sampler(getattr(guide, f"Wrong{pitfall}")(), fast=True)
    assert check in {failure.name for failure in wrong.failures}
    right = check_sampler(getattr(guide, f"Right{pitfall}")(), fast=True)
    assert right.passed, right.failures


def test_the_first_example_is_dpmpp_2m(guide):
    grid = karras(7, 0.01, 80.0)
    assert check_sampler(guide.Mine(), fast=True).passed
    for mine, theirs in zip(guide.Mine().plan(grid), make("dpmpp_2m").plan(grid), strict=True):
        assert (mine.a, *mine.b) == pytest.approx((theirs.a, *theirs.b))


def test_the_complete_examples_pass(guide):
    assert check_sampler(guide.Midpoint(), fast=True).passed
    assert check_sampler(guide.InSigma(), fast=True).passed
    assert (
        len(
            re.search(r"^@dataclass.*?^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)[
                0
            ].splitlines()
        )
        < 25
    )
