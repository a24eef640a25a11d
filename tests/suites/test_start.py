"""Where runs begin: the Gaussian flow against an integrated one, and what a suite makes of the
starts of its models.
"""

import textwrap

import pytest
import torch

from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.suites.cell import SPREADS, make_start, moments_of
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.models.exact.base import ExactModel
from samplerbench.models.guidance import AlteringWrapper

BASE = {
    "name": "t",
    "models": ["gaussian"],
    "samplers": ["euler", "heun", "ddpm"],
    "nfe": [1, 10],
    "samples": 10,
}


def cells_of(**change):
    suite = check_suite({**BASE, **change}, "t")
    models = load_models(suite)
    return plan(suite, models, load_references(models))


def latents(model, n=5):
    z = torch.randn(
        n, *model.event, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return model.sigma_max * z


def test_the_gaussian_start_is_the_flow_of_a_gaussian():
    """The model's own closed form is not asked: its flow is integrated as any other's."""
    model = make_model("gaussian")
    x = latents(model, 3)
    found = make_start("gaussian", model, 2.0, "cpu").states(x)
    assert float((found - ExactModel.flow(model, x, model.sigma_max, 2.0)).abs().max()) < 1e-9


def test_noise_is_the_latent_and_mean_is_moved_by_the_mean():
    model = make_model("gmm-2d")
    x = latents(model)
    assert make_start("noise", model, None, "cpu").states(x) is x
    moved = make_start("mean", model, None, "cpu")
    assert torch.equal(moved.states(x), x + torch.from_numpy(model.moments()[0]))
    assert moved.sigma == model.sigma_max


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_start_is_the_same_in_every_batch(dtype):
    model = make_model("digits-cloud")
    start = make_start("gaussian", model, None, "cpu")
    x = latents(model, 130).to(dtype)
    every = start.states(x)
    assert every.dtype == dtype
    assert every.shape == x.shape
    assert torch.equal(start.states(x[7:8])[0], every[7])
    assert torch.equal(start.states(x[[128, 3]]), every[[128, 3]])


def test_directions_without_variance_shrink_like_the_level():
    model = make_model("digits-cloud")
    mean, cov = moments_of(model)
    constant = torch.from_numpy(cov).diagonal() == 0
    assert constant.any()
    x = latents(model)
    start = make_start("gaussian", model, 1.0, "cpu")
    moved, before = (y.flatten(1) - torch.from_numpy(mean) for y in (start.states(x), x))
    assert torch.allclose(moved[:, constant], before[:, constant] / model.sigma_max, atol=1e-12)


def test_the_level_follows_the_spread_and_ends_at_sigma_max():
    model = make_model("gmm-2d")
    spread = float(torch.linalg.eigvalsh(torch.from_numpy(model.moments()[1]))[-1].sqrt())
    assert make_start("gaussian", model, None, "cpu").sigma == pytest.approx(SPREADS * spread)
    model.sigma_max = 2.0
    low = make_start("gaussian", model, None, "cpu")
    assert (low.sigma, low.skip) == (2.0, "")


class Hidden(AlteringWrapper):
    """A wrapper that keeps the reference to itself."""

    def reference(self):
        return None


def test_who_knows_mean_and_covariance():
    pixels = make_model("digits")
    assert moments_of(pixels)[0].shape == (10, 64), "a mean for each class, from its card"
    assert moments_of(Hidden(make_model("gaussian"), "hidden"))[0].shape == (16,)
    assert moments_of(make_model("wavelet", side=128)) is None, "too many dimensions to diagonalise"
    assert moments_of(make_model("fashion"))[0].shape == (10, 784), (
        "its reference is in another space"
    )


def users_model(tmp_path, more=""):
    """Data N((1, 2), diag(4, 9)) in a file of the user's own."""
    text = """
    import torch

    class Model:
        event, sigma_min, sigma_max, dtype = (2,), 0.002, 80.0, torch.float64

        def __call__(self, x, sigma):
            s = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 1))
            mean, var = x.new_tensor([1.0, 2.0]), x.new_tensor([4.0, 9.0])
            return mean + var / (var + s**2) * (x - mean)
    """
    path = tmp_path / "mine.py"
    path.write_text(
        textwrap.dedent(text)
        + textwrap.indent(textwrap.dedent(more), "    ")
        + "\nfactory = Model\n"
    )
    return f"{path}:factory"


@pytest.mark.parametrize("start", ["mean", "gaussian"])
def test_a_model_that_does_not_know_its_data_is_skipped_with_a_reason(start, tmp_path):
    model = users_model(tmp_path)
    (cell,) = cells_of(models=[model], samplers=["euler"], nfe=[5], start=[start])
    assert cell.grid is None
    assert cell.skip == (
        f"start {start} needs the data's mean and covariance, which model "
        "mine.py:factory does not know"
    )


def test_a_users_model_tells_them_by_moments(tmp_path):
    """The start's flow is then the model's own, which is linear: the exact one, dimension by
    dimension.
    """
    model = make_model(
        users_model(
            tmp_path,
            "def moments(self):\n    return torch.tensor([1.0, 2.0]), "
            "torch.tensor([[4.0, 0.0], [0.0, 9.0]])",
        )
    )
    mean, var = (
        torch.tensor([1.0, 2.0], dtype=torch.float64),
        torch.tensor([4.0, 9.0], dtype=torch.float64),
    )
    x = latents(model)
    start = make_start("gaussian", model, 2.0, "cpu")
    exact = mean + ((var + 4) / (var + 80**2)).sqrt() * (x - mean)
    assert float((start.states(x) - exact).abs().max()) < 1e-12
    assert torch.equal(make_start("mean", model, None, "cpu").states(x), x + mean)


def test_a_level_outside_the_model_is_skipped_with_a_reason():
    (cell,) = cells_of(samplers=["euler"], nfe=[5], start=["gaussian"], sigma_start=100.0)
    assert cell.skip == (
        "the start level 100 is not within the levels of model gaussian, 0.002 to 80"
    )


def test_a_searched_schedule_has_no_grid_below_sigma_max(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path))
    plain, moved, gaussian = cells_of(
        schedules=["gits(latents=2)"],
        samplers=["euler"],
        nfe=[3],
        start=["noise", "mean", "gaussian"],
    )
    assert (len(plain.grid), len(moved.grid)) == (3, 3)
    assert gaussian.grid is None
    assert gaussian.skip == (
        "schedule gits(latents=2) was searched from sigma_max on, "
        "not from where start gaussian ends"
    )


