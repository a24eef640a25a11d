"""Programs of torch.export: the same numbers as the network's, and nothing of the file executed."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import trained_mixture as mixture
from small_programs import (
    CLASSES,
    SIDE,
    ExactDDPM,
    ExactEDM,
    ExactFlow,
    Small,
    to_exported,
)
from torch import nn

from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models.checkpoints.checkpoint_denoiser import Checkpoint
from samplerbench.models.checkpoints.families import exported as family
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.checkpoints.programs import Port, ProgramNetwork, signature_of
from samplerbench.models.checkpoints.specification import Specification
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.nets.adm_unet import ADMUNet
from samplerbench.models.nets.dit import DiT

GIVEN = {"training": "linear-eps"}


def noisy(rows: int = 2, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(rows, channels, SIDE, SIDE), torch.rand(rows)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "convolutions": Small,
    "labels as numbers": lambda: Small(CLASSES),
    "labels as rows": lambda: Small(CLASSES, hot=True),
    "U-Net": lambda: ADMUNet(
        in_channels=1, out_channels=1, embedding=32, stem=32, widths=(32, 64), blocks=1,
        attention=(1,), heads=2, classes=CLASSES, resample_blocks=True,
    ),
    "transformer": lambda: DiT(
        side=SIDE, in_channels=1, out_channels=2, patch=2, width=32, depth=2, heads=2, hidden=64,
        labels=CLASSES + 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_it_gives_what_the_network_gives(tmp_path, name):
    torch.manual_seed(3)
    network = NETWORKS[name]()
    for weight in network.parameters():  # some of them begin at 0
        nn.init.normal_(weight, std=0.1)
    y = torch.eye(CLASSES)[[0, 2]] if name == "labels as rows" else torch.tensor([0, 2])
    path = to_exported(
        network, tmp_path / "net.pt2", *noisy(), *([y] if name != "convolutions" else [])
    )
    given = GIVEN | ({"half": "first"} if name == "transformer" else {})
    given |= {} if name in ("convolutions", "labels as rows") else {"classes": str(CLASSES)}
    model = load(path, given)
    twin = Checkpoint(model.spec, getattr(network, "as_network", network), "torch", "0")
    x = 2 * torch.randn(5, *model.event, dtype=torch.float64)
    bound = model.bind(torch.arange(5), 0)
    assert (bound.labels is None) == (name == "convolutions")
    with torch.no_grad():
        for sigma in (0.1, torch.linspace(0.1, 9, 5)):
            theirs = twin.denoise(x, sigma, bound.labels)
            torch.testing.assert_close(bound(x, sigma), theirs, rtol=0, atol=1e-5)
    assert torch.equal(model.to("cpu").denoise(x, 1.0, bound.labels), bound(x, 1.0))


def test_a_program_for_one_number_of_rows_takes_any(tmp_path):
    torch.manual_seed(4)
    network = Small()
    free, fixed = (
        load(to_exported(network, tmp_path / f"{f}.pt2", *noisy(4), fixed=f), GIVEN)
        for f in (False, True)
    )
    assert "it takes 4 rows at a time" in fixed.spec.evidence
    for rows in (1, 4, 6):
        x = torch.randn(rows, *free.event)
        ends = [model.denoise(x, 0.7, None) for model in (free, fixed)]
        torch.testing.assert_close(*ends, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("rows", "times"), [(None, (None,)), (4, (4,)), (None, ())])
def test_program_network__no_rows_give_no_rows(rows, times):
    single = torch.float32
    spec = Specification(
        family="exported", network={}, weights={"file": "p.pt2"}, event=(2, 8, 8),
        process={"name": "ve"}, prediction="x0",
    )  # fmt: skip
    inputs = [Port("x", (rows, 2, 8, 8), single), Port("t", times, single)]
    signature = signature_of(Path("p.pt2"), inputs, [Port("y", (rows, 4, 8, 8), single)])
    network = ProgramNetwork(lambda *_: torch.ones(4, 4, 8, 8), signature, spec)
    found = network(torch.zeros(0, 2, 8, 8, dtype=torch.float64), torch.zeros(0), None)
    assert (found.shape, found.dtype) == ((0, 4, 8, 8), single)


@pytest.mark.parametrize(
    ("names", "dtypes", "time"),
    [
        (("class_labels", "timesteps"), "ii", "timesteps"),
        (("y", "c_noise"), "fi", "c_noise"),
        (("class_labels", "noise_labels"), "ii", "noise_labels"),
        (("a", "b"), "if", "b"),
        (("a", "b"), "ii", "a"),
    ],
)
def test_signature_of__the_time_is_known_by_its_name_and_then_its_dtype(names, dtypes, time):
    kinds = {"i": torch.int64, "f": torch.float32}
    image = Port("x", (None, 2, 8, 8), torch.float32)
    others = [Port(name, (None,), kinds[kind]) for name, kind in zip(names, dtypes, strict=True)]
    found = signature_of(Path("p.pt2"), [image, *others], [image])
    assert (found.time.name, found.labels.name) == (time, ({*names} - {time}).pop())


class Rotated(nn.Module):
    """A network with complex numbers and two outputs, the first of which is the prediction."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("turns", torch.polar(torch.ones(4), torch.arange(4.0)))

    def forward(self, x, t):
        pairs = torch.view_as_complex(x.reshape(x.shape[0], 2, 8, 4, 2)) * self.turns
        return torch.view_as_real(pairs).reshape(x.shape) * t[:, None, None, None], x


