"""Models and what they are made of: files that a factory reads in whatever way, helpers, and
what the model does.
"""

import json
import shutil
import sys
import textwrap
import warnings

import numpy as np
import pytest
import safetensors.torch
import torch
from looping import each

from samplerbench.benchmarks.identity.model import model_fingerprint, runs_users_code
from samplerbench.benchmarks.scoring.converged_endpoints import file_tag
from samplerbench.models import model_names
from samplerbench.models.registry import make_model
from samplerbench.results.run_directory.behaviour_fingerprint import Fingerprint, difference

safe_open = None
"""Set by a test."""

FACTORY = """
import numpy as np, torch, safetensors, safetensors.torch
from pathlib import Path
{imports}

HERE = Path(__file__).parent


class Model:
    event, sigma_min, sigma_max = (2,), 0.002, 80.0

    def __init__(self, mean):
        self.mean = torch.as_tensor(mean, dtype=torch.float32)

    def __call__(self, x, sigma):
        s = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1)
        return (x + s**2 * self.mean) / (1 + s**2)


def factory():
    return Model({mean})
"""


@pytest.fixture
def write(tmp_path):
    def write(mean, imports="", folder="."):
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / "model.py"
        path.write_text(FACTORY.format(mean=mean, imports=textwrap.dedent(imports)))
        return f"{path}:factory"

    return write


