"""How far images end from finely solved ones: lines to paste, beside the schedulers of diffusers.

Nothing of this project is imported. The folder is that of a ``DDPMPipeline``, and a file of lines is
what ``samplerbench export --to diffusers`` or ``advise`` prints:

    samplerbench export --sampler auto --steps 8 --model my-pipeline --to diffusers > auto.py
    python docs/examples/beside_diffusers.py my-pipeline --steps 8 auto.py

A distance is the root mean square over the pixels, between the images of the same initial noise, and
the mean is geometric.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor

USUAL = ("DDIMScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler")
"""What a user of diffusers would try next, each at its defaults."""


@torch.no_grad()
def images(unet: Any, scheduler: Any, noise: Tensor, steps: int) -> Tensor:
    """Return the images of initial noise, by the loop of the library's pipelines, without clamping."""
    scheduler.set_timesteps(steps)
    x = noise * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        output = unet(scheduler.scale_model_input(x, t), t, return_dict=False)[0]
        x = scheduler.step(output, t, x, return_dict=False)[0]
    return x


def pasted(pipe: Any, lines: str) -> Any:
    """Return the scheduler that a pipeline has after lines were pasted."""
    exec(lines, {"pipe": pipe})
    return pipe.scheduler


def distances(
    folder: Path, steps: int, files: list[Path], count: int, fine: int
) -> dict[str, float]:
    """Return the geometric mean of distances of each scheduler of the library and of each file."""
    pipe = diffusers.DDPMPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    unet, config = pipe.unet, pipe.scheduler.config
    shape = (unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    noise = torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))
    ends = images(unet, diffusers.DDIMScheduler.from_config(config), noise, fine)
    made = {name: getattr(diffusers, name).from_config(config) for name in USUAL}
    for file in files:
        pipe.scheduler = type(pipe.scheduler).from_config(config)
        made[str(file)] = pasted(pipe, file.read_text(encoding="utf-8"))
    found = {}
    for name, scheduler in made.items():
        off = (images(unet, scheduler, noise, steps) - ends).square().flatten(1).mean(1).sqrt()
        found[name] = float(off.log().mean().exp())
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", type=Path, nargs="*", help="of lines to paste")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument(
        "--fine", type=int, default=500, help="steps of DDIM that stand for the end"
    )
    args = parser.parse_intermixed_args()
    found = distances(args.folder, args.steps, args.files, args.samples, args.fine)
    for name, distance in sorted(found.items(), key=lambda pair: pair[1]):
        print(f"{distance:.4f}  {name}", flush=True)


if __name__ == "__main__":
    main()
