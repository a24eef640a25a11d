"""Another feature space for a whole run: what it is compared with, what is kept, and what is
refused.
"""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from quiet_runs import quiet_run, quiet_setup

from samplerbench.benchmarks.cli import main
from samplerbench.benchmarks.running.sequential_sampling import run_until_decided, stored_analyses
from samplerbench.benchmarks.sampling.trajectories import as_report_values, display_range
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.scoring.real_data import (
    HELD_OUT_SEED,
    MODEL_SAMPLES,
    SEED,
    load_real_data,
)
from samplerbench.benchmarks.suites.files import load_suite
from samplerbench.benchmarks.suites.suite import Until, check_suite
from samplerbench.benchmarks.tuning.fair_schedules import compare_fairly
from samplerbench.models import make_model
from samplerbench.models.cards.card import CONVERGED, REFERENCE, WEIGHTS, Card
from samplerbench.models.objects import from_function
from samplerbench.models.reference import Identity, Reference, Statistics
from samplerbench.results.comparison.compare import compare
from samplerbench.results.result_table import load

SUITE = {
    "name": "small",
    "models": ["gmm-2d"],
    "samplers": ["euler", "heun"],
    "nfe": [9],
    "samples": 400,
    "converged_samples": 200,
    "reference_samples": 8,
    "timing": {"enabled": False},
}
SQUARES = "import torch\ndef make():\n    return lambda x: torch.cat([x, {k} * x**2], 1)\n"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "squares.py").write_text(SQUARES.format(k=1))
    return f"{tmp_path / 'squares.py'}:make"


def suite(**changes):
    return check_suite(SUITE | changes, "test")


def frame_of(folder, **changes):
    return quiet_run(suite(**changes), folder).frame


def test_a_model_that_draws_its_data_is_compared_with_their_features(spec, tmp_path):
    model = make_model("gmm-2d")
    (reference,) = load_references({"gmm-2d": model}, spec, cache=tmp_path / "cache").values()
    assert reference is not None
    x = model.data(MODEL_SAMPLES, 7)
    assert x is not None
    features = torch.cat([x, x**2], 1).numpy()
    np.testing.assert_allclose(
        reference.mean, features.mean(0), atol=6 * features.std(0).max() / MODEL_SAMPLES**0.5
    )
    assert (reference.n, len(reference.held_out(100))) == (MODEL_SAMPLES, 100)


def test_features_that_another_extractor_made_under_the_same_identity_are_taken_anew(tmp_path):
    """Its weights come from no file, so that only what it does tells."""
    (tmp_path / "drawn.py").write_text(
        "import torch\ndef make():\n    w = torch.randn(2, 2)\n    return lambda x: x.float() @ w\n"
    )
    models = {"gmm-2d": make_model("gmm-2d")}
    first, other = (
        load_references(models, f"{tmp_path / 'drawn.py'}:make", cache=tmp_path)["gmm-2d"]
        for _ in range(2)
    )
    assert first is not None
    assert other is not None
    assert first.identity == other.identity
    x = load_real_data(models["gmm-2d"], None).reference
    np.testing.assert_allclose(other.mean, other.extractor(x).mean(0), rtol=1e-5, atol=1e-5)
    assert np.abs(other.mean - first.mean).max() > 1e-3


def test_features_of_real_samples_are_taken_once(spec, tmp_path, monkeypatch):
    models = {"gmm-2d": make_model("gmm-2d")}
    first = load_references(models, spec, cache=tmp_path)["gmm-2d"]
    monkeypatch.setattr(
        "samplerbench.benchmarks.scoring.real_data.Moments.of",
        lambda _: pytest.fail("taken again"),
    )
    again = load_references(models, spec, cache=tmp_path)["gmm-2d"]
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.cov, again.cov)
    assert first.identity == again.identity


