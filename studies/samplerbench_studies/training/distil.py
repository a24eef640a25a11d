"""Distil a few-step map from a shipped score network: ``python -m
samplerbench_studies.training.distil fashion-map --out runs/fashion-map``.

The map f(x, sigma) is a regression on the teacher's paths of the probability flow: from every state
of a path to the path's end. Shards of paths are made before step 0, and a new one every ``refresh``
steps. A shard is a function of the seed and its number alone, so a run that is stopped, resumed or
lengthened equals an uninterrupted one. ``--publish`` writes the card.

The loss of an image is its distance from the path's end, plus the distance of the features that the
*teacher's* encoder gives for the two, under the same noise. Distances are not squared, so that a
hard level does not outweigh the others. The extractor of ``fid_proxy`` is not used, since that
would be training on the test.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from samplerbench.models import Card, load_card
from samplerbench.models.cards import CARDS
from samplerbench.models.nets import EDMPrecond, MapPrecond, UNet

from .cards import write_tensors
from .loop import Optimisation, fit, step_generator
from .publish import architecture, checkpoint, release


@dataclass(frozen=True, kw_only=True)
class Distillation(Optimisation):
    """Recipe of a distillation, recorded in the card of the map.

    Attributes:
        teacher: card of the score network.
        paths: number of the teacher's paths in a shard.
        levels: number of levels of a path, and of evaluations of the teacher.
        lowest: level of the last evaluation, whose prediction is the path's end.
        rho: exponent of the spacing of levels (Karras et al. 2022, eq. 5).
        prefilled: number of shards before step 0.
        refresh: steps from one shard to the next.
        top: share of a batch at the highest level, where a single jump starts. The other samples
            are spread evenly over the levels.
        perceptual: weight of the distance in the teacher's encoder.
        looks: lowest and highest level of the noise added for the encoder.
    """

    teacher: str = "fashion"
    paths: int = 128
    levels: int = 10
    lowest: float = 0.03
    rho: float = 9.0
    prefilled: int = 2
    refresh: int = 60
    top: float = 0.4
    perceptual: float = 0.5
    looks: tuple[float, float] = (0.05, 0.5)


RECIPES = {
    "fashion-map": Distillation(batch=32, steps=2_000, decay=700, warmup=50, lr=1e-3, ema=0.99),
}


class Paths(NamedTuple):
    """Shard of paths of the teacher.

    Attributes:
        states: ``(levels, paths, *event)`` float16 states, the first at ``sigma_max``.
        sigma: ``(levels,)`` float32 levels of the states.
        labels: ``(paths,)`` int64 labels.
        end: ``(paths, *event)`` float16 ends of the paths.
    """

    states: Tensor
    sigma: Tensor
    labels: Tensor
    end: Tensor


def teacher_of(how: Distillation) -> tuple[Card, EDMPrecond]:
    """Return the teacher's card and its network."""
    card = load_card(how.teacher)
    net = EDMPrecond(UNet(**card.architecture["net"]), card.architecture["sigma_data"])
    net.load_state_dict(card.tensors())
    return card, net.to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]


def levels_of(how: Distillation, top: float, shift: float) -> list[float]:
    """Return the levels of a path: ``top``, then levels by Karras et al. 2022, eq. (5), shifted.

    ``shift`` in [0, 1) is a fraction of their distance; shifts of all shards together cover all
    levels.
    """
    ends = top ** (1 / how.rho), how.lowest ** (1 / how.rho)
    places = [(k + shift * (0 < k < how.levels - 1)) / (how.levels - 1) for k in range(how.levels)]
    return [(ends[0] + place * (ends[1] - ends[0])) ** how.rho for place in places]


