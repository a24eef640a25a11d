"""Networks in low precision: casting, the formula on exact models, and what stays exact."""

import copy
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from samplerbench.benchmarks.sampling.shard import is_low_precision
from samplerbench.models import make_model, use_model
from samplerbench.models.adapters import NativeDenoiser
from samplerbench.models.checkpoints.programs import Port, ProgramNetwork, signature_of
from samplerbench.models.denoiser import Denoiser, level_per_row
from samplerbench.models.objects import as_model, from_function
from samplerbench.models.process import EDM, RectifiedFlow
from samplerbench.models.rounding import (
    Precision,
    RoundedExactModel,
    add_rounding,
    called_networks,
    in_full_precision,
)
from samplerbench.samplers import SampleNoise, karras, make, names
from samplerbench.samplers import get as sampler_class

BFLOAT16 = Precision("bfloat16", torch.bfloat16, torch.bfloat16)
# entries with three bits, and distinct columns: float32 sums of bfloat16 inputs are exact
WEIGHT = torch.tensor([[1.0, -0.75, 0.5], [0.25, 1.25, -1.0], [-0.5, 0.125, 1.5]])


class LinearVelocity(Denoiser):
    """Flow whose ideal network is linear: v = W x_t, D = x_t - t v."""

    name, identity, event = "linear", "linear", (3,)
    sigma_min, sigma_max, dtype = 0.01, 63.0, torch.float64

    def denoise(self, x, sigma, labels):
        level = level_per_row(sigma, x)[:, None]
        x_t = x.double() / (1 + level)
        return (x_t - level / (1 + level) * (x_t @ WEIGHT.double().T)).to(x.dtype)


@pytest.mark.parametrize("sigma", [1 / 3, 1.0, 3.0, 63.0])
def test_formula__equals_a_linear_layer_of_torch_in_bfloat16_bit_for_bit(sigma):
    level_free = Precision("bfloat16", torch.bfloat16, torch.float32)
    model = RoundedExactModel(LinearVelocity(), level_free, "velocity")
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * (
        1 + sigma
    )
    x_t = (x / (1 + sigma)).bfloat16()
    layer = F.linear(x_t, WEIGHT.bfloat16())
    t = sigma / (1 + sigma)
    expected = x / (1 + sigma) - t * layer.double()
    rounded = (x / (1 + sigma) - model.denoise(x, sigma, None)) / t
    assert torch.equal(rounded.bfloat16(), layer)
    torch.testing.assert_close(model.denoise(x, sigma, None), expected, rtol=1e-14, atol=1e-14)


def test_cast_network__equals_the_module_converted_by_hand():
    network = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 3))

    def predict(x, t, labels):
        return network(x)

    model = NativeDenoiser(
        predict, RectifiedFlow(), "flow", name="n", event=(3,), identity="n", sigma_max=30.0
    )
    x, level = torch.randn(7, 3), 1.5
    x_t = (x / (1 + level)).bfloat16()
    velocity = copy.deepcopy(network).bfloat16()(x_t).float()
    expected = x / (1 + level) - level / (1 + level) * velocity
    low = add_rounding(model, "bfloat16")
    torch.testing.assert_close(low.denoise(x, level, None), expected, rtol=1e-6, atol=1e-6)
    assert network[0].weight.dtype == torch.float32
    assert torch.equal(
        in_full_precision(low).denoise(x, level, None), model.denoise(x, level, None)
    )


def test_cast_network__rounds_weights_to_float8_and_computes_in_bfloat16():
    low = make_model("digits", network_dtype="float8_e4m3fn")
    (network,) = called_networks(low.inner)
    weights = [p for p in network.parameters() if p.is_floating_point()]
    assert {w.dtype for w in weights} == {torch.bfloat16}
    assert all(torch.equal(w, w.to(torch.float8_e4m3fn).to(w.dtype)) for w in weights)


def test_called_networks__leaves_preconditioning_in_full_precision():
    model = make_model("digits")
    (network,) = called_networks(model)
    assert type(network).__name__ == "UNet"
    assert called_networks(make_model("gmm-2d")) == []


