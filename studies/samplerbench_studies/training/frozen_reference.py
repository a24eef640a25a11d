"""Converged samples of a shipped network for the frozen suite: ``python -m samplerbench_studies.training.frozen_reference emoji-flow``.

It draws samples with the reference solver from latents that no run uses, takes the features of the network's card,
and writes their first principal axes and the features along them to ``benchmarks/frozen/NAME.safetensors``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from samplerbench import benchmarks
from samplerbench.models import make_model
from samplerbench.samplers import SampleNoise, karras, make

FIRST_ID = 2**31
"""First number of the latents, which no run draws."""


@torch.no_grad()
def features_of_converged_samples(name: str, count: int, steps: int) -> np.ndarray:
    """Return features ``(count, d)`` of samples by dpm_solver_3m in ``steps`` steps."""
    model = make_model(name)
    reference = model.reference()
    if reference is None:
        raise ValueError(f"model {name} has no features to compare samples in")
    grid = karras(steps, model.sigma_min, model.sigma_max)
    sampler = make("dpm_solver_3m")
    parts = []
    for ids in torch.arange(FIRST_ID, FIRST_ID + count).split(64):
        noise = SampleNoise(0, ids, model.event, model.dtype)
        x = model.sigma_max * noise.initial()
        x = sampler.sample(model.bind(ids, 0), x, grid)
        low, high = model.limits or (-np.inf, np.inf)
        parts.append(reference.extractor(x.clamp(low, high)))
        print(f"{len(parts) * 64} of {count}", flush=True)
    return np.concatenate(parts)


def main() -> None:
    """Write the file of one network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--axes", type=int, default=32)
    args = parser.parse_args()
    features = features_of_converged_samples(args.network, args.count, args.steps)
    _, axes = np.linalg.eigh(np.cov(features, rowvar=False))
    axes = np.ascontiguousarray(axes[:, ::-1][:, : args.axes])
    tensors = {"axes": torch.from_numpy(axes), "features": torch.from_numpy(features @ axes).half()}
    folder = Path(benchmarks.__file__).parent / "frozen"
    save_file(tensors, folder / f"{args.network}.safetensors")


if __name__ == "__main__":
    main()
