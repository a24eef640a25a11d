"""Networks that were exported to ONNX: the same numbers as in torch, and what their files do not say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import trained_mixture as mixture
from small_programs import CLASSES, SIDE, ExactEDM, Small, to_onnx
from torch import nn

from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models.checkpoints.checkpoint_denoiser import Checkpoint
from samplerbench.models.checkpoints.families import onnx as family
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.process import VPLinear

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no ONNX files are written")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: ONNX files are not run")


def noisy(rows: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(rows, 1, SIDE, SIDE), torch.rand(rows)


LABELS = {"none": {}, "numbers": {"classes": CLASSES}, "rows": {"classes": CLASSES, "hot": True}}


@pytest.fixture(scope="module", params=LABELS)
def made(request, tmp_path_factory):
    """A network and its file."""
    torch.manual_seed(3)
    network = Small(**LABELS[request.param])
    y = {"none": (), "numbers": (torch.tensor([0, 2]),), "rows": (torch.eye(CLASSES)[[0, 2]],)}
    path = tmp_path_factory.mktemp("onnx") / f"{request.param}.onnx"
    return network, to_onnx(network, path, *noisy(), *y[request.param])


def test_it_gives_what_the_network_gives(made):
    network, path = made
    given = {"training": "linear-eps"} | ({"classes": "3"} if path.stem == "numbers" else {})
    model = load(path, given)
    twin = Checkpoint(model.spec, network.as_network, "torch", "0")
    x = 2 * torch.randn(5, *model.event, dtype=torch.float64)
    bound = model.bind(torch.arange(5), 0)
    assert (bound.labels is None) == (path.stem == "none")
    with torch.no_grad():
        for sigma in (0.1, 3.0, torch.linspace(0.1, 9, 5)):
            torch.testing.assert_close(
                bound(x, sigma), twin.denoise(x, sigma, bound.labels), rtol=0, atol=1e-5
            )


def test_how_many_classes_there_are_is_asked_where_labels_are_numbers(made):
    _, path = made
    if path.stem != "numbers":
        assert specify_checkpoint(open_checkpoint(path)).classes == (
            CLASSES if path.stem == "rows" else 0
        )
        return
    with pytest.raises(ValueError, match=r"does not say how many classes .* as in \?classes=10"):
        load(path, {"training": "linear-eps"})


def test_a_file_for_one_number_of_rows_takes_any(tmp_path):
    torch.manual_seed(4)
    network = Small()
    files = [
        to_onnx(network, tmp_path / f"{fixed}.onnx", *noisy(4), fixed=fixed)
        for fixed in (False, True)
    ]
    models = [load(path, {"training": "linear-eps"}) for path in files]
    assert "it takes 4 rows at a time" in models[1].spec.evidence
    for rows in (1, 4, 6):
        x = torch.randn(rows, *models[0].event)
        ends = [model.denoise(x, 0.7, None) for model in models]
        torch.testing.assert_close(*ends, rtol=0, atol=1e-6)


def test_the_side_of_images_is_asked_where_any_will_do_and_told_by_them(tmp_path):
    path = to_onnx(ExactEDM(), tmp_path / "net.onnx", *noisy())
    assert specify_checkpoint(open_checkpoint(path)).event == (1, SIDE, SIDE)
    opened = open_checkpoint(to_onnx(Small(), path, *noisy(), any_side=True))
    spec = specify_checkpoint(opened)
    assert set(spec.open) == {"training", "size"}
    assert spec.with_settings({"size": "28"}).event == (1, 28, 28)
    model = load(path, {"training": "edm", "size": "16"})
    assert model.denoise(torch.randn(2, 1, 16, 16), 1.0, None).shape == (2, 1, 16, 16)
    assert model.limits is None  # which the file does not say
    assert load(path, {"training": "edm", "size": "16", "limits": "[0,1]"}).limits == (0, 1)


def test_process_of__another_process_leaves_the_arguments_of_the_one_before(tmp_path):
    path = to_onnx(Small(), tmp_path / "net.onnx", *noisy())
    model = load(path, {"training": "linear-eps", "process.name": "vp_linear"})
    assert model.process == VPLinear()
    with pytest.raises(
        ValueError, match=r"process vp_linear: it takes .*beta_d, .* and no schedule"
    ):
        load(
            path,
            {"training": "linear-eps", "process.name": "vp_linear", "process.schedule": "linear"},
        )


class Score(nn.Module):
    """grad log p of x = x0 + sigma z, of N(mean, 0.3²)."""

    def forward(self, x, sigma):
        return (mixture.mean(SIDE) - x) / (0.3**2 + sigma[:, None, None, None] ** 2)


def test_check_checkpoint__a_score_is_among_the_answers_and_a_wrong_map_has_none(tmp_path):
    opened = open_checkpoint(to_onnx(Score(), tmp_path / "net.onnx", *noisy()))
    generator = torch.Generator().manual_seed(0)
    images = mixture.mean(SIDE) + 0.3 * torch.randn(64, 1, SIDE, SIDE, generator=generator)
    spec = specify_checkpoint(opened)
    found = check_checkpoint(spec, family.network(spec, opened), images)
    assert found.passed, [check.detail for check in found.checks]
    assert found.answers == {"training": "score"}
    found = check_checkpoint(spec, family.network(spec, opened), images.flip(-1) + 1.5)
    assert found.verdict == "failed"
    assert "none of the 17 answers is right" in found.checks[0].detail
    assert not any("fits, and" in check.detail for check in found.checks)


class OfOneSide(nn.Module):
    def forward(self, x, t):
        return x * torch.ones(SIDE, SIDE) + t[:, None, None, None]


def test_a_program_that_fails_is_one_sentence(tmp_path):
    path = to_onnx(OfOneSide(), tmp_path / "net.onnx", *noisy(), any_side=True)
    model = load(path, {"training": "edm", "size": "16"})
    said = r"fails on inputs of the sizes x \(2, 1, 16, 16\), t \(2,\) .*was exported for"
    with pytest.raises(ValueError, match=said):
        model.denoise(torch.randn(2, 1, 16, 16), 1.0, None)


class OneTime(nn.Module):
    """One time for all rows."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, t):
        return self.inner(x, t.reshape(1).expand(x.shape[0]))


