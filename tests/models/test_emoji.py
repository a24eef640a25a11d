"""The emoji of a font as data, and the network that was trained on them."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from fontTools.ttLib import TTFont
from PIL import Image

from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models import load_card, make_model
from samplerbench.models.cards import noto_emoji
from samplerbench.models.checkpoints.specification import Specification
from samplerbench.models.reference import BlockMeansExtractor
from samplerbench.samplers import NoNoise, karras, make

CAT, CAT_WITH_WRY_SMILE = (0x1F431,), (0x1F63C,)


def there() -> bool:
    return noto_emoji.FONT.is_file() and noto_emoji.NAMES.is_file()


installed = pytest.mark.skipif(
    not there(), reason="Debian's fonts-noto-color-emoji and unicode-data are not installed"
)


@pytest.fixture(scope="module")
def drawn():
    return noto_emoji.emoji_with_split()


def test_base_emoji_forget_skin_hair_sex_and_direction():
    woman_running_right_dark = (0x1F3C3, 0x1F3FF, 0x200D, 0x2640, 0xFE0F, 0x200D, 0x27A1, 0xFE0F)
    assert noto_emoji.base_code_points(woman_running_right_dark) == noto_emoji.base_code_points(
        (0x1F3C3,)
    )
    fire_engine, woman_firefighter = (0x1F692,), (0x1F469, 0x1F3FD, 0x200D, 0x1F692)
    assert noto_emoji.base_code_points(woman_firefighter) == noto_emoji.base_code_points(
        (0x1F468, 0x200D, 0x1F692)
    )
    assert noto_emoji.base_code_points(woman_firefighter) != noto_emoji.base_code_points(
        fire_engine
    )


def test_families_are_of_one_base_or_look_alike():
    """Two of one base, one that mirrors the first, and one by itself."""
    images = torch.zeros(4, 3, 32, 32)
    images[0, :, :, :10], images[1], images[2, :, :, 22:], images[3] = 1, 0.5, 1, -1
    known = [noto_emoji.Emoji(0, code, "") for code in ((1,), (1, 0x1F3FB), (2,), (3,))]
    assert noto_emoji.family_of_each(known, images).tolist() == [0, 0, 0, 3]


@installed
def test_every_class_is_on_both_sides_and_no_base_is(drawn):
    known, images, test = drawn
    sides: dict[tuple[int, ...], set[bool]] = {}
    for one, held_out in zip(known, test.tolist(), strict=True):
        sides.setdefault(noto_emoji.base_code_points(one.code_points), set()).add(held_out)
    assert all(len(found) == 1 for found in sides.values())
    labels = torch.tensor([one.label for one in known])
    shares = [test[labels == k].double().mean().item() for k in range(len(noto_emoji.GROUPS))]
    assert all(0.08 < share < 0.25 for share in shares)
    limit = noto_emoji.NEAR * math.sqrt(images[0].numel())
    for mirrored in (images, images.flip(3)):
        distance = torch.cdist(images[~test].flatten(1), mirrored[test].flatten(1)).min()
        assert distance >= limit


@installed
def test_an_image_is_the_mean_of_the_fonts_pixels_on_white(drawn):
    known, images, _ = drawn
    row = next(k for k, one in enumerate(known) if one.code_points == CAT)
    font = TTFont(noto_emoji.FONT)
    bitmap = font["CBDT"].strikeData[0][font.getBestCmap()[CAT[0]]]
    picture = Image.open(io.BytesIO(bitmap.imageData)).convert("RGBA")
    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture)
    pixels = np.asarray(paper.convert("RGB").crop((4, 0, 132, 128)), np.float64) / 127.5 - 1
    for y, x in ((5, 9), (16, 16), (20, 7)):
        block = pixels[4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean((0, 1))
        assert np.abs(images[row, :, y, x].numpy() - block).max() < 0.01  # it rounds to bytes
    assert (images.min(), images.max()) == (-1, 1)


@installed
def test_both_sides_have_each_image_and_its_mirror_image(drawn):
    known, _, test = drawn
    for split, count in (("train", (~test).sum()), ("test", test.sum())):
        images, labels = noto_emoji.emoji(split)
        assert images.shape == (2 * count, 3, 32, 32)
        assert torch.equal(images[count:], images[:count].flip(3))
        assert torch.equal(labels[count:], labels[:count])
    names = {one.code_points: noto_emoji.GROUPS[one.label] for one in known}
    assert names[CAT] == "Animals & Nature"
    assert names[CAT_WITH_WRY_SMILE] == "Smileys & Emotion"


@installed
@pytest.mark.parametrize("name", ["emoji", "emoji-flow"])
def test_the_card_is_of_these_data(name, drawn):
    labels = noto_emoji.emoji("train")[1]
    card = load_card(name)
    assert card.data["class_counts"] == labels.bincount().tolist()
    assert card.data["licence"] == "OFL-1.1"


def test_a_missing_font_or_list_is_one_sentence(samplerbench, monkeypatch, tmp_path):
    asked = ("run", "smoke", "--model", "emoji", "--reference", "emoji", "--extractor", "pixels")
    for name, package in (("FONT", "fonts-noto-color-emoji"), ("NAMES", "unicode-data")):
        with monkeypatch.context() as patch:
            patch.setattr(noto_emoji, "emoji_with_split", noto_emoji.emoji_with_split.__wrapped__)
            patch.setattr(noto_emoji, name, tmp_path / "none")
            if name == "FONT":
                patch.setattr(noto_emoji, "unicode_emoji", list)
            code, _, err = samplerbench(*asked)
        assert code == 2
        assert f"install Debian's {package}" in " ".join(err.split())


def test_blocks_are_means_of_pixels():
    x = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).reshape(2, 3, 4, 4)
    blocks = BlockMeansExtractor((3, 4, 4), 2)
    assert (blocks.dim, blocks.identity) == (12, "blocks-2x2-12")
    found = blocks(x).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(found[1, 2, 1, 0], x[1, 2, 2:, :2].mean())
    np.testing.assert_array_equal(BlockMeansExtractor((3, 4, 4), 4)(x), x.flatten(1).numpy())
    with pytest.raises(ValueError, match="have no 3 x 3 blocks"):
        BlockMeansExtractor((3, 4, 4), 3)


def test_samples_are_drawings_on_white():
    """As the font's: three of each class by Heun's method in nine steps. Their corners are white but
    for flags and signs.
    """
    model, n = make_model("emoji"), 27
    labels = torch.arange(9).repeat_interleave(n // 9)
    x = model.sigma_max * torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    grid = karras(9, model.sigma_min, model.sigma_max)
    samples = make("heun").sample(model.bind(torch.arange(n), 0, labels), x, grid, NoNoise())
    assert (samples.clamp(-1, 1) - samples).abs().mean() < 0.05
    assert (samples[labels < 5][:, :, 0, 0] > 0.8).double().mean() > 0.8
    assert (samples.std((1, 2, 3)) > 0.2).all()


@installed
@pytest.mark.parametrize("sigma", [0.2, 1.0, 3.0])
def test_it_denoises_emoji_that_it_has_not_seen_and_classes_tell_it_more(drawn, sigma):
    """Where shapes are decided; at small levels the class says nothing more."""
    known, images, test = drawn
    model = make_model("emoji")
    x0 = images[test][::6]
    labels = torch.tensor([one.label for one in known])[test][::6]
    x = x0 + sigma * torch.randn(x0.shape, generator=torch.Generator().manual_seed(1))

    def error(given: torch.Tensor | None) -> float:
        return float((model.denoise(x, sigma, given) - x0).square().mean())

    variance = float((x0 - x0.mean(0)).square().mean())
    linear = variance * sigma**2 / (variance + sigma**2)  # of the best multiple of the noisy image
    own = error(labels)
    assert own < linear / 2
    if sigma == 3:
        assert own < 0.97 * error(None)
        assert own < 0.9 * error((labels + 4) % 9)


@installed
def test_its_map_is_right_on_emoji_that_it_has_not_seen(drawn):
    """As ``check-model`` has it: Pythagoras holds, and the opposite sign is found out."""
    known, images, test = drawn
    model = make_model("emoji")
    spec = Specification(
        family="emoji",
        network={},
        weights={"file": ""},
        event=model.event,
        process={"name": "edm", "sigma_data": model.card.architecture["sigma_data"]},
        prediction="edm",
        time={"of": "log_level", "scale": 0.25},
        classes=model.classes,
        null_label=True,
        labels="random",
    )
    rows = test.nonzero()[:, 0][7::20]
    labels = torch.tensor([known[row].label for row in rows])
    found = check_checkpoint(spec, model._net.net, images[rows], labels)
    assert found.passed, found.checks
    wrong = check_checkpoint(
        spec.with_settings({"sign": "-1"}), model._net.net, images[rows], labels
    )
    assert not wrong.passed
