"""W8: a run refuses a model that cannot be what its user means, in one sentence, before
anything is computed; by the command line.
"""

import re

import pytest

RIGHT = """
import torch

STD = 0.5


class Model:
    \"\"\"The exact denoiser of N(0, STD^2).\"\"\"

    event, sigma_min, sigma_max = (8,), 0.002, 80.0

    def __call__(self, x, sigma):
        {first}
        s = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1) * {times}
        return x * STD**2 / (STD**2 + s**2) {plus}

    def sample(self, n, seed):
        return STD * torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))


factory = Model
"""

WRONG = {
    "a time for a level": ({"times": "1000"}, "does not denoise"),
    "half the level": ({"times": "0.5"}, "does not denoise|wrong level"),
    "random": ({"plus": "+ 0.1 * torch.randn(x.shape)"}, "gives the same input other outputs"),
    "rows depend on each other": ({"plus": "+ 0.1 * x.mean(0)"}, "another output in another batch"),
    "not finite at the last level": (
        {"plus": "+ (0.0 if float(s.min()) > 0.01 else float('nan'))"},
        "NaN or infinity",
    ),
    "writes into its input": ({"first": "x = x.mul_(1.0001)"}, "writes into its input"),
    "raises": ({"first": "raise RuntimeError('no labels')"}, "RuntimeError: no labels"),
}


@pytest.fixture
def run(samplerbench, tmp_path):
    """Runs smoke on a variant of the model.

    Exit code, what was said, and the cells of the run directory.
    """

    def go(**changes):
        file, out = tmp_path / "model.py", tmp_path / "run"
        file.write_text(RIGHT.format(**({"first": "", "times": "1", "plus": ""} | changes)))
        args = (
            "--model",
            f"{file}:factory",
            "--sampler",
            "euler",
            "--nfe",
            3,
            "--samples",
            64,
            "--no-timing",
            "--out",
            out,
        )
        code, _, err = samplerbench("run", "smoke", *args)
        return code, err, list(out.glob("parts/*"))

    return go


def test_the_right_model_runs(run):
    code, _, cells = run()
    assert code == 0
    assert len(cells) == 1


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_model_is_refused_before_the_first_cell(run, name, tmp_path):
    changes, says = WRONG[name]
    code, err, cells = run(**changes)
    assert code == 2
    assert re.search(says, err)
    assert len(err.strip().splitlines()) == 1
    assert not cells
    assert not (tmp_path / "run").exists()
