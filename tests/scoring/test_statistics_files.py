"""``--reference`` with statistics that somebody computed, in every format of the field."""

import gzip
import json
import logging
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from quiet_runs import quiet_run

from samplerbench.benchmarks.metrics.estimators.frechet import FrechetReference, frechet_distance
from samplerbench.benchmarks.metrics.estimators.rows import Moments
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.scoring.real_data import load_real_data
from samplerbench.benchmarks.scoring.statistics_files import (
    INCEPTION,
    SPATIAL,
    read_statistics,
    write_statistics,
)
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.models.extractors import Samples, make_extractor

N, D = 200, 64  # samples, and pixels of a digit
FEATURES = np.random.default_rng(0).uniform(-1, 1, (N, D)).astype(np.float32)
MEAN, COV = FEATURES.astype(float).mean(0), np.cov(FEATURES.astype(float), rowvar=False)
BYTES = np.random.default_rng(1).integers(0, 256, (N, 8, 8, 1), dtype=np.uint8)
MOMENTS = {"mu": MEAN, "sigma": COV}
SPATIAL_MOMENTS = {"mu_s": np.zeros(7), "sigma_s": np.eye(7)}


@pytest.fixture(scope="module")
def digits():
    return make_model("digits")  # (1, 8, 8) in [-1, 1]


def write(folder, name, content):
    """A file as its own library writes it."""
    path = folder / name
    if name.endswith(".npz"):
        np.savez(path, **content)
    elif name.endswith(".pt"):
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    return path


FORMATS = {
    "edm": ("cifar10-32x32.npz", MOMENTS),
    "edm2": ("img512.pkl", {"num_images": N, "fid": MOMENTS, "fd_dinov2": {"mu": np.zeros(9), "sigma": np.eye(9)}}),
    "adm": ("VIRTUAL_x.npz", {"arr_0": BYTES, **MOMENTS, **SPATIAL_MOMENTS}),
    "clean-fid": ("mine_clean_custom_na.npz", MOMENTS),
    "clean-fid features": ("mine_legacy_tensorflow_train_32_kid.npz", {"feats": FEATURES}),
    "torch-fidelity": ("cifar10-train-inception-v3-compat-stat-fid-2048.pt", MOMENTS),
    "torch-fidelity features": ("x-inception-v3-compat-features-2048.pt", torch.from_numpy(FEATURES)),
    "score_sde": ("cifar10_stats.npz", {"pool_3": FEATURES}),
}  # fmt: skip
WITH_FEATURES = ("clean-fid features", "torch-fidelity features", "score_sde")
OF_UNKNOWN_SIZE = ("edm", "adm", "clean-fid", "torch-fidelity")