def weights(folder, value):
    """The same number in every kind of file."""
    mean = np.full(2, value, np.float32)
    torch.save(torch.from_numpy(mean), folder / "w.pt")
    np.save(folder / "w.npy", mean)
    np.savez(folder / "w.npz", w=mean)
    mean.tofile(folder / "w.bin")
    safetensors.torch.save_file({"w": torch.from_numpy(mean)}, folder / "w.safetensors")
    (folder / "w.json").write_text(json.dumps(mean.tolist()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(
            torch.jit.trace(lambda x: x + float(value), torch.zeros(2)), str(folder / "w.jit")
        )


READERS = {
    "w.pt": "torch.load(HERE / 'w.pt')",
    "w.npy": "np.load(HERE / 'w.npy')",
    "w.npz": "np.load(HERE / 'w.npz')['w']",
    "w.bin": "np.array(np.memmap(HERE / 'w.bin', dtype=np.float32))",
    "w.safetensors": "safetensors.torch.load_file(str(HERE / 'w.safetensors'))['w']",
    "w.json": "__import__('json').loads((HERE / 'w.json').read_text())",
    "w.jit": "torch.jit.load(str(HERE / 'w.jit'))(torch.zeros(2))",
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_the_factory_reads_is_part_of_the_identity(write, tmp_path, name):
    spec = write(READERS[name])
    weights(tmp_path, 0.0)
    first, again = make_model(spec), make_model(spec)
    weights(tmp_path, 1.0)
    other = make_model(spec)
    assert first.identity == again.identity != other.identity
    assert set(first.read.hashes) == {"model.py", name}
    assert difference(model_fingerprint(first), model_fingerprint(other)).endswith("changed")


@pytest.mark.parametrize(
    "reader",
    [
        "np.fromfile(HERE / 'w.bin', dtype=np.float32)",
        "torch.from_file(str(HERE / 'w.bin'), size=2).clone()",
    ],
)
def test_raw_numbers_too(write, tmp_path, reader):
    weights(tmp_path, 0.0)
    assert "w.bin" in make_model(write(reader)).read.hashes


def test_safe_open_by_a_name_that_a_module_has_imported_earlier(write, tmp_path, monkeypatch):
    """As the libraries do that load checkpoints."""
    weights(tmp_path, 0.0)
    monkeypatch.setattr(sys.modules[__name__], "safe_open", safetensors.safe_open)
    monkeypatch.setitem(sys.modules, "reader_of_the_test", sys.modules[__name__])
    spec = write("__import__('reader_of_the_test').opened(HERE / 'w.safetensors')")
    assert "w.safetensors" in make_model(spec).read.hashes
    assert safetensors.safe_open is safe_open, "nothing stays wrapped"


def opened(path):
    with safe_open(str(path), framework="pt") as file:
        return file.get_tensor("w")


def test_equal_files_with_other_weights_beside_them_are_other_models(write, tmp_path):
    specs = [write("torch.load(HERE / 'w.pt')", folder=folder) for folder in "AB"]
    for value, folder in enumerate("AB"):
        weights(tmp_path / folder, float(value))
    a, b = map(make_model, specs)
    assert a.name == b.name
    assert file_tag(a, 0, "float32", 8) != file_tag(b, 0, "float32", 8)


def test_the_same_files_in_another_folder_are_the_same_model(write, tmp_path):
    specs = [write("torch.load(HERE / 'w.pt')", folder=folder) for folder in "AB"]
    for folder in "AB":
        weights(tmp_path / folder, 1.0)
    a, b = map(make_model, specs)
    assert a.identity == b.identity
    assert difference(model_fingerprint(a), model_fingerprint(b)) == ""
    assert str(tmp_path) not in json.dumps(model_fingerprint(a).to_json())


def test_a_path_among_the_options_is_no_part_of_the_identity(tmp_path):
    for folder, value in (("A", 0.0), ("B", 0.0), ("C", 1.0)):
        (tmp_path / folder).mkdir()
        weights(tmp_path / folder, value)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "model.py").write_text(
        FACTORY.format(mean="np.load(path)", imports="").replace(
            "def factory()", "def factory(path)"
        )
    )
    a, b, c = (
        make_model(f"{tmp_path}/code/model.py:factory", path=str(tmp_path / folder / "w.npy"))
        for folder in "ABC"
    )
    assert a.identity == b.identity != c.identity
    assert str(tmp_path) not in a.identity


# -- helpers
# ----------------------------------------------------------------------------------------------------------------------------


def test_a_module_beside_the_file_can_be_imported_and_counts(write, tmp_path):
    spec = write("helper.MEAN", "import helper")
    (tmp_path / "helper.py").write_text("from deeper import MEAN\n")
    (tmp_path / "deeper.py").write_text("MEAN = [0.0, 0.0]\n")
    first = make_model(spec)
    assert set(first.read.hashes) == {"model.py", "helper.py", "deeper.py"}
    (tmp_path / "deeper.py").write_text("MEAN = [1.0, 1.0]\n")  # as long, and within a second
    other = make_model(spec)
    assert first.identity != other.identity
    assert difference(model_fingerprint(first), model_fingerprint(other)) == "deeper.py changed"
    same_files = Fingerprint(
        "model", "model.py:factory", model_fingerprint(first).exact, model_fingerprint(other).values
    )
    assert difference(model_fingerprint(first), same_files).startswith("its output at sigma 80")
    assert torch.equal(other._model.mean, torch.ones(2))


def test_helpers_of_one_name_in_two_folders(write, tmp_path):
    specs = [write("helper.MEAN", "import helper", folder=folder) for folder in "AB"]
    for value, folder in enumerate("AB"):
        (tmp_path / folder / "helper.py").write_text(f"MEAN = [{value}.0, {value}.0]\n")
    a, b, again = (make_model(spec) for spec in (*specs, specs[0]))
    assert [float(model._model.mean[0]) for model in (a, b, again)] == [0.0, 1.0, 0.0]
    assert a.identity == again.identity != b.identity


def test_helpers_of_one_name__of_a_folder_that_is_gone_none_is_left(write, tmp_path):
    found = []
    for value, folder in enumerate("AB"):
        spec = write("helper.MEAN", "import helper", folder=folder)
        (tmp_path / folder / "helper.py").write_text(f"MEAN = [{value}.0, {value}.0]\n")
        found.append(float(make_model(spec)._model.mean[0]))
        shutil.rmtree(tmp_path / folder)
    assert found == [0.0, 1.0]


def test_a_helper_that_was_imported_before_counts_and_stays_for_whoever_imported_it(
    write, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "shared_helper.py").write_text("MEAN = [0.0, 0.0]\n")
    import shared_helper  # pyright: ignore[reportMissingImports]

    spec = write("shared_helper.MEAN", "import shared_helper", folder="A")
    assert set(make_model(spec).read.hashes) == {"model.py", "shared_helper.py"}
    (tmp_path / "A" / "shared_helper.py").write_text("MEAN = [1.0, 1.0]\n")
    assert float(make_model(spec)._model.mean[0]) == 1.0
    assert sys.modules["shared_helper"] is shared_helper
    del sys.modules["shared_helper"]


def test_an_edited_file_is_new_code_in_the_same_process(write):
    assert [
        float(make_model(write(f"[{value}, 0.0]"))._model.mean[0]) for value in (1.0, 2.0, 1.0)
    ] == [1.0, 2.0, 1.0]


def test_no_bytecode_and_no_path_are_left_behind(write, tmp_path):
    paths = list(sys.path)
    (tmp_path / "helper.py").write_text("MEAN = [0.0, 0.0]\n")
    make_model(write("helper.MEAN", "import helper"))
    assert sys.path == paths
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_factory_that_ends_the_program_is_one_sentence(write):
    with pytest.raises(
        ValueError,
        match=r"factory\(\) called sys.exit\('no GPU'\); let it " r"return a value or raise$",
    ):
        make_model(write("__import__('sys').exit('no GPU')"))


def test_a_file_that_is_opened_at_the_first_call_counts(write, tmp_path):
    weights(tmp_path, 0.0)
    lazy = """
    class Lazy:
        event, sigma_min, sigma_max = (2,), 0.002, 80.0

        def __call__(self, x, sigma):
            return x * 0 + torch.from_numpy(np.load(HERE / 'w.npy'))
    """
    spec = write("0").replace("model.py", "lazy.py")
    (tmp_path / "lazy.py").write_text(
        FACTORY.format(mean="0", imports="")
        .replace("def factory", textwrap.dedent(lazy) + "\ndef factory")
        .replace("return Model(0)", "return Lazy()")
    )
    first = model_fingerprint(make_model(spec))
    assert "file w.npy" in first.exact
    weights(tmp_path, 0.0)
    assert difference(first, model_fingerprint(make_model(spec))) == ""
    weights(tmp_path, 1.0)
    assert difference(first, model_fingerprint(make_model(spec))) == "w.npy changed"


def test_what_belongs_to_the_machine_does_not_count(write, tmp_path):
    spec = write(
        "[0.0, len(HERE.__class__('/proc/self/status').read_text()) * 0.0 + "
        "len(__import__('wave').__doc__) * 0.0]"
    )
    assert set(make_model(spec).read.hashes) == {"model.py"}


# -- behaviour
# --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@each("name", [name for name in model_names() if not name.startswith("random")])
def test_fingerprint__of_built_in_models_survives_the_file_and_more_threads(name):
    first = model_fingerprint(make_model(name))
    assert difference(Fingerprint.from_json(json.loads(json.dumps(first.to_json()))), first) == ""
    torch.set_num_threads(2)
    try:
        assert difference(first, model_fingerprint(make_model(name))) == ""
    finally:
        torch.set_num_threads(1)


def test_guidance_and_another_checkpoint_show(monkeypatch):
    plain, guided = make_model("digits"), make_model("digits", guidance=2.0)
    twin = model_fingerprint(guided)
    assert (
        difference(
            model_fingerprint(plain),
            Fingerprint("model", plain.name, model_fingerprint(plain).exact, twin.values),
        )
        != ""
    )
    before = model_fingerprint(plain)
    with torch.no_grad():
        next(plain._net.parameters()).mul_(1.01)
    assert difference(before, model_fingerprint(plain)).startswith("its output at sigma")


def numbers(entry, rtol=0.1):
    return {"values": {"a": {"numbers": [entry], "rtol": rtol, "atol": 0}}}


@each(
    "wrong",
    [
        {"kind": "cat"},
        {"exact": 3},
        {"exact": {"a": [1]}},
        numbers("x"),
        numbers(None),
        numbers(10**400),
        numbers(1.0, rtol=2.0),
    ],
)
def test_fingerprint__records_that_are_none_are_refused(wrong):
    good = model_fingerprint(make_model("gmm-2d")).to_json()
    for bad in (None, 5, [], "x", {}, good | wrong):
        with pytest.raises(ValueError, match="no record of a fingerprint"):
            Fingerprint.from_json(bad)


def test_runs_users_code__also_for_a_file_that_returns_a_denoiser(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "from samplerbench import from_network\n\n\n"
        "def factory():\n    return from_network(lambda x, t: x, 'eps', event=(2,))\n"
    )
    model = make_model(f"{path}:factory")
    assert runs_users_code(model)
    assert not runs_users_code(make_model("gmm-2d"))
