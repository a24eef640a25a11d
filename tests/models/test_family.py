"""The family of exact problems: scale, range, identity, and that each is what its kind says."""

import numpy as np
import pytest
import torch
from looping import each

from samplerbench.models import make_model
from samplerbench.models.exact.problems import KINDS, make_problem


@each("kind", KINDS)
@each("std", [0.05, 2.0])
def test_family__data_have_the_standard_deviation_that_was_asked_for(kind, std):
    dim = 16 if kind == "wavelet" else 6
    model = make_problem(kind, dim, std, 3, 0.002, 80.0)
    mean, covariance = model.moments()
    assert np.sqrt(np.trace(covariance) / dim) == pytest.approx(std, rel=0.35)
    assert np.abs(mean).max() < 2 * std
    assert float(model.sample(50, 0).std()) == pytest.approx(std, rel=0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_numbers_give_the_same_model_and_others_another(kind):
    specs = [f"family:{kind}"] * 2
    one, same = (make_model(spec, dim=4, seed=1) for spec in specs)
    others = [make_model(specs[0], **o) for o in ({"dim": 16, "seed": 1}, {"dim": 4, "seed": 2})]
    assert one.identity == same.identity
    assert one.identity not in {other.identity for other in others}
    x = torch.ones(3, *one.event, dtype=torch.float64)
    assert torch.equal(one.denoise(x, 0.3), same.denoise(x, 0.3))


def test_a_curve_is_thin():
    model = make_problem("curve", 3, 1.0, 0, 0.002, 80.0)
    assert 0.01 <= model.scale <= 0.05
    x = model.sample(5, 0)
    assert torch.allclose(model.denoise(x, 0.001), x, atol=0.01)
    assert not torch.allclose(model.denoise(x + 1, 1.0), x + 1, atol=0.1)


def test_wavelet__seeds_differ_in_decay_tails_and_modes():
    first, second = (make_problem("wavelet", 16, 1.0, seed, 0.002, 80.0) for seed in (1, 2))
    assert first.event == (1, 4, 4)
    ratios = [model.moments()[1].diagonal().max() / model.scale**2 for model in (first, second)]
    assert ratios[0] != pytest.approx(ratios[1], rel=0.1)


def test_a_wrong_kind_or_number_is_one_sentence():
    with pytest.raises(ValueError, match="no kind 'circle' of exact problem; choose spectrum"):
        make_model("family:circle")
    with pytest.raises(ValueError, match="a wavelet has 4, 16, 64"):
        make_model("family:wavelet", dim=6)
    with pytest.raises(ValueError, match="dim >= 2, std > 0"):
        make_model("family:curve", std=-1.0)


def test_make_model__an_option_that_must_be_a_number_is_one_sentence():
    for name, option in (("wavelet", {"side": "32"}), ("family:curve", {"dim": 2.5})):
        with pytest.raises(ValueError, match="must be a whole number, got"):
            make_model(name, **option)
    with pytest.raises(ValueError, match="std must be a number, got 'a'"):
        make_model("family:curve", std="a")
    assert make_model("family:curve", std=1, moved=None).event == (8,)