def test_a_file_for_one_time_is_called_for_each(tmp_path):
    torch.manual_seed(5)
    network = Small()
    x, _ = noisy(4)
    path = to_onnx(OneTime(network), tmp_path / "one.onnx", x, torch.tensor(0.5))
    many = to_onnx(network, tmp_path / "many.onnx", *noisy())
    models = [load(p, {"training": "linear-eps"}) for p in (path, many)]
    ends = [model.denoise(x, torch.tensor([3.0, 0.5, 3.0, 1.0]), None) for model in models]
    torch.testing.assert_close(*ends, rtol=0, atol=1e-6)


def test_what_the_file_does_not_say_is_found_by_the_check(tmp_path):
    opened = open_checkpoint(to_onnx(ExactEDM(), tmp_path / "net.onnx", *noisy()))
    spec = specify_checkpoint(opened)
    assert set(spec.open) == {"training"}
    found = check_checkpoint(spec, family.network(spec, opened), mixture.data(64, 5, SIDE)[0])
    assert found.passed, [check.detail for check in found.checks]
    assert found.answers == {"training": "edm"}


def with_metadata(path: Path, **said: str) -> Path:
    program = onnx.load(path)
    onnx.helper.set_model_props(program, {f"samplerbench.{k}": v for k, v in said.items()})
    onnx.save(program, path)
    return path


def test_metadata_answer_and_a_learned_variance_is_asked_for(tmp_path):
    path = to_onnx(Small(doubled=True), tmp_path / "net.onnx", *noisy())
    assert set(specify_checkpoint(open_checkpoint(path)).open) == {"training", "half"}
    with_metadata(path, training="cosine-v", half="second", sigma_max="50")
    spec = specify_checkpoint(open_checkpoint(path))
    assert (spec.open, spec.prediction, spec.half, spec.sigma_max) == ({}, "v", "second", 50)
    assert spec.source("prediction") == spec.source("half") == spec.source("sigma_max") == "file"
    assert load(path, {}).kind == "denoiser"
    with_metadata(path, training="cubic")
    with pytest.raises(ValueError, match="training='cubic' is no answer"):
        load(path, {})


def test_weights_beside_the_file_are_part_of_the_identity(tmp_path):
    path = to_onnx(Small(), tmp_path / "net.onnx", *noisy())
    alone = load(path, {"training": "linear-eps"})
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="net.data", size_threshold=0
    )
    model = load(path, {"training": "linear-eps"})
    x = torch.randn(2, *model.event)
    assert torch.equal(model.denoise(x, 1.0, None), alone.denoise(x, 1.0, None))
    content = bytearray((tmp_path / "net.data").read_bytes())
    content[0] ^= 1
    (tmp_path / "net.data").write_bytes(content)
    assert load(path, {"training": "linear-eps"}).identity != model.identity
    (tmp_path / "net.data").unlink()
    with pytest.raises(CheckpointError, match=r"weights in net\.data, which is not in its folder"):
        open_checkpoint(path)


class Two(nn.Module):
    def forward(self, x, t):
        return x * 2, t


WRONG = {
    "one input": (nn.Identity(), noisy()[:1], r"its inputs are x \(any, 1, 8, 8\).*it must take"),
    "no image": (Two(), (torch.rand(2), torch.rand(2)), "it must take a noisy image"),
    "channels": (nn.Conv2d(1, 3, 1), None, "must say the channels"),
}


class Ignoring(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, t):
        return self.inner(x) + t[:, None, None, None]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs_are_one_sentence(tmp_path, name):
    network, inputs, said = WRONG[name]
    network = Ignoring(network) if inputs is None else network
    path = to_onnx(network, tmp_path / "net.onnx", *(inputs or noisy()))
    with pytest.raises(CheckpointError, match=said) as refused:
        specify_checkpoint(open_checkpoint(path))
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_damaged_file_is_one_sentence(tmp_path):
    path = to_onnx(Small(), tmp_path / "net.onnx", *noisy())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="cut short or no ONNX file; copy or export it again"):
        open_checkpoint(path)
    path.write_bytes(whole.replace(b"Conv", b"Cnov"))
    with pytest.raises(CheckpointError, match=r"cannot be run by onnxruntime .*export it again"):
        specify_checkpoint(open_checkpoint(path))


def test_without_onnxruntime_the_remedy_is_named(tmp_path, monkeypatch):
    path = to_onnx(Small(), tmp_path / "net.onnx", *noisy())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CheckpointError, match=r"pip install 'samplerbench\[onnx\]'"):
        specify_checkpoint(open_checkpoint(path))


def test_it_stays_on_the_cpu(tmp_path):
    model = load(to_onnx(Small(), tmp_path / "n.onnx", *noisy()), {"training": "linear-eps"})
    assert model.to("cpu") is not model
    with pytest.raises(ValueError, match="ONNX files run on the CPU here, not on cuda"):
        model.to("cuda")
