"""The shipped few-step map, and how maps are distilled."""

from dataclasses import asdict, replace
from itertools import pairwise

import pytest
import torch
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models import make_model
from samplerbench.models.cards.card import load_card
from samplerbench.models.cards.network import NetworkMap
from samplerbench.models.checkpoints.checkpoint_denoiser import Checkpoint
from samplerbench.models.checkpoints.specification import Specification
from samplerbench_studies.training import distil
from samplerbench_studies.why_steps.measuring.generating import DistanceToData
from samplerbench_studies.why_steps.measuring.jumping import jump

TINY = replace(
    distil.RECIPES["fashion-map"],
    teacher="digits",
    batch=4,
    steps=4,
    decay=1,
    warmup=1,
    paths=4,
    levels=3,
    prefilled=1,
    refresh=2,
)


@pytest.fixture(scope="module")
def model():
    return make_model("fashion-map")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("distilled")
    return out, distil.distil(TINY, out)


def test_it_is_the_identity_at_sigma_min(model):
    x = torch.randn(2, *model.event, dtype=torch.float64)
    assert torch.equal(model.denoise(x, model.sigma_min, torch.tensor([1, 2])), x)
    assert model.kind == "map"


def test_one_jump_is_nearer_to_the_data_than_its_teachers_prediction(model):
    teacher, labels = make_model("fashion"), torch.arange(60) % 10
    to_data = DistanceToData(model)
    jumped = jump(model, 1, 60, labels)
    assert 5 * to_data(jumped).value < to_data(jump(teacher, 1, 60, labels)).value
    assert (model.mode_of(jumped) == labels).float().mean() > 0.8  # of the class that was asked for


def test_its_data_are_its_teachers_and_it_has_no_converged_samples(model):
    teacher = make_model("fashion")
    assert model.reference().identity == teacher.reference().identity
    assert model.reference().converged is None is not teacher.reference().converged
    assert (model.moments()[0] == teacher.moments()[0]).all()
    with pytest.raises(ValueError, match="not trained without labels"):
        make_model("fashion-map", guidance=2)


def test_it_passes_what_is_asked_of_maps_in_files(model):
    """As a checkpoint: the raw network, and c_skip and c_out of the code that reads OpenAI's."""
    spec = Specification(
        family="openai",
        network={},
        weights={"file": "x.pt"},
        event=model.event,
        process={"name": "edm", "sigma_data": 0.7},
        prediction="consistency",
        time={"of": "log_level", "scale": 0.25},
        kind="map",
        classes=10,
        labels="random",
    )
    network = model._net.net
    found = check_checkpoint(spec, network, samples=32)
    assert found.verdict == "not decided"  # without images
    assert not [check for check in found.checks if check.passed is False]
    assert any("is a map" in check.detail for check in found.checks)
    x, labels = torch.randn(4, *model.event), torch.arange(4)
    for sigma in (0.002, 0.3, 80.0):
        torch.testing.assert_close(
            Checkpoint(spec, network, "map", "0").denoise(sigma * x, sigma, labels),
            model.denoise(sigma * x, sigma, labels),
            rtol=0,
            atol=1e-4,
        )


def test_its_card_says_what_it_cost(model):
    card, recipe = load_card("fashion-map"), distil.RECIPES["fashion-map"]
    told = card.training
    for key, value in asdict(recipe).items():
        assert told[key] == (list(value) if isinstance(value, tuple) else value), key
    spent = distil.evaluations(recipe, told["steps"])
    assert {key: told[key] for key in spent} == spent
    assert told["teacher_identity"] == make_model("fashion").identity
    assert model.identity == card.identity
    assert sum(file.bytes for file in card.files.values()) < 2.2e6


@pytest.mark.slow
def test_commands_know_it(tmp_path):
    asked = "run smoke --model fashion-map --sampler consistency --nfe 1,2 --samples 32"
    run = CliRunner().invoke(app, [*asked.split(), "--out", str(tmp_path / "run")])
    assert run.exit_code == 0, run.output
    assert "fashion-map" in run.output
    report = CliRunner().invoke(app, ["report", str(tmp_path / "run")])
    assert report.exit_code == 0, report.output


def test_a_run_that_is_resumed_equals_one_that_is_not(trained, tmp_path):
    out, whole = trained
    distil.distil(replace(TINY, steps=2), tmp_path)
    resumed = distil.distil(TINY, tmp_path)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert len(list((out / "paths").glob("*.safetensors"))) == 2


def test_the_paths_end_where_the_teacher_ends():
    card, teacher = distil.teacher_of(TINY)
    how = replace(TINY, levels=24, lowest=0.01)
    paths = distil.draw_paths(how, card, teacher, 0)
    assert paths.sigma[0] == card.sigma_max
    assert (paths.sigma.diff() < 0).all()
    denoiser = make_model("digits")
    x, levels = paths.states[0].float(), [*torch.linspace(80**0.25, 0.01**0.25, 100) ** 4, 0.0]
    for sigma, to in pairwise(levels):  # Euler's method, finely
        x = x + (float(to) - float(sigma)) / float(sigma) * (
            x - denoiser.denoise(x, float(sigma), paths.labels)
        )
    assert (x - paths.end).square().mean().sqrt() < 0.1 * x.std()


def test_what_is_published_is_what_was_trained(trained, tmp_path):
    out, net = trained
    card = distil.publish("fashion-map", out, tmp_path)
    model = NetworkMap(card)
    assert card.training["teacher"] == "digits"
    x, labels = torch.randn(3, *model.event), torch.tensor([0, 1, 2])
    torch.testing.assert_close(
        model.denoise(x, 1.0, labels), net(x, torch.ones(3), labels), rtol=0, atol=1e-2
    )


def test_levels_are_between_the_ends_and_move():
    how, levels = TINY, [distil.levels_of(TINY, 80.0, shift) for shift in (0.0, 0.9)]
    for found in levels:
        assert (found[0], found[-1]) == pytest.approx((80.0, how.lowest))
        assert sorted(found, reverse=True) == found
    assert levels[0][1] > levels[1][1]