def in_order(rows):
    """Return rows ``(n, d)`` sorted: held-out samples are in random order."""
    return np.asarray(sorted(rows.tolist()))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_moments_and_what_else_it_has(kind, digits, tmp_path):
    name, content = FORMATS[kind]
    source = str(write(tmp_path, name, content))
    reference = load_references({"digits": digits}, "pixels", source, tmp_path / "cache")["digits"]
    np.testing.assert_allclose(reference.mean, MEAN, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(reference.cov, COV, rtol=1e-9, atol=1e-12)
    assert reference.n == (None if kind in OF_UNKNOWN_SIZE else N)
    assert ("how many samples" in reference.note) == (kind in OF_UNKNOWN_SIZE)
    assert name in reference.identity
    held_out = reference.held_out(50)
    if kind in WITH_FEATURES:
        np.testing.assert_array_equal(*map(in_order, (reference.held_out(N), FEATURES)))
    elif kind == "adm":  # its images, spread over the file
        images = BYTES[np.linspace(0, N - 1, 50).round().astype(int)].reshape(50, D)
        np.testing.assert_allclose(
            *map(in_order, (held_out, images / 127.5 - 1)), rtol=0, atol=1e-6
        )
    assert len(held_out) == (50 if kind in (*WITH_FEATURES, "adm") else 0)
    assert reference.disjoint == (len(held_out) == 0)
    assert ("no kid" in reference.note) == (len(held_out) == 0)
    assert "no floor" in reference.note


def test_features_beside_the_moments_of_clean_fid_are_found(digits, tmp_path):
    path = write(tmp_path, "mine_legacy_tensorflow_train_32.npz", MOMENTS)
    write(tmp_path, "mine_legacy_tensorflow_train_32_kid.npz", {"feats": FEATURES[:20]})
    found = load_references({"d": digits}, "pixels", str(path), tmp_path / "cache")["d"]
    np.testing.assert_array_equal(*map(in_order, (found.held_out(99), FEATURES[:20])))
    assert found.n is None  # the features may be of fewer samples than the moments


def of(path, dim, space="", made_of="ours"):
    return read_statistics(str(path)).choose_statistics(
        SimpleNamespace(identity="ours", dim=dim, space=space, made_of=made_of), None
    )


def test_features_of_another_space_are_refused_where_the_file_tells(tmp_path):
    """The same number of features is not the same features."""
    square = {"mu": np.zeros(5), "sigma": np.eye(5)}
    for name, space in {
        "x_legacy_tensorflow_train_32.npz": INCEPTION,
        "x_clean_train_32.npz": f"{INCEPTION}-clean-fid-clean",
        "x_clean_clip_vit_b_32_custom_na.npz": "clip-vit-b-32-clean-fid-clean",
        "x-inception-v3-compat-stat-fid-768.pt": "inception-v3-768",
        "x-dinov2-vit-l-14-stat-fid-dinov2.pt": "dinov2-vit-l-14-torch-fidelity",
    }.items():
        path = write(tmp_path, name, square)
        assert of(path, 5, space).space == space
        assert of(path, 5).space == space  # of an extractor that does not say
        with pytest.raises(ValueError, match=f"has statistics of {space}, but the features are"):
            of(path, 5, "dinov2-vit-l-14-edm2")
    path = write(tmp_path, "both.pkl", {"fid": square, "fd_dinov2": square})
    assert of(path, 5, "dinov2-vit-l-14-edm2").space == "dinov2-vit-l-14-edm2"
    path = write(tmp_path, "VIRTUAL.npz", {"arr_0": BYTES, **MOMENTS, **SPATIAL_MOMENTS})
    assert of(path, 7).space == SPATIAL
    with pytest.raises(ValueError, match="statistics of 64 and 7 features, but ours gives 9; give"):
        of(path, 9)


def test_what_this_project_writes_is_read_again_to_the_last_bit_and_knows_its_extractor(tmp_path):
    pixels = make_extractor("pixels", Samples((1, 8, 8)))
    write_statistics(tmp_path / "x.npz", FEATURES.astype(float), pixels, (-1.0, 1.0))
    stored = np.load(tmp_path / "x.npz")
    assert stored["mu"].dtype == stored["sigma"].dtype == np.float64
    np.testing.assert_allclose(stored["sigma"], COV, rtol=1e-12, atol=1e-15)
    file = read_statistics(str(tmp_path / "x.npz"))
    known = file.choose_statistics(pixels, (-1.0, 1.0))
    np.testing.assert_array_equal(known.mean, stored["mu"])
    np.testing.assert_array_equal(known.cov, stored["sigma"])
    assert known.n == N
    with pytest.raises(ValueError, match=r"are those of identity-64 of values in \[0, 1\], and"):
        file.choose_statistics(pixels, (0.0, 1.0))


def test_images_take_the_place_of_statistics_of_other_features(digits, tmp_path):
    path = write(tmp_path, "VIRTUAL.npz", {"arr_0": BYTES, "mu": np.zeros(9), "sigma": np.eye(9)})
    found = load_references({"d": digits}, "pixels", str(path), tmp_path / "cache")["d"]
    expected = BYTES[np.arange(N) % 6 != 5].reshape(-1, D) / 127.5 - 1
    np.testing.assert_allclose(found.mean, expected.mean(0), atol=1e-6)
    assert "the moments are of its images" in found.note
    assert found.disjoint


SUITE = {
    "name": "small",
    "models": ["gmm-2d"],
    "samplers": ["heun"],
    "nfe": [9],
    "samples": 100,
    "converged_samples": 50,
    "reference_samples": 8,
    "timing": {"enabled": False},
    "extractor": "pixels",
}


def test_a_run_measures_what_moments_allow_and_says_what_not(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path / "cache"))
    x = make_model("gmm-2d").data(4000, 5).numpy()
    path = write(tmp_path, "x.npz", {"mu": x.mean(0), "sigma": np.cov(x, rowvar=False)})
    with caplog.at_level(logging.WARNING, "samplerbench"):
        run = quiet_run(check_suite(SUITE | {"reference": str(path)}, "test"), tmp_path / "run")
    assert "x.npz has moments and no real samples: no kid, precision, recall" in caplog.text
    row = run.frame.iloc[0]
    assert row[["kid", "recall", "fid_proxy_floor"]].isna().all()
    (shard,) = (tmp_path / "run").glob("parts/*/0*.npz")
    moments = Moments.of(np.load(shard)["features"])
    assert row["fid_proxy_raw"] == pytest.approx(
        frechet_distance(FrechetReference(x.mean(0), np.cov(x, rowvar=False)), moments), rel=1e-3
    )
    assert row["fid_proxy_low"] <= row["fid_proxy"] <= row["fid_proxy_high"]
    assert row["fd_conv"] > 0
    about = json.loads((tmp_path / "run" / "run.json").read_text())["references"]["gmm-2d"]
    assert about["note"] in caplog.text