@pytest.mark.parametrize(
    ("name", "space", "real"),
    [
        ("fashion", "pixels", False), ("fashion", "file", True), ("digits", "file", True), ("digits", "pixels", True),
        ("fashion-mppca", "pixels", False), ("fashion-mppca", "pixels", True), ("fashion-kde", "pixels", False),
    ],
)  # fmt: skip
def test_files_of_a_card_s_own_reference_are_not_read_where_it_is_replaced(
    name, space, real, tmp_path, monkeypatch
):
    read, tensors = [], Card.tensors
    monkeypatch.setattr(
        Card, "tensors", lambda card, file=WEIGHTS: read.append(file) or tensors(card, file)
    )
    model = make_model(name)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(-1, 1, (30, *model.event)))
    (tmp_path / "first.py").write_text("def make():\n    return lambda x: x.flatten(1)[:, :3]\n")
    spec = f"{tmp_path / 'first.py'}:make" if space == "file" else space
    reference = load_references(
        {name: model}, spec, str(tmp_path / "x.npy") if real else None, tmp_path
    )[name]
    assert reference is not None
    assert WEIGHTS in read
    assert not {REFERENCE, CONVERGED} & set(read)
    assert model.reference().identity != reference.identity


def test_moments_of_an_exact_model_are_not_made_where_they_are_replaced(
    spec, tmp_path, monkeypatch
):
    model = make_model("gmm-2d")
    monkeypatch.setattr(type(model), "moments", lambda _: pytest.fail("made for nothing"))
    assert load_references({"m": model}, spec, cache=tmp_path)["m"] is not None


DRAWN = """
import torch

class Model:
    event, sigma_min, sigma_max, seeds = (2,), 0.01, 10.0, []

    def __call__(self, x, sigma):
        return x

    def sample(self, n, seed):
        self.seeds.append(seed)
        return torch.zeros(n, {side})

def make():
    return Model()
"""


def test_samples_for_a_user_s_own_reference_are_not_drawn_where_it_is_replaced(spec, tmp_path):
    (tmp_path / "mine.py").write_text(DRAWN.format(side=2))
    model = make_model(f"{tmp_path / 'mine.py'}:make")
    assert load_references({"m": model}, spec, cache=tmp_path)["m"] is not None
    assert model._model.seeds == [SEED, HELD_OUT_SEED]


def test_a_reference_that_cannot_be_made_is_known_before_a_run(tmp_path):
    (tmp_path / "mine.py").write_text(DRAWN.format(side=3))
    model = make_model(f"{tmp_path / 'mine.py'}:make")
    for extractor in ("card", "pixels"):
        with pytest.raises(
            ValueError,
            match=r"model m: its reference cannot be made " r".*sample\(50000, seed\) has shape",
        ):
            load_references({"m": model}, extractor, cache=tmp_path)


def test_a_user_s_samples_are_drawn_once_however_often_their_moments_are_asked_for(tmp_path):
    (tmp_path / "mine.py").write_text(DRAWN.format(side=2))
    model = make_model(f"{tmp_path / 'mine.py'}:make")
    np.testing.assert_array_equal(model.moments()[0], model.reference().mean)
    assert len(model._model.seeds) == 1


def test_pixels_of_an_exact_model_have_its_exact_moments():
    model = make_model("fashion-mppca")
    reference = load_references({"m": model}, "pixels")["m"]
    mean, cov = model.moments()
    assert reference is not None
    np.testing.assert_allclose(reference.mean, mean, atol=1e-9)
    np.testing.assert_allclose(reference.cov, cov, atol=1e-9)
    assert (reference.n, reference.clamp, reference.held_out(50).shape) == (None, None, (50, 784))


def test_pixels_of_a_network_come_from_the_classes_of_its_card():
    """Drawing a class, then a sample of the Gaussian of that class, has these moments."""
    model = make_model("fashion")
    reference = load_references({"m": model}, "pixels")["m"]
    means, within = model.moments()
    weights = np.asarray(model.class_weights) / sum(model.class_weights)
    assert reference is not None
    # E x x^T, class by class
    second = sum(
        p * (within + np.outer(mean, mean)) for p, mean in zip(weights, means, strict=True)
    )
    np.testing.assert_allclose(
        reference.mean, np.average(means, axis=0, weights=weights), atol=1e-9
    )
    np.testing.assert_allclose(
        reference.cov + np.outer(reference.mean, reference.mean), second, atol=1e-9
    )


