"""Models and extractors that installed packages bring: entry points, read when their scheme is
asked for.
"""

import os
import re
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from new_processes import command

from samplerbench.models import make_model
from samplerbench.models.extractors import EXTRACTORS, Samples, make_extractor
from samplerbench.models.loaders import LOADERS, loader

DOCS = Path(__file__).parents[2] / "docs"

TOY = '''
from pathlib import Path

import torch

from .scale import SCALE

POWER = torch.load(Path(__file__).with_name("power.pt"))


class Toy:
    """Data N(0, spread^2 I) in three dimensions, and its exact denoiser."""

    event, sigma_min, sigma_max, dtype = (3,), 0.01, 10.0, torch.float64

    def __init__(self, spread):
        self.spread = spread

    def __call__(self, x, sigma):
        s = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 1))
        return x * self.spread**2 / (self.spread**2 + s**2)

    def sample(self, n, seed):
        return self.spread * torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def model(rest, *, factor=1.0):
    """Spread by number, or from a file."""
    spread = float(Path(rest).read_text() if rest.endswith(".txt") else rest)
    return Toy(SCALE * factor * spread)


def features(rest, samples):
    return lambda x: float(rest) * x.flatten(1) ** int(POWER)
'''

ENTRY_POINTS = """
    [samplerbench.models]
    toy = toy_models:model
    broken = toy_models.no_such_module:load
    number = toy_models.scale:SCALE

    [samplerbench.extractors]
    toy = toy_models:features
"""


def install(target, name="toy-models", version="1.0", entry_points=ENTRY_POINTS, **files):
    """What a package installer leaves in ``target``: the package, and its metadata."""
    package, info = (
        target / name.replace("-", "_"),
        target / f"{name.replace('-', '_')}-{version}.dist-info",
    )
    for folder in (package, info):
        folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (package / f"{file}.py").write_text(text)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(textwrap.dedent(entry_points))
    return package


@pytest.fixture
def target(tmp_path):
    """A folder of installed packages with the toy in it."""
    target = tmp_path / "site-packages"
    package = install(target, __init__=TOY, scale="SCALE = 1.0\n")
    torch.save(torch.tensor(1), package / "power.pt")
    return target


@pytest.fixture
def installed(target, monkeypatch):
    """The same on this process's path, until the end of the test."""
    monkeypatch.syspath_prepend(str(target))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def fresh():
        for name in [name for name in sys.modules if name.startswith("toy_models")]:
            del sys.modules[name]
        for table in (LOADERS, EXTRACTORS):
            table._loaded.clear()

    fresh()
    yield fresh
    fresh()


def test_a_model_of_an_installed_package(installed):
    model = make_model("toy:2.0", factor=0.5)
    assert (model.name, model.event, model.dtype) == ("toy:2.0", (3,), torch.float64)
    assert model.identity.startswith("toy:2.0-toy-models-1.0-")
    x = torch.ones(2, 3, dtype=torch.float64)
    torch.testing.assert_close(model.denoise(x, 1.0, None), x / 2)
    assert set(model.read.hashes) == {
        "toy_models/__init__.py",
        "toy_models/scale.py",
        "toy_models/power.pt",
    }
    assert make_model("toy:2.0").identity == make_model("toy:2.0").identity != model.identity
    assert make_model("perturbed:toy:2.0", spread=1.0).read.hashes == model.read.hashes


def test_its_identity_follows_its_files_and_those_that_it_is_given(installed, target, tmp_path):
    first = make_model("toy:2.0").identity
    for file, text in (("scale.py", "SCALE = 2.0\n"), ("__init__.py", TOY + "\n# edited\n")):
        (target / "toy_models" / file).write_text(text)
        installed()
        assert make_model("toy:2.0").identity != first
    torch.save(torch.tensor(2), target / "toy_models" / "power.pt")
    installed()
    before = make_model("toy:2.0").identity
    torch.save(torch.tensor(3), target / "toy_models" / "power.pt")
    installed()
    assert make_model("toy:2.0").identity != before
    given = tmp_path / "spread.txt"
    given.write_text("2.0")
    model = make_model(f"toy:{given}")
    assert model.name == "toy:spread.txt"
    assert "spread.txt" in model.read.hashes
    given.write_text("2.5")
    assert make_model(f"toy:{given}").identity != model.identity


def test_an_extractor_of_an_installed_package(installed):
    made = make_extractor("toy:3", Samples((3,)))
    x = torch.randn(5, 3)
    torch.testing.assert_close(torch.from_numpy(made(x)).float(), 3 * x)
    assert made.dim == 3
    assert made.identity.startswith("toy:3-toy-models-1.0-")
    assert "toy_models/power.pt" in made.read.hashes


