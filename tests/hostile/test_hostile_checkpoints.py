"""A checkpoint, or a folder of one, from somebody who means harm: nothing of it runs, hangs, fills the
memory or is read outside it.
"""

import json
import os
import pickle
import struct
import zipfile

import pytest
import torch
from arena import watchdog
from looping import each

from samplerbench.models.checkpoints.diffusers.folder import check_no_code, read_folder
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import build_model, specify_checkpoint

HEADER = {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}


class Call:
    """Pickled, it has a function called."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def safetensors(header):
    """A safetensors file with any header."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)


def nested(levels):
    """A pickle with a tuple of a tuple twice, and so on, as the key of a dictionary."""
    twice = (bytes((*b"h", k, *b"h", k)) + b"\x86\x94" for k in range(levels))
    return b"\x80\x04)\x94" + b"".join(twice) + bytes((*b"}h", levels)) + b"K\x01s."


@each(
    ("content", "words"),
    [
        (nested(60), "tuples in tuples"),
        (pickle.dumps({"a": Call(bytearray, 1 << 40)}), "cannot be read without executing it"),
        (b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.", "download it again|as safetensors"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.", "download it again|as safetensors"),
        (b"\x80\x04\x00", "cut short or damaged"),
        (struct.pack("<Q", 1 << 60) + b"{" * 100, "cut short or damaged"),
        (safetensors({"a": HEADER["a"] | {"shape": [1 << 62, 4]}}), "cut short or damaged"),
        (
            safetensors({**HEADER, "b": HEADER["a"] | {"data_offsets": [8, 24]}}),
            "cut short or damaged",
        ),
    ],
    ids=["hash", "bytearray", "bytearray8", "bytes8", "opcode", "header", "shape", "overlap"],
)
def test_open_checkpoint__a_bomb_is_one_sentence(tmp_path, content, words):
    (tmp_path / "x").write_bytes(content)
    with watchdog(20), pytest.raises(CheckpointError, match=words):
        open_checkpoint(tmp_path / "x")


def changing(name, state):
    """A pickle that sets attributes of a class or function of this process, which it names."""
    module, _, part = name.rpartition(".")
    return (
        b"\x80\x02c" + f"{module}\n{part}\n".encode() + pickle.dumps((None, state), 2)[2:-1] + b"b."
    )


@each(
    ("name", "state"),
    [
        ("torch._utils._rebuild_tensor_v2", {"__defaults__": ({"neg": True},)}),
        ("torch.storage.UntypedStorage", {"nbytes": 7}),
        ("somebody.Network", {"forward": 7}),
    ],
)
def test_open_checkpoint__changes_no_class_and_no_function(tmp_path, name, state):
    before = torch._utils._rebuild_tensor_v2.__defaults__, torch.UntypedStorage.nbytes
    (tmp_path / "x.pt").write_bytes(changing(name, state))
    with pytest.raises(CheckpointError, match="changes a class or function"):
        open_checkpoint(tmp_path / "x.pt")
    assert before == (torch._utils._rebuild_tensor_v2.__defaults__, torch.UntypedStorage.nbytes)


class Module:
    """Pickled, it is taken for a module of a network."""

    def __init__(self, **modules):
        self._modules = modules


def without_end():
    """A list that has itself in it a thousand times."""
    made = [{}]
    made += [made] * 1000
    return made


def doubled(levels):
    """A module that has the next one in it twice, and so on."""
    made = Module()
    for _ in range(levels):
        made = Module(a=made, b=made)
    return {"model": made}


@pytest.mark.parametrize(
    ("value", "words"), [(without_end(), "of no known family"), (doubled(40), "without end")]
)
def test_circles_and_doubles_end(tmp_path, value, words):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
    with watchdog(20), pytest.raises(ValueError, match=words):
        specify_checkpoint(open_checkpoint(tmp_path / "x.pkl"))


def protobuf(number, content):
    """Return a field of a message: tag, length in three bytes, content."""
    size = len(content)
    return bytes([number << 3 | 2, size & 127 | 128, size >> 7 & 127 | 128, size >> 14]) + content


def graphs_in_graphs(levels):
    inner = b""
    for _ in range(levels):
        inner = protobuf(1, protobuf(5, protobuf(6, inner)))
    return inner


@pytest.mark.parametrize(
    "graph",
    [protobuf(5, protobuf(13, protobuf(1, b"location"))), graphs_in_graphs(3000)],
    ids=["place without a value", "graphs in graphs"],
)
def test_open_checkpoint__an_onnx_file_that_no_library_wrote_is_one_sentence(tmp_path, graph):
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07" + protobuf(7, graph))
    with pytest.raises(CheckpointError, match="cut short or no ONNX file"):
        open_checkpoint(tmp_path / "net.onnx")


def test_bytearrays_of_bytes_are_still_read(tmp_path):
    for protocol in (2, 4, 5):
        content = pickle.dumps({"a": bytearray(b"abc"), "b": ((1, 2), (3,))}, protocol)
        (tmp_path / "x").write_bytes(content)
        assert open_checkpoint(tmp_path / "x").value == {"a": b"abc", "b": ((1, 2), (3,))}


def test_an_archive_is_no_larger_unpacked_than_it_is(tmp_path):
    torch.save({"a": torch.zeros(1 << 18)}, tmp_path / "whole.pt")
    packed = zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(tmp_path / "whole.pt") as whole, packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    assert open_checkpoint(tmp_path / "whole.pt").value["a"].shape == (1 << 18,)
    with pytest.raises(CheckpointError, match="larger unpacked than it is"):
        open_checkpoint(tmp_path / "x.pt")


