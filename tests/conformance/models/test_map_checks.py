"""What is checked of few-step maps, on an exact one in consistency models' own coordinates."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.benchmarks.conformance.models.maps import check_one_path, measure_movement
from samplerbench.models.adapters import Boundary
from samplerbench.models.checkpoints.checkpoint_denoiser import Checkpoint, process_of
from samplerbench.models.checkpoints.specification import Specification
from samplerbench.models.exact.wavelet import transport_mixture

EVENT, DATA, LOW = (2, 4, 4), 0.5, 0.002
WEIGHTS, MEANS, WIDTH = np.array([0.4, 0.6]), np.array([-0.6, 0.5]), 0.2
SPEC = Specification(
    family="openai",
    network={},
    weights={"file": "x.pt"},
    event=EVENT,
    process={"name": "edm", "sigma_data": DATA},
    prediction="consistency",
    time={"of": "log_level", "scale": 250.0},
    kind="map",
)


def images(n: int) -> torch.Tensor:
    rng = np.random.default_rng(4)
    which = rng.choice(2, p=WEIGHTS, size=(n, *EVENT))
    return torch.from_numpy(MEANS[which] + WIDTH * rng.standard_normal((n, *EVENT))).float()


def jump(x: torch.Tensor, level: float) -> torch.Tensor:
    """Every number by itself: it keeps its quantile."""
    stds = [np.full((2, 1), np.hypot(WIDTH, s)) for s in (level, LOW)]
    moved = transport_mixture(x.reshape(-1, 1).numpy(), WEIGHTS[:, None], MEANS[:, None], *stds)
    return torch.from_numpy(moved).reshape(x.shape)


def mean(x: torch.Tensor, level: float) -> torch.Tensor:
    """E[x0 | x]."""
    total = WIDTH**2 + level**2
    means = torch.from_numpy(MEANS)
    off = x[..., None] - means
    weight = (torch.from_numpy(np.log(WEIGHTS)) - off.square() / (2 * total)).softmax(-1)
    return (weight * (means + WIDTH**2 / total * off)).sum(-1)


def network(function):
    """The raw output F of a consistency model whose map is this."""

    def raw(x_t, told, labels):
        level = float((told[0].double() / 250).exp())
        above, total = level - LOW, float(np.hypot(level, DATA))
        x = x_t.double() * total
        if above <= 1e-9:
            return torch.zeros_like(x_t)
        skip = DATA**2 / (above**2 + DATA**2)
        return ((function(x, level) - skip * x) * total / (DATA * above)).float()

    return raw


def said(found):
    return {check.name: (check.passed, check.detail) for check in found.checks}


def test_the_map_is_the_identity_at_sigma_min_whatever_the_network_gives():
    model = Checkpoint(SPEC, lambda x, t, labels: torch.full_like(x, 7.0), "map", "0")
    x = torch.randn(3, *EVENT, dtype=torch.float64)
    assert torch.equal(model.denoise(x, LOW, None), x)
    assert not torch.allclose(model.denoise(x, 1.0, None), x)
    assert model.kind == "map"


def test_it_is_what_its_network_was_made_of():
    model = Checkpoint(SPEC, network(jump), "map", "0")
    x = torch.randn(3, *EVENT, dtype=torch.float64) * 2
    torch.testing.assert_close(model.denoise(x, 2.0, None), jump(x, 2.0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("given", [True, False])
def test_a_map_passes(given):
    found = check_checkpoint(SPEC, network(jump), images(64) if given else None)
    assert found.verdict == ("passed" if given else "not decided"), said(found)
    assert "is a map" in said(found)["Pythagoras"][1]
    assert found.fit is None


def test_a_denoiser_that_is_called_a_map_fails():
    found = check_checkpoint(SPEC, network(mean), images(64))
    passed, sentence = said(found)["distribution"]
    assert not passed
    assert "those of a map have all of it; if the model is a denoiser, leave out" in sentence


def test_a_map_that_is_called_a_denoiser_fails_and_is_told():
    spec = SPEC.with_settings({"kind": "denoiser"})
    assert spec.prediction == "edm"
    passed, sentence = said(check_checkpoint(spec, network(jump), images(64)))["Pythagoras"]
    assert not passed
    assert "it is a few-step map: say kind=map" in sentence


def test_a_map_that_moves_what_is_at_its_end_fails():
    """Read as a network of x0, without the skip."""
    spec = replace(SPEC, prediction="x0")
    passed, sentence = said(check_checkpoint(spec, network(jump), images(64)))["boundary"]
    assert not passed
    assert "must stay where it is" in sentence


def test_what_is_open_of_a_map_is_answered_by_images_alone():
    wrong = {"of": "log_level", "scale": 250.0, "offset": 400.0}
    asked = replace(SPEC, open={"time": {"a": {"time": wrong}, "b": {"time": dict(SPEC.time)}}})
    assert check_checkpoint(asked, network(jump), images(64)).answers == {"time": "b"}
    alone = check_checkpoint(asked, network(jump))
    assert alone.answers == {}
    assert "fit alike" in said(alone)["open questions"][1]


READINGS = {
    "the denoiser": (SPEC, mean),
    "another sign": (replace(SPEC, factor=-1.0), jump),
    "four times the time": (replace(SPEC, time={"of": "log_level", "scale": 1000.0}), jump),
    "a quarter of the time": (replace(SPEC, time={"of": "log_level", "scale": 62.5}), jump),
}


@pytest.mark.parametrize("name", READINGS)
def test_the_outputs_of_a_wrong_map_move_where_noise_is_put_back(name):
    """They do not for the right map, which other readings of the network are compared with."""
    spec, function = READINGS[name]
    passed, sentence = said(check_checkpoint(spec, network(function), images(64)))["consistency"]
    assert not passed
    if function is jump:  # and the right reading is named
        right = {"another sign": "factor=1 ", "four times the time": "time.scale=250&"}
        assert f"with {right.get(name, 'time.scale=250&')}" in sentence


def test_the_rate_of_an_exact_map_is_rounding_and_chance():
    clean = images(64)
    right = measure_movement(Checkpoint(SPEC, network(jump), "map", "0"), clean, None, 0.57)
    assert (right.size < 0.005, right.worst) == (True, 0.0)
    wrong = measure_movement(Checkpoint(SPEC, network(mean), "map", "0"), clean, None, 0.57)
    assert wrong.size > 0.1


KNOWS = Checkpoint(
    replace(SPEC, kind="denoiser", prediction="x0", process={"name": "ve"}, time={"of": "level"}),
    lambda x, t, labels: mean(x.double(), float(t[0])).float(),
    "teacher",
    "0",
)
"""The denoiser of the same data."""


def test_states_of_a_path_have_one_end_by_an_exact_map():
    found = check_one_path(
        Checkpoint(SPEC, network(jump), "map", "0"), KNOWS, images(32), None, 0.57
    )
    assert found.passed
    assert "up to 0.0" in found.detail or "e-" in found.detail


@pytest.mark.parametrize("name", ["the denoiser", "another sign"])
def test_along_the_teachers_paths_a_wrong_map_is_found(name):
    spec, function = READINGS[name]
    found = check_checkpoint(spec, network(function), images(32), teacher=KNOWS)
    passed, sentence = said(found)["one path"]
    assert not passed
    assert "which teacher was followed along" in sentence


LATENT = replace(
    SPEC,
    family="diffusers",
    process={"name": "discrete", "schedule": "scaled_linear", "start": 0.00085, "end": 0.012},
    prediction="eps",
    time={"of": "t"},
    snap="nearest",
    boundary={"scale": 10.0, "sigma_data": 0.5},
    sigma_min=0.0292,
    sigma_max=14.6,
)


def noise_of(function):
    """What a latent consistency model predicts whose map is this."""
    process, boundary = process_of(LATENT), Boundary()

    def raw(x_t, n, labels):
        time = n[:1].double().clamp(0, 999).numpy()
        level, alpha = float(process.level(time)[0]), float(process.alpha(time)[0])
        skip, out = (float(weight[0]) for weight in boundary.weights(time))
        if out == 0:
            return torch.zeros_like(x_t)
        x = x_t.double() / alpha
        clean = (function(x, level) - skip * x_t.double()) / out
        return ((x - clean) / level).float()

    return raw


@pytest.mark.slow
def test_a_latent_consistency_model_passes_and_wrong_ones_are_named():
    right = check_checkpoint(LATENT, noise_of(jump), images(64))
    assert right.passed, said(right)
    for changes, named in (
        ({"factor": -1.0}, "with factor=1 "),
        ({"process": {**LATENT.process, "schedule": "cosine"}}, "process.schedule=scaled_linear"),
        ({"prediction": "v"}, "with prediction=eps"),
    ):
        passed, sentence = said(
            check_checkpoint(replace(LATENT, **changes), noise_of(jump), images(64))
        )["consistency"]
        assert not passed
        assert named in sentence
    passed, _ = said(check_checkpoint(LATENT, noise_of(mean), images(64)))["distribution"]
    assert not passed


def test_a_reading_whose_outputs_stand_still_is_not_named_for_it():
    """The raw outputs of a network that gives next to nothing move the least of all."""
    found = check_checkpoint(LATENT, lambda x, n, labels: 0.001 * x, images(64))
    passed, sentence = said(found)["consistency"]
    assert not passed
    assert "prediction=x0" not in sentence
