"""The quality columns of a run: which are given, what they say of samplers whose faults are
known, and the arrays behind them.
"""

import numpy as np
import pandas as pd
import pytest
from quiet_runs import quiet_run

from samplerbench.benchmarks.metrics import (
    FrechetReference,
    dominated,
    estimate,
    metrics,
    population_estimate,
)
from samplerbench.benchmarks.scoring.context import CellContext, gather_shards
from samplerbench.benchmarks.scoring.data import ModelData, ScoringReference, training_set
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.models.reference import Identity, Reference, Statistics
from samplerbench.results.comparison.headline import headline_table
from samplerbench.results.quantities import column_names
from samplerbench.results.run_directory.files import read_npz

SUITE = {
    "name": "columns",
    "models": ["gmm-2d"],
    "samplers": ["heun", "ddpm"],
    "nfe": [1, 35],
    "samples": 200,
    "reference_samples": 16,
    "converged_samples": 200,
    "noise": "brownian",
    "timing": {"enabled": False},
}
EVERYWHERE = [
    *(
        "fid_proxy_floor_se",
        "fd_inf",
        "fid_proxy_converged",
        "fid_proxy_converged_se",
        "dominated",
        "kid",
        "kid_se",
        "swd",
        "swd_se",
    ),
    *(
        "swd_floor",
        "precision",
        "recall",
        "density",
        "coverage",
        "mode_coverage",
        "mode_p",
        "duplicates",
    ),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("columns")
    frame = quiet_run(check_suite(SUITE, "t"), out).frame
    return out, frame.set_index(["sampler", "budget"])


@pytest.mark.slow
def test_every_column_is_given(run):
    _, rows = run
    assert set(EVERYWHERE) <= set(column_names())
    assert (rows["status"] == "ok").all(), rows["reason"].tolist()
    assert rows[EVERYWHERE].notna().all().all(), rows[EVERYWHERE].isna().sum()
    assert rows[["memorised", "w2_coefficients"]].isna().all().all()
    assert "kid" in rows["estimator"].iloc[0]


def test_too_few_converged_samples_flag_the_distance_to_them_only(tmp_path):
    suite = check_suite({**SUITE, "samplers": ["heun"], "nfe": [5], "converged_samples": 20}, "t")
    table = quiet_run(suite, tmp_path)
    (row,) = table.frame.to_dict("records")
    assert pd.isna(row["fid_flag"])
    assert "N = 20 is below 15 d = 30" in row["fd_conv_flag"]
    assert "N = 20 is below" in headline_table(table)["flag"].iloc[0]


@pytest.mark.slow
def test_one_step_to_the_mean_is_seen_by_every_metric(run):
    """After one evaluation every sample is the mean of the data: a mode of its own, all but a
    copy of the others.
    """
    _, rows = run
    coarse, fine = rows.loc[("heun", 1)], rows.loc[("heun", 35)]
    assert coarse["swd"] > 20 * fine["swd"]
    assert coarse["kid"] > 10 * coarse["kid_se"]
    assert abs(fine["kid"]) < 3 * fine["kid_se"]
    assert coarse["recall"] < 0.1 < 0.8 < fine["recall"]
    assert coarse["coverage"] < 0.2 < 0.8 < fine["coverage"]
    assert coarse["mode_p"] < 1e-6 < 1e-3 < fine["mode_p"]
    assert coarse["mode_coverage"] < fine["mode_coverage"] == 1.0


def test_the_arrays_give_the_errors_of_the_table(run):
    """What `compare` pairs: per-sample terms, in sample order, whose spread is the error."""
    out, rows = run
    for folder in (out / "parts").iterdir():
        arrays = read_npz(folder / "influence.npz")
        assert arrays is not None
        name = "strong" if "ddpm" in folder.name else "distance"
        both = {
            f"{metric}{side}"
            for metric in ("fd_conv", "kid", "energy")
            for side in ("", "_reference")
        }
        flipped = {"flipped"} if name == "distance" else set()
        assert set(arrays) == {"influence", *both, name, *flipped}
        assert [len(arrays[key]) for key in ("influence", "fd_conv", "kid", name)] == [
            200,
            200,
            200,
            16,
        ]
        row = rows.loc[
            ("ddpm" if name == "strong" else "heun", 35 if "nfe35" in folder.name else 1)
        ]
        spread = {key: arrays[key].var(ddof=1) / len(arrays[key]) for key in arrays}
        assert np.sqrt(spread["influence"]) == pytest.approx(row["fid_proxy_se"], rel=1e-4)
        assert np.sqrt(spread["fd_conv"] + spread["fd_conv_reference"]) == pytest.approx(
            row["fd_conv_se"], rel=1e-4
        )
        assert row["kid_se"] <= np.sqrt(spread["kid"] + spread["kid_reference"]) * 1.0001
        column = "strong_error" if name == "strong" else "rmse"
        assert np.sqrt(np.mean(np.square(arrays[name]))) == pytest.approx(row[column], rel=1e-4)


def asked(model, names, *, whole, features=None, held_out=None):
    """What some metrics give for samples kept whole, and for features against held-out ones."""
    scale = None
    if held_out is not None:
        d = held_out.shape[1]
        reference = Reference(
            Identity((d,)),
            None,
            "t",
            lambda: Statistics(np.zeros(d), np.eye(d), lambda n: held_out[:n]),
        )
        scale = ScoringReference(reference, held_out)
    shard = {"endpoint": whole, "sizes": np.array([max(len(whole), 1)])}
    shard |= {} if features is None else {"features": features}
    n = len(whole) or len(features)
    context = CellContext(
        gather_shards([shard], n), n, ModelData(model, "cpu"), scale, None, follows_path=False
    )
    found = [
        metrics()[name](context) for name in names if metrics()[name].needs <= context.met_needs
    ]
    return {k: v for one in found for k, v in one.columns.items()}, {
        k: v for one in found for k, v in one.influence.items()
    }


def test_a_memorising_model_is_found_out():
    cloud = make_model("digits-cloud")
    copies = cloud.held_out(60).numpy()
    record, _ = asked(cloud, ["memorised"], whole=copies)
    assert record["memorised"] == 1.0
    assert record["memorised_low"] > 0.9
    blurred = copies + np.random.default_rng(0).standard_normal(copies.shape)
    assert asked(cloud, ["memorised"], whole=blurred)[0]["memorised"] < 0.2


def test_the_training_images_of_digits_are_not_those_held_out():
    """The card's reference has moments of the training images, and the held-out images."""
    model = make_model("digits", guidance=2)
    reference, training = model.reference(), training_set(model)
    assert reference is not None
    assert training is not None
    assert training.held_out is not None
    np.testing.assert_allclose(training.examples.mean(0), reference.mean, atol=1e-6)
    np.testing.assert_allclose(training.held_out, reference.held_out(1000), atol=1e-6)
    assert training_set(make_model("gmm-2d")) is None


def test_coefficients_of_exact_images_are_at_the_floor():
    model = make_model("wavelet", side=8)
    x = model.sample(300, seed=5).numpy()
    exact, off = (asked(model, ["coefficients"], whole=scale * x)[0] for scale in (1.0, 1.5))
    assert exact["w2_coefficients"] == pytest.approx(exact["w2_coefficients_floor"], rel=0.15)
    assert off["w2_coefficients"] > 2 * off["w2_coefficients_floor"]


def test_columns_without_enough_real_samples_stay_empty():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 2))
    names, model, none = ["kid", "swd", "precision_recall"], make_model("gmm-2d"), np.empty((0, 2))
    assert asked(model, names, whole=none, features=x, held_out=x[:0]) == ({}, {})
    few, _ = asked(model, names, whole=none, features=x, held_out=rng.standard_normal((3, 2)))
    assert set(few) == {"swd", "swd_se", "swd_floor"}
    some, arrays = asked(
        model, names, whole=none, features=x, held_out=rng.standard_normal((30, 2))
    )
    assert some["swd_floor"] is None, "30 are not 2 x 20"
    assert len(arrays["kid"]) == len(arrays["kid_reference"]) == 20


