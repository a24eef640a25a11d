"""The study of skipped evaluations: levels that are evaluated, and its table of a small run."""

import sys

import pytest
import torch

from samplerbench.benchmarks.conformance import ThreeModes
from samplerbench.samplers import karras, make
from samplerbench_studies import skips


@pytest.mark.parametrize("by", ["every 2, 0", "every 3, 0", "change 2, 1", "change 2, 1, flow"])
def test_evaluated__euler_with_reuse_is_euler_on_these_levels(by):
    pattern, last, *flow = by.split(", ")
    sampler = make("skip", sampler="euler", pattern=pattern, last=int(last))
    levels = skips.evaluated(6, 0.02, 20.0, by=by)
    assert len(levels) == 6
    if flow:
        return
    n = max(k for k in range(6, 30) if sampler.nfe(karras(k, 0.02, 20.0)) == 6)
    x = 20 * torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    coarse = make("euler").sample(ThreeModes(), x, levels)
    ours = sampler.sample(ThreeModes(), x, karras(n, 0.02, 20.0))
    torch.testing.assert_close(ours, coarse, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_skips__prints_ratios_with_verdicts_and_their_counts(tmp_path, monkeypatch, capsys):
    words = [str(tmp_path), "--models", "gmm-2d", "--nfe", "6"]
    monkeypatch.setattr(sys, "argv", ["skips", *words])
    monkeypatch.setattr(skips, "SAMPLERS", ("euler",))
    monkeypatch.setattr(skips, "PLAIN", ("euler", "heun"))
    skips.main()
    lines = capsys.readouterr().out.splitlines()
    assert "### gmm-2d" in lines
    (reuse,) = (line for line in lines if line.startswith("| every 2, reuse | euler |"))
    assert " / 1.00 " in reuse.rpartition("|")[0]
    assert any(line.startswith("| change 2, reuse | 1 ") for line in lines)
