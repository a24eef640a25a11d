"""Converged samples for a model's card, from the command line.

``python -m samplerbench.benchmarks.scoring.converge fashion --out OUT`` writes them. Then ``python
-m samplerbench_studies.training.reference fashion --converged OUT`` puts their features into the
card, so that runs need not draw converged samples for ``fd_conv``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import save_file

from ...models.registry import make_model
from .converged_endpoints import CONVERGED_STEPS, SOLVER, converged_samples


def main() -> None:
    """Draw converged samples as the command line says, and write them to ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = (
        make_model(args.model).to(args.device) if args.device != "cpu" else make_model(args.model)
    )
    x = converged_samples(model, args.samples, 0, model.dtype, args.batch_size, args.device)
    save_file({"samples": x.float().cpu().contiguous()}, args.out)
    print(
        f"wrote {args.samples} samples of {args.model} ({SOLVER}, {CONVERGED_STEPS} "
        f"karras steps to 0) to {args.out}"
    )


if __name__ == "__main__":
    main()
