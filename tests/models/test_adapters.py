"""One data set through every process and prediction type, and the conventions of networks."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from every_process import PROCESSES
from looping import each

from samplerbench.models.adapters import Boundary, NativeDenoiser, NetworkTime, Prediction
from samplerbench.models.process import (
    EDM,
    VE,
    Cosine,
    Discrete,
    Process,
    RectifiedFlow,
    Trigonometric,
    VPLinear,
)
from samplerbench.samplers.types import TimedLevel

PREDICTIONS: list[Prediction] = ["x0", "eps", "v", "flow", "score"]


def test_wrong_predictions_are_named() -> None:
    with pytest.raises(ValueError, match="unknown prediction 'noise'"):
        NativeDenoiser(lambda x, t, labels: x, VE(), "noise", name="n", event=(2,), identity="n")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'edm' needs an EDM process"):
        NativeDenoiser(lambda x, t, labels: x, VE(), "edm", name="n", event=(2,), identity="n")


def test_native_denoiser__an_output_that_would_be_broadcast_is_refused() -> None:
    for output in (torch.ones(5, 1), torch.ones(1, 2), torch.ones(5, 4)):
        model = NativeDenoiser(
            lambda x, t, labels, d=output: d, VE(), "eps", name="n", event=(2,), identity="n"
        )
        with pytest.raises(ValueError, match=r"for states \(5, 2\)"):
            model.denoise(torch.zeros(5, 2), 1.0, None)


# One mixture of three isotropic Gaussians in three dimensions, with one class a component.
MEANS = torch.tensor([[1.0, 0.0, -1.0], [-1.0, 0.5, 0.3], [0.2, -0.7, 0.9]], dtype=torch.float64)
STDS = torch.tensor([0.3, 0.6, 0.1], dtype=torch.float64)


class MixtureNetwork:
    """E[x0 | x_t] of the mixture by Bayes' rule in native coordinates, told as the asked
    prediction type.
    """

    def __init__(self, process: Process, prediction: Prediction) -> None:
        self.process, self.prediction = process, prediction
        self.seen: list[torch.Tensor] = []

    def __call__(
        self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None
    ) -> torch.Tensor:
        assert labels is not None
        self.seen.append(t)
        alpha = torch.from_numpy(self.process.alpha(t.numpy()))[:, None]
        sigma = torch.from_numpy(self.process.sigma(t.numpy()))[:, None]
        total = alpha**2 * STDS**2 + sigma**2  # (batch, component)
        offset = x_t[:, None] - alpha[..., None] * MEANS  # (batch, component, 3)
        logits = -offset.square().sum(-1) / (2 * total) - 1.5 * total.log()
        other = (labels[:, None] != torch.arange(3)) & (labels[:, None] < 3)
        weight = logits.masked_fill(other, -torch.inf).softmax(1)
        x0 = (weight[..., None] * (MEANS + (alpha * STDS**2 / total)[..., None] * offset)).sum(1)
        z = (x_t - alpha * x0) / sigma
        return {
            "x0": x0,
            "eps": z,
            "v": alpha * z - sigma * x0,
            "flow": getattr(self.process, "noise_scale", 1.0) * z - x0,
            "score": -z / sigma,
            "edm": self._raw(x_t, x0, sigma / alpha),
        }[self.prediction]

    def _raw(self, x_t: torch.Tensor, x0: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """F of d = c_skip x + c_out F, in an EDM process."""
        data = getattr(self.process, "sigma_data", 1.0)
        total = (level**2 + data**2).sqrt()
        return (x0 - data**2 / total * x_t) * total / (level * data)


def adapted(process: Process, prediction: Prediction, **options: object) -> NativeDenoiser:
    return NativeDenoiser(
        MixtureNetwork(process, prediction),
        process,
        prediction,
        name="mixture",
        event=(3,),
        identity="mixture",
        classes=3,
        network_dtype=torch.float64,
        **options,  # type: ignore[arg-type]
    )


@each(
    ("process", "prediction"),
    [
        *((p, k) for p in PROCESSES[1:] for k in PREDICTIONS),
        (EDM(), "edm"),
        (EDM(sigma_data=2.0), "edm"),
    ],
    ids=repr,
)
def test_adapter__one_model_through_every_process_and_prediction(
    process: Process, prediction: Prediction
) -> None:
    reference, model = adapted(VE(), "x0"), adapted(process, prediction)
    rng = torch.Generator().manual_seed(0)
    for sigma in (0.01, 0.1, 0.7, 5.0, 80.0, RectifiedFlow().level(RectifiedFlow().t_max)):
        if sigma > 2 * process.level(process.t_max):
            continue  # beyond what the process is sampled at
        x0 = MEANS + STDS[:, None] * torch.randn(3, 3, generator=rng, dtype=torch.float64)
        x = x0 + sigma * torch.randn(3, 3, generator=rng, dtype=torch.float64)
        for labels in (None, torch.tensor([2, 0, 3])):
            want, got = reference.denoise(x, sigma, labels), model.denoise(x, sigma, labels)
            torch.testing.assert_close(got, want, rtol=0, atol=1e-10 * max(1.0, sigma / 100))
            rows = model.denoise(x, torch.full((3,), sigma), labels)
            # sigma as float32 rows
            torch.testing.assert_close(rows, got, rtol=0, atol=1e-6 * sigma)


def test_without_labels_the_network_gets_the_null_label() -> None:
    model = adapted(VPLinear(), "eps")
    x = MEANS + 0.2
    assert torch.equal(model.denoise(x, 0.5, None), model.denoise(x, 0.5, torch.full((3,), 3)))
    assert not torch.equal(
        model.denoise(x, 0.5, None), model.denoise(x, 0.5, torch.zeros(3, dtype=torch.int64))
    )


def test_one_level_per_row_equals_row_by_row() -> None:
    model = adapted(Cosine(), "v")
    x, sigma = MEANS + 0.3, torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)
    together = model.denoise(x, sigma, None)
    apart = torch.cat([model.denoise(x[k : k + 1], float(sigma[k]), None) for k in range(3)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-15)


def test_the_state_keeps_its_dtype_and_the_network_its_own() -> None:
    seen = []

    def network(x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        seen.append((x_t.dtype, t.dtype, labels))
        return torch.zeros_like(x_t)

    model = NativeDenoiser(network, VPLinear(), "eps", name="zero", event=(2,), identity="zero")
    x = torch.randn(5, 2, dtype=torch.float64)
    d = model.denoise(x, 1.0, None)
    assert d.dtype == torch.float64
    assert torch.equal(d, x)  # a network that says "no noise": nothing of the float64 state is lost
    assert d is not x
    assert seen == [(torch.float32, torch.float32, None)]
    assert model.dtype == torch.float32
    assert (model.sigma_min, model.sigma_max) == (VPLinear().level(1e-3), VPLinear().level(1.0))


def test_discrete_times_snap_to_the_nearest() -> None:
    times = np.array([1.0, 0.25, 0.5, 0.75])
    model = adapted(RectifiedFlow(), "flow", times=times, sigma_max=1e4)
    level = RectifiedFlow().level(np.array([0.01, 0.3, 0.374, 0.376, 0.6, 0.9999]))
    x = torch.zeros(6, 3, dtype=torch.float64)
    model.network = lambda x_t, t, labels: seen.append(t) or x_t  # type: ignore[func-returns-value]
    seen: list[torch.Tensor] = []
    model.denoise(x, torch.from_numpy(level), None)
    assert seen[0].tolist() == [0.25, 0.25, 0.25, 0.5, 0.5, 1.0]


def test_modules_are_frozen_in_evaluation_mode() -> None:
    class Net(torch.nn.Dropout):
        def forward(self, x_t, t, labels):
            return super().forward(x_t)

    module = Net()
    model = NativeDenoiser(module, VE(), "x0", name="m", event=(2,), identity="m")
    assert not module.training
    assert not model.network.training  # type: ignore[attr-defined]


def test_labels_are_drawn_by_the_classes_weights() -> None:
    model = adapted(VE(), "x0", class_weights=(0.0, 3.0, 1.0))
    labels = model.draw_labels(torch.arange(4000), 0)
    assert labels is not None
    assert labels.bincount(minlength=3).tolist()[0] == 0
    assert 0.7 < float((labels == 1).double().mean()) < 0.8
    assert adapted(VE(), "x0").draw_labels(torch.arange(4), 0) is None
    with pytest.raises(ValueError, match="2 class_weights for 3 classes"):
        adapted(VE(), "x0", class_weights=(1.0, 1.0))


def test_the_network_inside_a_function_is_copied_and_moves_with_the_model() -> None:
    inside, captured, partial = (torch.nn.Linear(2, 2) for _ in range(3))

    class Holder:
        def __init__(self) -> None:
            self.net = inside

        def __call__(
            self, x: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None
        ) -> torch.Tensor:
            return self.net(x)

    for network, module in (
        (lambda x, t, labels: captured(x), captured),
        (Holder(), inside),
        (functools.partial(lambda net, x, t, labels: net(x), partial), partial),
    ):
        model = NativeDenoiser(network, VE(), "x0", name="m", event=(2,), identity="m").to("meta")
        assert next(module.parameters()).device.type == "cpu"
        assert model.denoise(torch.zeros(3, 2, device="meta"), 1.0, None).device.type == "meta"


def test_what_a_network_is_told() -> None:
    level, t = np.array([0.5, 8.0]), np.array([0.2, 0.9])
    np.testing.assert_allclose(NetworkTime().network_input(t, level), t)
    np.testing.assert_allclose(
        NetworkTime(of="log_level", scale=0.25).network_input(t, level), np.log(level) / 4
    )
    np.testing.assert_allclose(NetworkTime(scale=-1, offset=1).network_input(t, level), 1 - t)
    np.testing.assert_allclose(NetworkTime(of="level").network_input(t, level), level)


@pytest.mark.parametrize("half", ["first", "second"])
def test_signs_halves_and_times_are_undone(half: str) -> None:
    plain = adapted(RectifiedFlow(), "flow")
    inner = plain.network

    def other(x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """What the network says with the opposite sign, told 1 - t, beside a variance."""
        velocity = -inner(x_t, 1 - t, labels)
        parts = [velocity, torch.full_like(velocity, 9.0)]
        return torch.cat(parts if half == "first" else parts[::-1], 1)

    model = adapted(
        RectifiedFlow(), "flow", factor=-1.0, half=half, time=NetworkTime(scale=-1, offset=1)
    )
    model.network = other
    x = MEANS + 0.3
    torch.testing.assert_close(model.denoise(x, 0.7, None), plain.denoise(x, 0.7, None))


def test_times_that_are_known_are_told_as_they_are() -> None:
    model = adapted(
        EDM(), "edm", times=np.array([0.5, 1.0]), time=NetworkTime(of="log_level", scale=0.25)
    )
    told = []
    model.network = lambda x_t, t, labels: told.append(t) or x_t
    model.denoise(MEANS, 0.9, None)
    assert told[0].tolist() == [0.0] * 3


@pytest.mark.parametrize(("nearest", "told"), [("time", 1.0), ("level", 0.0)])
def test_the_nearest_of_known_times_is_sought_in_time_or_in_level(
    nearest: str, told: float
) -> None:
    process = Discrete(
        levels=(0.5, 4.0, 30.0)
    )  # 2 is nearer to 0.5, and its logarithm to that of 4
    model = adapted(process, "eps", times=np.arange(3.0), nearest=nearest)
    given = []
    model.network = lambda x_t, t, labels: given.append(t) or x_t
    model.denoise(MEANS, 2.0, None)
    assert given[0].tolist() == [told] * 3


def test_denoise__a_boundary_is_weighed_at_the_time_that_the_network_is_told() -> None:
    process, boundary = Discrete(levels=(0.5, 4.0, 30.0)), Boundary()
    model = adapted(process, "x0", times=np.arange(3.0), boundary=boundary, kind="map")
    told: list[torch.Tensor] = []
    model.network = lambda x_t, t, labels: told.append(t) or torch.ones_like(x_t)
    alpha = process.alpha(process.t_of(0.6))
    for level, time in ((0.6, 0.0), (TimedLevel(0.6, 2.0), 2.0)):
        skip, out = boundary.weights(np.array([time]))
        expected = float(skip[0]) * alpha * MEANS + float(out[0])
        torch.testing.assert_close(model.denoise(MEANS, level, None), expected)
        assert told[-1].tolist() == [time] * 3


def test_native_denoiser__classes_without_a_null_label_need_labels():
    options = {"name": "told", "event": (2,), "identity": "1", "classes": 3, "null_label": False}
    made = NativeDenoiser(lambda x_t, t, labels: x_t + labels[:, None], VE(), "x0", **options)
    assert made.denoise(torch.zeros(1, 2), 1.0, torch.tensor([2])).tolist() == [[2.0, 2.0]]
    with pytest.raises(ValueError, match="give labels, or class_weights"):
        made.denoise(torch.zeros(1, 2), 1.0, None)


def test_native_denoiser__an_infinite_end_of_the_process_is_capped() -> None:
    """A run begins at sigma_max, and a step from infinity needs ``infinite``."""
    table = Discrete(levels=(0.1, 5.0, np.inf))
    for process, top in ((RectifiedFlow(t_max=1.0), 1e4), (Trigonometric(), 1e4), (table, 5.0)):
        model = NativeDenoiser(
            lambda x, t, labels: x, process, "v", name="n", event=(2,), identity="n"
        )
        assert model.sigma_max == top
