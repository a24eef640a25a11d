"""W6: an extractor is all of its features.

Weights that changed in their tenth digit are noticed only where numbers are.
"""

import pytest
import torch
from small_runs import numbers, run

from samplerbench.results.comparison.compare import compare

EXTRACTOR = """
import torch
from pathlib import Path


def make():
    weights = torch.load(Path(__file__).with_name("extractor.pt"))
    return lambda x: x.float() @ weights
"""


@pytest.fixture
def extractor(tmp_path):
    """Writes an extractor of four features and its weights; its spec.

    One scalar of three digits told its versions apart once.
    """
    (tmp_path / "extractor.py").write_text(EXTRACTOR)

    def write(last):
        weights = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
        weights[:, 3] = torch.tensor(last)
        torch.save(weights, tmp_path / "extractor.pt")
        return f"{tmp_path / 'extractor.py'}:make"

    return write


@pytest.mark.slow
def test_other_weights_of_an_extractor_give_other_rows_in_any_directory(
    extractor, tmp_path, monkeypatch
):
    """The cache of real features is shared by all runs: a directory that was new had the
    features of the old weights.
    """
    asked = {"models": ["gmm-2d"], "extractor": extractor([0.5, -0.5])}
    before = run(tmp_path / "before", **asked)
    assert numbers(run(tmp_path / "same", **asked)) == numbers(before)
    extractor([-0.5, 3.0])
    stale = run(tmp_path / "new", **asked)
    again = run(tmp_path / "before", **asked)
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path / "empty-cache"))
    truth = numbers(run(tmp_path / "truth", **asked))
    assert numbers(stale) == numbers(again) == truth != numbers(before)


def test_weights_with_the_same_sum_of_features_are_others(extractor, tmp_path):
    """Columns exchanged: whatever is summed over all features stays."""
    spec = extractor([0.5, -0.5])
    first = run(tmp_path / "a", extractor=spec)
    weights = torch.load(tmp_path / "extractor.pt")
    torch.save(
        weights[:, [3, 1, 2, 0]] * torch.tensor([1.0, 1.0, 1.0, -1.0]), tmp_path / "extractor.pt"
    )
    run(tmp_path / "b", extractor=spec)
    assert first["made_by"][0] != run(tmp_path / "a", extractor=spec)["made_by"][0]
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(tmp_path / "a", _kept(first, tmp_path))


def _kept(frame, folder):
    path = folder / "kept.csv"
    frame.to_csv(path, index=False)
    return path