@pytest.mark.slow
def test_a_run_in_another_space_is_another_scale(spec, tmp_path):
    own, other = frame_of(tmp_path / "run"), frame_of(tmp_path / "run", extractor=spec)
    assert len(own) == 2
    assert len(other) == 4  # the same folder holds both, told apart
    assert other["estimator"].nunique() == 2
    assert (other["status"] == "ok").all()
    assert other["fid_proxy"].notna().all()
    assert other["fd_conv"].notna().all()


@pytest.mark.slow
def test_numbers_of_two_versions_of_an_extractor_are_not_compared(spec, tmp_path):
    frame_of(tmp_path / "a", extractor=spec)
    (tmp_path / "squares.py").write_text(SQUARES.format(k=2))
    frame_of(tmp_path / "b", extractor=spec)
    with pytest.raises(ValueError, match=r"squares\.py"):
        compare(tmp_path / "a", tmp_path / "b", metrics=("fid_proxy",))


def test_a_network_is_scored_in_a_few_axes_of_its_card_beside_a_model_in_its_own_space(tmp_path):
    """What the default suite does.

    Nothing is made anew: the card's 5 000 converged samples are projected like the cell's.
    """
    models = [{"name": "fashion", "extractor": "card:4"}, "gmm-2d"]
    frame = frame_of(
        tmp_path / "run", models=models, samplers=["ddpm"], nfe=[1], samples=64
    ).set_index("model")
    identity = frame["estimator"].str.split("; ").str[1]
    assert identity["fashion"].startswith("fashion-features-")
    assert "-axes4-" in identity["fashion"]
    assert identity["gmm-2d"] == "identity-2"
    assert "; 5000 converged; " in frame["estimator"]["fashion"]
    assert not [path for path in (tmp_path / "run").rglob("*converged*") if "fashion" in path.name]
    assert frame["fd_conv_flag"].isna().all()
    assert frame["fid_proxy"]["fashion"] > 3 * frame["fid_proxy_se"]["fashion"]


@pytest.mark.slow
def test_a_choice_among_schedules_is_scored_in_the_space_of_each_model(tmp_path):
    models = [{"name": "fashion", "extractor": "card:4"}]
    schedules = ["karras", "uniform_lambda"]
    frame_of(
        tmp_path / "run",
        models=models,
        samplers=["ddpm", "euler_maruyama"],
        nfe=[2],
        samples=64,
        schedules=schedules,
    )
    assert len(compare_fairly(tmp_path / "run", "ddpm", ("fid_proxy",), 0.01, "best").lines) == 1


def test_a_choice_among_schedules_is_scored_in_the_space_of_its_rows(spec, tmp_path, monkeypatch):
    schedules = ["karras", "uniform_lambda"]
    frame_of(tmp_path / "run", extractor=spec, schedules=schedules)
    assert len(compare_fairly(tmp_path / "run", "euler", ("fid_proxy",), 0.01, "best").lines) == 1
    (tmp_path / "squares.py").write_text(SQUARES.format(k=2))
    with pytest.raises(ValueError, match="scored in another feature space"):
        compare_fairly(tmp_path / "run", "euler", ("fid_proxy",), 0.01, "best")
    loading = "samplerbench.benchmarks.tuning.fair_schedules.load_references"
    monkeypatch.setattr(loading, lambda *_: {"gmm-2d": None})
    with pytest.raises(ValueError, match="gmm-2d was scored against a reference, and has none"):
        compare_fairly(tmp_path / "run", "euler", ("fid_proxy",), 0.01, "best")


def test_a_question_about_other_real_samples_is_another_question(tmp_path):
    """The cells are the same, and so are their samples; what was decided about them is not."""
    rng = np.random.default_rng(0)
    for name, shift in (("a", 0.0), ("b", 3.0)):
        np.save(tmp_path / f"{name}.npy", rng.standard_normal((60, 2)) + shift)
    until = Until(baseline="euler", metric="fid_proxy", max_samples=800)

    def asked(name):
        chosen = suite(extractor="pixels", real=str(tmp_path / f"{name}.npy"))
        return quiet_setup(chosen, tmp_path / "run")

    _, first = run_until_decided(asked("a"), until)
    assert stored_analyses(asked("a"), until).rows == first.rows != []
    assert stored_analyses(asked("b"), until).rows == []


