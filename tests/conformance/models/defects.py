"""Some 40 defects of a map, on a network that is exact for a mixture of images.

Of each: the network, what is said of it, the images, and words of the right cause; several defects have
no remedy among the readings, and must be found without one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from samplerbench.models.adapters import NetworkTime
from samplerbench.models.checkpoints.checkpoint_denoiser import process_of
from samplerbench.models.checkpoints.specification import Specification

EVENT, CLASSES, EACH, WIDTH = (3, 4, 4), 4, 2, 0.08
ROOM = torch.Generator().manual_seed(3)
MEANS = 1.5 * torch.rand(CLASSES * EACH, *EVENT, generator=ROOM, dtype=torch.float64) - 0.75
MEANS += torch.tensor([0.1, 0.0, -0.1])[:, None, None]  # colours that are not alike
MEANS.clamp_(-0.75, 0.75)


def data(n: int, seed: int = 7) -> tuple[Tensor, Tensor]:
    """Images in [-1, 1] and their classes."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(len(MEANS), (n,), generator=generator)
    noise = torch.randn(n, *EVENT, generator=generator, dtype=torch.float64)
    return (MEANS[which] + WIDTH * noise).clamp(-1, 1), which // EACH


class Mixture(NamedTuple):
    """Gaussians of one width, the same number in every class.

    Attributes:
        means: ``(k, *event)``.
        width: standard deviation.
        classes: consecutive means are of one class.
    """

    means: Tensor
    width: float
    classes: int = 1

    def posterior_mean(self, x: Tensor, level: Tensor, labels: Tensor | None = None) -> Tensor:
        """E[x0 | x] of the mixture, or of the classes of the labels."""
        column = level.reshape(-1, 1, 1, 1)
        total = self.width**2 + column**2
        off = x[:, None] - self.means
        weight = -off.square().flatten(2).sum(2) / (2 * total[:, :, 0, 0])
        if labels is not None:
            each = len(self.means) // self.classes
            own = torch.arange(len(self.means)) // each == labels[:, None]
            weight = weight.masked_fill(~(own | (labels[:, None] == self.classes)), -torch.inf)
        share = weight.softmax(1)[..., None, None, None]
        return (share * (self.means + (self.width**2 / total)[:, None] * off)).sum(1)


IMAGES = Mixture(MEANS, WIDTH, CLASSES)


class Exact:
    """The network that a specification describes: exact for a mixture, in its own conventions."""

    def __init__(self, spec: Specification, data: Mixture = IMAGES) -> None:
        self.spec, self.process, self.data = spec, process_of(spec), data
        self.time = NetworkTime(**spec.time)

    def __call__(self, x_t: Tensor, told: Tensor, labels: Tensor | None) -> Tensor:
        of = (told.double().numpy() - self.time.offset) / self.time.scale
        level = {"t": self.process.level, "level": lambda s: s, "log_level": np.exp}[self.time.of](
            of
        )
        alpha = torch.from_numpy(self.process.alpha(self.process.t_of(level)))[:, None, None, None]
        x = x_t.double() / alpha
        level = torch.from_numpy(level)
        d = self.data.posterior_mean(x, level, labels if self.spec.classes else None)
        level = level[:, None, None, None]
        z, std = (x - d) / level, getattr(self.process, "sigma_data", 1.0)
        outputs: dict[str, Callable[[], Tensor]] = {
            "x0": lambda: d,
            "eps": lambda: z,
            "v": lambda: alpha * (z - level * d),
            "flow": lambda: getattr(self.process, "noise_scale", 1.0) * z - d,
            "score": lambda: -z / (alpha * level),
            "edm": lambda: (
                (d - std**2 / (level**2 + std**2) * x) * (level**2 + std**2).sqrt() / (level * std)
            ),
        }
        output = outputs[self.spec.prediction]() / self.spec.factor
        if self.spec.half:
            parts = [output, torch.full_like(output, 0.3)]
            output = torch.cat(parts if self.spec.half == "first" else parts[::-1], 1)
        return output.float()


