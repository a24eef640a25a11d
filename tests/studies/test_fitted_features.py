"""Solvers fitted in one feature space and scored in another: rows, resumption, ratios, tables."""

import numpy as np
import pytest
import torch

from samplerbench.models import from_function
from samplerbench_studies.fitted import features
from samplerbench_studies.fitted.features import (
    Experiment,
    Sizes,
    jackknife,
    paired_frechet,
    ratio_of_means,
    read,
    study,
)
from samplerbench_studies.fitted.features_table import interval, summary

SPACES = ("pixels", "card")


class Scaled:
    """Card features of the test's model: twice the first value."""

    dim, identity = 1, "first"

    def __call__(self, x):
        return 2 * x.flatten(1)[:, :1].double().numpy()


def model():
    spread = torch.tensor([1.0, 0.5, 0.25])

    def denoise(x, sigma):
        share = spread**2 / (spread**2 + sigma**2)
        return share * x + 0.2 * torch.sin(share * x)

    return from_function(denoise, event=(3,), sigma_min=0.01, sigma_max=20.0)


@pytest.fixture
def experiment(monkeypatch, tmp_path):
    monkeypatch.setattr(features, "make_model", lambda _: model())
    make = features.make_space

    def make_space(name, of):
        return features.FeatureLoss(of, Scaled()) if name == "card" else make(name, of)

    monkeypatch.setattr(features, "make_space", make_space)
    return Experiment("own", SPACES, Sizes(9, 60, 90, 1), tmp_path)


def test_study__has_a_row_for_each_fit_and_score_and_goes_on_where_it_stopped(
    experiment, tmp_path, monkeypatch
):
    out = tmp_path / "features.csv"
    first = next(study(out, experiment, (3,), 2))
    assert [row["score"] for row in first] == list(SPACES)
    assert all(row["distance_ratio"] == row["fd_ratio"] == "1" for row in first)
    rest = list(study(out, experiment, (3,), 2))
    assert [(rows[0]["fit"], rows[0]["seed"]) for rows in rest] == [
        ("pixels", 0),
        ("card", 0),
        ("clamped", 0),
        ("pixels", 1),
        ("card", 1),
        ("clamped", 1),
    ]
    monkeypatch.setattr(Experiment, "fitted", lambda *_: pytest.fail("fitted again"))
    assert not list(study(out, experiment, (3,), 2))
    rows = read(out)
    own = {(r["fit"], r["score"], r["seed"]): float(r["distance_ratio"]) for r in rows}
    assert own["pixels", "pixels", "0"] < 0.7
    assert own["card", "card", "0"] < 0.7
    table = summary(rows)
    assert "own" in table
    assert table.count("| own | 3 |") == 6 + 2
    assert summary([r for r in rows if r["fit"] != "pixels"])


def test_ratio_of_means__is_exact_for_proportional_values_and_covers_by_its_error():
    b = np.linspace(1, 2, 40)
    assert ratio_of_means(0.3 * b, b) == (pytest.approx(0.3), pytest.approx(0, abs=1e-12))
    rng = np.random.default_rng(0)
    found = [ratio_of_means(rng.exponential(2, 200), rng.exponential(1, 200)) for _ in range(300)]
    ratios, errors = np.transpose(found)
    assert np.std(ratios) == pytest.approx(np.mean(errors), rel=0.15)


def test_interval__has_the_spread_of_seeds_and_the_noise_that_all_share():
    assert interval([2.0], [0.5])[1] == pytest.approx(0.98)
    assert interval([1.0, 3.0])[1] == pytest.approx(12.706, rel=1e-3)
    assert interval([1.0, 1.0], [0.1, 0.3])[1] == pytest.approx(0.392)


def test_paired_frechet__has_neither_the_bias_nor_the_noise_of_a_finite_number_of_latents():
    """|0.1 (1, 1)|² + tr (1.1 - 1)² = 0.04, and 0 for rotated samples, which share no latent's noise."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(40):
        ends = rng.normal(size=(320, 2))
        noisy = np.sqrt(0.5) * (ends + rng.normal(size=ends.shape))
        found.append([jackknife(paired_frechet(x, ends)) for x in (1.1 * ends + 0.1, noisy)])
    values, errors = np.moveaxis(np.array(found), 2, 0)
    assert values.mean(0) == pytest.approx([0.04, 0], abs=4e-3)
    assert values[:, 0].std() < 0.015
    assert errors[:, 0].mean() == pytest.approx(values[:, 0].std(), rel=0.4)