@torch.no_grad()
def draw_paths(how: Distillation, card: Card, teacher: EDMPrecond, shard: int) -> Paths:
    """Return paths of the teacher's probability flow from noise.

    The solver is DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095, algorithm 2).
    """
    generator = torch.Generator().manual_seed(how.seed * 1_000_003 + (1 << 31) + shard)
    shift = torch.rand((), generator=generator, dtype=torch.float64).item()
    levels = levels_of(how, card.sigma_max, shift)
    labels = torch.randint(len(card.data["class_counts"]), (how.paths,), generator=generator)
    x = levels[0] * torch.randn(how.paths, *card.event, generator=generator)
    x = x.to(memory_format=torch.channels_last)
    states, before, found, last = [], x, x, math.nan
    for i, sigma in enumerate(levels):
        states.append(x.half())
        with torch.autocast("cpu", torch.bfloat16):
            found = teacher(x, torch.full((how.paths,), sigma), labels)
        if i + 1 == len(levels):
            break
        step = math.log(sigma / levels[i + 1])
        towards = found if i == 0 else found + (found - before) * step / (2 * last)
        x = levels[i + 1] / sigma * x - math.expm1(-step) * towards
        before, last = found, step
    return Paths(torch.stack(states), torch.tensor(levels), labels, found.half())


class PathStore:
    """Shards that a step may draw from, made at the first use and stored in ``out/paths``."""

    def __init__(self, how: Distillation, card: Card, teacher: EDMPrecond, out: Path) -> None:
        self._how, self._card, self._teacher, self._folder = how, card, teacher, out / "paths"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._shards: list[Paths] = []

    def until(self, step: int) -> list[Paths]:
        """Return all shards up to a step."""
        for shard in range(len(self._shards), self._how.prefilled + step // self._how.refresh):
            path = self._folder / f"{shard:04d}.safetensors"
            if not path.exists():
                made = draw_paths(self._how, self._card, self._teacher, shard)
                write_tensors(part := path.with_suffix(".part"), made._asdict())
                part.replace(path)
            self._shards.append(Paths(**load_file(path)))
        return self._shards

    @torch.autocast("cpu", enabled=False)  # the states are in float16, which it cannot stack
    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor, torch.Generator]:
        """Return states, levels, labels and ends for a step, and the generator of its noise."""
        how, shards, generator = self._how, self.until(step), step_generator(self._how, step)
        which = torch.randint(len(shards), (how.batch,), generator=generator).tolist()
        row = torch.randint(how.paths, (how.batch,), generator=generator).tolist()
        level = torch.randint(how.levels, (how.batch,), generator=generator)
        level[: round(how.top * how.batch)] = 0
        picked = [(shards[w], r, k) for w, r, k in zip(which, row, level.tolist(), strict=True)]
        return (
            torch.stack([one.states[k, r] for one, r, k in picked]).float(),
            torch.stack([one.sigma[k] for one, _, k in picked]),
            torch.stack([one.labels[r] for one, r, _ in picked]),
            torch.stack([one.end[r] for one, r, _ in picked]).float(),
            generator,
        )


class Encoder(nn.Module):
    """First half of a U-Net, which gives two layers of features of an image."""

    def __init__(self, teacher: EDMPrecond) -> None:
        super().__init__()
        self.unet: UNet = teacher.net  # type: ignore[assignment]
        self.sigma_data = teacher.sigma_data

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> list[Tensor]:
        """Return features ``(batch, c, h, w)`` of noisy images."""
        net = self.unet
        x = x / (sigma[:, None, None, None] ** 2 + self.sigma_data**2).sqrt()
        emb = F.silu(net.embed_in(net.embed_noise(sigma.log() / 4))) + net.embed_label(labels)
        emb = F.silu(net.embed_out(emb))
        fine = net.down1(net.conv_in(F.pixel_unshuffle(x, net.patch)), emb)
        return [fine, net.down2(net.shrink(fine), emb)]


def relative_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the rms distance of each pair, relative to the second's rms, ``(batch,)``."""
    off, size = (x - y).flatten(1).float(), y.flatten(1).float()
    return (off.square().mean(1) + 1e-6).sqrt() / size.square().mean(1).sqrt()