DISCRETE = {"name": "discrete", "schedule": "linear", "steps": 1000, "start": 1e-4, "end": 0.02}
BASE = Specification(
    family="openai",
    network={},
    weights={"file": "x.pt"},
    event=EVENT,
    process=DISCRETE,
    prediction="eps",
    sigma_min=0.02,
    sigma_max=100.0,
)
LOG = {"of": "log_level", "scale": 0.25}
REVERSED = {"of": "t", "scale": -1.0, "offset": 1.0}
DDPM = BASE
V = replace(BASE, prediction="v")
X0 = replace(BASE, prediction="x0")
VP = replace(BASE, process={"name": "vp_linear"}, time={"of": "t", "scale": 1000.0})
EDM = replace(BASE, process={"name": "edm", "sigma_data": 0.5}, prediction="edm", time=LOG)
FLOW = replace(BASE, process={"name": "flow"}, prediction="flow")
SIT = replace(FLOW, factor=-1.0, time=REVERSED)
SCORE = replace(BASE, process={"name": "ve"}, prediction="score", time={"of": "level"})
LABELLED = replace(EDM, classes=CLASSES, null_label=True, labels="random")
RIGHT = {
    "DDPM": DDPM,
    "DDPM, cosine": replace(DDPM, process={**DISCRETE, "schedule": "cosine"}),
    "v": V,
    "x0": X0,
    "VP": VP,
    "EDM": EDM,
    "EDM, labels": LABELLED,
    "flow": FLOW,
    "SiT": SIT,
    "JiT": replace(FLOW, process={"name": "flow", "noise_scale": 2.0}, prediction="x0"),
    "score": SCORE,
    "learned variance": replace(DDPM, half="first"),
}

Change = Callable[[Callable[..., Tensor]], Callable[..., Tensor]]


@dataclass(frozen=True)
class Defect:
    """A network that is one thing, and is said to be another.

    Attributes:
        truth: what the network is exact for.
        stated: what is said of it.
        cause: words of the right cause, any of them; empty where no reading is right.
        network: changes the network, or None.
        images: changes the images, or None.
        labels: changes their classes, or None.
    """

    truth: Specification
    stated: Specification
    cause: tuple[str, ...] = ()
    network: Change | None = None
    images: Callable[[Tensor], Tensor] | None = None
    labels: Callable[[Tensor], Tensor] | None = None

    def made(self) -> Callable[..., Tensor]:
        """The network."""
        exact = Exact(self.truth)
        return exact if self.network is None else self.network(exact)

    def data(self, n: int) -> tuple[Tensor, Tensor | None]:
        """Images and classes."""
        images, labels = data(n)
        images = images if self.images is None else self.images(images)
        labels = labels if self.labels is None else self.labels(labels)
        return images, labels if self.stated.classes else None


def output(change: Callable[[Tensor], Tensor]) -> Change:
    return lambda net: lambda x, t, labels: change(net(x, t, labels))


def inputs(change: Callable[[Tensor], Tensor]) -> Change:
    return lambda net: lambda x, t, labels: net(change(x), t, labels)


def both(change: Callable[[Tensor], Tensor]) -> Change:
    return lambda net: lambda x, t, labels: change(net(change(x), t, labels))


def times(change: Callable[[Tensor], Tensor]) -> Change:
    return lambda net: lambda x, t, labels: net(x, change(t), labels)


