"""The harness of peers, on a library that is written here: no other is needed."""

import math
import pickle
from types import SimpleNamespace

import pytest
import torch
from looping import each

from samplerbench.benchmarks.conformance.problems import Rational
from samplerbench.samplers import (
    Grid,
    NoNoise,
    SampleNoise,
    get,
    karras,
    make,
    names,
    non_default,
    origin,
)
from samplerbench.samplers.peers import (
    available,
    diffusers,
    export_sigmas,
    resolve,
    set_peers_path,
    translate,
)
from samplerbench.samplers.peers.base import PeerBatch
from samplerbench.samplers.peers.pairs import PAIRS

SAMPLING = """
import torch
from . import utils

def sample_plain(model, x, sigmas, extra_args=None, callback=None, disable=None, s_churn=0.0, scale=1.0):
    for cur, nxt in zip(sigmas, sigmas[1:]):
        noise = torch.randn_like(x)
        x = x + s_churn * noise
        d = model(x, cur * x.new_ones(len(x)))
        x = x + scale * (nxt - cur) * (x - d) / cur
    return x

def sample_noisy(model, x, sigmas, extra_args=None, callback=None, disable=None, eta=1.0, noise_sampler=None):
    for cur, nxt in zip(sigmas, sigmas[1:]):
        d = model(x, cur * x.new_ones(len(x)))
        x = d + nxt * eta * noise_sampler(cur, nxt)
    return x

def sample_ordered(model, x, sigmas, extra_args=None, callback=None, disable=None, order=2):
    return model(x, sigmas[0])

def sample_raises(model, x, sigmas, extra_args=None, callback=None, disable=None):
    raise ValueError("no")

def sample_picky(model, x, sigmas, extra_args=None, callback=None, disable=None):
    assert len(sigmas) > 3 and x.shape[2:], "too few"
    return model(x, sigmas[-2])
"""
IDS = torch.arange(4)


@pytest.fixture(autouse=True)
def clones(tmp_path, monkeypatch):
    """A folder with a clone of a library of three functions."""
    package = tmp_path / "k-diffusion" / "k_diffusion"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('needs the whole world')")
    (package / "utils.py").write_text("")
    (package / "sampling.py").write_text(SAMPLING)
    monkeypatch.delenv("SAMPLERBENCH_PEERS", raising=False)
    set_peers_path(tmp_path)
    yield tmp_path
    set_peers_path(None)


def run(sampler, grid, dtype=torch.float64, ids=IDS):
    noise = SampleNoise(7, ids, (3,), dtype)
    x = noise.initial() * grid.sigma[0]
    return sampler.sample(Rational(), x, grid, noise if sampler.stochastic else NoNoise())


def test_a_function_of_the_clone_is_our_sampler():
    grid = karras(9, 0.02, 10.0)
    torch.testing.assert_close(
        run(make("k-diffusion:sample_plain"), grid), run(make("euler"), grid), rtol=1e-13, atol=0
    )


def test_its_options_are_fields():
    sampler = make({"name": "k-diffusion:sample_plain", "scale": 0.5})
    assert non_default(sampler) == {"scale": 0.5}
    with pytest.raises(ValueError, match="no option 'sigmas'; its options: s_churn, scale"):
        make({"name": "k-diffusion:sample_plain", "sigmas": 1})


def test_an_option_called_order_is_no_declaration():
    sampler = make({"name": "k-diffusion:sample_ordered", "max_order": 3})
    assert sampler.order is None
    assert sampler.options == {"order": 3}
    assert pickle.loads(pickle.dumps(sampler)) == sampler


def test_evaluations_are_counted_by_a_dry_run():
    sampler = make("k-diffusion:sample_plain")
    assert [sampler.nfe(karras(n, 0.02, 10.0)) for n in (1, 2, 7)] == [1, 2, 7]
    with pytest.raises(
        ValueError, match=r"fails on a grid of 2 steps .*too few.*choose another grid, or other"
    ):
        make("k-diffusion:sample_picky").nfe(karras(2, 0.02, 10.0))
    assert make("k-diffusion:sample_picky").nfe(karras(4, 0.02, 10.0)) == 1, "it needs images"