def distil(how: Distillation, out: Path, *, checkpoint_every: int = 50) -> MapPrecond:
    """Train, or resume from ``out/checkpoint.pt``; return the averaged map in eval mode."""
    card, teacher = teacher_of(how)
    store, encoder = PathStore(how, card, teacher, out), Encoder(teacher)
    low, high = map(math.log, how.looks)

    def loss(net: MapPrecond, step: int) -> Tensor:
        x, sigma, labels, end, generator = store.batch(step)
        found = net(x.contiguous(memory_format=torch.channels_last), sigma, labels)
        look = (low + (high - low) * torch.rand(how.batch, generator=generator)).exp()
        noise = look[:, None, None, None] * torch.randn(end.shape, generator=generator)
        with torch.no_grad():
            aims = encoder(end + noise, look, labels)
        seen = encoder(found + noise, look, labels)
        away = torch.stack(
            [relative_distance(one, aim) for one, aim in zip(seen, aims, strict=True)]
        ).mean(0)
        return (relative_distance(found, end) + how.perceptual * away).mean()

    net = student_of(how, card)
    net.load_state_dict(teacher.state_dict())
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return fit(net, loss, how, out, checkpoint_every=checkpoint_every)


def student_of(how: Distillation, card: Card) -> MapPrecond:
    """Return a map of the teacher's architecture, with new weights."""
    torch.manual_seed(how.seed)
    return MapPrecond(
        UNet(**card.architecture["net"]), card.architecture["sigma_data"], card.sigma_min
    )


def evaluations(how: Distillation, steps: int) -> dict[str, int]:
    """Return the cost of training, in evaluations of the network on one image.

    They are the teacher's for its paths, and 3 for each forward and backward pass of the student.
    The encoder counts as a whole network: 1 for the end of the path, 2 for the student's output.
    """
    shards = how.prefilled + (steps - 1) // how.refresh
    return {
        "paths_seen": shards * how.paths,
        "evaluations_of_teacher": shards * how.paths * how.levels,
        "evaluations_in_training": steps * how.batch * (6 if how.perceptual else 3),
    }


def publish(name: str, run: Path, root: Path = CARDS) -> Card:
    """Publish the map of a run with weights in float16, and return its card."""
    state = checkpoint(run)
    how = Distillation(**state["recipe"])
    teacher, net = load_card(how.teacher), student_of(how, load_card(how.teacher))
    weights = {key: value.half() for key, value in state["ema"].items()}
    net.load_state_dict(weights)
    training = {key: value for key, value in asdict(how).items() if key != "steps"}
    training |= {
        "script": f"python -m samplerbench_studies.training.distil {name}",
        "teacher_identity": teacher.identity,
        "steps": state["step"],
        "images_seen": state["step"] * how.batch,
    } | evaluations(how, state["step"])
    return release(
        Card(
            name=name,
            title=f"few-step map to the end of the probability flow, distilled from {how.teacher}",
            licence="MIT",
            event=teacher.event,
            data=teacher.data,
            architecture=architecture(net, "MapPrecond(UNet)", teacher.architecture["net"])
            | {"sigma_data": net.sigma_data},
            training=training,
            reference={"card": how.teacher},
            extractor=teacher.extractor,
            sigma_min=teacher.sigma_min,
            sigma_max=teacher.sigma_max,
            folder=root / name,
        ),
        weights,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, help="total number of steps")
    parser.add_argument(
        "--decay", type=int, help="steps of the final linear decay of the learning rate"
    )
    parser.add_argument(
        "--publish", action="store_true", help="write the card of what is there, and train no more"
    )
    args = parser.parse_args()
    if args.publish:
        card = publish(args.name, args.out)
        print(f"wrote {card.folder} ({card.identity})")
        return
    given = {key: value for key in ("steps", "decay") if (value := getattr(args, key)) is not None}
    distil(Distillation(**(asdict(RECIPES[args.name]) | given)), args.out)


if __name__ == "__main__":
    main()