class Evil:
    def __reduce__(self):
        return os.system, ("exit 3",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.pkl", Evil(), "is a pickle with code"),
        ("x.pkl", {"a": 1}, "statistics are mu and sigma"),
        ("x.pt", {"mu": np.zeros(3), "sigma": np.eye(4)}, "do not belong together"),
        ("x.npz", {"mu": np.zeros(3), "sigma": np.full((3, 3), np.nan)}, "not finite"),
        ("x.npz", {"mu": np.zeros(3), "sigma": np.triu(np.ones((3, 3)))}, "not symmetric"),
        ("x.npz", {"pool_3": np.zeros(3)}, "is no table"),
        ("x.npz", MOMENTS, "statistics of 64 features, but identity-2 gives 2"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(name, content, message, tmp_path, monkeypatch):
    path, ran = write(tmp_path, name, content), []
    monkeypatch.setattr(os, "system", ran.append)
    with pytest.raises(ValueError, match=message) as error:
        load_references({"m": make_model("gmm-2d")}, "pixels", str(path), tmp_path / "cache")
    assert str(error.value).startswith("--reference")
    assert ran == []


def idx(path, values):
    """A file of MNIST's format."""
    header = b"\0\0\x08" + bytes([values.ndim]) + b"".join(
        size.to_bytes(4, "big") for size in values.shape
    )  # fmt: skip
    path.write_bytes(header + values.tobytes())
    with gzip.open(f"{path}.gz", "wb") as file:
        file.write(header + values.tobytes())


def test_a_data_set_of_torchvision(tmp_path):
    pytest.importorskip("torchvision")
    model = make_model("fashion")
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng, images = np.random.default_rng(0), {}
    for prefix, n in (("train", 20), ("t10k", 6)):
        images[prefix] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        idx(raw / f"{prefix}-images-idx3-ubyte", images[prefix])
        idx(raw / f"{prefix}-labels-idx1-ubyte", np.zeros(n, np.uint8))
    found = load_real_data(model, f"torchvision:MNIST:{tmp_path}")
    for part, prefix in ((found.reference, "train"), (found.held_out, "t10k")):
        np.testing.assert_allclose(part[:, 0], images[prefix] / 127.5 - 1, atol=1e-6)
    for source, message in {
        f"torchvision:CIFAR10:{tmp_path}": "download=True",
        f"torchvision:Nothing:{tmp_path}": "has no Nothing with training and test images",
        "torchvision:MNIST": "write torchvision:NAME:FOLDER",
    }.items():
        with pytest.raises(ValueError, match=message):
            load_real_data(model, source)
    with pytest.raises(ValueError, match="28 x 28 pixels, but the model's images have 8 x 8"):
        load_real_data(make_model("digits"), f"torchvision:MNIST:{tmp_path}")