def test_nfe__an_error_of_the_peer_names_the_peer():
    with pytest.raises(ValueError, match=r"'k-diffusion:sample_raises' fails .*ValueError: no"):
        make("k-diffusion:sample_raises").nfe(karras(2, 0.02, 10.0))


def test_diffusers_names__are_those_of_the_installed_version(monkeypatch):
    older = SimpleNamespace(EulerDiscreteScheduler=object, VQDiffusionScheduler=object)
    monkeypatch.setattr(diffusers, "load_library", lambda _: older)
    assert diffusers.names() == ["EulerDiscreteScheduler"]
    with pytest.raises(ValueError, match="no sampler 'FlowMatchLCMScheduler'; there are Euler"):
        resolve("diffusers:FlowMatchLCMScheduler")


def test_unused_noise_is_silent_and_used_noise_is_ours():
    grid = karras(5, 0.02, 10.0)
    state = torch.get_rng_state()
    assert not make("k-diffusion:sample_plain").stochastic
    run(make("k-diffusion:sample_plain"), grid)
    sampler = make({"name": "k-diffusion:sample_plain", "s_churn": 0.1})
    assert sampler.stochastic
    noise = SampleNoise(7, IDS, (3,), torch.float64)
    x, expected = noise.initial() * 10, noise.initial() * 10
    for i, (cur, nxt) in enumerate(grid.intervals()):
        expected = expected + 0.1 * noise.at(i, cur, nxt)()
        expected = expected + (nxt - cur) * (expected - Rational()(expected, cur)) / cur
    torch.testing.assert_close(
        sampler.sample(Rational(), x, grid, noise), expected, rtol=1e-13, atol=0
    )
    assert torch.equal(state, torch.get_rng_state())


def test_a_noise_sampler_is_asked_for_the_interval_it_names():
    grid, noise = karras(3, 0.02, 10.0), SampleNoise(7, IDS, (3,), torch.float64)
    x = noise.initial() * 10
    expected = x
    for i, (cur, nxt) in enumerate(grid.intervals()):
        expected = Rational()(expected, cur) + nxt * noise.at(i, cur, nxt)()
    assert torch.equal(
        make("k-diffusion:sample_noisy").sample(Rational(), x, grid, noise), expected
    )


def test_a_sample_is_the_same_alone_and_in_a_batch():
    sampler, grid = make("k-diffusion:sample_noisy"), karras(4, 0.02, 10.0)
    assert torch.equal(run(sampler, grid)[2:3], run(sampler, grid, ids=IDS[2:3]))


def test_the_state_keeps_its_dtype_and_its_owner():
    grid, x = karras(4, 0.02, 10.0), torch.ones(4, 3) * 10
    end = make("k-diffusion:sample_plain").sample(Rational(), x, grid, NoNoise())
    assert end.dtype == torch.float32
    assert torch.equal(x, torch.ones(4, 3) * 10)


def test_levels_are_the_grids_to_the_last_bit():
    seen = []

    def denoise(x, sigma):
        seen.append(sigma)
        return x / (1 + sigma * sigma)

    grid = karras(6, 0.02, 10.0)
    make("k-diffusion:sample_plain").sample(denoise, torch.ones(2, 3) * 10, grid, NoNoise())
    assert tuple(seen) == grid.sigma[:-1]


@each(("level", "step"), [(20.0, 0), (10.0, 0), (5.0, 0), (2.0, 1), (1.0, 1), (0.5, 2), (1e-9, 2)])
def test_peers__a_level_belongs_to_the_step_that_starts_above_it(level, step):
    call = PeerBatch(Rational(), Grid((10.0, 2.0, 0.5, 0.0)), NoNoise(), torch.float64)
    assert call.step_of(level) == step


