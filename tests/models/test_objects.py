"""Models of objects that a script or notebook made."""

from __future__ import annotations

import functools
import inspect
import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn

from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.scoring.real_data import load_real_data
from samplerbench.models.loaders.python_file import FileModel
from samplerbench.models.networks import networks_in
from samplerbench.models.objects import (
    _bytes_of,
    as_model,
    digest_of_object,
    from_function,
    from_network,
)
from samplerbench.models.process import RectifiedFlow, Trigonometric


class Ensemble:
    def __init__(self, shift: float = 0.0) -> None:
        self.means = [torch.ones(2) + shift, {"second": torch.zeros(3)}]


def test_digest_of_object__tensors_in_containers_count_by_their_numbers():
    first, same, other = (digest_of_object(Ensemble(shift)) for shift in (0.0, 0.0, 1.0))
    assert first == same != other
    plain = {"a": [1, 2.5, None], "b": (torch.float32, "text")}
    assert _bytes_of(plain) == pickle.dumps(plain)  # digests of earlier runs stay


def test_from_network__an_infinite_level_is_capped_and_a_network_without_signature_is_called():
    model = from_network(lambda x, t: 0 * x, "v", event=(2,), process=Trigonometric())
    assert model.sigma_max == 1e4
    assert torch.isfinite(model.denoise(torch.ones(1, 2), model.sigma_max, None)).all()
    assert from_network(torch.mul, event=(2,)).denoise(torch.ones(1, 2), 1.0, None).shape == (1, 2)


def scaled(x, sigma, factor):
    return factor * x


class Scaled(nn.Module):
    event, sigma_min, sigma_max = (2,), 0.01, 10.0

    def __init__(self, factor: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.line, self._factor = nn.Linear(2, 2), factor

    def forward(self, x, sigma):
        return self._factor * self.line(x)

    def to(self, device):  # in place, as many write it
        self.line.to(device)


def decorated(factor: float):
    @torch.no_grad()
    def denoise(x, sigma):
        return factor * x

    return denoise


def test_digest_of_object__differs_by_what_partials_methods_decorators_and_modules_hold():
    kinds = (
        lambda factor: functools.partial(scaled, factor=factor),
        lambda factor: Scaled(factor).forward,
        decorated,
        Scaled,
    )
    for make in kinds:
        first, same, other = (digest_of_object(make(factor)) for factor in (1.0, 1.0, 2.0))
        assert first == same != other


def helped(factor: float):
    def helper(x):
        return factor * x if factor else helper(x)

    def denoise(x, sigma):
        return helper(x)

    return denoise


def with_layers(*layers: nn.Module):
    def of(which: float):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(2, 2), layers[int(which) - 1], nn.Linear(2, 2))

    return of


def test_digest_of_object__differs_by_what_helpers_close_over_and_by_layers_without_weights():
    kinds = (
        helped,
        with_layers(nn.SiLU(), nn.GELU()),
        with_layers(nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)),
        lambda factor: lambda x, sigma: helped(1.0)(x, sigma) * decorated(factor)(x, sigma),
    )
    for make in kinds:
        first, same, other = (digest_of_object(make(factor)) for factor in (1.0, 1.0, 2.0))
        assert first == same != other


def test_digest_of_object__differs_by_settings_of_layers_with_equal_weights():
    def digest(heads: int) -> str:
        layer = nn.MultiheadAttention(4, heads)
        for weight in layer.parameters():
            nn.init.ones_(weight)
        return digest_of_object(nn.Sequential(layer))

    assert digest(1) == digest(1) != digest(2)


def test_digest_of_object__differs_by_classes_of_a_notebook_which_have_no_source(monkeypatch):
    def digests(activation: str, factor: str) -> list[str]:
        space: dict = {"__name__": "__main__", "nn": nn}
        exec(
            f"""
class Layer(nn.Linear):
    def forward(self, x):
        return super().forward(x).{activation}()

class Model:
    def __call__(self, x, sigma):
        return {factor} * x

network = nn.Sequential(Layer(2, 2, bias=False))
def denoise(x, sigma):
    return network(x)
""",
            space,
        )
        nn.init.ones_(space["network"][0].weight)
        return [digest_of_object(space[name]) for name in ("denoise", "network")] + [
            digest_of_object(space["Model"]())
        ]

    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    first, same, others = digests("relu", "1"), digests("relu", "1"), digests("tanh", "2")
    assert first == same
    assert all(one != other for one, other in zip(first, others, strict=True))