def test_grids_begin_where_the_start_ends():
    noise, gaussian = cells_of(
        samplers=["heun"], nfe=[9], start=["noise", "gaussian"], sigma_start=2.5
    )
    assert (noise.grid.sigma[0], gaussian.grid.sigma[0]) == (80.0, 2.5)
    assert (noise.steps, gaussian.steps) == (5, 5)
    assert (
        gaussian.record("")["start"],
        gaussian.record("")["sigma_start"],
        gaussian.record("")["sigma_max"],
    ) == ("gaussian", 2.5, 80.0)


def test_keys_tell_starts_levels_and_noise_apart_only_where_samples_differ():
    plain = cells_of()
    assert [c.key for c in cells_of(sigma_start=3.0)] == [c.key for c in plain], (
        "the level is that of another start"
    )
    assert {"sigma_start", "noise"} <= set(plain[0]._implied_columns), (
        "in no key: they would change those of older runs"
    )
    starts = cells_of(start=["noise", "mean", "gaussian"])
    assert len({c.key for c in starts}) == 3 * len(plain)
    assert not {c.key for c in cells_of(start=["gaussian"], sigma_start=3.0)} & {
        c.key for c in starts
    }
    same = {
        c.sampler.name
        for c, b in zip(plain, cells_of(noise="brownian"), strict=True)
        if c.key == b.key
    }
    assert same == {"euler", "heun"}
    assert {c.record("")["noise"] for c in plain if c.sampler.name == "ddpm"} == {"white"}
    assert {c.record("")["noise"] for c in plain if c.sampler.name == "heun"} == {None}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("start", ["middle"], "start"),
        ("start", [], "start"),
        ("sigma_start", 0.0, "sigma_start"),
        ("noise", "pink", "noise"),
    ],
)
def test_a_suite_says_what_is_wrong_with_its_start(key, value, message):
    with pytest.raises(ValueError, match=rf"^t: {message}"):
        check_suite({**BASE, key: value}, "t")


def test_make_start__samples_of_many_values_are_said_to_be_too_large():
    start = make_start("mean", make_model("wavelet", side=128), None, "cpu")
    assert start.skip == (
        "start mean is for samples of at most 4,096 values, since it needs their covariance, and those of "
        "model wavelet(channels=1, side=128) have 16,384"
    )