class ListOfLayers(nn.Module):
    """Network whose only child is a list, which is never called."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 8), nn.Linear(8, 3)])

    def forward(self, x, t):
        first, last = self.layers
        return last(F.silu(first(torch.cat([x, t.float().log()[:, None].to(x)], 1))))


def test_called_networks__do_not_end_at_a_list_of_layers():
    network = ListOfLayers()

    def predict(x, t, labels):
        return network(x, t)

    model = NativeDenoiser(
        predict, RectifiedFlow(), "flow", name="n", event=(3,), identity="n", sigma_max=30.0
    )
    assert called_networks(model) == [network]
    x = torch.randn(7, 3)
    coarse, fine = (
        add_rounding(model, "float32", network_level_dtype=dtype).denoise(x, 1.37, None)
        for dtype in ("bfloat16", "float32")
    )
    assert torch.equal(fine, model.denoise(x, 1.37, None))
    assert 0 < (coarse - fine).abs().max() < 0.1
    assert add_rounding(model, "bfloat16").denoise(x, 1.37, None).dtype == torch.float32


class Recording(Denoiser):
    """Zero denoiser that records its levels."""

    name, identity, event = "recording", "recording", (2,)
    sigma_min, sigma_max, dtype = 0.01, 1e4, torch.float64

    def __init__(self):
        self.levels = []

    def denoise(self, x, sigma, labels):
        self.levels += sigma.tolist()
        return torch.zeros_like(x)


def test_formula__tells_the_rounded_time_of_a_flow():
    inner = Recording()
    model = RoundedExactModel(inner, BFLOAT16, "velocity")
    model.denoise(torch.ones(1, 2, dtype=torch.float64), 3.0, None)  # t = 0.75 is told as 750
    assert inner.levels == pytest.approx([752 / 248])  # the neighbours in bfloat16 are 748 and 752


class GuidesItself(LinearVelocity):
    """Its unguided image is half of its image."""

    def denoise_both(self, x, sigma, labels):
        d = self.denoise(x, sigma, labels)
        return d, d / 2


def test_formula__keeps_the_unguided_image_of_a_model_that_guides_itself():
    x = torch.linspace(-2, 2, 6, dtype=torch.float64).reshape(2, 3)
    model = RoundedExactModel(GuidesItself(), BFLOAT16, "velocity")
    guided, other = model.denoise_both(x, 1.5, None)
    assert torch.equal(guided, model.denoise(x, 1.5, None))
    torch.testing.assert_close(other, guided / 2, atol=0.02, rtol=0.02)
    assert not torch.equal(other, guided)


def test_formula__takes_a_time_that_rounds_to_one():
    model = RoundedExactModel(make_model("gmm-2d"), BFLOAT16, "velocity")
    x = 1e4 * torch.ones(3, 2, dtype=torch.float64)
    mean = torch.from_numpy(model.moments()[0])
    assert torch.allclose(model.denoise(x, 1e4, None), mean.expand(3, 2), atol=0.05)


@pytest.mark.parametrize("predicts", ["edm", "noise", "velocity"])
def test_formula__converges_to_the_exact_model_with_the_precision(predicts):
    exact, errors = make_model("gmm-64d"), []
    for dtype in ("bfloat16", "float16", "float32"):
        model = add_rounding(exact, dtype, network_predicts=predicts)
        z = SampleNoise(0, torch.arange(64), exact.event, torch.float64).initial()
        x = z * 2.0
        errors.append(float((model.denoise(x, 1.5, None) - exact.denoise(x, 1.5)).square().mean()))
    bits = [2**-16.0, 2**-22.0, 2**-48.0]  # squares of the units of rounding
    ratios = [error / bit for error, bit in zip(errors, bits, strict=True)]
    assert max(ratios) < 12 * min(ratios)


def test_formula__errs_with_the_level_for_noise_and_not_for_edm():
    exact = make_model("gmm-64d")
    sigma = exact.sigma_max
    x = sigma * SampleNoise(0, torch.arange(64), exact.event, torch.float64).initial()
    rms = {
        predicts: float(
            (add_rounding(exact, "bfloat16", network_predicts=predicts).denoise(x, sigma, None))
            .sub(exact.denoise(x, sigma))
            .square()
            .mean()
            .sqrt()
        )
        for predicts in ("edm", "noise")
    }
    assert rms["noise"] > 2**-10 * sigma  # half a unit of rounding of noise of size 1, times sigma
    assert rms["edm"] < 2**-9


def test_low_precision__has_the_truth_of_full_precision_and_an_identity_of_its_own():
    exact = make_model("gmm-2d")
    low = make_model("gmm-2d", network_dtype="bfloat16")
    x = exact.sigma_max * torch.randn(5, 2, dtype=torch.float64)
    assert torch.equal(low.endpoint(x), exact.endpoint(x))
    assert torch.equal(low.data(4, 0), exact.data(4, 0))
    assert low.identity != exact.identity
    assert in_full_precision(low).identity == exact.identity
    assert not torch.equal(low.denoise(x, 1.0, None), exact.denoise(x, 1.0))


def test_in_full_precision__finds_a_model_in_low_precision_inside_wrappers():
    """An object of a script has a wrapper, so its own endpoints were the truth."""
    low, exact = make_model("gmm-2d", network_dtype="bfloat16"), make_model("gmm-2d")
    x = torch.full((1, 2), 0.3, dtype=torch.float64)
    for model in (as_model("mine", low), as_model("mine", exact)):
        precise = in_full_precision(model)
        torch.testing.assert_close(precise.denoise(x, 1.0, None), exact.denoise(x, 1.0, None))
        assert is_low_precision(model, None) == (precise is not model) == (model.inner is low)


def test_low_precision__gives_a_row_the_same_bits_in_any_batch():
    low = make_model("gmm-64d", network_dtype="bfloat16")
    x = torch.randn(9, *low.event, dtype=torch.float64)
    whole = low.denoise(x, 2.0, None)
    parts = torch.cat([low.denoise(x[:4], 2.0, None), low.denoise(x[4:], 2.0, None)])
    assert torch.equal(whole, parts)


def test_low_precision__rounds_the_network_inside_guidance():
    plain = make_model("digits", guidance=2.0)
    low = make_model("digits", guidance=2.0, network_dtype="bfloat16")
    assert low.passes == plain.passes == 2
    ids = torch.arange(4)
    x = torch.randn(4, *low.event)
    guided, free = low.bind(ids, 0).both(x, 1.0)
    exact, exact_free = plain.bind(ids, 0).both(x, 1.0)
    assert 1e-5 < (guided - exact).abs().max() < 0.2
    assert 1e-5 < (free - exact_free).abs().max() < 0.2


def test_use_model__gives_an_object_of_the_session_low_precision_and_leaves_it_as_it_is():
    class Own(Denoiser):
        name, identity, event = "own", "own", (2,)

        def __init__(self):
            self.net = nn.Linear(2, 2)

        def denoise(self, x, sigma, labels):
            return self.net(x)

        def to(self, device):
            twin = copy.copy(self)
            twin.net = copy.deepcopy(self.net).to(device)
            return twin

    own = Own()
    use_model("own-linear", own)
    low = make_model("own-linear", network_dtype="bfloat16")
    x = torch.randn(3, 2)
    expected = F.linear(x.bfloat16(), own.net.weight.bfloat16(), own.net.bias.bfloat16()).float()
    assert torch.equal(low.denoise(x, 1.0, None), expected)
    assert own.net.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "options", "fragment"),
    [
        ("gmm-2d", {"network_dtype": "int8"}, "network_dtype is float32"),
        ("gmm-2d", {"network_dtype": "float8_e4m3fn"}, "without weights"),
        ("gmm-2d", {"network_level_dtype": "float16"}, "go with a network_dtype"),
        ("gmm-2d", {"network_dtype": "bfloat16", "network_predicts": "F"}, "network_predicts is"),
        ("digits", {"network_dtype": "bfloat16", "network_predicts": "noise"}, "has a network"),
    ],
)
def test_add_rounding__refuses(name, options, fragment):
    with pytest.raises(ValueError, match=fragment):
        make_model(name, **options)


def test_add_rounding__refuses_an_exported_program():
    ports = [Port("x", (None, 2), torch.float32), Port("t", (None,), torch.float32)]
    given = SimpleNamespace(classes=0)
    program = ProgramNetwork(lambda x, t: x, signature_of(Path(), ports, ports[:1]), given)
    model = NativeDenoiser(program, EDM(), "x0", name="own", event=(2,), identity="own-1")
    for predicts in (None, "noise"):
        with pytest.raises(ValueError, match="exported program"):
            add_rounding(model, "bfloat16", network_predicts=predicts)


def test_formula__needs_moments_for_edm():
    with pytest.raises(ValueError, match="network_predicts=noise or velocity"):
        RoundedExactModel(Recording(), BFLOAT16, "edm")
    assert isinstance(RoundedExactModel(make_model("gmm-2d"), BFLOAT16, "edm").process, EDM)


FIXED = [
    name
    for name in names()
    if not sampler_class(name).for_maps
    and not sampler_class(name).adaptive
    and not getattr(sampler_class(name), "of_checkpoint", False)
    and not getattr(sampler_class(name), "needs_look", False)
    and not getattr(sampler_class(name), "needs_statistics", False)
    and not name.startswith("scipy_")
]


def test_bound__runs_every_sampler_with_states_of_16_bits():
    model = make_model("gaussian")
    grid, ids = karras(6, model.sigma_min, model.sigma_max), torch.arange(3)
    assert len(FIXED) > 100
    for name in FIXED:
        noise = SampleNoise(0, ids, model.event, torch.bfloat16)
        x = make(name).sample(model.bind(ids, 0), model.sigma_max * noise.initial(), grid, noise)
        assert x.dtype == torch.bfloat16, name
        assert bool(x.isfinite().all()), name


class Held:
    """Object without a method ``to``."""

    event, sigma_min, sigma_max = (2,), 0.002, 80.0

    def __init__(self, net, lock=None):
        self.net, self.lock = net, lock

    def __call__(self, x, sigma):
        return self.net(x)


def test_add_rounding__leaves_the_network_of_a_user_as_it_is():
    net = nn.Linear(2, 2)
    x = torch.randn(3, 2)
    for given in (Held(net), from_function(lambda x, sigma: net(x), event=(2,))):
        low = add_rounding(as_model("mine", given), "bfloat16")
        assert net.weight.dtype == torch.float32
        assert not torch.equal(low.denoise(x, 1.0, None), low.precise.denoise(x, 1.0, None))
    locked = as_model("mine", Held(net, threading.Lock()))
    assert torch.equal(locked.to("cpu").denoise(x, 1.0, None), net(x))
    with pytest.raises(ValueError, match="mine cannot be copied"):
        add_rounding(locked, "bfloat16")