def test_digest_of_object__does_not_depend_on_the_order_in_a_set():
    """The order of texts in a set is another in each process; 0 and 8 collide."""

    def digest(kinds: set[int]) -> str:
        network = nn.Linear(2, 2)
        nn.init.ones_(network.weight), nn.init.ones_(network.bias)
        network.kinds = kinds
        return digest_of_object(nn.Sequential(network))

    assert [*{0, 8}] != [*{8, 0}]
    assert digest({0, 8}) == digest({8, 0}) != digest({0, 9})


def test_digest_of_object__does_not_depend_on_the_order_of_a_set_in_a_dictionary():
    def digest(kinds: set[int]) -> str:
        given = Ensemble()
        given.options = {"kinds": [kinds]}
        return digest_of_object(given)

    assert digest({0, 8}) == digest({8, 0}) != digest({0, 9})


def test_digest_of_object__reads_a_function_that_wraps_a_network():
    net = nn.Linear(2, 2)
    wrapped = functools.wraps(net)(lambda x, sigma: net(x))
    assert digest_of_object(wrapped) == digest_of_object(wrapped)


def test_digest_of_object__leaves_out_the_address_in_a_compiled_module():
    network = nn.Linear(2, 2)
    first = digest_of_object(network)
    network._torchdynamo_wrapper_id = id(network)
    assert digest_of_object(network) == first


def test_digest_of_object__is_the_same_for_a_module_that_was_saved_and_loaded():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.Upsample(scale_factor=2), nn.Linear(4, 2))
    loaded = pickle.loads(pickle.dumps(network))
    assert digest_of_object(loaded) == digest_of_object(network)


def test_digest_of_object__reads_each_helper_once_however_many_call_it(monkeypatch):
    def last(x):
        return x

    def above(inner):
        def helper(x):
            return inner(x)

        def other(x):
            return inner(x)

        return lambda x: helper(x) + other(x)

    function, read, plain = last, [], inspect.getsource
    for _ in range(10):
        function = above(function)
    monkeypatch.setattr(inspect, "getsource", lambda code: read.append(code) or plain(code))
    digest_of_object(lambda x, sigma: function(x))
    assert len(read) < 100


def test_from_function__draws_of_a_class_with_rows_of_its_own_stay_draws():
    class Draws:
        rows = np.zeros((3, 2))

        def __call__(self, n, seed):
            return torch.zeros(n, 2)

    model = from_function(lambda x, sigma: x, event=(2,), data=Draws())
    assert model.fixed_data is None
    assert model.reference().held_out(5).shape == (5, 2)


def test_file_model__moves_by_a_method_that_returns_nothing():
    model = as_model("mine", Scaled(1.0))
    x = torch.ones(1, 2)
    assert torch.equal(model.to("cpu").denoise(x, 1.0, None), model.denoise(x, 1.0, None))


class Line(nn.Linear):
    def forward(self, x, t):
        return super().forward(x)


def test_from_network__weights_in_float64_are_called_in_it_and_16_bits_round_no_time():
    model = from_network(Line(2, 2).double(), event=(2,))
    assert model.network_dtype == model.dtype == torch.float64
    assert model.denoise(torch.ones(1, 2, dtype=torch.float64), 1.0, None).dtype == torch.float64
    times = []
    low = torch.nn.Linear(2, 2, dtype=torch.bfloat16)

    def network(x, t):
        times.append(float(t))
        return low(x.bfloat16()).float()

    model = from_network(network, event=(2,))
    model.denoise(torch.ones(1, 2), model.sigma_max, None)
    assert times == [999.0]