def test_draws_within_a_step_differ():
    call = PeerBatch(
        Rational(), Grid((10.0, 2.0, 0.0)), SampleNoise(1, IDS, (3,), torch.float64), torch.float64
    )
    with call.replace_torch_noise():
        first, second = torch.randn_like(torch.zeros(4, 3)), torch.randn(4, 3, dtype=torch.float64)
    assert first.dtype == torch.float32
    assert not torch.allclose(first.double(), second)


def test_classes_are_made_once_and_pickle():
    sampler = make({"name": "k-diffusion:sample_plain", "scale": 0.5})
    assert resolve("k-diffusion:sample_plain") is resolve("k-diffusion:sample_plain")
    copy = pickle.loads(pickle.dumps(sampler))
    assert copy == sampler
    assert type(copy) is type(sampler)


def test_another_clone_is_another_class(clones, tmp_path_factory):
    first = resolve("k-diffusion:sample_plain")
    other = tmp_path_factory.mktemp("other") / "k-diffusion" / "k_diffusion"
    other.mkdir(parents=True)
    (other / "utils.py").write_text("")
    (other / "sampling.py").write_text(SAMPLING.replace("scale=1.0", "scale=2.0"))
    set_peers_path(other.parents[1])
    second = make("k-diffusion:sample_plain")
    assert second.scale == 2.0
    assert type(second).origin != first.origin
    assert origin("k-diffusion:sample_plain") == type(second).origin


def test_peers_are_available_but_not_registered():
    assert "k-diffusion:sample_plain" in available()
    assert not [name for name in names() if ":" in name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("k-diffusion:sample_plan", "did you mean k-diffusion:sample_plain"),
        (
            "k-difusion:sample_plain",
            "unknown peer library 'k-difusion'.*there are diffusers, k-diffusion",
        ),
        (
            "dpm-solver:multistep",
            "runs from a clone: git clone https://github.com/LuChengTHU/dpm-solver into a folder",
        ),
        ("scipy:RK54", "unknown sampler 'scipy_rk54'"),
    ],
)
def test_a_wrong_name_is_one_sentence(name, message):
    with pytest.raises(ValueError, match=message):
        make(name)


def test_a_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "azula", None)
    monkeypatch.setitem(__import__("sys").modules, "azula.sample", None)
    with pytest.raises(
        ValueError, match=r"needs the azula package: pip install " r"'samplerbench\[peers\]'"
    ):
        make("azula:DDIMSampler")


def test_a_peers_path_has_to_be_a_folder(tmp_path):
    with pytest.raises(ValueError, match="is not a folder; clone the peers into one"):
        set_peers_path(tmp_path / "nowhere")


def test_adapters_of_ours_have_colons_too():
    assert get("scipy:RK45") is get("scipy_rk45")
    assert get("torchdiffeq:dopri5") is get("torchdiffeq_dopri5")


@pytest.mark.parametrize("library", ["k-diffusion", "diffusers", "official", "azula"])
def test_translations_name_samplers(library):
    rows = translate(library)
    assert rows
    assert {row["theirs"].partition(":")[0] for row in rows} <= {
        pair.theirs.partition(":")[0] for pair in PAIRS
    }
    with pytest.raises(ValueError, match="choose k-diffusion, diffusers"):
        translate("comfy")


def test_steps_of_a_translation_are_words():
    rows = {(row["theirs"], row["ours"]): row["steps"] for row in translate("diffusers")}
    theirs = "diffusers:DPMSolverMultistepScheduler(solver_order=3)"
    assert rows[theirs, "dpmpp_3m_published"] == "from 15"
    assert rows[theirs, "dpmpp_3m_published(last=(2, 1))"] == "up to 14"


def test_exported_levels_are_a_grid():
    levels = karras(4, 0.02, 10.0).sigma
    for library in ("k-diffusion", "diffusers"):
        assert export_sigmas(library, levels)["sigmas"] == list(levels)
    with pytest.raises(ValueError, match="must fall strictly"):
        export_sigmas("diffusers", [1.0, 2.0])
    with pytest.raises(ValueError, match="choose diffusers or k-diffusion"):
        export_sigmas("comfy", levels)
    assert math.isclose(levels[0], 10.0)
