"""Checks of a mapping, on exact networks in native coordinates, of which every map is known."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from defects import Exact, Mixture

from samplerbench.benchmarks.conformance.models import ModelCheck, check_checkpoint, clean_samples
from samplerbench.benchmarks.conformance.models.alternative_readings import (
    alternative_specifications,
)
from samplerbench.benchmarks.conformance.models.fit import measure_fit
from samplerbench.models.checkpoints.checkpoint_denoiser import Checkpoint
from samplerbench.models.checkpoints.specification import USER, Specification

EVENT = (2, 4, 4)
ROOM = torch.Generator().manual_seed(3)
MEANS = 0.6 * torch.randn(5, *EVENT, generator=ROOM, dtype=torch.float64)
WIDTH = 0.15
DDPM = {"name": "discrete", "schedule": "linear", "steps": 1000, "start": 1e-4, "end": 0.02}


def data(n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    which = torch.randint(5, (n,), generator=generator)
    return MEANS[which] + WIDTH * torch.randn(n, *EVENT, generator=generator, dtype=torch.float64)


def exact(spec: Specification) -> Exact:
    return Exact(spec, Mixture(MEANS, WIDTH))


def specification(**changes) -> Specification:
    spec = Specification(
        family="openai",
        network={},
        weights={"file": "x.pt"},
        event=EVENT,
        process=DDPM,
        prediction="eps",
        sigma_min=0.02,
        sigma_max=100.0,
    )
    return replace(spec, **changes)


RIGHT = {
    "DDPM, learned variance": specification(half="first", snap="nearest"),
    "stable diffusion's v": specification(
        process={**DDPM, "schedule": "scaled_linear", "start": 0.00085, "end": 0.012},
        prediction="v",
        sigma_min=0.03,
        sigma_max=14.6,
    ),
    "cosine": specification(process={**DDPM, "schedule": "cosine", "start": 0, "end": 0}),
    "EDM": specification(
        process={"name": "edm"}, prediction="edm", time={"of": "log_level", "scale": 0.25}
    ),
    "EDM, diffusers' sign": specification(
        process={"name": "edm"},
        prediction="edm",
        factor=-1.0,
        time={"of": "log_level", "scale": 0.25},
    ),
    "flow from data to noise": specification(process={"name": "flow"}, prediction="flow"),
    "SiT": specification(
        process={"name": "flow"},
        prediction="flow",
        factor=-1.0,
        time={"of": "t", "scale": -1.0, "offset": 1.0},
    ),
    "JiT": specification(process={"name": "flow", "noise_scale": 2.0}, prediction="x0"),
    "score, VE": specification(
        process={"name": "ve"}, prediction="score", time={"of": "level"}, sigma_max=50.0
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_map_passes(name: str) -> None:
    found = check_checkpoint(RIGHT[name], exact(RIGHT[name]), data(128))
    assert found.passed, [c.detail for c in found.checks if not c.passed]
    assert abs(found.fit.defect).max() < 0.05


def test_check_checkpoint__a_network_that_fails_on_its_own_samples_does_not_pass() -> None:
    def small_batches(x: torch.Tensor, t: torch.Tensor, labels: None) -> torch.Tensor:
        if len(x) > 8:
            raise RuntimeError("batch")
        return right(x, t, labels)

    spec, right = RIGHT["EDM"], exact(RIGHT["EDM"])
    found = check_checkpoint(spec, small_batches, samples=32)
    assert (found.verdict, [c.name for c in found.checks if not c.passed]) == (
        "failed",
        ["samples"],
    )
    found = check_checkpoint(spec, small_batches, data(8))  # the check of noise takes 64 states
    assert "raises RuntimeError: batch" in found.checks[-1].detail
    assert found.verdict == "failed"


def test_check_checkpoint__settings_that_mend_outputs_that_are_not_finite_are_named() -> None:
    truth = RIGHT["flow from data to noise"]
    right = exact(truth)

    def network(x: torch.Tensor, t: torch.Tensor, labels: None) -> torch.Tensor:
        return right(x, t, labels) + torch.where(t > 1, torch.nan, 0.0)[:, None, None, None]

    stated = replace(truth, time={"of": "t", "scale": 1000.0, "offset": 0.0})
    found = check_checkpoint(stated, network, data(64))
    said = {check.name: check.detail for check in found.checks if not check.passed}
    assert said["usual mistakes"].startswith(
        "the map is wrong: with time.scale=1&time.offset=0 the output is finite"
    )


def test_check_checkpoint__images_that_are_all_alike_are_refused() -> None:
    with pytest.raises(ValueError, match="one image, or images that are all alike"):
        check_checkpoint(RIGHT["EDM"], exact(RIGHT["EDM"]), data(1))


def test_check_checkpoint__one_class_has_no_other_labels_to_try() -> None:
    spec = replace(RIGHT["EDM"], classes=1, labels="random")
    found = check_checkpoint(spec, exact(spec), data(32), torch.zeros(32, dtype=torch.int64))
    assert found.passed
    assert "labels" not in {check.name for check in found.checks}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["DDPM, learned variance", "stable diffusion's v", "EDM", "SiT", "score, VE"]
)
def test_each_usual_mistake_fails(name: str) -> None:
    """The network is what it is; its user says something else of it.

    One network of each process; test_defects.py has mistakes about the other four.
    """
    truth, network, images = RIGHT[name], exact(RIGHT[name]), data(64)
    wrong = list(alternative_specifications(truth))
    assert len(wrong) >= 1
    for settings, stated in wrong:
        found = check_checkpoint(stated, network, images)
        assert not found.passed, settings


def test_what_a_file_leaves_open_is_answered() -> None:
    truth = specification(process={**DDPM, "schedule": "cosine"}, half="first")
    schedules = {s: {"process": {**DDPM, "schedule": s}} for s in ("linear", "cosine")}
    halves = {"first": {"half": "first"}, "second": {"half": "second"}}
    asked = replace(truth, open={"schedule": schedules, "half": halves})
    for images in (data(96), None):
        found = check_checkpoint(asked, exact(truth), images, samples=48)
        given = images is not None
        assert found.verdict == ("passed" if given else "not decided"), [
            c.detail for c in found.checks
        ]
        assert found.answers == ({"schedule": "cosine", "half": "first"} if given else {})
        assert found.spec.source("process") == "check"
        told = {candidate["settings"] for candidate in found.candidates}
        assert {f"schedule={s}&half={h}" for s in schedules for h in halves} <= told
        assert "schedule=cosine&half=first fits" in found.checks[0].detail


def test_check_answers__where_none_is_right_that_is_said() -> None:
    asked = specification(
        open={"schedule": {s: {"process": {**DDPM, "schedule": s}} for s in ("linear", "cosine")}}
    )
    network = exact(specification(prediction="score"))
    found = check_checkpoint(asked, network, data(96))
    assert found.verdict == "failed"
    assert "none of the 2 answers is right" in found.checks[0].detail


def test_two_that_fit_alike_are_refused_by_name() -> None:
    near = {"a": {"process": DDPM}, "b": {"process": {**DDPM, "end": 0.0200001}}}
    asked = specification(open={"schedule": near})
    found = check_checkpoint(asked, exact(specification()), data(96))
    assert (found.verdict, found.verdict_in_words) == ("not decided", "not decided: schedule")
    assert found.answers == {}
    assert {answers["schedule"] for answers in found.alike} == {"a", "b"}
    assert "fit alike" in found.checks[0].detail
    assert "as in 'PATH?schedule=" in found.checks[0].detail
    assert "schedule=a" in found.checks[0].detail
    assert "schedule=b" in found.checks[0].detail


def test_check_checkpoint__a_stated_answer_that_fits_no_better_is_named() -> None:
    answers = {"a": DDPM, "b": {**DDPM, "end": 0.0200001}, "c": {**DDPM, "schedule": "cosine"}}
    asked = specification(open={"schedule": {a: {"process": p} for a, p in answers.items()}})
    others = {
        a: [(f"schedule={b}", asked.with_answer("schedule", b, USER)) for b in answers if b != a]
        for a in answers
    }

    def checked(answer: str) -> ModelCheck:
        stated = asked.with_answer("schedule", answer, USER)
        return check_checkpoint(stated, exact(specification()), data(96), stated=others[answer])

    assert checked("a").verdict_in_words == "passed, given schedule=a"
    assert checked("c").verdict == "failed"
    assert re.search("with schedule=[ab] or schedule=[ab] ", checked("c").checks[0].detail)
    others["a"] = others["a"][1:]
    assert checked("a").verdict_in_words == "passed"


def test_limit_time__a_long_search_without_images_is_refused_with_the_remedy(monkeypatch) -> None:
    halves = {"first": {"half": "first"}, "second": {"half": "second"}}
    asked = specification(open={"half": halves})
    shown: list[str] = []

    def checked(images: torch.Tensor | None) -> ModelCheck:
        return check_checkpoint(
            asked, exact(specification(half="first")), images, samples=16, progress=shown.append
        )

    monkeypatch.setattr(clean_samples, "ANNOUNCED_MINUTES", 0.0)
    assert checked(None).verdict == "not decided"
    assert "to try 2 readings on the model's own samples takes about" in shown[0]
    assert "give --images FOLDER, which decides more" in shown[0]
    assert shown[1] == "trying reading 1 of 2: half=first"
    assert re.fullmatch(r"trying reading 2 of 2, about \d+ s left: half=second", shown[2])
    monkeypatch.setattr(clean_samples, "MOST_MINUTES", 0.0)
    with pytest.raises(
        ValueError, match=r"give --images FOLDER.*, or state answers behind the path"
    ):
        checked(None)
    assert checked(data(96)).passed


def test_the_defect_is_zero_for_an_exact_denoiser_and_not_for_one_that_is_told_another_level() -> (
    None
):
    spec = RIGHT["EDM"]
    model = Checkpoint(spec, exact(spec), "exact", "0")
    levels = np.array([1.0, 0.3])
    right = measure_fit(model, data(2000), None, levels)
    assert (abs(right.defect) < 4 * right.defect_se).all()
    told = Checkpoint(
        replace(spec, time={"of": "log_level", "scale": 0.25, "offset": 0.1}),
        exact(spec),
        "off",
        "0",
    )
    off = measure_fit(told, data(2000), None, levels)
    assert (abs(off.defect) > 10 * off.defect_se).any()
    assert off.excess(right)[0] > 5 * off.excess(right)[1] > 0
