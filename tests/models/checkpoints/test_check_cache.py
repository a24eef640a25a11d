"""What ``check-model`` remembers of a checkpoint: answers, and that it passed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from samplerbench.models import from_function
from samplerbench.models.checkpoints.check_cache import (
    has_passed_check,
    note_passed_check,
    with_cached_answers,
)


@pytest.mark.parametrize("answers", ['{"schedule": ["linear"]}', '["schedule"]', "{"])
def test_cached_answers__that_are_damaged_are_ignored(tmp_path, monkeypatch, answers):
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path))
    spec = SimpleNamespace(family="openai", open={"schedule": {"linear": ""}})
    (tmp_path / "checkpoint-openai-x.json").write_text(answers)
    assert with_cached_answers(spec, "x") is spec


def test_passed_check__of_an_object_without_a_file_is_not_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path))
    model = from_function(lambda x, sigma: x / (1 + sigma**2), event=(2,))
    note_passed_check(model)
    assert not has_passed_check(model)
    assert not list(tmp_path.iterdir())
