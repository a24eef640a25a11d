"""What the checks find of defects: all of them, by their right cause or by none, and no right map."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from defects import DEFECTS, RIGHT, Defect, data
from own_calls import CALLS, RIGHT_CALLS, Call

from samplerbench.benchmarks.conformance.models import (
    ModelCheck,
    check_checkpoint,
    check_denoiser,
)
from samplerbench.models.loaders.python_file import FileModel
from samplerbench.models.loaders.user_files import FilesRead

IMAGES, OWN = 48, 16
NAMED = re.compile(r"the map is wrong: with (.*?) (the mean squared|the output is finite)")


def wrong_sentences(found: ModelCheck) -> str:
    return " | ".join(check.detail for check in found.checks if not check.passed)


def counted(cases: dict[str, tuple[ModelCheck, tuple[str, ...]]]) -> dict[str, list[str]]:
    """Names of the cases by what was found of them."""
    counts: dict[str, list[str]] = {"missed": [], "right": [], "wrong": [], "withheld": []}
    for name, (found, causes) in cases.items():
        said = wrong_sentences(found)
        if found.verdict == "passed":
            counts["missed"].append(name)
        elif any(cause in said for cause in causes):
            counts["right"].append(name)
        else:
            counts["wrong" if NAMED.search(said) else "withheld"].append(name)
    undecided = [name for name, (found, _) in cases.items() if found.verdict == "not decided"]
    print({key: len(names) for key, names in counts.items()}, counts["withheld"], undecided)
    return counts


def check(defect: Defect, *, images: bool) -> ModelCheck:
    clean, labels = defect.data(IMAGES) if images else (None, None)
    return check_checkpoint(defect.stated, defect.made(), clean, labels, samples=OWN)


def check_call(of: Call, *, images: bool) -> ModelCheck:
    clean = of.change(data(IMAGES)[0]) if images else None
    return check_denoiser(file_model(of.call), clean, samples=OWN)


def file_model(call: Callable[..., torch.Tensor]) -> FileModel:
    model = FileModel(of_call(call), "m.py:factory", "m")
    model.read = FilesRead(Path())  # what makes it a user's
    return model


def of_call(call: Callable[..., torch.Tensor]) -> object:
    class Model:
        event, sigma_min, sigma_max = (3, 4, 4), 0.02, 80.0

        def __call__(self, x, sigma):
            return call(x, sigma)

    return Model()


@pytest.mark.slow
def test_check_checkpoint__right_maps_pass_with_images_and_do_not_fail_without() -> None:
    for name, spec in RIGHT.items():
        right = Defect(spec, spec)
        assert check(right, images=True).verdict == "passed", name
        assert check(right, images=False).verdict == "not decided", name


@pytest.mark.slow
def test_check_checkpoint__each_defect_is_found_and_no_wrong_cause_is_named() -> None:
    counts = counted({name: (check(d, images=True), d.cause) for name, d in DEFECTS.items()})
    assert counts["missed"] == counts["wrong"] == []
    assert set(counts["withheld"]) <= {"time shifted by 150", "other data"}


@pytest.mark.slow
def test_check_checkpoint__without_images_no_defect_passes() -> None:
    found = {name: check(defect, images=False) for name, defect in DEFECTS.items()}
    failed = [name for name, each in found.items() if each.verdict == "failed"]
    print(len(failed), "failed,", len(found) - len(failed), "not decided")
    assert not any(each.passed or NAMED.search(wrong_sentences(each)) for each in found.values())
    assert {"sign", "output times 2", "time in thousandths", "NaN at low levels", "dropout"} <= set(
        failed
    )
    undecided = next(each for each in found.values() if each.verdict == "not decided")
    assert "give --images" in wrong_sentences(undecided)


@pytest.mark.slow
def test_check_denoiser__right_calls_pass_and_each_defect_is_found_without_a_wrong_cause() -> None:
    for name, right in RIGHT_CALLS.items():
        assert check_call(right, images=True).verdict == "passed", name
        assert check_call(right, images=False).verdict == "not decided", name
    counts = counted({name: (check_call(c, images=True), c.cause) for name, c in CALLS.items()})
    assert counts["missed"] == counts["wrong"] == []
    assert all(CALLS[name].cause == () for name in counts["withheld"])


def test_check_denoiser__an_adapter_is_read_with_other_settings() -> None:
    """Of a Python file, which says nothing of checkpoints."""
    from own_calls import NETWORK

    from samplerbench.models.adapters import NativeDenoiser, NetworkTime
    from samplerbench.models.checkpoints.checkpoint_denoiser import process_of

    cases = {
        ("eps", 1.0, 0.0): (),
        ("v", 1.0, 0.0): ("prediction=eps",),
        ("eps", -1.0, 999.0): ("time.scale=1&time.offset=0",),
        ("eps", 0.001, 0.0): ("time.scale=1&time.offset=0",),
        ("eps", 1.0, 150.0): ("about t - 150 given to the network",),
    }
    for (stated, scale, offset), causes in cases.items():
        model = NativeDenoiser(
            NETWORK,
            process_of(RIGHT["DDPM"]),
            stated,  # type: ignore[arg-type]
            name="mine",
            event=(3, 4, 4),
            identity="1",
            sigma_min=0.02,
            time=NetworkTime(scale=scale, offset=offset),
        )
        model.read = FilesRead(Path())
        found = check_denoiser(model, data(IMAGES)[0])
        assert found.passed == (not causes), wrong_sentences(found)
        assert all(cause in wrong_sentences(found) for cause in causes)
