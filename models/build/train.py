"""Train a shipped score network: ``python -m samplerbench.models.build.train fashion --out
runs/fashion``.

Everything random in step k is a function of (seed, k), so a run that was stopped and resumed equals
one that was not. The learning rate warms up, stays, and falls linearly to 0 over the last
``--decay`` steps, so that a run can be lengthened (or cut short) while it is in its flat part, by
resuming with another ``--steps``.
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..cards import datasets
from ..nets.edm import EDMPrecond, edm_loss
from ..nets.unet import UNet


@dataclass(frozen=True)
class Recipe:
    """What is trained and how; recorded in the card of the model."""

    dataset: str
    net: dict[str, object]
    sigma_data: float
    p_mean: float
    p_std: float
    label_dropout: float = 0.1
    batch: int = 64
    steps: int = 30_000
    decay: int = 9_000
    warmup: int = 500
    lr: float = 1.5e-3
    betas: tuple[float, float] = (0.9, 0.99)
    ema: float = 0.9995
    clip: float = 1.0
    seed: int = 0


RECIPES = {
    "fashion": Recipe(
        "fashion_mnist",
        {"channels": (48, 96), "embedding": 192, "patch": 2},
        sigma_data=0.7,
        p_mean=-0.9,
        p_std=1.2,
    ),
    "digits": Recipe(
        "digits",
        {"channels": (16, 24), "embedding": 64, "patch": 1, "group": 8},
        sigma_data=0.75,
        p_mean=-0.9,
        p_std=1.2,
        steps=8_000,
        decay=3_000,
        lr=3e-3,
        ema=0.999,
    ),
    "emoji": Recipe(
        "emoji",
        {
            "in_channels": 3,
            "channels": (64, 128),
            "embedding": 256,
            "patch": 2,
            "labels": 9,
        },
        sigma_data=0.6,
        p_mean=-0.9,
        p_std=1.2,
        steps=7_000,
        decay=2_000,
        ema=0.999,
    ),
}


def build(recipe: Recipe) -> EDMPrecond:
    """The network of a recipe, freshly initialised from its seed."""
    torch.manual_seed(recipe.seed)
    return EDMPrecond(UNet(**recipe.net), recipe.sigma_data)  # type: ignore[arg-type]


def learning_rate(recipe: Recipe, step: int) -> float:
    """Warm-up, plateau, linear decay to 0."""
    return recipe.lr * min(
        1.0, (step + 1) / recipe.warmup, max(0.0, (recipe.steps - step) / recipe.decay)
    )


def epoch_rows(n: int, batch: int, seed: int, step: int) -> Tensor:
    """Which of ``n`` images make up the mini-batch of a step, ``(batch,)`` int64: a new
    permutation each epoch.
    """
    epoch, k = divmod(step, n // batch)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
    return order[k * batch : (k + 1) * batch]


def batch_of(
    recipe: Recipe, images: Tensor, labels: Tensor, step: int
) -> tuple[Tensor, Tensor, torch.Generator]:
    """The mini-batch of a step (a new permutation each epoch), its labels with dropout, and the
    generator of its noise.
    """
    rows = epoch_rows(len(images), recipe.batch, recipe.seed, step)
    generator = torch.Generator().manual_seed((recipe.seed << 32) + step)
    drop = torch.rand(recipe.batch, generator=generator) < recipe.label_dropout
    null = int(labels.max()) + 1
    return images[rows], torch.where(drop, null, labels[rows]), generator


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move each averaged parameter towards the current one."""
    for average, current in zip(ema.parameters(), model.parameters(), strict=True):
        average.lerp_(current, 1 - decay)


def save(path: Path, **content: object) -> None:
    """Write a checkpoint atomically."""
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def train(
    recipe: Recipe,
    out: Path,
    *,
    data: tuple[Tensor, Tensor] | None = None,
    checkpoint_every: int = 500,
) -> EDMPrecond:
    """Train, or resume from ``out/checkpoint.pt``; returns the averaged network in eval mode.

    Args:
        recipe: what is trained.
        out: folder of the checkpoint.
        data: images ``(n, C, h, w)`` float32 and labels ``(n,)`` int64, in place of the training
            set that the recipe names.
        checkpoint_every: steps.
    """
    out.mkdir(parents=True, exist_ok=True)
    images, labels = data or getattr(datasets, recipe.dataset)("train")
    model = build(recipe).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.lr, betas=recipe.betas)
    path, start = out / "checkpoint.pt", 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    running, tick = 0.0, time.perf_counter()
    for step in range(start, recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        x0, y, generator = batch_of(recipe, images, labels, step)
        with torch.autocast("cpu", torch.bfloat16):
            loss = edm_loss(
                model, x0, y, p_mean=recipe.p_mean, p_std=recipe.p_std, generator=generator
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        update_ema(ema, model, min(recipe.ema, (1 + step) / (10 + step)))
        running += (loss.item() - running) / min(step - start + 1, 500)
        done = step + 1
        if done % checkpoint_every == 0 or done == recipe.steps:
            save(
                path,
                model=model.state_dict(),
                ema=ema.state_dict(),
                optimizer=optimizer.state_dict(),
                step=done,
                recipe=asdict(recipe),
            )
            rate = (done - start) * recipe.batch / (time.perf_counter() - tick)
            print(
                f"step {done}/{recipe.steps}  loss {running:.4f}  {rate:.0f} images/s", flush=True
            )
    return ema.eval()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, help="total number of steps")
    parser.add_argument(
        "--decay", type=int, help="steps of the final linear decay of the learning rate"
    )
    args = parser.parse_args()
    given = {key: value for key in ("steps", "decay") if (value := getattr(args, key)) is not None}
    recipe = Recipe(**{**asdict(RECIPES[args.recipe]), **given})
    train(recipe, args.out)
    print(f"now: python -m samplerbench.models.build.publish {args.recipe} --run {args.out}")


if __name__ == "__main__":
    main()
