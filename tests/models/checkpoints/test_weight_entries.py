"""Sets of weights are found in whatever layout a training saves, averages first, and the choice is said."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from samplerbench.benchmarks.planning.model_loading import load_model
from samplerbench.models.checkpoints.families import openai
from samplerbench.models.checkpoints.opening import (
    CheckpointError,
    OpenedCheckpoint,
    open_checkpoint,
)
from samplerbench.models.checkpoints.weights import chosen_set_in_words, find_sets
from samplerbench.models.loaders.checkpoint import specify_checkpoint, write_converted
from samplerbench.models.nets.adm_unet import ADMUNet

SHAPE = {"in_channels": 1, "out_channels": 1, "embedding": 8, "stem": 32, "widths": (32,)}
SHAPE |= {"blocks": 1, "attention": (), "heads": 1}
TENSOR = torch.tensor


def network() -> nn.Module:
    torch.manual_seed(0)
    return ADMUNet(**SHAPE)


AVERAGE = {name: tensor + 1 for name, tensor in network().state_dict().items()}
RAW = {name: tensor - 1 for name, tensor in network().state_dict().items()}


def behind(prefix: str, tensors: dict) -> dict:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def lightning_with_list() -> dict:
    """Lightning with torch_ema: the average is a list in the order of the parameters."""
    shadow = [AVERAGE[name] for name, _ in network().named_parameters()]
    ema = {"decay": 0.999, "num_updates": 5, "shadow_params": shadow, "collected_params": None}
    return {"state_dict": behind("model.", RAW), "epoch": 3, "ema": ema}


LAYOUTS = {
    "ema_pytorch": (
        {
            "step": 5,
            "model": behind("model.", RAW),
            "ema": {
                "initted": TENSOR([True]),
                "step": TENSOR([5]),
                **behind("online_model.model.", RAW),
                **behind("ema_model.model.", AVERAGE),
            },
        },
        "model",
    ),
    "timm": ({"state_dict": RAW, "state_dict_ema": AVERAGE}, "state_dict"),
    "rate": ({"model": RAW, "ema_0.9999": AVERAGE}, "model"),
    "callback": (
        {
            "state_dict": behind("net.", RAW),
            "callbacks": {"EMA": {"ema_state_dict": behind("net.", AVERAGE), "decay": 0.9}},
        },
        "state_dict",
    ),
    "parallel": (
        {"ema": {"num_updates": TENSOR(7), **behind("module.", AVERAGE)}, "model": RAW},
        "model",
    ),
    "swa": (
        {"net": RAW, "swa_model": {"n_averaged": TENSOR(3), **behind("module.", AVERAGE)}},
        "net",
    ),
    "compiled": (
        {
            "state_dict": {
                **behind("_orig_mod.module.", RAW),
                **behind("ema.module.", AVERAGE),
                "num_updates": TENSOR(3),
            }
        },
        "_orig_mod.module",
    ),
    "list": (lightning_with_list(), "state_dict"),
}
"""What a file holds, and what reaches its other weights."""


def taken(path, entry: str | None = None) -> tuple[torch.Tensor, tuple[str, ...]]:
    """A weight of the network that is made of a file, and what is said of the file."""
    opened = open_checkpoint(path)
    given = {"schedule": "linear", "size": "8", "attention": "1-head"}
    spec = specify_checkpoint(opened).with_settings(
        given if entry is None else {**given, "weights.entry": entry}
    )
    return openai.network(spec, opened).state_dict()["out.2.weight"], spec.evidence


@pytest.mark.parametrize("layout", LAYOUTS)
def test_entries_of__the_average_is_taken_and_the_other_reached(tmp_path, layout):
    held, other = LAYOUTS[layout]
    torch.save(held, tmp_path / "model.pt")
    weight, said = taken(tmp_path / "model.pt")
    assert torch.equal(weight, AVERAGE["out.2.weight"])
    assert "(an average) is taken; weights.entry=" in said[-1]
    shown = said[-1].rpartition("weights.entry=")[2].split(" takes ")[0]
    for entry in (other, shown):
        assert torch.equal(taken(tmp_path / "model.pt", entry)[0], RAW["out.2.weight"])
    with pytest.raises(CheckpointError, match="entry 'none'; they are in: "):
        taken(tmp_path / "model.pt", "none")


def test_entries_of__no_average_of_gradients_is_taken_for_one_of_weights(tmp_path):
    zeros = [torch.zeros_like(weight) for weight in network().parameters()]
    named = {name: torch.zeros_like(tensor) for name, tensor in RAW.items()}
    beside = (
        {"optimizer": {"exp_avg": zeros}},
        {"optimizer": {"exp_avg": named, "exp_avg_sq": named}},
        {"unet_non_ema": named, "unet_no_ema": named},
    )
    for others in beside:
        torch.save({**others, "model": RAW}, tmp_path / "model.pt")
        assert torch.equal(taken(tmp_path / "model.pt")[0], RAW["out.2.weight"])


def test_entries_of__an_average_of_a_network_whose_name_ends_in_no_is_one(tmp_path):
    torch.save({"dino": RAW, "dino_ema": AVERAGE}, tmp_path / "model.pt")
    assert torch.equal(taken(tmp_path / "model.pt")[0], AVERAGE["out.2.weight"])


def test_entries_of__one_table_under_two_names_is_reached_by_both(tmp_path):
    torch.save({"model": AVERAGE, "ema_model": AVERAGE}, tmp_path / "same.pt")
    for entry in (None, "ema_model", "model"):
        weight, said = taken(tmp_path / "same.pt", entry)
        assert torch.equal(weight, AVERAGE["out.2.weight"])
        assert "ema_model (an average) is taken; weights.entry=model takes the other" in said[-1]
    same = list(range(9))
    for _ in range(9):
        same = [same] * 9
    assert find_sets(
        OpenedCheckpoint(tmp_path, "torch", {"model": AVERAGE, "many": same}), openai.KEYS
    )


@pytest.mark.parametrize("prefix", ["model.", "net.", "_orig_mod.module.", "module.unet."])
def test_entries_of__a_prefix_is_no_matter(tmp_path, prefix):
    torch.save(OrderedDict(behind(prefix, RAW)), tmp_path / "a.pt")
    more = {"loss.weight": torch.ones(3), **behind(prefix, RAW), "betas": torch.ones(9)}
    torch.save({"state_dict": more, "epoch": 3}, tmp_path / "b.pt")
    for name in ("a.pt", "b.pt"):
        weight, said = taken(tmp_path / name)
        assert torch.equal(weight, RAW["out.2.weight"])
        assert "sets of weights" not in " ".join(said)


def test_entries_of__a_whole_module_is_read_and_not_made(tmp_path):
    whole = network()
    torch.save({"ema": nn.DataParallel(whole)}, tmp_path / "whole.pt")
    weight, _ = taken(tmp_path / "whole.pt")
    assert torch.equal(weight, whole.state_dict()["out.2.weight"])


def test_entries_of__a_list_that_lacks_a_weight_is_refused(tmp_path):
    held = lightning_with_list()
    held["ema"]["shadow_params"].pop()
    torch.save(held, tmp_path / "short.pt")
    with pytest.raises(CheckpointError, match="of another network: a list"):
        taken(tmp_path / "short.pt")


def notes(caplog, path) -> list[str]:
    """What a command says of the weights of a file."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "samplerbench"):
        load_model(f"{path}schedule=linear&size=8&attention=1-head")
    return [record.getMessage() for record in caplog.records]


