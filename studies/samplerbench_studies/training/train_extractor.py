"""Train the feature extractor of the Fréchet distance: ``python -m
samplerbench_studies.training.train_extractor --out runs/extractor``.

A classifier alone may forget everything but the class. A Fréchet distance in its features then only
depends on class proportions. So a linear layer, dropped after the training, also predicts from the
features the mean and the contrast of each 4 × 4 patch. These describe shapes and textures, in which
samplers differ.

All randomness of step k is a function of (seed, k), so a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from samplerbench.models.cards import datasets
from samplerbench.models.nets import Classifier

from .loop import epoch_rows, save


@dataclass(frozen=True)
class Recipe:
    """Recipe of the training, recorded in the extractor's card."""

    batch: int = 128
    steps: int = 9_000
    warmup: int = 900
    lr: float = 4e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    appearance: float = 0.25
    shift: int = 2
    seed: int = 0


class TrainingModel(nn.Module):
    """Classifier with a head, used in training only, that predicts appearance from features."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = Classifier()
        self.appearance = nn.Linear(128, 98)

    def loss(self, x: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
        """Return the scalar loss: cross-entropy plus weighted squared error of the appearance."""
        features = self.classifier.features(x)
        classes = F.cross_entropy(
            self.classifier.classify(features).float(),
            labels,
            label_smoothing=recipe.label_smoothing,
        )
        return classes + recipe.appearance * F.mse_loss(
            self.appearance(features).float(), appearance(x)
        )


def appearance(x: Tensor) -> Tensor:
    """Return mean and contrast (standard deviation) of each 4 × 4 patch, ``(batch, 98)``.

    ``x`` is ``(batch, 1, 28, 28)``.
    """
    mean = F.avg_pool2d(x, 4)
    variance = F.avg_pool2d(x.square(), 4) - mean.square()
    return torch.cat([mean, variance.clamp(min=1e-4).sqrt()], dim=1).flatten(1)


def shifted(x: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return images shifted by up to ``most`` pixels in each direction, filled with background."""
    n, side = len(x), x.shape[-1]
    padded = F.pad(x[:, 0], (most,) * 4, value=-1.0)
    dy, dx = torch.randint(2 * most + 1, (2, n, 1), generator=generator)
    rows, columns = dy + torch.arange(side), dx + torch.arange(side)
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine down to 0."""
    rest = (step - recipe.warmup) / (recipe.steps - recipe.warmup)
    return recipe.lr * min(
        (step + 1) / recipe.warmup, 0.5 + 0.5 * math.cos(math.pi * max(0.0, rest))
    )


def train(recipe: Recipe, out: Path, *, checkpoint_every: int = 500) -> Classifier:
    """Train, or resume from ``out/checkpoint.pt``; return the classifier in eval mode."""
    out.mkdir(parents=True, exist_ok=True)
    images, labels = datasets.fashion_mnist("train")
    torch.manual_seed(recipe.seed)
    model = TrainingModel()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    path, start = out / "checkpoint.pt", 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    tick = time.perf_counter()
    for step in range(start, recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        rows = epoch_rows(len(images), recipe.batch, recipe.seed, step)
        x = shifted(
            images[rows],
            recipe.shift,
            torch.Generator().manual_seed(recipe.seed * 1_000_003 + step),
        )
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.loss(x, labels[rows], recipe)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        done = step + 1
        if done % checkpoint_every == 0 or done == recipe.steps:
            save(
                path,
                model=model.state_dict(),
                optimizer=optimizer.state_dict(),
                step=done,
                recipe=asdict(recipe),
            )
            rate = (done - start) * recipe.batch / (time.perf_counter() - tick)
            print(
                f"step {done}/{recipe.steps}  loss {loss.item():.4f}  {rate:.0f} images/s",
                flush=True,
            )
    return model.classifier.eval()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    args = parser.parse_args()
    train(Recipe(), args.out)
    print(f"now: python -m samplerbench_studies.training.publish fashion-features --run {args.out}")


if __name__ == "__main__":
    main()
