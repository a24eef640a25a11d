"""The check before the first cell: all built-in models pass, and each kind of wrong model is
refused in one sentence.
"""

import logging
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from looping import each
from torch import nn

from samplerbench.benchmarks.running import model_check
from samplerbench.benchmarks.running.model_check import check_model
from samplerbench.benchmarks.scoring.converged_endpoints import converged_samples
from samplerbench.models import make_model, model_names
from samplerbench.models.adapters import NativeDenoiser
from samplerbench.models.loaders.python_file import FileModel
from samplerbench.models.process import VPLinear

STD = 0.5


class Right:
    """The exact denoiser of N(0, STD²) in eight dimensions."""

    event, sigma_min, sigma_max = (8,), 0.002, 80.0

    def __call__(self, x, sigma):
        s = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1)
        return x * STD**2 / (STD**2 + s**2)

    def sample(self, n, seed):
        return STD * torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 8)))


class Dropout(Right):
    def __call__(self, x, sigma):
        return nn.functional.dropout(super().__call__(x, sigma), 0.1, training=True)


class Normalised(Right):
    """Batch normalisation in train mode."""

    def __init__(self):
        self.norm = nn.BatchNorm1d(8)

    def __call__(self, x, sigma):
        return super().__call__(x, sigma) + 0.1 * self.norm(x)


class Coupled(Right):
    def __call__(self, x, sigma):
        return super().__call__(x, sigma) - 0.01 * x.mean(0)


class LostInPairs(Right):
    """As of a mean over the rows but two."""

    def __call__(self, x, sigma):
        return super().__call__(x, sigma) + (0.0 if len(x) > 2 else math.nan)


class Broken(Right):
    def __call__(self, x, sigma):
        return super().__call__(x, sigma) / (1.0 if sigma > 0.01 else 0.0)


class Writes(Right):
    def __call__(self, x, sigma):
        return super().__call__(x.mul_(1.0001), sigma)


class Raises(Right):
    def __call__(self, x, sigma):
        raise RuntimeError("out of\nluck")


class Halves(Right):
    """Told twice the level, it would be right."""

    def __call__(self, x, sigma):
        return super().__call__(x, sigma / 2)


class Squares(Right):
    """Takes the variance for the level."""

    def __call__(self, x, sigma):
        return super().__call__(x, sigma**2)


class Constant(Right):
    """Told a thousand times the level, it sees nothing."""

    def __call__(self, x, sigma):
        return super().__call__(x, sigma * 1000)


class TrainedOnNoise(Right):
    """Its prediction of the noise is off by 2 % everywhere, so that far above the data its image is off
    by much more than a constant.
    """

    def __call__(self, x, sigma):
        s = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1)
        return super().__call__(x, sigma) + 0.03 * s * torch.sin(1000 * x)


class Noise(Right):
    """Returns the noise where the clean sample is asked for."""

    def __call__(self, x, sigma):
        return (x - super().__call__(x, sigma)) / sigma


class OtherData(Right):
    """Trained on data of another scale."""

    def sample(self, n, seed):
        return super().sample(n, seed) + 20.0


class InZeroToOne(Right):
    """Knows four points at -1 and 1, and says that its data are at 0 and 1."""

    def __call__(self, x, sigma):
        s = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1)
        return torch.tanh(x / s**2)

    def sample(self, n, seed):
        return torch.from_numpy(np.random.default_rng(seed).integers(0, 2, (n, 8)) * 1.0)


class OneAtATime(Right):
    def __call__(self, x, sigma):
        if len(x) > 1:
            raise RuntimeError("too many")
        return super().__call__(x, sigma)


class NeedsGradients(Right):
    def __call__(self, x, sigma):
        energy = (x.clone().requires_grad_() ** 2).sum()
        return torch.autograd.grad(energy, x)[0]


class Complex(Right):
    def __call__(self, x, sigma):
        return super().__call__(x, sigma) * (1 + 0.1j)


class Output(Right):
    """As diffusers' networks answer."""

    def __call__(self, x, sigma):
        return SimpleNamespace(sample=super().__call__(x, sigma))


WRONG = {
    InZeroToOne: r"which are in \[0, 1\], are taken to \[-1, 1\] .* give sample",
    OneAtATime: r"too many\); it works on one sample alone: .* torch.cat",
    NeedsGradients: r"put `with torch.enable_grad\(\):` around",
    Complex: r"gave complex numbers \(torch.complex64\); return the real part",
    Output: r"gave SimpleNamespace, no tensor; return the tensor that is in it \(its .sample\)",
    Dropout: "gives the same input other outputs .* eval mode",
    Normalised: "another output in another batch",
    Coupled: "another output in another batch",
    LostInPairs: r"another output in another batch \(by up to nan",
    Broken: "NaN or infinity for 4 of 4 samples at sigma 0.002",
    Writes: "writes into its input",
    Raises: r"fails on 4 samples at sigma 80 \(RuntimeError: out of luck\)",
    Halves: "better at a wrong level|does not denoise",
    Squares: "does not denoise|wrong level",
    Constant: "does not denoise: .* multiple of the noisy sample",
    Noise: "does not denoise",
    OtherData: "does not denoise",
}


