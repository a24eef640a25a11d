"""F12: sentences that say what is wrong and what helps."""

import errno
import os

import pytest

from samplerbench.models.exact import probability_flow
from samplerbench.results.comparison.compare import Comparison, comparison_notes
from samplerbench.results.run_directory.layout import LOCK, explain_write_errors, unwritable_error

MODEL = """
import torch

class Model:
    event, sigma_min, sigma_max, dtype = (2,), 0.002, 80.0, torch.float64

    def __call__(self, x, sigma):
        d = x / (1 + sigma**2)
        return d + 1e-3 * torch.rand(1).item() if {low} < float(sigma) < {high} else d

factory = Model
"""
RUN = ("run", "quick", "--sampler", "euler", "--steps", 5, "--samples", 32, "--no-timing")


def test_set_up__global_chance_at_one_level_of_the_cells(samplerbench, tmp_path):
    (tmp_path / "model.py").write_text(MODEL.format(low=2.2, high=2.9))
    code, _, said = samplerbench(*RUN, "--model", "model.py:factory", "--out", "run")
    assert code == 2
    assert "model.py:factory draws from torch's global generator" in said
    assert "Traceback" not in said


def test_notes__no_comparison():
    assert comparison_notes(Comparison("a", "b", (), (), ()))[0] == "0 comparisons."


def test_unwritable__a_full_disk(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "0-64.npz"))
    assert "free some space, or choose another folder" in str(unwritable_error(tmp_path, full))
    with (
        pytest.raises(ValueError, match=r"0-64.npz could not be written; free some space") as said,
        explain_write_errors(tmp_path),
    ):
        raise full
    assert "another folder" not in str(said.value)


def test_explain_write_errors__a_folder_that_cannot_be_made_is_not_gone(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ValueError, match=r"cannot write to .*file \(File exists\); choose another"),
        explain_write_errors(tmp_path / "file"),
    ):
        (tmp_path / "file").mkdir(exist_ok=True)
    with (
        pytest.raises(ValueError, match=r"a.py could not be written .*; give yourself the right"),
        explain_write_errors(tmp_path),
    ):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "a.py"))


def test_explain_write_errors__a_file_of_a_folder_with_a_longer_name_stays(tmp_path):
    full = OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path / "ab" / "x"))
    with pytest.raises(OSError, match="Read-only"), explain_write_errors(tmp_path / "a"):
        raise full


def test_explain_write_errors__an_error_that_names_no_file_stays(tmp_path):
    (tmp_path / LOCK).touch()
    with pytest.raises(OSError, match="Cannot allocate memory"), explain_write_errors(tmp_path):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def test_run__a_probability_flow_that_does_not_converge(samplerbench, monkeypatch):
    monkeypatch.setattr(probability_flow, "SMALLEST_STEP", 10.0)
    code, _, said = samplerbench(*RUN, "--model", "gmm-2d", "--no-isolation", "--out", "run")
    assert code == 2
    (line,) = [line for line in said.splitlines() if "did not converge" in line]
    assert "model gmm-2d has no endpoints to compare with" in line
    assert "Traceback" not in said