def test_program__complex_numbers_and_the_first_of_two_outputs(tmp_path):
    path = to_exported(Rotated(), tmp_path / "net.pt2", torch.randn(3, 2, 8, 8), torch.rand(3))
    model = load(path, {"training": "denoiser"})
    x = torch.randn(3, *model.event)
    wanted = Rotated()(x, torch.full((3,), 0.7))[0]
    torch.testing.assert_close(model.denoise(x, 0.7, None), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("network", "training"),
    [(ExactEDM, "edm"), (ExactDDPM, "linear-eps"), (ExactFlow, "flow")],
)
def test_what_the_file_does_not_say_is_found_by_the_check(tmp_path, network, training):
    opened = open_checkpoint(to_exported(network(), tmp_path / "net.pt2", *noisy()))
    spec = specify_checkpoint(opened)
    found = check_checkpoint(spec, family.network(spec, opened), mixture.data(64, 5, SIDE)[0])
    assert found.answers == {"training": training}, [check.detail for check in found.checks]


class OfVectors(nn.Module):
    """A network of points in the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.cat([x, t[:, None]], 1))


def test_states_may_be_vectors(tmp_path):
    path = to_exported(OfVectors(), tmp_path / "net.pt2", torch.randn(4, 2), torch.rand(4))
    model = load(path, {"training": "flow"})
    assert (model.event, model.limits) == ((2,), None)
    assert model.denoise(torch.randn(7, 2), 1.0, None).shape == (7, 2)


def with_weights_in_one(path: Path, weights: object) -> Path:
    """As the first versions of the archive have them, in one file of torch.save."""
    held = io.BytesIO()
    torch.save(weights, held)
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    root = next(iter(content)).partition("/")[0]
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            if "/data/weights/" not in name:
                file.writestr(name, data)
        file.writestr(f"{root}/data/weights/model.pt", held.getvalue())
    return path


def test_weights_in_one_file_are_read_and_no_objects_in_it(tmp_path):
    torch.manual_seed(8)
    network = Small()
    path, mark = to_exported(network, tmp_path / "net.pt2", *noisy()), tmp_path / "executed"
    x = torch.randn(2, 1, SIDE, SIDE)
    before = load(path, GIVEN).denoise(x, 1.0, None)
    with_weights_in_one(path, network.state_dict())
    assert torch.equal(load(path, GIVEN).denoise(x, 1.0, None), before)
    with_weights_in_one(path, {"first.weight": Touch(mark)})
    with pytest.raises(
        CheckpointError, match="its weights are pickled objects, and unpickling them"
    ):
        specify_checkpoint(open_checkpoint(path))
    assert not mark.exists()


class Touch:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def changed(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The archive with other content of its files."""
    with zipfile.ZipFile(path) as file:
        content = {name: change(name, file.read(name)) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def test_nothing_of_the_file_is_executed(tmp_path):
    """Pickled example inputs, sizes and guards as code: torch.export.load runs them."""
    path, mark = to_exported(Small(), tmp_path / "net.pt2", *noisy()), tmp_path / "executed"
    x = torch.randn(2, 1, SIDE, SIDE)
    before = load(path, GIVEN).denoise(x, 1.0, None)

    def change(name: str, data: bytes) -> bytes:
        if "sample_inputs" in name:
            held = io.BytesIO()
            torch.save(Touch(mark), held, pickle_module=pickle)
            return held.getvalue()
        if name.endswith("models/model.json"):
            code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
            program = json.loads(data)
            program["guards_code"] = [code]
            for value in program["graph_module"]["graph"]["tensor_values"].values():
                for size in value["sizes"]:
                    if "as_expr" in size:
                        size["as_expr"]["expr_str"] = code
            return json.dumps(program).encode()
        return data

    changed(path, change)
    assert torch.equal(load(path, GIVEN).denoise(x, 1.0, None), before)
    assert not mark.exists()
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it makes of it in the end
        torch.export.load(path)
    assert mark.exists()


def edited(find: bytes, new: bytes) -> Callable[[str, bytes], bytes]:
    return lambda name, data: data.replace(find, new) if name.endswith(".json") else data


WRONG = {
    "a pickled weight": (edited(b'"use_pickle": false', b'"use_pickle": true'), "is a pickled object"),
    "another function": (edited(b"torch.ops.aten.silu.default", b"torch.os.system"), "calls torch.os"),
    "a file": (edited(b"aten.silu.default", b"aten.from_file.default"), "calls torch.ops.aten.from_file"),
    "another version": (edited(b'"major": 8', b'"major": 9'), "is of version 9 of torch's schema"),
    "no program": (edited(b'"graph_module"', b'"other"'), "is damaged .*export the network again"),
    "a buffer that changes": (edited(b'"user_output"', b'"buffer_mutation"'), "changes its buffers"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_one_sentence(tmp_path, name):
    change, said = WRONG[name]
    path = changed(to_exported(Small(), tmp_path / "net.pt2", *noisy()), change)
    with pytest.raises(CheckpointError, match=said) as refused:
        specify_checkpoint(open_checkpoint(path))
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


class Branching(nn.Module):
    def forward(self, x, t):
        return (
            torch.cond(x.sum() > 0, lambda x: x * 2, lambda x: x - 1, (x,)) + t[:, None, None, None]
        )


def test_a_graph_within_the_graph_is_refused(tmp_path):
    path = to_exported(Branching(), tmp_path / "net.pt2", *noisy())
    with pytest.raises(CheckpointError, match=r"calls torch\.ops\.higher_order\.cond|of the kind"):
        specify_checkpoint(open_checkpoint(path))


def test_half_an_archive_is_one_sentence(tmp_path):
    path = to_exported(Small(), tmp_path / "net.pt2", *noisy())
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="cut short"):
        open_checkpoint(path)
