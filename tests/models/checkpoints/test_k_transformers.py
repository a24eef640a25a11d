"""k-diffusion's transformers: attention by its definition, files with a configuration, and a trained
network.
"""

from __future__ import annotations

import json
import math

import pytest
import safetensors.torch
import torch
import trained_mixture as training
from looping import each

from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models.checkpoints.families import k_diffusion
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.nets.k_attention import (
    global_attention,
    neighbourhood_attention,
    token_coordinates,
    window_attention,
)
from samplerbench.models.nets.k_transformers import KTransformerV1, KTransformerV2

DATA = 0.6
COMMON = {
    "input_channels": 1, "input_size": [8, 8], "sigma_data": DATA, "sigma_min": 0.01,
    "sigma_max": 80.0,
}  # fmt: skip
V1 = COMMON | {"type": "image_transformer_v1", "patch_size": [4, 2], "depth": 1, "width": 64}
V2 = COMMON | {
    "type": "image_transformer_v2", "patch_size": [1, 1], "depths": [1, 1, 2], "mapping_width": 16,
    "widths": [16, 16, 32],
    "self_attns": [
        {"type": "neighborhood", "d_head": 8, "kernel_size": 3},
        {"type": "shifted-window", "d_head": 16, "window_size": 2},
        {"type": "global", "d_head": 16},
    ],
}  # fmt: skip


def made(config, classes=0):
    torch.manual_seed(0)
    labels = classes + 1 if classes else 0
    if config["type"].endswith("v1"):
        return KTransformerV1(
            channels=1, width=64, hidden=48, depth=1, patch=config["patch_size"], labels=labels
        )
    return KTransformerV2(
        channels=1, patch=config["patch_size"], widths=config["widths"], depths=config["depths"],
        hidden=[16, 24, 32], attention=config["self_attns"], embedding=16, embedding_hidden=24,
        embedding_depth=2, labels=labels,
    )  # fmt: skip


def slim(folder, config, weights, classes=0, **data):
    held = {"model": config, "dataset": {"num_classes": classes, **data}}
    file = folder / "slim.safetensors"
    named = {k: w.contiguous() for k, w in weights.items()}
    safetensors.torch.save_file(named, file, {"config": json.dumps(held)})
    return file


def random(h, w):
    torch.manual_seed(1)
    return [torch.randn(2, 2, h, w, 4, dtype=torch.float64) for _ in range(3)]


def attended(query, keys, values):
    """Of one place."""
    return torch.softmax(keys @ query, 0) @ values


