"""Row 7: exact parts against automatic differentiation, and verdicts of networks and denoisers for
which the claim is true or false.
"""

import math
from functools import cache

import pytest
import torch
from invented import by_heart

from samplerbench.models import make_model
from samplerbench.models.cards.card import load_card
from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.samplers import Grid, NoNoise, make
from samplerbench_studies import CARDS
from samplerbench_studies.analysis.pairs import CARD, COUPLINGS, NUMBERS, TEACHER, keys, name_of
from samplerbench_studies.analysis.pairs import one_shot as shipped
from samplerbench_studies.training import one_shot as build
from samplerbench_studies.why_steps.measuring import memorising, one_shot, stability
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.rows import row_07_stability as row

MANY = 2_000


def gaussian(kind: type[Gaussian] = Gaussian, d: int = 16) -> Gaussian:
    variances = torch.linspace(0.2, 0.5, d, dtype=torch.float64)
    one = torch.ones(d, dtype=torch.float64)
    model = kind("g", one, torch.eye(d, dtype=torch.float64), variances)
    model.event = (1, 4, d // 4)
    return model


@pytest.mark.parametrize("sigma", [0.02, 0.7, 3.0, 40.0])
def test_eigenvalues_are_those_of_the_flow_s_jacobian(sigma):
    model = make_model("gmm-2d")
    found = stability.eigenvalues(model, [sigma], 3)
    x0 = model.sample(3, 7)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(7), dtype=x0.dtype)
    jacobians = [
        torch.autograd.functional.jacobian(
            lambda y: (model.denoise(y[None], sigma) - y[None])[0], one
        )
        for one in x0 + sigma * noise
    ]
    values = torch.stack([torch.linalg.eigvalsh((j + j.T) / 2) for j in jacobians])
    assert found.least[0] == pytest.approx(float(values[:, 0].min()), abs=1e-9)
    assert found.largest[0] == pytest.approx(float(values[:, 1].mean()), abs=1e-9)
    assert found.most[0] == pytest.approx(float(values[:, 1].max()), abs=1e-9)


@pytest.mark.parametrize("ratio", [0.9, 0.2, 0.001])
def test_what_a_step_does_to_a_deviation(ratio):
    model, sigma = gaussian(), 2.0
    x = torch.zeros(2, *model.event, dtype=torch.float64)
    x[1] = 1.0
    c = (model._variances / (model._variances + sigma**2)).reshape(model.event)
    for sampler, factor in (
        (make("euler"), ratio + (1 - ratio) * c),
        (stability.LogEuler(), 1 + math.log(ratio) * (1 - c)),
    ):
        bound = model.bind(torch.arange(2), 0)
        out = sampler.sample(bound, x, Grid((sigma, ratio * sigma)), NoNoise())
        torch.testing.assert_close(out[1] - out[0], factor, rtol=0, atol=1e-12)


def test_paths_are_those_that_the_networks_were_fitted_on():
    model = make_model("gmm-64d")
    noise = keys(0, 5, model.event)
    torch.testing.assert_close(
        build.ends(model, model.sigma_max * noise.double()),
        one_shot.ends(model, noise),
        rtol=0,
        atol=1e-10,
    )


def test_a_noise_depends_on_its_number_and_its_stream_alone():
    torch.testing.assert_close(keys(1, 300, (3,))[200:250], keys(1, 50, (3,), start=200))
    both = torch.stack([keys(stream, 2000, (3,)).flatten() for stream in COUPLINGS.values()])
    assert abs(float(torch.corrcoef(both)[0, 1])) < 0.05


def test_the_card_has_every_network():
    card = load_card(CARD, CARDS)
    names = {key.split(".")[0] for key in card.tensors()}
    assert names == {name_of(c, n) for c in COUPLINGS for n in NUMBERS}
    assert sum(entry.bytes for entry in card.files.values()) < 2_200_000
    assert card.event == make_model(TEACHER).event
    made = shipped("coupled", 100)(keys(0, 2, card.event))
    again = shipped("coupled", 100)(keys(0, 1, card.event))
    torch.testing.assert_close(made[:1], again)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Networks on pairs of a Gaussian: on paths, on random ones, and on shuffled paths."""
    model, root = gaussian(), tmp_path_factory.mktemp("nets")
    x = one_shot.ends(model, keys(0, MANY, model.event)).float()

    @cache
    def net(kind: str, n: int, steps: int = 250):
        recipe = build.Recipe(
            net={"pixels": 16, "width": 48}, steps=steps, decay=100, warmup=10, lr=1e-2, ema=0.98
        )
        images = x[:n].roll(1, 0) if kind == "shuffled" else x[:n]
        z = keys(COUPLINGS.get(kind, 0), n, model.event)
        return build.train(recipe, z, images, root / f"{kind}-{n}", checkpoint_every=steps)

    return net


def judged(networks, model=None):
    model = model or gaussian()
    found = one_shot.measure_one_shot(Effort("fast", models={TEACHER: model}), networks)
    return row.judge(by_heart()._replace(networks=found)), found.networks


@pytest.mark.slow
def test_random_pairs_are_memorised_and_paths_are_learned(fitted):
    verdict, nets = judged(
        {
            "independent": {n: fitted("independent", n) for n in (100, MANY)},
            "coupled": {MANY: fitted("coupled", MANY)},
        }
    )
    assert verdict.kind == "refines"
    few, many = nets["independent"]
    assert few.known.high < 0.5 < many.known.low
    assert few.fresh.low > 1 - 0.1
    assert nets["coupled"][0].fresh.high < 0.1


@pytest.mark.slow
def test_the_claim_is_true_where_paths_have_no_rule(fitted):
    networks = {
        "independent": {100: fitted("independent", 100)},
        "coupled": {100: fitted("shuffled", 100)},
    }
    assert judged(networks)[0].kind == "supports"


def test_the_claim_is_false_of_what_cannot_even_memorise(fitted):
    def mean(z):
        return torch.ones_like(z)

    networks = {"independent": {100: mean}, "coupled": {MANY: fitted("coupled", MANY)}}
    assert judged(networks)[0].kind == "refutes"


class Overshooting(Gaussian):
    """Predicts the mirror image of what it is given: no mean of anything."""

    def denoise_rows(self, x, sigma, labels):
        return self._scale_along_axes(x, torch.full_like(x, -2.0))


@pytest.mark.parametrize(("kind", "stable"), [(Gaussian, True), (Overshooting, False)])
def test_steps_are_unstable_where_a_denoiser_overshoots(monkeypatch, kind, stable):
    monkeypatch.setattr(stability, "FAST_COUNTS", (1, 2, 5))
    model = gaussian(kind)
    models = {TEACHER: model, "gmm-64d": gaussian()}
    found = stability.measure_stability(Effort("fast", models=models))
    verdict = row.judge(by_heart()._replace(sampler=found))
    assert ("not unstable" in verdict.sentence) == stable
    assert bool(row.blown(found.spread["euler"])) != stable
    assert row.blown(found.spread["euler in log σ"])


def test_a_row_is_made_of_three_measurements(monkeypatch):
    parts = by_heart()
    for name, part in zip(("one_shot", "stability", "equal_steps"), parts, strict=True):
        monkeypatch.setattr(memorising, f"measure_{name}", lambda *_, part=part: part)
    assert memorising.measure(Effort("fast")) == parts