def test_the_guides_examples_load(installed, target):
    model, *_, load = re.findall(
        r"^```python\n(.*?)```",
        (DOCS / "how-to" / "adding-a-model.md").read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
    features = re.findall(
        r"^```python\n(.*?)```",
        (DOCS / "how-to" / "extractors.md").read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )[1]
    stand_in = (
        "class my_network(torch.nn.Module):\n    def __init__(self, rest):\n      "
        "  super().__init__()\n\n"
    )
    stand_in += "    def features(self, x):\n        return x.flatten(1)\n"
    points = (
        "[samplerbench.models]\nguide = "
        "guide:load\n\n[samplerbench.extractors]\nguide = guide.features:load\n"
    )
    install(
        target,
        "guide",
        "0.1",
        points,
        __init__=f"{model}\n\n{load}",
        features=f"import torch\n\n{stand_in}\n{features}",
    )
    assert make_model("guide:40", scale=2).sigma_max == 80
    assert make_extractor("guide:w.pt", Samples((2, 2))).dim == 4


def test_nothing_is_imported_until_a_scheme_is_asked_for(installed):
    assert LOADERS.installed() == dict.fromkeys(("toy", "broken", "number"), "toy-models 1.0")
    assert EXTRACTORS.installed() == {"toy": "toy-models 1.0"}
    make_model("gaussian")
    make_model("perturbed:gmm-2d")
    with pytest.raises(ValueError, match="no model 'tyo:1'"):
        make_model("tyo:1")
    assert "toy_models" not in sys.modules
    make_model("toy:1")
    assert "toy_models" in sys.modules


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            "broken:x",
            "model scheme 'broken' of toy-models 1.0 (toy_models.no_such_module:load) "
            "failed to load: "
            "ModuleNotFoundError: No module named 'toy_models.no_such_module'",
        ),
        (
            "number:x",
            "model scheme 'number' of toy-models 1.0 (toy_models.scale:SCALE) "
            "is a float; it must be a function",
        ),
        (
            "toy:x",
            "toy:x: toy-models 1.0 raised ValueError: could not convert string to float: 'x'",
        ),
        ("toy:", "nothing follows the colon of 'toy:'; write toy:…"),
        (
            "toy:1(size=3)",
            "model toy:1: got an unexpected keyword argument 'size'; its parameters are: "
            "factor (and network_dtype; and guidance, for models with classes)",
        ),
        ("tyo:1", "there is no model 'tyo:1'; did you mean 'toy'? The models are: gaussian, "),
    ],
)
def test_a_mistake_is_one_sentence_and_does_not_disturb_the_others(installed, spec, sentence):
    name, _, options = spec.partition("(")
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared
        make_model(name, **({"size": 3} if options else {}))
    assert str(caught.value).startswith(sentence)
    assert make_model("toy:1").event == (3,)


def test_two_with_one_scheme_are_refused_with_both_origins(installed, target):
    install(
        target,
        "other-toys",
        "2.0",
        "[samplerbench.models]\ntoy = other_toys:model\nperturbed = other_toys:model\n",
        __init__="",
    )
    both = (
        r"two model schemes are called 'toy': .*toy-models 1\.0 "
        r"\(toy_models:model\).*; uninstall one"
    )
    with pytest.raises(ValueError, match=both) as caught:
        make_model("toy:1")
    assert "other-toys 2.0 (other_toys:model)" in str(caught.value)
    with pytest.raises(ValueError, match=r"'perturbed': samplerbench itself and other-toys 2\.0"):
        make_model("perturbed:gmm-2d")
    assert make_model("gaussian").event == (16,)


def test_a_scheme_of_this_package_is_found_in_a_new_process_without_the_others():
    for table in (LOADERS, EXTRACTORS):
        assert table.usages()
        for name, scheme in table._known.items():
            file = table._modules.get(name, name.replace("-", "_"))
            assert scheme.load.__module__ == f"{table._package}.{file}"
    with pytest.raises(ValueError, match="two model schemes are called 'perturbed'"):
        loader("perturbed", "perturbed:MODEL")(
            test_two_with_one_scheme_are_refused_with_both_origins
        )


@pytest.fixture
def samplerbench_with(target, tmp_path):
    """The command line in a process of its own, where the toy is installed."""
    environment = os.environ | {
        "PYTHONPATH": str(target),
        "SAMPLERBENCH_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "200",
    }

    def call(*args):
        return command(*args, cwd=tmp_path, env=environment)

    return call


@pytest.mark.slow
def test_it_is_listed_and_run_and_its_changes_set_its_rows_aside(
    samplerbench_with, target, tmp_path
):
    code, listed, _ = samplerbench_with("list", "models")
    assert code == 0
    assert "toy:… toy-models 1.0" in " ".join(listed.split())
    assert "toy:…" in samplerbench_with("list", "extractors")[1]
    run = (
        "run",
        "smoke",
        "--model",
        "toy:2.0",
        "--extractor",
        "toy:3",
        "--sampler",
        "euler",
        "--nfe",
        3,
        "--samples",
        64,
    )
    run = (*run, "--no-timing", "--out", tmp_path / "run")
    code, _, err = samplerbench_with(*run)
    assert code == 0, err
    cells = {path.name for path in (tmp_path / "run" / "parts").iterdir()}
    assert len(cells) == 1
    code, _, err = samplerbench_with(*run)
    assert code == 0
    assert "set aside" not in err
    (target / "toy_models" / "scale.py").write_text("SCALE = 1.5\n")
    code, out, err = samplerbench_with(*run)
    assert code == 0
    assert "toy_models/scale.py" in out + err
