"""Instances of the frozen suite: drawn alike everywhere, and by a value that is unknown beforehand."""

import copy
import tomllib

import pytest

from samplerbench.benchmarks.frozen import constants, definition
from samplerbench.benchmarks.frozen.constants import NETWORKS, PER_KIND, RANGES
from samplerbench.benchmarks.frozen.definition import check_frozen, describe_run, suite_of_part
from samplerbench.benchmarks.frozen.instances import KINDS, draw_part
from samplerbench.benchmarks.suites.files import built_in_suite_files, load_suite
from samplerbench.models import make_model
from samplerbench.samplers.spec import parse_spec

BEACON = "3f9a27c5d10be864a7"


def test_draw_part__has_each_kind_on_different_ranges_within_the_stated_ends():
    part = draw_part("2026", BEACON)
    assert [instance.kind for instance in part.instances] == [
        k for k in KINDS for _ in range(PER_KIND)
    ]
    ends = {(low, high): std for low, high, std in RANGES.values()}
    for kind in KINDS:
        drawn = [parse_spec(i.spec) for i in part.instances if i.kind == kind]
        ranges = {(options["sigma_min"], options["sigma_max"]) for options in drawn}
        assert len(ranges) == PER_KIND
        for options in drawn:
            std = ends[options["sigma_min"], options["sigma_max"]]
            assert std / 2 <= options["std"] <= 2 * std
            assert 2 <= options["dim"] <= 64


def test_draw_part__another_beacon_or_name_gives_other_problems_and_latents():
    parts = [draw_part(), draw_part("2026", BEACON), draw_part("2026", BEACON + "0")]
    parts.append(draw_part("2027", BEACON))
    assert draw_part("2026", BEACON.upper()) == parts[1]
    assert len({part.seed for part in parts}) == 4
    assert len({i.spec for part in parts for i in part.instances}) == 4 * len(parts[0].instances)


def test_draw_part__a_missing_or_known_beacon_is_refused():
    for part, beacon, words in (
        ("2026", "", "a value that was unknown"),
        ("2026", "xyz", "16 hexadecimal digits"),
        ("public", BEACON, "without a beacon"),
        ("../up", BEACON, "give a name of letters"),
    ):
        with pytest.raises(ValueError, match=words):
            draw_part(part, beacon)


def test_suite__is_the_public_part():
    with built_in_suite_files()["sb-2026"].open("rb") as file:
        written = tomllib.load(file)
    part = draw_part()
    specs = [spec for instance in part.instances for spec in (instance.spec, instance.moved)]
    assert [entry["name"] for entry in written["models"]] == [*NETWORKS, *specs]
    assert (written["seed"], written["samples"]) == (part.seed, constants.SAMPLES)
    assert tuple(written["nfe"]) == constants.BUDGETS
    assert {tuple(e["nfe"]) for e in written["models"][:2]} == {constants.NETWORK_BUDGETS}


def test_suite__of_another_part_has_its_problems_and_says_so():
    suite = load_suite("sb-2026")
    other = suite_of_part(suite, "2026", BEACON)
    assert other.seed == draw_part("2026", BEACON).seed
    assert len(other.models) == len(suite.models)
    assert describe_run(other, "2026", BEACON).endswith("part 2026")
    assert "not sb-2026.1: seed, model family:spectrum" in describe_run(other)


def test_describe_run__names_what_differs():
    suite = load_suite("sb-2026")
    few = suite.replaced(models=[suite.models[2].name], samplers=["heun"])
    assert describe_run(few) == f"sb-2026.1 ({definition.digest()}), part public"
    assert "not sb-2026.1: samples" in describe_run(few.replaced(samples=64))
    assert "not sb-2026.1: model gmm-2d" in describe_run(few.replaced(models=["gmm-2d"]))
    # the suite's own value, which also replaces those of the networks
    for same in ({"samples": suite.samples}, {"nfe": suite.nfe}, {"extractor": suite.extractor}):
        assert "not sb-2026.1: model fashion" in describe_run(suite.replaced(**same))


@pytest.fixture(scope="module")
def fingerprints():
    return definition.fingerprints()


def test_differences__there_is_none(fingerprints, monkeypatch):
    monkeypatch.setattr(definition, "fingerprints", lambda: fingerprints)
    assert definition.differences() == []


def test_differences__each_part_that_moves_is_named(fingerprints, monkeypatch):
    monkeypatch.setattr(constants, "BUDGETS", (4, 5, 6))
    made = copy.deepcopy(fingerprints)
    numbers = made["modes-2"]["values"]["output at sigma 157"]["numbers"]
    numbers[0] *= 1.001
    made["latents"]["values"]["numbers"]["numbers"][3] += 1e-6
    monkeypatch.setattr(definition, "fingerprints", lambda: made)
    changed = definition.differences()
    assert [clause.partition(" are ")[0].partition(":")[0] for clause in changed] == [
        "budgets",
        "latents",
        "modes-2",
    ]
    with pytest.raises(ValueError, match=r"this is not sb-2026\.1: budgets are"):
        check_frozen()


def test_digest__of_the_first_version_never_changes():
    assert definition.digest() == "4c0d93175e38e958"


def test_instances__are_models_that_load():
    for instance in draw_part("2026", BEACON).instances:
        for spec in (instance.spec, instance.moved):
            options = parse_spec(spec)
            assert make_model(options.pop("name"), **options).scale > 0