def file_model(cls):
    return FileModel(cls(), "m.py:factory", "m")


@pytest.mark.parametrize("cls", [Right, TrainedOnNoise])
def test_a_right_model_passes(cls):
    check_model(file_model(cls))


@each("cls", WRONG, ids=lambda cls: cls.__name__)
def test_check_model__a_wrong_model_is_refused_in_one_sentence(cls):
    with pytest.raises(ValueError, match=WRONG[cls]) as refused:
        check_model(file_model(cls))
    assert str(refused.value).startswith("model m.py:factory")
    assert "\n" not in str(refused.value)


def test_check_model__says_what_nothing_compared_with_data(caplog):
    class WithoutData(Right):
        sample: Any = property()  # which hasattr does not find

    with caplog.at_level(logging.WARNING, "samplerbench"):
        check_model(file_model(Right))
        assert not caplog.records
        check_model(file_model(WithoutData))
    (said,) = [record.getMessage() for record in caplog.records]
    assert "nothing compared the output of model m.py:factory with data: it has no sample" in said
    assert "check-model MODEL --images DATA" in said
    assert "\n" not in said


class ThreeArguments(Right):
    def __call__(self, x, t, y):
        return x


def test_file_model__other_arguments_are_one_sentence_with_the_remedy():
    with pytest.raises(
        ValueError, match=r"takes \(x, t, y\), and it is called with \(x, sigma\); wrap it"
    ):
        file_model(ThreeArguments)


def test_native_denoiser__a_network_of_two_arguments_is_one_sentence_with_the_remedy():
    said = r"its network takes \(x, t\), and it is called with \(x_t, t, labels\); wrap it"
    with pytest.raises(ValueError, match=said):
        NativeDenoiser(lambda x, t: x, VPLinear(), "eps", name="two", event=(8,), identity="two")


@pytest.mark.parametrize(("factor", "passes"), [(1.0, True), (1 / 999, False)])
def test_a_network_of_times_up_to_999_that_is_handed_times_up_to_1(factor, passes):
    process = VPLinear()

    def network(x, t, labels):
        time = (t * 999 * factor / 999).double().numpy()
        level = (
            process.level(time)
            if np.ndim(process.level(time))
            else np.full(len(x), process.level(float(time[0])))
        )
        s = torch.as_tensor(level, dtype=x.dtype).reshape(-1, 1)
        return s * torch.sqrt(1 + s**2) * x / (STD**2 + s**2)  # E[z | x_t] of data N(0, STD²)

    class Adapted(NativeDenoiser):
        def data(self, n, seed):
            return Right().sample(n, seed)

    model = Adapted(network, process, "eps", name="adapted", event=(8,), identity="adapted")
    if passes:
        check_model(model)
    else:
        with pytest.raises(ValueError, match=r"does not denoise.*t in \[0, 1\]"):
            check_model(model)


def test_data_may_be_handed_in():
    model = make_model("fashion")
    with pytest.raises(ValueError, match="does not denoise"):
        check_model(
            model,
            data=torch.full((16, *model.event), 3.0)
            + torch.randn(16, *model.event, generator=torch.Generator().manual_seed(0)),
        )


@each(("name", "count"), [("gmm-2d", 256), ("fashion-mppca", 16)])
def test_check_model__takes_few_samples_from_all_of_the_data(name, count, monkeypatch):
    found, model = [], make_model(name)
    monkeypatch.setattr(
        model_check, "_check_denoising", lambda _model, x0, _labels: found.append(x0)
    )
    shape = (-1, *[1] * len(model.event))
    check_model(model, data=torch.arange(1000.0).reshape(shape).expand(-1, *model.event))
    (x0,) = found
    assert (len(x0), float(x0.min()), float(x0.max())) == (count, 0.0, 999.0)


@pytest.mark.slow
def test_a_trained_network_passes_on_what_it_makes():
    """Where the classifier says which class a sample is of."""
    model = make_model("fashion")
    check_model(model, data=converged_samples(model, 16, 0, torch.float32, 16, "cpu").clamp(-1, 1))


@pytest.mark.slow
@each(
    "name",
    [n for n in model_names() if not n.startswith("random")]
    + ["perturbed:gmm-2d", "perturbed:gmm-64d"],
)
def test_check_model__built_in_models_pass(name):
    model = make_model(name)
    check_model(model, model.reference())


def test_guided_models_and_untrained_networks_pass():
    check_model(make_model("digits", guidance=4.0))
    check_model(make_model("random-unet-32", width=16))
