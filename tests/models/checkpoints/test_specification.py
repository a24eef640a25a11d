"""Settings, open questions and identities of checkpoints."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from samplerbench.models.checkpoints.checkpoint_denoiser import (
    Checkpoint,
    OneHot,
    process_of,
)
from samplerbench.models.checkpoints.processes import betas_of
from samplerbench.models.checkpoints.specification import Specification
from samplerbench.models.guidance import ClassifierFree
from samplerbench.models.loaders.checkpoint import split_settings

SCHEDULES = {
    name: {"process": {"name": "discrete", "schedule": name}} for name in ("linear", "cosine")
}
SPEC = Specification(
    family="openai",
    network={"class": "UNet", "arguments": {}},
    weights={"file": "ema.pt"},
    event=(3, 8, 8),
    process={"name": "discrete", "schedule": "linear"},
    prediction="eps",
    classes=10,
    null_label=True,
    sigma_min=0.01,
    sigma_max=150.0,
    open={"schedule": SCHEDULES, "half": {"first": {"half": "first"}, "all": {"half": ""}}},
)


def made(spec: Specification, content: str = "ab" * 32, name: str = "net") -> Checkpoint:
    return Checkpoint(spec, lambda x, t, labels: x, name, content)


def answered(**given: str) -> Specification:
    return SPEC.with_settings({"schedule": "linear", "half": "all"} | given)


def test_what_is_open_must_be_answered():
    with pytest.raises(ValueError, match=r"schedule=linear\|cosine; half=first\|all") as refused:
        made(SPEC)
    assert "check-model" in str(refused.value)
    assert len(list(SPEC.candidates())) == 4
    assert {tuple(told.values()) for told, _ in SPEC.candidates()} == {
        (s, h) for s in ("linear", "cosine") for h in ("first", "all")
    }


def test_what_the_user_says_is_set_and_its_source_told():
    spec = answered(
        sign="-1", sigma_max="inf", limits="[0, 1]", **{"time.scale": "1000", "process.steps": "50"}
    )
    assert (spec.factor, spec.sigma_max, spec.limits) == (-1, math.inf, (0, 1))
    assert spec.time == {"of": "t", "scale": 1000}
    assert len(process_of(spec).levels) == 50
    assert (spec.source("factor"), spec.source("process")) == ("user", "schedule=linear")
    assert spec.source("prediction") == "family"
    assert json.loads(json.dumps(spec.as_json()))["sigma_max"] == "inf"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schedule": "sigmoid"}, "choose one of linear, cosine"),
        ({"colour": "red"}, "'colour' is no setting of openai checkpoints; there are: schedule"),
        ({"prediction": "noise"}, "prediction=noise is none of 'x0'"),
        ({"sigma_min": "low"}, "sigma_min=low: it must be a number"),
        ({"sigma_max": "0"}, "it must be above 0"),
        ({"sign": "0"}, "be finite and not 0"),
        ({"factor": "NaN"}, "be finite and not 0"),
        ({"boundary.scale": "abc"}, "boundary.scale=abc: it must be a number"),
        ({"process": "edm"}, "'process' is no setting"),
        ({"time.scale": "abc"}, "time.scale=abc: it must be a number"),
        ({"time.unit": "2"}, "a time has no 'unit'"),
        ({"time.of": "sigma"}, "time.of=sigma is none of 't', 'level'"),
        ({"process.steps": "many"}, "process.steps=many: it must be a number"),
        ({"process.steps": "2.5"}, "must be a whole number"),
        ({"classes": "many"}, "must be a whole number, 0 for none"),
        ({"null_label": "maybe"}, "must be true or false"),
        ({"limits": "1"}, r"limits=1: it must be two numbers that rise"),
        ({"limits": "[1,-1]"}, "two numbers that rise"),
        ({"limits": "[-1,Infinity]"}, "two numbers that rise"),
        ({"weights.file": "other.pt"}, "'weights.file' is no setting"),
        ({"network.class": "Other"}, "'network.class' is no setting"),
        ({"network.arguments": "3"}, "must be a JSON object"),
    ],
)
def test_what_cannot_be_set_is_one_sentence(given, said):
    with pytest.raises(ValueError, match=said):
        SPEC.with_settings(given)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("sigma_min", "abc", "sigma_min=abc: it must be a number"),
        ("sigma_max", None, "sigma_max=None: it must be a number"),
        ("sigma_min", math.nan, "sigma_min=nan: it must be above 0"),
        ("factor", True, "factor=True: it must be a number"),
        ("classes", -1, "classes=-1: it must be a whole number"),
        ("null_label", "yes", "null_label=yes: it must be true or false"),
        ("limits", [1, -1], "must be two numbers that rise"),
        ("decode", 2, "decode=2: it must be 0 or 1"),
    ],
)
def test_from_json__a_damaged_value_is_one_sentence(field, value, said):
    plain = answered(sigma_max="80").as_json()
    assert Specification.from_json(plain) == answered(sigma_max="80")
    with pytest.raises(ValueError, match=said):
        Specification.from_json({**plain, field: value})


def test_overridden__a_level_that_is_a_whole_number_can_be_set_to_numbers_only():
    with pytest.raises(ValueError, match="sigma_max=abc: it must be a number"):
        answered(sigma_max="80").with_settings({"sigma_max": "abc"})


def test_overridden__another_process_leaves_the_parts_that_it_lacks():
    spec = answered(snap="nearest", **{"process.name": "flow"})
    assert (spec.process, spec.snap) == ({"name": "flow"}, "nearest")
    spec = answered(**{"process.t_max": "0.9", "process.name": "vp_linear"})
    assert (spec.process, spec.snap) == ({"name": "vp_linear", "t_max": 0.9}, "")
    assert process_of(spec).t_max == 0.9


def test_process_of__a_table_of_one_time_is_refused_in_one_sentence():
    process = {"name": "discrete", "schedule": "linear", "steps": 1, "zero_snr": True}
    with pytest.raises(ValueError, match="need two levels or more"):
        process_of(replace(answered(sigma_max="80"), process=process))


def test_checkpoint__settings_that_contradict_each_other_are_one_sentence():
    with pytest.raises(ValueError, match=r"sigma_min=5 is not below sigma_max=1; give"):
        made(answered(sigma_min="5", sigma_max="1"))
    with pytest.raises(ValueError, match="labels=random, but the network takes no classes"):
        made(answered(classes="0", labels="random"))
    halved = made(answered(half="first"))
    with pytest.raises(ValueError, match="not twice as many; leave out half"):
        halved.denoise(torch.zeros(2, *halved.event), 1.0, None)


def test_a_process_that_is_none_is_one_sentence():
    with pytest.raises(ValueError, match="there is no process 'edn'; choose one of ve, edm"):
        made(answered(**{"process.name": "edn"}))
    with pytest.raises(ValueError, match=r"process discrete: it takes schedule, .*, and no colour"):
        made(answered(**{"process.colour": "red"}))


def test_the_identity_is_of_the_content_and_of_what_is_said():
    same = made(answered()).identity
    assert same == made(answered()).identity
    others = [
        made(answered(), content="cd" * 32),
        made(answered(sign="-1")),
        made(answered(schedule="cosine")),
        made(answered(labels="balanced")),
    ]
    assert len({same, *(model.identity for model in others)}) == 5


def test_labels_are_none_random_or_balanced():
    ids = torch.arange(40)
    assert made(answered()).draw_labels(ids, 0) is None
    assert made(answered(labels="balanced")).draw_labels(ids, 0).bincount().tolist() == [4] * 10
    random = made(answered(labels="random"))
    assert torch.equal(random.draw_labels(ids, 0)[7:9], random.draw_labels(ids[7:9], 0))
    assert set(random.draw_labels(torch.arange(2000), 0).tolist()) == set(range(10))


def test_a_network_that_needs_labels_is_neither_sampled_without_nor_guided():
    with pytest.raises(ValueError, match="choose labels=random or labels=balanced"):
        made(answered(null_label="false"))
    conditional = made(answered(null_label="false", labels="random"))
    with pytest.raises(ValueError, match="nothing to guide from"):
        ClassifierFree(conditional, 2.0)
    assert ClassifierFree(made(answered()), 2.0).null_label


def test_one_hot_has_no_one_for_no_label():
    seen = []
    network = OneHot(lambda x, t, labels: seen.append(labels) or x, 3)
    network(torch.zeros(2, 1), torch.zeros(2), torch.tensor([1, 3]))
    assert seen[0].tolist() == [[0, 1, 0], [0, 0, 0]]


def test_the_cosine_schedule_ends_at_its_cap():
    betas = betas_of("cosine", 1000)
    assert betas[-1] == 0.999
    assert betas[0] == pytest.approx(4.1e-5, rel=0.01)
    with pytest.raises(ValueError, match="choose one of linear, scaled_linear, sigmoid, cosine"):
        betas_of("square", 10)


@pytest.mark.parametrize(
    ("written", "path", "settings", "family"),
    [
        ("net.pkl", "net.pkl", {}, None),
        ("edm:net.pkl?sign=-1&time.scale=2", "net.pkl", {"sign": "-1", "time.scale": "2"}, "edm"),
        ("a/b?x=", "a/b", {"x": ""}, None),
        ("a+b?x=1e+4&y=a%26b", "a+b", {"x": "1e+4", "y": "a&b"}, None),
    ],
)
def test_a_path_its_family_and_its_settings(written, path, settings, family, monkeypatch):
    from samplerbench.models.checkpoints import families

    monkeypatch.setattr(families, "family_names", lambda: ["edm"])
    found, given, name = split_settings(written)
    assert (str(found), given, name) == (path, settings, family)


def test_a_query_that_is_none_is_one_sentence():
    with pytest.raises(ValueError, match=r"'schedule' after net\.pt is not setting=value"):
        split_settings("net.pt?schedule")
    with pytest.raises(ValueError, match="has a setting twice"):
        split_settings("net.pt?schedule=linear&schedule=cosine")


def test_answered__what_the_user_set_stays_whoever_answers_later():
    given = {"sigma_max": "80", "sign": "-1", "process.steps": "50", "time.scale": "2"}
    late = SPEC.with_settings(given).with_answer("schedule", "linear", "check")
    early = SPEC.with_settings({**given, "schedule": "linear"})
    assert late.sigma_max == early.sigma_max == 80
    assert late.process == early.process
    assert (late.factor, late.time["scale"], late.source("sigma_max")) == (-1, 2, "user")


def test_checkpoint__the_levels_are_those_of_a_process_that_the_user_changed():
    table = {"schedule": "linear", "half": "all", "process.end": "0.012"}
    model = made(SPEC.with_settings(table))
    ends = model.process.levels[0], model.process.levels[-1]
    assert (model.sigma_min, model.sigma_max) == pytest.approx(ends)
    assert made(SPEC.with_settings({**table, "sigma_max": "15"})).sigma_max == 15
    assert made(answered()).sigma_max == made(answered(sign="-1")).sigma_max == 150
    flow = answered(prediction="flow", **{"process.name": "flow", "process.t_max": "0.9"})
    assert made(flow).sigma_max == pytest.approx(9)


def test_checkpoint__a_level_above_its_table_is_refused():
    with pytest.raises(
        ValueError, match="sigma_max=1000 is above the last level of its table, 157"
    ):
        made(answered(sigma_max="1000"))