@pytest.mark.parametrize(("held_out", "given"), [(20, False), (64, True), (300, True)])
def test_fid_proxy_floor__is_not_extrapolated_from_too_few_held_out_samples(
    held_out, given, caplog
):
    """From 20 in 16 dimensions it was 1.5, and that of 300 samples is 0.28."""
    x, y = np.random.default_rng(0).standard_normal((2, 300, 16))
    record, _ = asked(
        make_model("gmm-2d"),
        ["frechet"],
        whole=np.empty((0, 2)),
        features=x,
        held_out=y[:held_out],
    )
    floor, error = record["fid_proxy_floor"], record["fid_proxy_floor_se"]
    assert ([floor, error] == [None, None]) is not given
    assert not given or abs(floor - 0.28) < 2 * error
    assert len(caplog.messages) == (not given)


def test_a_feature_too_large_for_the_kernel_costs_its_column_only():
    x = np.random.default_rng(0).standard_normal((20, 2))
    x[0] = 1e28
    names, held_out = ["kid", "precision_recall"], np.random.default_rng(1).standard_normal((20, 2))
    record, arrays = asked(
        make_model("gmm-2d"), names, whole=np.empty((0, 2)), features=x, held_out=held_out
    )
    assert "kid" not in record
    assert not arrays
    assert record["precision"] < 1


def test_dominated_by_the_model_s_error():
    """A model off by 0.5 in one direction.

    Samples a little off to the good side, or far off to the side on which the model is.
    """
    rng = np.random.default_rng(0)
    truth = FrechetReference(np.zeros(2), np.eye(2))
    converged, good, far = (
        rng.standard_normal((3000, 2)) + np.array([x, 0]) for x in (0.5, 0.4, 3.0)
    )
    error, right = estimate(truth, converged), estimate(truth, rng.standard_normal((3000, 2)))
    assert dominated(population_estimate(good, converged), error) is True
    assert dominated(population_estimate(far, converged), error) is False
    assert dominated(population_estimate(good, converged), right) is False
    assert dominated(population_estimate(good, converged), estimate(truth, converged[:9])) is None