@pytest.mark.parametrize(("h", "w", "size"), [(5, 7, 3), (7, 7, 7), (6, 9, 5)])
def test_neighbourhoods_are_moved_inwards_at_the_borders(h, w, size):
    q, k, v = random(h, w)
    found = neighbourhood_attention(q, k, v, size)
    for y in range(h):
        for x in range(w):
            top, left = (min(max(at - size // 2, 0), n - size) for at, n in ((y, h), (x, w)))
            for n in range(2):
                for head in range(2):
                    seen = [
                        t[n, head, top : top + size, left : left + size].reshape(-1, 4)
                        for t in (k, v)
                    ]
                    right = attended(q[n, head, y, x], *seen)
                    torch.testing.assert_close(found[n, head, y, x], right)


@pytest.mark.parametrize("shift", [0, 2])
def test_windows_do_not_look_over_the_edge_of_the_image(shift):
    h, w, size = 8, 12, 4
    q, k, v = random(h, w)
    found = window_attention(q, k, v, size, shift)
    window = [[(-(-(at - size + shift + 1) // size)) for at in range(n)] for n in (h, w)]
    for y in range(h):
        for x in range(w):
            rows = [i for i in range(h) if window[0][i] == window[0][y]]
            columns = [i for i in range(w) if window[1][i] == window[1][x]]
            seen = [t[0, 1][rows][:, columns].reshape(-1, 4) for t in (k, v)]
            torch.testing.assert_close(found[0, 1, y, x], attended(q[0, 1, y, x], *seen))


def test_a_neighbourhood_or_window_of_all_places_is_attention_to_all():
    q, k, v = random(5, 5)
    whole = global_attention(q, k, v, 1.0)
    torch.testing.assert_close(neighbourhood_attention(q, k, v, 5), whole)
    torch.testing.assert_close(window_attention(q, k, v, 5, 0), whole)


def test_places_are_centres_in_a_box_of_the_images_shape():
    at = token_coordinates(2, 4, torch.zeros(1, dtype=torch.float64))
    assert at[:, 0, 0].tolist() == [-0.25, 0.25]
    assert at[0, :, 1].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert token_coordinates(2, 2, torch.zeros(1), aspect=2.0)[0, 0].tolist() == [-0.5, -0.25]


def losses(network, classes):
    """Of F, at levels evenly in ln sigma; a tenth of the labels is dropped."""

    def of(x0, modes, generator):
        count = len(x0)
        u = (torch.rand(count, generator=generator) + torch.arange(count)) / count
        sigma = (math.log(0.05) + u * math.log(10 / 0.05)).exp()[:, None, None, None]
        x = x0 + sigma * torch.randn(x0.shape, generator=generator)
        total = (sigma**2 + DATA**2).sqrt()
        wanted = (x0 - (DATA / total) ** 2 * x) * total / (sigma * DATA)
        dropped = torch.rand(count, generator=generator) < 0.1
        labels = torch.where(dropped, classes, modes)
        return (network(x / total, sigma.flatten().log() / 4, labels) - wanted).square().mean()

    return of


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    network = made(V1, training.MODES)
    weights = training.trained(
        network, losses(network, training.MODES), steps=120, rate=8e-3, batch=96
    )
    return slim(tmp_path_factory.mktemp("k"), V1, weights, training.MODES)


def checked(path, given):
    opened = open_checkpoint(path)
    spec = specify_checkpoint(opened).with_settings(given)
    clean, labels = training.data(96, 5)
    return check_checkpoint(spec, k_diffusion.network(spec, opened), clean, labels)


@pytest.mark.slow
def test_a_trained_transformer_passes_and_wrong_settings_fail(trained):
    model = load(trained, {})
    assert (model.spec.family, model.classes, model.null_label) == ("k_diffusion", 2, True)
    assert checked(trained, {}).passed, [c.detail for c in checked(trained, {}).checks]
    for wrong in ({"sign": "-1"}, {"time.scale": "1"}):
        assert not checked(trained, wrong).passed, wrong


@pytest.mark.parametrize("config", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("classes", [0, 3])
def test_files_become_the_network_that_they_are_of(tmp_path, config, classes):
    network = made(config, classes)
    file = slim(tmp_path, config, network.state_dict(), classes)
    model = load(file, {})
    assert (model.event, model.classes) == ((1, 8, 8), classes)
    x, labels = torch.randn(2, 1, 8, 8), torch.tensor([0, classes]) if classes else None
    told, total = torch.full((2,), math.log(1.5) / 4), math.hypot(1.5, DATA)
    with torch.no_grad():
        out = network(x / total, told, labels)
    right = (DATA / total) ** 2 * x + 1.5 * DATA / total * out
    torch.testing.assert_close(model.denoise(x, 1.5, labels), right, rtol=1e-5, atol=1e-5)


@each(
    ("changes", "sentence"),
    [
        ({"mapping_cond_dim": 4}, "told or built with mapping_cond_dim"),
        ({"has_variance": True}, "told or built with has_variance"),
        ({"self_attns": [{"type": "sparse"}] * 3}, "type 'sparse' is none of global, neighborhood"),
        ({"depths": [1, 1]}, "widths, depths and self_attns of its configuration are not as many"),
        ({"self_attns": None}, "level 1 has 4 x 4 places, fewer than its neighbourhoods"),
        ({"input_size": [12, 8]}, "level 2 has 3 x 2|level 1 has 6 x 4"),
        ({"widths": None}, "lacks"),
    ],
)
def test_k_transformer__what_cannot_be_is_one_sentence(tmp_path, changes, sentence):
    config = V2 | changes
    if "input_size" in changes:
        config["self_attns"] = [{"type": "shifted-window", "window_size": 4}] * 3
    file = slim(tmp_path, config, made(V2).state_dict())
    with pytest.raises(CheckpointError, match=sentence):
        specify_checkpoint(open_checkpoint(file))


@pytest.mark.parametrize(("rate", "null"), [({}, True), ({"cond_dropout_rate": 0.0}, False)])
def test_null_label__only_a_training_that_dropped_labels_knows_it(tmp_path, rate, null):
    path = slim(tmp_path, V1, made(V1, 3).state_dict(), 3, **rate)
    assert specify_checkpoint(open_checkpoint(path)).null_label is null