def test_load_model__one_of_several_sets_of_weights_is_named(tmp_path, caplog):
    path = tmp_path / "two.pt"
    torch.save({"model": RAW, "ema_0.9999": AVERAGE}, path)
    (note,) = notes(caplog, f"{path}?")
    assert f"{path}?" in note
    assert "ema_0.9999 (an average) is taken; samplerbench check-model says how" in note
    assert notes(caplog, f"{path}?weights.entry=model&") == []
    torch.save(RAW, tmp_path / "one.pt")
    assert notes(caplog, f"{tmp_path / 'one.pt'}?") == []


def test_weights_taken__a_converted_file_has_one_set(tmp_path):
    torch.save({"model": RAW, "ema": AVERAGE}, tmp_path / "two.pt")
    given = {"schedule": "linear", "size": "8", "attention": "1-head"}
    write_converted(tmp_path / "two.pt", given, None, tmp_path / "out")
    assert chosen_set_in_words(specify_checkpoint(open_checkpoint(tmp_path / "two.pt"))) != ""
    assert chosen_set_in_words(specify_checkpoint(open_checkpoint(tmp_path / "out"))) == ""


def sharded(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """Weights in two files of safetensors, with an index."""
    names = sorted(tensors)
    parts = {"a-1-of-2.safetensors": names[::2], "a-2-of-2.safetensors": names[1::2]}
    for file, inside in parts.items():
        save_file({name: tensors[name] for name in inside}, folder / file)
    weight_map = {name: file for file, inside in parts.items() for name in inside}
    index = folder / "a.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


def test_open_checkpoint__an_index_opens_all_its_files(tmp_path):
    index = sharded(tmp_path, behind("model.", RAW))
    for path in (index, tmp_path):
        assert torch.equal(taken(path)[0], RAW["out.2.weight"])
    first = open_checkpoint(tmp_path).sha256
    assert first == open_checkpoint(index).sha256
    (tmp_path / "a-2-of-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"a-2-of-2\.safetensors is missing"):
        open_checkpoint(index)
    index.write_text(json.dumps({"weight_map": {"out.2.weight": "../up.safetensors"}}))
    with pytest.raises(CheckpointError, match="no index of weights in its folder"):
        open_checkpoint(index)


def test_find_sets__two_numbered_lists_are_refused_as_averages_of_another_network(tmp_path):
    lists = {f"{name}.shadow_params.0": torch.ones(2) for name in "ab"}
    torch.save({"model": RAW, "ema": lists}, tmp_path / "two.pt")
    with pytest.raises(CheckpointError, match="of another network: a list"):
        taken(tmp_path / "two.pt")