def test_members_of_an_archive_go_nowhere(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("../../up", "x")
        archive.writestr("a/b", "x")
    with pytest.raises(CheckpointError, match="a zip archive of other things"):
        open_checkpoint(tmp_path / "x.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


@pytest.fixture
def folder(tmp_path):
    """A folder as diffusers has it, without an honest weight."""
    home = tmp_path / "d"
    for part in ("unet", "scheduler"):
        (home / part).mkdir(parents=True)
    change(home / "model_index.json", _class_name="DDPMPipeline", unet=["diffusers", "UNet2DModel"])
    change(home / "model_index.json", scheduler=["diffusers", "DDPMScheduler"])
    change(home / "unet/config.json", sample_size=8, in_channels=3, out_channels=3)
    change(home / "scheduler/scheduler_config.json", num_train_timesteps=1000)
    (home / "unet/diffusion_pytorch_model.safetensors").write_bytes(safetensors(HEADER))
    return home


def change(path, **items):
    """Change items of a JSON file."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | items))


def index(folder, value):
    """Weights in several files, one of them wherever ``value`` says."""
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    change(folder / "unet/diffusion_pytorch_model.safetensors.index.json", weight_map={"a": value})


def in_place(path, make):
    """Put something else in the place of a file."""
    path.unlink()
    make(path)


WRONG = {
    "a part elsewhere": lambda d: change(
        d / "model_index.json", **{"unet": [None, None], "../up": ["diffusers", "UNet2DModel"]}
    ),
    "an absolute part": lambda d: change(
        d / "model_index.json", **{"unet": [None, None], "/etc": ["diffusers", "UNet2DModel"]}
    ),
    "code of its own": lambda d: change(d / "model_index.json", unet=["my_module", "Net"]),
    "a class of lists": lambda d: change(d / "model_index.json", unet=["diffusers", ["os"]]),
    "weights elsewhere": lambda d: index(d, "../../up.safetensors"),
    "weights of lists": lambda d: index(d, ["x"]),
    "a pipe": lambda d: in_place(d / "unet/config.json", os.mkfifo),
    "a device": lambda d: in_place(d / "unet/config.json", lambda p: p.symlink_to("/dev/zero")),
    "sparse": lambda d: os.truncate(d / "unet/config.json", 1 << 40),
    "deep": lambda d: (d / "unet/config.json").write_text("[" * 100_000),
    "a size of words": lambda d: change(d / "unet/config.json", sample_size="__import__('os')"),
    "channels of words": lambda d: change(d / "unet/config.json", in_channels="x"),
    "endless steps": lambda d: change(
        d / "scheduler/scheduler_config.json", num_train_timesteps=10**12
    ),
    "a prediction of lists": lambda d: change(
        d / "scheduler/scheduler_config.json", prediction_type=["x"]
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_folder_that_says_what_cannot_be_is_one_sentence(folder, wrong):
    WRONG[wrong](folder)
    opened = open_checkpoint(folder)
    with watchdog(20), pytest.raises(ValueError, match=r"\w") as caught:
        build_model(specify_checkpoint(opened, "diffusers"), opened)
    assert "\n" not in str(caught.value)
    assert "diffusers library" not in str(caught.value), "it got as far as the library"


def test_links_of_a_download_cache_are_followed(folder, tmp_path):
    """A folder of the hub's cache has links to files in ../../blobs: what is behind a link is read,
    as data, wherever it is.
    """
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    weights.rename(tmp_path / "blob")
    weights.symlink_to(tmp_path / "blob")
    assert read_folder(open_checkpoint(folder)).weights.endswith(weights.name)


def test_pickled_weights_with_code_are_refused_before_a_library_opens_them(tmp_path):
    torch.save({"a": Call(os.mkdir, str(tmp_path / "pwned"))}, tmp_path / "x.bin")
    (tmp_path / "x.bin.index.json").write_text('{"weight_map": {"a": "x.bin"}}')
    for weights in (tmp_path / "x.bin", tmp_path / "x.bin.index.json"):
        with pytest.raises(CheckpointError, match="is a pickle with code"):
            check_no_code(weights)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"class": ["x"]}, "there is no network"),
        ({"class": "os.system"}, "there is no network"),
        ({"class": "SongUNet", "arguments": {"model_channels": 1 << 17}}, "more numbers than"),
    ],
    ids=["list", "function", "huge"],
)
def test_a_converted_folder_names_no_code_and_no_network_larger_than_it_is(
    tmp_path, network, words
):
    sizes = {"img_resolution": 8, "in_channels": 3, "out_channels": 3}
    arguments = {"arguments": sizes | network.get("arguments", {})}
    card = {
        "format": "samplerbench checkpoint",
        "version": 1,
        "original": {"name": "x", "family": "y"},
        "specification": {
            "family": "edm",
            "network": network | arguments,
            "weights": {},
            "event": [3, 8, 8],
            "process": {"name": "edm"},
            "prediction": "edm",
        },
    }
    (tmp_path / "card.json").write_text(json.dumps(card))
    (tmp_path / "model.safetensors").write_bytes(safetensors(HEADER))
    opened = open_checkpoint(tmp_path)
    with watchdog(20), pytest.raises(CheckpointError, match=words):
        build_model(specify_checkpoint(opened, "converted"), opened)
