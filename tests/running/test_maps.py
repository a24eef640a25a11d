"""Few-step maps in a run: scored by distribution, on samplers that are made for them."""

import textwrap

import pandas as pd
import pytest
from quiet_runs import quiet_run
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.planning.planner import expand_fixed_grid_keyword
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model

FILE = """
import torch


class Map:
    \"\"\"The flow of N(1, I / 4) in two dimensions to sigma = 0.002.\"\"\"

    kind = {kind!r}
    event, sigma_min, sigma_max, dtype = (2,), 0.002, 80.0, torch.float64

    def __call__(self, x, sigma):
        s = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1)
        return 1 + (x - 1) * ((0.25 + self.sigma_min**2) / (0.25 + s**2)).sqrt()

    def sample(self, n, seed):
        z = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return 1 + z / 2

    def moments(self):
        return torch.ones(2), torch.eye(2) / 4


def factory():
    return Map()
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("maps") / "mine.py"
    path.write_text(FILE.format(kind="map"))
    return f"{path}:factory"


def suite(*models, **changes):
    return check_suite(
        {
            "name": "small",
            "models": [{"name": model} for model in models],
            "samplers": ["consistency", "euler", "auto"],
            "nfe": [1, 3],
            "samples": 2000,
            "batch_size": 2000,
            "timing": {"enabled": False},
            **changes,
        },
        "test",
    )


@pytest.fixture(scope="module")
def rows(spec, tmp_path_factory):
    table = quiet_run(suite(spec), tmp_path_factory.mktemp("out") / "run")
    return table.frame.to_dict("records")


def test_it_is_scored_by_distribution_and_an_exact_map_is_within_the_interval(rows):
    done = [row for row in rows if row["sampler"] == "consistency"]
    assert [(row["status"], row["nfe"]) for row in done] == [("ok", 1), ("ok", 3)]
    for row in done:
        # beginning at noise without the data's mean leaves 2 (1 / 160)² = 8e-5, and a denoiser's
        # one step 0.5
        assert row["fid_proxy_low"] <= 8e-5 <= row["fid_proxy_high"] < 0.005
        for column in ("rmse", "fd_conv", "fid_proxy_converged", "mode_disagreement"):
            assert pd.isna(row.get(column)), column


def test_every_other_sampler_is_refused_by_name(rows):
    others = [row for row in rows if row["sampler"] != "consistency"]
    assert {row["status"] for row in others} == {"skipped"}
    for row in others:
        assert row["reason"] == (
            f"sampler {row['sampler']} needs a denoiser E[x0 | x], and model mine.py:factory is a "
            "few-step map to the end of the path; take --sampler consistency"
        )


def test_on_a_denoiser_the_sampler_of_maps_is_refused(tmp_path):
    frame = quiet_run(suite("gmm-2d", samplers=["consistency"], samples=4), tmp_path / "run").frame
    assert set(frame["status"]) == {"skipped"}
    assert "needs a few-step map, and model gmm-2d is a denoiser" in frame["reason"][0]
    assert "consistency" not in expand_fixed_grid_keyword(["fixed-grid"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "smoke", "--schedule", "gits"], "schedule gits is searched with a denoiser"),
        (
            ["tune", "--sampler", "heun", "--nfe", "5"],
            "is a few-step map: it jumps to the end of the path",
        ),
    ],
)
def test_what_looks_for_levels_along_the_flow_refuses_a_map(spec, tmp_path, words, said):
    found = CliRunner().invoke(app, [*words, "--model", spec, "--out", str(tmp_path / "out")])
    assert isinstance(found.exception, ValueError), found.output
    assert said in str(found.exception)


def test_a_kind_that_there_is_not_is_one_sentence(tmp_path):
    (tmp_path / "other.py").write_text(textwrap.dedent(FILE.format(kind="mapp")))
    with pytest.raises(ValueError, match="kind is 'mapp'; it must be one of denoiser, map"):
        make_model(f"{tmp_path / 'other.py'}:factory")
