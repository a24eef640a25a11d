"""Feature spaces by name: pixels, a user's file, and Inception with a stand-in for its network."""

import os
import pickle
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.identity.model import extractor_fingerprint
from samplerbench.models import make_model
from samplerbench.models.extractors import Samples, make_extractor, rgb
from samplerbench.models.extractors.checked import CHUNK
from samplerbench.results.run_directory.behaviour_fingerprint import difference

EVENT = (1, 8, 8)


@pytest.fixture
def write(tmp_path):
    def write(body, name="feats.py"):
        (tmp_path / name).write_text(body)
        return f"{tmp_path / name}:make"

    return write


def test_pixels_are_the_samples_themselves():
    x = torch.randn(5, *EVENT)
    np.testing.assert_array_equal(
        make_extractor("pixels", Samples(EVENT))(x), x.flatten(1).double().numpy()
    )


def test_an_extractor_of_the_users_sees_all_samples_in_order(write):
    made = make_extractor(
        write("def make():\n    return lambda x: x.flatten(1)[:, :3] ** 2\n"), Samples(EVENT)
    )
    x = torch.randn(2 * CHUNK + 1, *EVENT, dtype=torch.float64)
    np.testing.assert_allclose(made(x), x.flatten(1)[:, :3].float().numpy() ** 2, rtol=1e-6)
    assert (made.dim, made(x[:0]).shape) == (3, (0, 3))


def test_an_extractor_of_the_users_may_say_which_features_it_gives(write):
    text = "class Mine:\n    space = 'inception-v3-2048'\n    def __call__(self, x):\n"
    text += "        return x.flatten(1)\n\ndef make():\n    return Mine()\n"
    assert make_extractor(write(text), Samples(EVENT)).space == "inception-v3-2048"
    plain = "def make():\n    return lambda x: x.flatten(1)\n"
    assert make_extractor(write(plain), Samples(EVENT)).space == ""


def test_another_text_of_the_file_is_another_identity(write):
    one, same, other = (
        make_extractor(
            write(f"def make():\n    return lambda x: {k} * x.flatten(1)\n"), Samples(EVENT)
        )
        for k in (1, 1, 2)
    )
    assert one.identity == same.identity != other.identity
    assert one.identity.startswith("feats.py:make-")


WITH_WEIGHTS = """
import numpy as np, torch
from pathlib import Path

def make():
    weights = torch.from_numpy(np.load(Path(__file__).with_name("weights.npy")))
    return lambda x: x.flatten(1) @ weights
"""


@pytest.mark.slow
def test_each_of_many_weight_files_is_another_identity(write, tmp_path):
    """One scalar of three digits told 399 random files apart in 367 cases only."""
    identities = set()
    for seed in range(40):
        np.save(
            tmp_path / "weights.npy",
            np.random.default_rng(seed).standard_normal((64, 2)).astype(np.float32) / 50,
        )
        identities.add(make_extractor(write(WITH_WEIGHTS), Samples(EVENT)).identity)
    assert len(identities) == 40
    np.save(
        tmp_path / "weights.npy",
        np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32) / 50,
    )
    assert make_extractor(write(WITH_WEIGHTS), Samples(EVENT)).identity in identities


def test_weights_that_no_file_holds_show_in_what_the_extractor_does(write):
    spec = write(
        "import torch\ndef make():\n    w = torch.randn(64, 2)\n    return "
        "lambda x: x.flatten(1) @ w\n"
    )
    one, other = (make_extractor(spec, Samples(EVENT)) for _ in range(2))
    first = extractor_fingerprint(one, EVENT, None)
    assert difference(first, extractor_fingerprint(one, EVENT, None)) == ""
    assert (
        difference(first, extractor_fingerprint(other, EVENT, None))
        == "its features of fixed noise differ"
    )


def test_samples_are_copies(write):
    x = torch.ones(3, *EVENT)
    make_extractor(
        write("def make():\n    return lambda x: x.mul_(2).flatten(1)\n"), Samples(EVENT)
    )(x)
    assert torch.equal(x, torch.ones_like(x))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def other(): pass", "has no function make"),
        ("def make(): raise OSError('no weights')", r"make\(\) raised OSError: no weights"),
        ("def make(): return 3", "must return a callable"),
        ("def make(): return lambda x: x", r"must give \(n, features\)"),
        ("def make(): return lambda x: x.flatten(1) / 0 * 0", "not finite"),
        ("def make(): return lambda x: x.no_such_thing()", "raised AttributeError"),
        ("def make(): return lambda x: x.flatten(1) - x.mean()", "in another batch"),
        ("import torch\ndef make(): return lambda x: torch.randn(len(x), 3)", "at another time"),
        ("def make(): return lambda x: {}", "raised TypeError"),
        ("import nothing_of_this_name", "when it was imported"),
    ],
)
def test_what_is_no_extractor_is_one_sentence(write, body, message):
    with pytest.raises(ValueError, match=message):
        make_extractor(write(body), Samples(EVENT))


def test_pixels_have_no_options():
    with pytest.raises(ValueError, match="pixels takes nothing after a colon; write pixels"):
        make_extractor("pixels:3", Samples(EVENT))


@pytest.mark.parametrize("spec", ["pixel", "inceptoin:w.pth", "fid"])
def test_an_unknown_name_is_refused(spec):
    there = (
        r"The extractors are: card\[:N\], clip:FOLDER, dinov2:EVALUATOR:WEIGHTS, "
        r"efficientnet-lite0, file\.py:factory, inception:WEIGHTS, pixels, round:EXTRACTOR, truncate:EXTRACTOR"
    )
    with pytest.raises(ValueError, match=f"unknown extractor.*{there}"):
        make_extractor(spec, Samples(EVENT))