def test_from_network__a_level_of_zero_is_refused_by_name():
    with pytest.raises(ValueError, match=r"model network: its lowest level is 0\.0 \(t_min=0\)"):
        from_network(Line(2, 2), "flow", event=(2,), process=RectifiedFlow(t_min=0, t_max=1))


def test_from_network__the_networks_of_a_function_of_two_arguments_are_found_and_copied():
    net = nn.Linear(2, 2)
    model = from_network(lambda x, t: net(x), event=(2,))
    assert [*networks_in(model.network)] == [net]
    (twin,) = networks_in(model.to("cpu").network)
    assert twin is not net
    assert pickle.loads(pickle.dumps(from_network(scaled_by_time, event=(2,)).network))


def scaled_by_time(x, t):
    return x * t[:, None]


def test_bind_labels__labels_that_another_thread_binds_meanwhile_are_not_taken():
    class Raced(FileModel):
        """Model whose latest labels another thread replaces at once."""

        @property
        def _latest(self):
            return torch.zeros(1), "foreign"

        @_latest.setter
        def _latest(self, latest):
            pass

    class Bound(Scaled):
        def bind(self, ids, seed):
            return "own"

    model = Raced(Bound(1.0), "mine", "mine")
    assert model._bind_labels(model.draw_labels(torch.arange(2), 0)) == "own"


class Halved(nn.Module):
    def forward(self, x, t):
        return 0.5 * x + t[:, None] / 1000


def test_from_network__a_compiled_module_is_called_as_the_module_is():
    x, network = torch.ones(2, 2), Halved()
    plain = from_network(network, event=(2,)).denoise(x, 1.0, None)
    compiled = from_network(torch.compile(network, backend="eager"), event=(2,))
    assert torch.equal(compiled.denoise(x, 1.0, None), plain)


def test_from_function__a_data_set_counts_as_large_as_it_is_and_its_held_out_part_is_disjoint():
    """Its rows were drawn with replacement, and counted as 50 000 of them."""
    data = torch.arange(48.0).reshape(24, 2)
    model = from_function(lambda x, s: x / (1 + s**2), event=(2,), data=data)
    reference = model.reference()
    held_out = reference.held_out(100)
    assert (reference.n, len(held_out)) == (20, 4)
    rows = {*map(tuple, data.tolist())} - {*map(tuple, held_out.tolist())}
    np.testing.assert_allclose(reference.mean, np.mean([*rows], 0))
    in_pixels = load_references({"m": as_model("m", model)}, "pixels")["m"]
    assert in_pixels.n == 20
    assert load_real_data(model, None).reference.shape == (20, 2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"event": 3}, "event is 3; it must be a tuple of positive integers"),
        ({"data": torch.zeros(5, 2)}, "data has 5 samples; give at least 12"),
        ({"data": torch.zeros(0, 2)}, "data has 0 samples; give at least 12"),
        ({"data": torch.zeros(20, 3)}, r"data has shape \(20, 3\), not \(20, 2\)"),
    ],
)
def test_from_function__what_does_not_fit_is_one_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        from_function(lambda x, s: x, **{"event": (2,), **options})


def test_from_function__moments_are_those_of_all_data_that_is_not_held_out():
    data = torch.arange(60_012.0)[:, None] / 60_012
    model = from_function(lambda x, s: x, event=(1,), data=data)
    rows = model.fixed_data[0].double().numpy()
    assert model.reference().n == len(rows) == 50_010
    np.testing.assert_allclose(model.reference().mean, rows.mean(0), rtol=1e-12)


def test_from_function__a_function_with_its_own_float32_gets_float32() -> None:
    """Its scaling of x is exact, and only its network rounds."""
    net = torch.nn.Linear(2, 2, bias=False, dtype=torch.bfloat16)

    def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return x - sigma * net(x.bfloat16()).to(x.dtype)

    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    rounded, exact = (
        from_function(denoise, event=(2,), network_dtype=dtype) for dtype in (None, torch.float32)
    )
    assert (rounded.denoise(x, 0.002, None) - denoise(x, 0.002)).abs().max() > 2 * 0.002
    assert torch.equal(exact.denoise(x, 0.002, None), denoise(x, 0.002))
    assert exact.identity != rounded.identity
