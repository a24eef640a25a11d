"""Fit the one-step networks of row 7 of ``samplerbench explain``:
``python -m samplerbench_studies.training.one_shot --out runs/one-shot``.

A network maps a noise z to an image in one step. It is fitted by squared error on n fixed pairs
(z_i, x_i). The images are the ends of a model's probability-flow paths, which begin at sigma_max
z'_i. In ``coupled`` pairs z_i = z'_i, the beginning of the path (Luhman and Luhman,
arXiv:2101.02388). In ``independent`` pairs z_i is another noise, drawn once. The images, the
network and the number of steps are the same. All networks share one card, which is rewritten
whenever one is finished.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from samplerbench.models import Card, Denoiser, make_model
from samplerbench_studies import CARDS

from ..analysis.pairs import CARD, COUPLINGS, NUMBERS, TEACHER, keys, name_of
from ..models.one_shot import OneShot
from .loop import Optimisation, epoch_rows, fit
from .publish import architecture, checkpoint, release

EVALUATIONS, RHO = 12, 7.0
"""Evaluations of a path, and exponent of its levels (Karras et al., arXiv:2206.00364, eq. 5)."""
ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
PART = 1_000


@dataclass(frozen=True, kw_only=True)
class Recipe(Optimisation):
    """Recipe of the fit.

    Attributes:
        net: arguments of the network.
    """

    net: dict[str, object] = field(default_factory=lambda: {"width": 64, "blocks": 2})
    batch: int = 100
    steps: int = 4_000
    decay: int = 1_300
    warmup: int = 200
    lr: float = 2e-3
    ema: float = 0.998


@torch.no_grad()
def ends(model: Denoiser, x: Tensor) -> Tensor:
    """Return the ends of the probability-flow paths from ``x`` ``(n, *event)`` at ``sigma_max``.

    The solver is Adams-Bashforth with the weights of equal steps, as the sampler ``ipndm``, which
    this package must not import. The model gets no class.
    """
    high, low = (end ** (1 / RHO) for end in (model.sigma_max, model.sigma_min))
    levels = [(high + k / EVALUATIONS * (low - high)) ** RHO for k in range(EVALUATIONS)] + [0.0]
    labels = torch.full((len(x),), model.classes)
    slopes: list[Tensor] = []
    for now, after in pairwise(levels):
        slopes = [(x - model.denoise(x, now, labels)) / now, *slopes][: len(ADAMS_BASHFORTH)]
        # the last step, to 0, is the jump, as the slope is not smooth there
        weights = ADAMS_BASHFORTH[len(slopes) - 1 if after else 0]
        x = x + (after - now) * sum(w * e for w, e in zip(weights, slopes, strict=False))
    return x


def images(model: Denoiser, n: int, folder: Path) -> Tensor:
    """Return images 0 … n - 1, ``(n, *event)`` float32, cached in ``folder``, 1 000 per file."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for k in range(-(-n // PART)):
        path = folder / f"{model.identity}-{k:03d}.pt"
        if not path.exists():
            start = keys(COUPLINGS["coupled"], PART, model.event, start=k * PART).to(model.dtype)
            torch.save(ends(model, model.sigma_max * start).half(), path)
            print(path, flush=True)
        parts.append(torch.load(path, weights_only=True).float())
    return torch.cat(parts)[:n]


def train(
    recipe: Recipe, z: Tensor, x: Tensor, out: Path, *, checkpoint_every: int = 500
) -> OneShot:
    """Fit a network to pairs of ``z`` and ``x``, ``(n, *event)`` each; return it with averaged
    weights.

    The fit resumes from ``out/checkpoint.pt`` if there is one.
    """

    def loss(net: OneShot, step: int) -> Tensor:
        rows = epoch_rows(len(z), recipe.batch, recipe.seed, step)
        return (net(z[rows]).float() - x[rows]).square().mean()

    return fit(build(recipe), loss, recipe, out, checkpoint_every=checkpoint_every)


def build(recipe: Recipe) -> OneShot:
    """Return a new network of a recipe, initialised from its seed."""
    torch.manual_seed(recipe.seed)
    return OneShot(**recipe.net)  # type: ignore[arg-type]


def publish(out: Path, model: Denoiser, root: Path = CARDS) -> Card:
    """Write the card of all finished networks."""
    weights: dict[str, Tensor] = {}
    recipe = Recipe()
    for name in (name_of(coupling, n) for coupling in COUPLINGS for n in NUMBERS):
        if (out / name).is_dir():
            state = checkpoint(out / name)
            recipe = Recipe(**state["recipe"])
            if state["step"] == recipe.steps:
                weights |= {f"{name}.{key}": value.half() for key, value in state["ema"].items()}
    training = {key: value for key, value in asdict(recipe).items() if key != "net"}
    return release(
        Card(
            name=CARD,
            title="networks that go from noise to image in one step, on pairs that are coupled by "
            f"the paths of {TEACHER}, and on independent ones",
            licence="MIT",
            event=model.event,
            data={
                "name": TEACHER,
                "source": f"ends of paths of {model.identity} by ipndm with {EVALUATIONS} "
                "evaluations",
                "licence": "MIT",
            },
            architecture=architecture(build(recipe), "OneShot", recipe.net),
            training=training
            | {
                "images_seen": recipe.steps * recipe.batch,
                "script": "python -m samplerbench_studies.training.one_shot --out runs/one-shot",
            },
            folder=root / CARD,
        ),
        weights,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and images")
    parser.add_argument(
        "--pairs", type=int, default=max(NUMBERS), help="leave out networks of more pairs"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = make_model(TEACHER)
    for n in [n for n in NUMBERS if n <= args.pairs]:
        x = images(model, n, args.out / "images")
        for coupling, stream in COUPLINGS.items():
            name = name_of(coupling, n)
            print(name, flush=True)
            train(Recipe(), keys(stream, n, model.event), x, args.out / name)
            publish(args.out, model)


if __name__ == "__main__":
    main()
