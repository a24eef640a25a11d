"""Models of the user's own, run end to end: what a factory may return gives an ok row."""

import re
import textwrap
from pathlib import Path

import pandas as pd
import pytest
from quiet_runs import quiet_run

from samplerbench.benchmarks.suites.suite import check_suite

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "adding-a-model.md"


def rows(spec, out):
    """The table of a small run of one model: one deterministic sampler and one that draws noise."""
    suite = {
        "name": "small",
        "models": [{"name": spec}],
        "samplers": ["euler", "ddpm"],
        "steps": [4],
        "samples": 100,
        "batch_size": 16,
        "reference_samples": 8,
        "converged_samples": 32,
        "timing": {"enabled": False},
    }
    frame = quiet_run(check_suite(suite, "test"), out).frame
    assert list(frame["status"]) == ["ok", "ok"], list(frame["reason"])
    return {row["sampler"]: row for row in frame.to_dict("records")}


@pytest.fixture
def run(tmp_path):
    def run(text):
        (tmp_path / "mine.py").write_text(textwrap.dedent(text))
        return rows(f"{tmp_path / 'mine.py'}:factory", tmp_path / "out")

    return run


def gaussian(extra=""):
    """A file whose model is the exact denoiser of N(0, I) in two dimensions, with ``extra`` in
    the class body.
    """
    return f"""
import torch


class Model:
    event, sigma_min, sigma_max = (2,), 0.002, 80.0

    def __call__(self, x, sigma):
        sigma = sigma[:, None] if isinstance(sigma, torch.Tensor) else sigma
        return x / (1 + sigma**2)

{textwrap.indent(textwrap.dedent(extra), "    ")}

def factory():
    return Model()
"""


MOMENTS = """
def moments(self):
    return torch.zeros(2), torch.eye(2)
"""


def given(row, *columns):
    return [bool(pd.notna(row[column])) for column in columns]


def test_the_example_of_the_guide(run):
    example, *_ = re.findall(
        r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    row = run(example)["euler"]
    assert given(row, "fid_proxy", "fid_proxy_floor", "fd_conv", "rmse") == [True] * 4
    assert row["nfe"] == 4


def test_a_module_with_parameters_that_require_gradients(run):
    text = """
    import torch


    class Model(torch.nn.Module):
        event, sigma_min, sigma_max = (2,), 0.002, 80.0

        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(()))

        def forward(self, x, sigma):
            sigma = sigma[:, None] if isinstance(sigma, torch.Tensor) else sigma
            return self.gain * x / (1 + sigma**2)

        def sample(self, n, seed):
            return self.gain * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


    factory = Model
    """
    row = run(text)["euler"]
    assert given(row, "fid_proxy", "rmse") == [True] * 2


def test_moments_without_samples(run):
    row = run(gaussian(MOMENTS))["euler"]
    assert given(row, "fid_proxy", "fid_proxy_se", "fd_conv", "rmse") == [True] * 4
    assert given(row, "fid_proxy_floor") == [False], (
        "nothing is held out, so there is no floor to measure"
    )


def test_neither_samples_nor_moments(run):
    table = run(gaussian())
    assert given(table["euler"], "rmse") == [True]
    assert given(table["ddpm"], "rmse") == [False]
    for row in table.values():
        assert given(row, "fid_proxy", "fd_conv") == [False] * 2


def test_bind_and_modes(run):
    """Every sample has its own noise-free point, on the side of 0 that its number's parity
    says, and ends there exactly.
    """
    drawn = """
    def bind(self, ids, seed):
        point = (1.0 - 2.0 * (ids % 2))[:, None].expand(-1, 2)
        return lambda x, sigma: point + 0.0 * x

    def mode_of(self, x):
        return (x[:, 0] > 0).long()
    """
    row = run(gaussian(drawn))["euler"]
    assert row["rmse"] < 1e-5
    assert row["flip_fraction"] == 0
    assert given(row, "label_agreement") == [False], "what bind draws is no class"


@pytest.mark.slow
def test_guidance_costs_two_evaluations_a_step(tmp_path):
    guided = rows({"name": "digits", "guidance": 2.0}, tmp_path / "guided")
    plain = rows("digits", tmp_path / "plain")
    for sampler, row in guided.items():
        assert row["nfe"] == 2 * plain[sampler]["nfe"] == 8
        assert row["depth"] == plain[sampler]["depth"] == 4
        assert given(row, "fid_proxy") == [True]


def test_a_float32_network_in_a_float64_run(tmp_path):
    """A module that is an attribute of the model, which takes nothing but its own dtype, also
    as a tensor of levels.
    """
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
        import torch


        class Model:
            event, sigma_min, sigma_max = (2,), 0.002, 80.0

            def __init__(self):
                self.net = torch.nn.Linear(2, 2)

            def __call__(self, x, sigma):
                level = torch.as_tensor(sigma, dtype=torch.float32).reshape(-1, 1).expand(len(x), 1)
                return self.net(x) * 0 + torch.nn.functional.linear(x / (1 + level**2), torch.eye(2))


        factory = Model
        """)
    )
    suite = {
        "name": "small",
        "models": [{"name": f"{tmp_path / 'mine.py'}:factory"}],
        "samplers": ["euler", "rk23"],
        "steps": [4],
        "samples": 16,
        "batch_size": 16,
        "dtype": "float64",
        "reference_samples": 4,
        "converged_samples": 16,
        "timing": {"enabled": False},
    }
    frame = quiet_run(check_suite(suite, "test"), tmp_path / "out").frame
    assert set(frame["status"]) == {"ok"}, list(frame["reason"])