def alphas(power: int) -> Change:
    """Of a network of 1000 linear betas, given alpha**power of the state in place of alpha."""
    process = process_of(DDPM)

    def of(net: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def called(x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
            alpha = torch.from_numpy(process.alpha(t.double().numpy())).to(x)
            return net(x * alpha.reshape(-1, 1, 1, 1) ** (power - 1), t, labels)

        return called

    return of


def nan_below(net: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, t, labels: torch.where(
        (t < 20)[:, None, None, None], torch.nan, net(x, t, labels)
    )


def schedule(name: str, **more: Any) -> Specification:
    return replace(DDPM, process={**DISCRETE, "schedule": name, **more})


DEFECTS = {
    # the sign, and which half
    "sign": Defect(DDPM, replace(DDPM, factor=-1.0), ("factor=1",)),
    "sign of EDM": Defect(EDM, replace(EDM, factor=-1.0), ("factor=1",)),
    "sign of a flow": Defect(FLOW, replace(FLOW, factor=-1.0), ("factor=1",)),
    "the other half": Defect(
        replace(DDPM, half="first"), replace(DDPM, half="second"), ("half=first",)
    ),
    # time
    "time in thousandths": Defect(DDPM, replace(DDPM, time={"scale": 0.001}), ("time.scale=1&",)),
    "time in [0, 1] called a number": Defect(
        VP, replace(VP, time={"of": "t", "scale": 1.0}), ("time.scale=1000",)
    ),
    "time of a flow reversed": Defect(
        FLOW, replace(FLOW, time=REVERSED), ("time.scale=1&time.offset=0",)
    ),
    "time of a DDPM reversed": Defect(
        DDPM, replace(DDPM, time={"scale": -1.0, "offset": 999.0}), ("time.scale=1&time.offset=0",)
    ),
    "time shifted by 150": Defect(DDPM, DDPM, (), times(lambda t: (t + 150).clamp(max=999))),
    "time of EDM, ln sigma": Defect(
        EDM, replace(EDM, time={"of": "log_level", "scale": 1.0}), ("time.scale=0.25",)
    ),
    "time of EDM, sigma": Defect(EDM, replace(EDM, time={"of": "level"}), ("time.of=log_level",)),
    "time left out": Defect(
        DDPM, DDPM, ("is the time left out",), times(lambda t: torch.full_like(t, 500))
    ),
    # the schedule, and the path
    "betas of Stable Diffusion": Defect(
        DDPM, schedule("scaled_linear", start=0.00085, end=0.012), ("process.schedule=linear",)
    ),
    "betas on a cosine": Defect(DDPM, schedule("cosine"), ("process.schedule=linear",)),
    "betas of 4000 steps": Defect(
        DDPM, schedule("linear", steps=4000), ("process.steps=1000", "time.scale=0.25")
    ),
    "variance of sub-VP": Defect(
        VP, replace(VP, process={"name": "sub_vp"}), ("process.name=vp_linear",)
    ),
    "circle for a straight path": Defect(
        FLOW,
        replace(FLOW, process={"name": "trigonometric"}, prediction="v", factor=2 / 3.14159265),
        ("process.name=flow",),
    ),
    "noise of another scale": Defect(
        FLOW,
        replace(FLOW, process={"name": "flow", "noise_scale": 2.0}),
        ("process.noise_scale=1",),
    ),
    # the prediction
    "v for eps": Defect(DDPM, V, ("prediction=eps",)),
    "eps for v": Defect(V, DDPM, ("prediction=v",)),
    "x0 for eps": Defect(DDPM, X0, ("prediction=eps",)),
    "eps for x0": Defect(X0, DDPM, ("prediction=x0",)),
    "eps for the score": Defect(replace(DDPM, prediction="score"), DDPM, ("prediction=score",)),
    "SiT's velocity for ours": Defect(SIT, FLOW, ("factor=-1&time.scale=-1",)),
    "EDM's D for its F": Defect(replace(EDM, prediction="x0"), EDM, ("prediction=x0",)),
    # the scale, and EDM's preconditioning
    "output times 2": Defect(DDPM, DDPM, ("factor=0.5",), output(lambda p: 2 * p)),
    "output halved": Defect(V, V, ("factor=2",), output(lambda p: p / 2)),
    "sigma_data 0.25": Defect(
        EDM, replace(EDM, process={"name": "edm", "sigma_data": 0.25}), ("process.sigma_data=0.5",)
    ),
    "sigma_data 1": Defect(
        EDM, replace(EDM, process={"name": "edm", "sigma_data": 1.0}), ("process.sigma_data=0.5",)
    ),
    "no scaling of the input": Defect(DDPM, DDPM, ("unscaled",), alphas(2)),
    "a missing square root": Defect(DDPM, DDPM, ("square root",), alphas(0)),
    # images
    "images in [0, 1]": Defect(
        EDM, EDM, ("[0, 1], taken to [-1, 1]",), images=lambda x: (x + 1) / 2
    ),
    "images in [0, 255]": Defect(
        EDM, EDM, ("[0, 255], taken to [-1, 1]",), images=lambda x: ((x + 1) * 127.5).round()
    ),
    "images transposed": Defect(EDM, EDM, ("of the images swapped",), images=lambda x: x.mT),
    "output transposed": Defect(DDPM, DDPM, ("of the output swapped",), output(lambda p: p.mT)),
    "channels reversed": Defect(
        EDM, EDM, ("of the images reversed (BGR)",), images=lambda x: x.flip(1)
    ),
    "channels of the output reversed": Defect(
        DDPM, DDPM, ("channels of the output reversed (BGR)",), output(lambda p: p.flip(1))
    ),
    "other data": Defect(
        EDM, EDM, (), images=lambda x: (x.roll(1, 1).roll(2, 2) * 1.2).clamp(-1, 1)
    ),
    # outputs
    "noise clamped": Defect(DDPM, DDPM, ("they are clamped",), output(lambda p: p.clamp(-1, 1))),
    "image clamped": Defect(X0, X0, ("they are clamped",), output(lambda p: p.clamp(0, 1))),
    "NaN at low levels": Defect(DDPM, DDPM, ("NaN",), nan_below),
    "nothing but zeros": Defect(
        DDPM, DDPM, ("the same for all samples",), output(torch.zeros_like)
    ),
    "dropout": Defect(
        DDPM, DDPM, ("eval mode",), output(lambda p: nn.functional.dropout(p, 0.05, training=True))
    ),
    "a mean over the batch": Defect(
        DDPM, DDPM, ("another batch",), output(lambda p: p - 0.05 * p.mean(0))
    ),
    # labels
    "labels permuted": Defect(
        LABELLED,
        LABELLED,
        ("labels of the images",),
        labels=lambda k: torch.tensor([2, 0, 3, 1])[k],
    ),
    "labels from 1 on": Defect(
        LABELLED, LABELLED, ("labels of the images",), labels=lambda k: (k + 1) % CLASSES
    ),
}
