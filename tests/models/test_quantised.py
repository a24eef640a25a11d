"""Samples that become images of 8 bits before the extractor: EDM's and ADM's formulas, what stays
apart, and what is refused.
"""

import numpy as np
import pytest
import torch
from quiet_runs import quiet_run

from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.suites.files import with_resolved_paths
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.models.extractors import Samples, make_extractor
from samplerbench.models.extractors.quantised import to_grey_levels

RANGE = (-1.0, 1.0)
X = torch.rand(2000, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1


def test_truncating_is_adm_s_formula_and_rounding_edm_s():
    adm = ((X + 1) * 127.5).clamp(0, 255).to(torch.uint8)
    edm = (X * 127.5 + 128).clip(0, 255).to(torch.uint8)
    diffusers = ((X / 2 + 0.5).clamp(0, 1).numpy() * 255).round().astype("uint8")
    assert torch.equal(to_grey_levels(X, RANGE, "truncate"), adm)
    rounded = to_grey_levels(X, RANGE, "round")
    np.testing.assert_array_equal(rounded, diffusers)
    assert torch.equal(rounded, edm)
    assert to_grey_levels(X.double() * 0.5 + 0.5, (0.0, 1.0), "round").sub(rounded).eq(0).all()
    on_grid = torch.arange(256) / 127.5 - 1
    assert torch.equal(to_grey_levels(on_grid, RANGE, "round").long(), torch.arange(256))


def test_features_are_those_of_the_saved_image():
    samples = Samples((1, 4, 4), RANGE)
    plain = make_extractor("pixels", samples)
    for how in ("round", "truncate"):
        made = make_extractor(f"{how}:pixels", samples)
        saved = to_grey_levels(X, RANGE, how) / 127.5 - 1
        np.testing.assert_allclose(made(X), plain(saved), atol=1e-6)
        assert made.identity != plain.identity
    inside = X / 1.1
    dark = make_extractor("truncate:pixels", samples)(inside).mean()
    assert dark - plain(inside).mean() == pytest.approx(-0.5 / 127.5, rel=0.05)


def test_real_data_are_not_quantised_and_converged_samples_are(tmp_path):
    """A card's features of its model's converged samples are those of unquantised ones."""
    models = {"fashion": make_model("fashion"), "digits": make_model("digits")}
    plain, cut = (
        load_references(models, spec, cache=tmp_path)["fashion"]
        for spec in ("card", "truncate:card")
    )
    np.testing.assert_array_equal(cut.mean, plain.mean)
    np.testing.assert_array_equal(cut.held_out(5), plain.held_out(5))
    assert plain.converged is not None
    assert cut.converged is None
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(-1, 1, (60, 1, 8, 8)))
    given = [
        load_references({"m": models["digits"]}, spec, str(tmp_path / "x.npy"), tmp_path)["m"]
        for spec in ("pixels", "round:pixels")
    ]
    np.testing.assert_array_equal(given[0].mean, given[1].mean)
    assert given[0].identity != given[1].identity


@pytest.mark.slow
def test_a_row_of_quantised_samples_is_another_row(tmp_path):
    suite = {
        "name": "small",
        "models": [{"name": "digits", "extractor": spec} for spec in ("truncate:card",)],
        "samplers": ["euler"],
        "nfe": [4],
        "samples": 24,
        "converged_samples": 16,
        "reference_samples": 8,
        "timing": {"enabled": False},
        "metrics": ["frechet"],
    }
    cut = quiet_run(check_suite(suite, "test"), tmp_path / "run").frame
    plain = quiet_run(check_suite(suite | {"models": ["digits"]}, "test"), tmp_path / "run").frame
    table = {row["estimator"]: row for _, row in plain.iterrows()}
    assert len(table) == 2
    assert cut["estimator"].iloc[0] in table
    assert "after-uint8-truncated" in cut["estimator"].iloc[0]
    assert plain["fid_proxy_raw"].nunique() == 2


@pytest.mark.parametrize(
    ("spec", "samples", "message"),
    [
        ("round", Samples((1, 4, 4), RANGE), "round alone is no extractor; write round:EXTRACTOR"),
        ("truncate:round:pixels", Samples((1, 4, 4), RANGE), "quantises twice"),
        ("round:pixels", Samples((2,)), "needs the range of the images' values"),
        ("round:nothing", Samples((2,), RANGE), "unknown extractor 'nothing'"),
    ],
)
def test_what_cannot_be_quantised_is_one_sentence(spec, samples, message):
    with pytest.raises(ValueError, match=message):
        make_extractor(spec, samples)


def test_a_file_behind_two_schemes_is_beside_the_suite(tmp_path):
    found = with_resolved_paths({"extractor": "truncate:inception:w.pth"}, tmp_path)
    assert found["extractor"] == f"truncate:inception:{tmp_path / 'w.pth'}"
    models = ["checkpoint:w.safetensors", "checkpoint:~/w.pt"]
    found = with_resolved_paths({"models": models}, tmp_path)
    assert found["models"] == [f"checkpoint:{tmp_path / 'w.safetensors'}", "checkpoint:~/w.pt"]
    with pytest.raises(ValueError, match="a reference is for another feature space"):
        check_suite({"name": "x", "models": ["digits"], "samplers": ["heun"], "nfe": [5],
                     "extractor": "round:card:8", "reference": "x.npy"}, "test")  # fmt: skip