@pytest.fixture
def network(monkeypatch):
    """A stand-in for torch-fidelity, which keeps the images that it is given."""
    seen = []

    class Network:
        def __init__(self, name, features, feature_extractor_weights_path):
            self.weights = torch.load(feature_extractor_weights_path, weights_only=False)

        def to(self, device):
            return self

        def __call__(self, images):
            seen.append(images)
            return (images.float().mean((1, 2, 3))[:, None].expand(-1, 2048),)

    for name in ("torch_fidelity", "torch_fidelity.feature_extractor_inceptionv3"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules[
        "torch_fidelity.feature_extractor_inceptionv3"
    ].FeatureExtractorInceptionV3 = Network
    return seen


def test_inception_gets_rounded_8_bit_rgb_images(network, tmp_path):
    torch.save({"w": torch.zeros(1)}, tmp_path / "w.pth")
    made = make_extractor(f"inception:{tmp_path / 'w.pth'}", Samples(EVENT, (-1.0, 1.0)))
    x = torch.full((rgb.CHUNK + 2, *EVENT), -1.0)
    # beyond the range; 1.2 and 1.7 grey levels
    x[0], x[1], x[2] = 2.0, 1.2 / 127.5 - 1, 1.7 / 127.5 - 1
    features = made(x)
    assert [part.shape for part in network] == [(rgb.CHUNK, 3, 8, 8), (2, 3, 8, 8)]
    assert network[0].dtype == torch.uint8
    assert features[:4, 0].tolist() == [255.0, 1.0, 2.0, 0.0]
    assert features.shape == (len(x), 2048)


class Evil:
    def __reduce__(self):
        return os.system, ("exit 3",)


def test_a_file_that_is_not_the_weights_is_refused_before_it_is_unpickled(
    network, tmp_path, monkeypatch
):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "junk.pth").write_bytes(b"junk")
    ran = []
    monkeypatch.setattr(os, "system", lambda command: ran.append(command))
    for name in ("evil.pth", "junk.pth"):
        with pytest.raises(
            ValueError, match=f"{name} does not hold torch-fidelity's Inception weights"
        ):
            make_extractor(f"inception:{tmp_path / name}", Samples(EVENT, (-1.0, 1.0)))
    assert ran == []


def test_inception_says_what_it_lacks(monkeypatch, tmp_path):
    with pytest.raises(
        ValueError, match="inception alone is no extractor; write inception:WEIGHTS"
    ):
        make_extractor("inception", Samples(EVENT, (-1.0, 1.0)))
    with pytest.raises(
        ValueError, match="nothing follows the colon of 'inception:'; write inception:WEIGHTS"
    ):
        make_extractor("inception:", Samples(EVENT, (-1.0, 1.0)))
    with pytest.raises(ValueError, match="there is no such file"):
        make_extractor(f"inception:{tmp_path / 'w.pth'}", Samples(EVENT, (-1.0, 1.0)))
    with pytest.raises(
        ValueError,
        match=r"takes grey or RGB images, not samples \(2,\); " r"use --extractor pixels",
    ):
        make_extractor("inception:w.pth", Samples((2,), (-1.0, 1.0)))
    with pytest.raises(
        ValueError,
        match=r"needs the range of the images' values.*such as " r"limits = \(-1\.0, 1\.0\)",
    ):
        make_extractor("inception:w.pth", Samples(EVENT))
    torch.save({}, tmp_path / "w.pth")
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ValueError, match=r"pip install 'samplerbench\[inception\]'"):
        make_extractor(f"inception:{tmp_path / 'w.pth'}", Samples(EVENT, (-1.0, 1.0)))


def test_the_real_network_takes_the_images(tmp_path):
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        torch.save(
            module.FeatureExtractorInceptionV3("x", ["2048"]).state_dict(), tmp_path / "w.pth"
        )
    made = make_extractor(f"inception:{tmp_path / 'w.pth'}", Samples((1, 28, 28), (-1.0, 1.0)))
    features = made(torch.rand(3, 1, 28, 28) * 2 - 1)
    assert features.shape == (3, 2048)
    assert features.std() > 0


def test_make_model__a_file_has_a_default_dtype_of_its_own(tmp_path):
    lines = [
        "import torch",
        "class Model:",
        "    event, sigma_min, sigma_max = (2,), 0.1, 10.0",
        "    def __call__(self, x, sigma):",
        "        assert torch.get_default_dtype() == DTYPE",
        "        return x",
        "    def sample(self, n, seed):",
        "        return torch.ones(n, 2)",
        "    def decode(self, x):",
        "        return x.to(DTYPE).reshape(-1, 1, 1, 2) @ torch.ones(2, 2)",
        "def features():",
        "    return lambda x: x.to(DTYPE) @ torch.ones(2, 3)",
    ]
    changes = ["torch.set_default_dtype(torch.float64)"]
    for name, change, dtype in (("a", changes, torch.float64), ("b", [], torch.float32)):
        code = [*lines, *change, f"DTYPE = {dtype}"]
        (tmp_path / f"{name}.py").write_text("\n".join(code))
    for name, dtype in (("a", torch.float64), ("b", torch.float32)):
        model = make_model(f"{tmp_path / name}.py:Model")
        assert torch.get_default_dtype() == torch.float32
        model.denoise(torch.zeros(1, 2), 1.0, labels=None)
        assert model.data(3, 0).dtype == dtype
        assert model.to("cpu").decode(torch.ones(1, 2)).sum() == 4
        extractor = make_extractor(f"{tmp_path / name}.py:features", Samples((2,), None))
        assert extractor(torch.ones(1, 2)).tolist() == [[2.0] * 3]
    assert torch.get_default_dtype() == torch.float32