def test_pictures_do_not_take_their_greys_from_features():
    """Features at 500 ± 100 would make every picture of values in [-1, 1] black."""
    statistics = Statistics(np.full(2, 500.0), np.eye(2) * 1e4, lambda n: np.empty((0, 2)))
    reference = Reference(SimpleNamespace(identity="x", dim=2), 10, "r", lambda: statistics)
    assert display_range(reference) == (-1.0, 1.0)
    assert display_range(reference, (0.0, 255.0)) == (0.0, 255.0)
    low, high = display_range(replace(reference, extractor=Identity((2,))))
    assert low < 500 < high


def test_keys_at_their_defaults_leave_the_folder_as_it_was():
    assert suite().digest == suite(extractor="card").digest != suite(extractor="pixels").digest
    assert load_suite("quick").extractor == "card"
    with pytest.raises(ValueError, match="give an extractor too"):
        suite(real="x.npy")


def test_two_extractors_share_a_cache_and_no_features(spec, tmp_path):
    models = {"gmm-2d": make_model("gmm-2d")}
    (tmp_path / "cubes.py").write_text("def make():\n    return lambda x: x**3\n")
    one, other = (
        load_references(models, each, cache=tmp_path)["gmm-2d"]
        for each in (spec, f"{tmp_path / 'cubes.py'}:make")
    )
    assert one is not None
    assert other is not None
    assert (len(one.mean), len(other.mean)) == (4, 2)


IMAGES = """
import torch

class Model:
    event, sigma_min, sigma_max{limits} = (1, 4, 4), 0.01, 10.0{values}

    def __call__(self, x, sigma):
        return 0.5 + (x - 0.5) / (1 + 12 * torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1, 1, 1) ** 2)

def make():
    return Model()
"""


class Greys:
    """In place of Inception: the mean grey level, and its powers."""

    def to(self, device):
        return self

    def __call__(self, images):
        return (images.float().mean((1, 2, 3))[:, None] / 255 ** torch.ones(64),)


def test_a_user_s_model_states_its_range_for_inception(tmp_path, monkeypatch, capsys):
    """Without it, one sentence and exit code 2.

    With it, samples are compared with real images in that range.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "samplerbench.models.extractors.inception._load_network", lambda weights: Greys()
    )
    # of 2048 features, covariances take 10 s
    monkeypatch.setattr("samplerbench.models.extractors.inception.DIM", 64)
    Path("w.pth").write_bytes(b"")
    np.save("x.npy", np.random.default_rng(0).uniform(0, 1, (60, 1, 4, 4)))
    run = (
        "samplerbench run quick --model mine.py:make --extractor inception:w.pth "
        "--real x.npy --sampler euler --nfe 12 --samples 30"
    )
    monkeypatch.setattr(
        sys, "argv", [*run.split(), "--no-timing", "--device", "cpu", "--out", "run"]
    )
    Path("mine.py").write_text(IMAGES.format(limits="", values=""))
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert (
        "model mine.py:make: inception needs the range of the images' values"
        in capsys.readouterr().err
    )
    Path("mine.py").write_text(IMAGES.format(limits=", limits", values=", (0.0, 1.0)"))
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    (row,) = load("run").frame.to_dict("records")
    assert "range[0,1]" in row["estimator"]
    assert row["fid_proxy_raw"] > 0
    assert row["clamped"] > 0.05, "of a Gaussian with the data's variance, 1 / 12, 8 % are outside"


def test_as_report_values__a_model_without_data_has_the_black_and_white_of_its_limits():
    """In [0, 1], black was grey: half of 255."""
    model = from_function(lambda x, _: x, event=(1, 2, 2), limits=(0.0, 1.0))
    values = np.array([0.0, 0.0, 1.0, 0.5]).reshape(1, 1, 2, 2)
    assert as_report_values(model, None, values).ravel().tolist() == [0, 0, 255, 128]
