"""Conditions drawn by sample number from a file of embeddings."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from samplerbench.models.adapters import NativeDenoiser
from samplerbench.models.checkpoints.checkpoint_denoiser import Checkpoint
from samplerbench.models.checkpoints.conditions import Lookup, read_conditions
from samplerbench.models.checkpoints.opening import CheckpointError
from samplerbench.models.checkpoints.specification import Specification
from samplerbench.models.guidance import ClassifierFree
from samplerbench.models.process import VE

ROWS = torch.tensor([[-1.0, 2.0], [0.5, 0.5], [3.0, -2.0]])
NONE = torch.tensor([[0.25, -0.25]])
SPREAD = 0.5


class Told(nn.Module):
    """The denoiser of Gaussians of which each condition is the mean: exact, and known."""

    def __init__(self, tables) -> None:
        super().__init__()
        self.lookup = Lookup(tables)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        mean, square = self.lookup(labels)["prompt_embeds"], t[:, None] ** 2
        return (SPREAD**2 * x + square * mean) / (SPREAD**2 + square)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "prompts.safetensors"
    save_file({"prompt_embeds": ROWS, "negative_prompt_embeds": NONE}, path)
    return path


def specification(file, **settings: str) -> Specification:
    spec = Specification(
        family="test", network={"class": "Told"}, weights={"file": ""}, event=(2,),
        process={"name": "ve"}, prediction="x0", embeddings={"needs": ["prompt_embeds"]},
    )  # fmt: skip
    return spec.with_settings({"embeddings": str(file), **settings})


def model(spec: Specification, file) -> Checkpoint:
    return Checkpoint(spec, Told(read_conditions(file, ["prompt_embeds"]).tables), "told", "0" * 64)


def exact(x: Tensor, sigma: float, mean: Tensor) -> Tensor:
    return (SPREAD**2 * x + sigma**2 * mean) / (SPREAD**2 + sigma**2)


def test_a_sample_takes_the_row_of_its_number(file):
    made = model(specification(file), file)
    ids = torch.tensor([0, 4, 7, 2, 9])
    x = torch.randn(5, 2)
    d = made.bind(ids, 3)(x, 1.5)
    torch.testing.assert_close(d, exact(x, 1.5, ROWS[ids % 3]))
    assert (made.conditions, made.classes, made.null_label) == (3, 0, True)
    torch.testing.assert_close(made.denoise(x, 1.5, None), exact(x, 1.5, NONE))


def test_rows_may_be_drawn_at_random_or_not_at_all(file):
    drawn = model(specification(file, labels="random"), file).draw_labels(torch.arange(600), 1)
    assert drawn is not None
    assert drawn.bincount(minlength=4)[3] == 0
    assert drawn.bincount().min() > 150
    assert model(specification(file, labels="none"), file).draw_labels(torch.arange(3), 1) is None


def test_guidance_goes_from_the_negative_prompt(file):
    guided = ClassifierFree(model(specification(file), file), 3.0)
    x, ids = torch.randn(4, 2), torch.arange(4)
    free, told = exact(x, 2.0, NONE), exact(x, 2.0, ROWS[ids % 3])
    torch.testing.assert_close(guided.bind(ids, 0)(x, 2.0), free + 3 * (told - free))
    assert guided.conditions == 3


def test_the_file_is_told_by_its_content(file, tmp_path):
    same, other = tmp_path / "same.safetensors", tmp_path / "other.safetensors"
    save_file({"prompt_embeds": ROWS, "negative_prompt_embeds": NONE}, same)
    save_file({"prompt_embeds": ROWS + 1, "negative_prompt_embeds": NONE}, other)
    first, again, third = (
        model(specification(path), path).identity for path in (file, same, other)
    )
    assert first == again != third
    spec = specification(file)
    assert spec.embeddings["rows"] == 3
    assert spec.embeddings["shapes"] == {"prompt_embeds": [2]}
    assert (spec.labels, spec.source("embeddings")) == ("balanced", "user")


def test_read_conditions__the_hash_of_a_sharded_file_covers_its_shards(file, tmp_path):
    index = tmp_path / "p.safetensors.index.json"
    tensors = {"prompt_embeds": file.name, "negative_prompt_embeds": file.name}
    index.write_text(json.dumps({"weight_map": tensors}))
    first = read_conditions(index, []).description["sha256"]
    save_file({"prompt_embeds": ROWS + 1, "negative_prompt_embeds": NONE}, file)
    assert read_conditions(index, []).description["sha256"] != first


def test_a_denoiser_of_ones_own_takes_conditions(file):
    tables = read_conditions(file, ["prompt_embeds"]).tables
    options = {"name": "told", "event": (2,), "identity": "1"}
    made = NativeDenoiser(Told(tables), VE(), "x0", conditions=3, **options)
    assert made.draw_labels(torch.tensor([5, 3]), 0).tolist() == [2, 0]
    without = NativeDenoiser(
        Told({"prompt_embeds": ROWS}), VE(), "x0", conditions=3, null_label=False, **options
    )
    with pytest.raises(ValueError, match="nothing that means no condition"):
        without.denoise(torch.zeros(1, 2), 1.0, None)
    with pytest.raises(ValueError, match="no embeddings of the negative prompt"):
        ClassifierFree(without, 2.0)
    with pytest.raises(ValueError, match="classes or conditions"):
        NativeDenoiser(Told(tables), VE(), "x0", conditions=3, classes=2, **options)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"prompts": ROWS}, "lacks prompt_embeds"),
        ({"prompt_embeds": ROWS, "text_embeds": ROWS}, "has text_embeds; the network takes"),
        ({"prompt_embeds": ROWS[0]}, r"a row for each condition.*\(2,\)"),
        ({"prompt_embeds": ROWS, "negative_prompt_embeds": torch.zeros(1, 3)}, "pad the shorter"),
        ({"prompt_embeds": ROWS, "negative_prompt_embeds": ROWS}, "differ.*keep one row"),
        ({"prompt_embeds": ROWS * float("nan")}, "not finite"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, tensors, said):
    path = tmp_path / "wrong.safetensors"
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path)
    with pytest.raises(CheckpointError, match=said) as refused:
        read_conditions(path, ["prompt_embeds"])
    assert "\n" not in str(refused.value)


def test_tensors_of_unlike_rows_or_half_of_the_negatives_are_refused(tmp_path):
    path = tmp_path / "wrong.safetensors"
    needs = ["prompt_embeds", "pooled_prompt_embeds"]
    save_file({"prompt_embeds": ROWS, "pooled_prompt_embeds": ROWS[:2].clone()}, path)
    with pytest.raises(CheckpointError, match="as many as the others"):
        read_conditions(path, needs)
    tables = {"prompt_embeds": ROWS, "pooled_prompt_embeds": ROWS.clone()}
    save_file(tables | {"negative_prompt_embeds": NONE}, path)
    with pytest.raises(CheckpointError, match="lacks negative_pooled_prompt_embeds; give all"):
        read_conditions(path, needs)


def test_settings_that_cannot_be(file, tmp_path):
    plain = Specification(
        family="test", network={}, weights={}, event=(4, 8, 8), process={"name": "ve"},
        prediction="x0", scalars={"guidance": 3.5},
    )  # fmt: skip
    for given, said in (
        ({"embeddings": str(file)}, "takes no embeddings"),
        ({"scalars.strength": "1"}, "its scalars are: guidance"),
        ({"event": "[3,8,8]"}, "as many channels"),
        ({"event": "8"}, "the shape of a sample"),
    ):
        with pytest.raises(ValueError, match=said):
            plain.with_settings(given)
    assert plain.with_settings({"event": "[4,16,16]"}).event == (4, 16, 16)
    assert plain.with_settings({"scalars.guidance": "1"}).scalars == {"guidance": 1}
    only = tmp_path / "only.safetensors"
    save_file({"prompt_embeds": ROWS}, only)
    spec = specification(only, labels="none")
    with pytest.raises(ValueError, match="has nothing for no condition"):
        model(spec, only)
