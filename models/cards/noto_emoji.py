"""Emoji of Debian's font as images ``(3, 32, 32)`` of nine classes, split by base emoji."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

FONT = Path(
    os.environ.get("SAMPLERBENCH_EMOJI_FONT", "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
)
NAMES = Path(os.environ.get("SAMPLERBENCH_EMOJI_NAMES", "/usr/share/unicode/emoji/emoji-test.txt"))

GROUPS = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
    "Flags",
)
"""Unicode's groups of emoji, which are the classes; a label is an index in this list."""

SIDE, STRIKE = 32, 128
"""Sides in pixels of an image and of the square of a font bitmap that contains the emoji."""

SKIN_TONES = range(0x1F3FB, 0x1F400)
TONES_USED = {0x1F3FB, 0x1F3FD, 0x1F3FF}
"""Light, medium and dark skin. With all five tones and mixtures, 60 % would be people."""

HAIR = range(0x1F9B0, 0x1F9B4)
PEOPLE = {0x1F468, 0x1F469, 0x1F9D1}
"""Code points of man, woman and person."""

IGNORED = {*SKIN_TONES, *HAIR, 0x200D, 0x2640, 0x2642, 0x27A1, 0xFE0F}
"""Code points that do not change the base emoji: skin, hair, sex, direction and joiners."""

NEAR = 0.15
"""Root mean square difference of pixels in [-1, 1] below which two emoji are of one family."""

TEST_OF = 7
"""Of each class, one family of emoji in ``TEST_OF`` is held out for testing."""


class Emoji(NamedTuple):
    """Emoji: its class, as an index in :data:`GROUPS`, its code points and its English name."""

    label: int
    code_points: tuple[int, ...]
    name: str


def emoji(split: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
    """Return images and labels of the emoji in Debian's ``fonts-noto-color-emoji`` (SIL OFL 1.1).

    The second half of the images mirrors the first. Emoji that differ only in skin, hair, sex or
    direction, or look nearly alike (:data:`NEAR`), are a family. The split, which is ours, never
    divides a family.

    Returns:
        Images ``(n, 3, 32, 32)`` float32 in [-1, 1], RGB on white, and labels ``(n,)`` int64 in [0,
        8]. A pixel is the mean of 4 x 4 pixels of the font; a label is an index in :data:`GROUPS`.

    Raises:
        FileNotFoundError: there is no :data:`FONT`, or no list of emoji :data:`NAMES`.
    """
    used, images, test = emoji_with_split()
    labels = torch.tensor([member.label for member in used])
    chosen = test == (split == "test")
    images, labels = images[chosen], labels[chosen]
    return torch.cat([images, images.flip(3)]), labels.repeat(2)


@cache
def emoji_with_split() -> tuple[list[Emoji], Tensor, Tensor]:
    """Return the emoji that have different glyphs in the font, their images, and flags.

    Images are ``(n, 3, 32, 32)``. Flags ``(n,)`` are True for the test set.
    """
    every = list(unicode_emoji())
    if not FONT.is_file():
        raise FileNotFoundError(
            f"{FONT} not found; install Debian's fonts-noto-color-emoji, or set "
            "SAMPLERBENCH_EMOJI_FONT to its NotoColorEmoji.ttf"
        )
    from fontTools.ttLib import TTFont

    font: Any = TTFont(FONT)
    bitmaps, ligatures = font["CBDT"].strikeData[0], _ligature_glyphs(font)
    of_code_point: dict[int, str] = font.getBestCmap()
    first_of_glyph: dict[str, Emoji] = {}
    for member in every:
        names = tuple(of_code_point.get(c, "") for c in member.code_points if c != 0xFE0F)
        glyph = names[0] if len(names) == 1 else ligatures.get(names, "")
        if glyph in bitmaps:
            first_of_glyph.setdefault(glyph, member)
    bitmaps_used = [_image_of_bitmap(bitmaps[glyph].imageData) for glyph in first_of_glyph]
    used, images = list(first_of_glyph.values()), torch.from_numpy(np.stack(bitmaps_used))
    return used, images, held_out_flags(used, images)


def unicode_emoji() -> Iterator[Emoji]:
    """Yield the emoji in Unicode's list, with at most one skin tone, from :data:`TONES_USED`."""
    if not NAMES.is_file():
        raise FileNotFoundError(
            f"{NAMES} not found; install Debian's unicode-data, or set SAMPLERBENCH_EMOJI_NAMES to "
            "Unicode's file emoji-test.txt"
        )
    group = ""
    for line in NAMES.read_text(encoding="utf-8").splitlines():
        group = line.removeprefix("# group: ") if line.startswith("# group: ") else group
        row = re.match(r"([0-9A-F ]+?) *; fully-qualified +# \S+ E[\d.]+ (.*)", line)
        if row is None or group not in GROUPS:
            continue
        code_points = tuple(int(c, 16) for c in row[1].split())
        tones = {c for c in code_points if c in SKIN_TONES}
        if len(tones) <= 1 and tones <= TONES_USED:
            yield Emoji(GROUPS.index(group), code_points, row[2])


def held_out_flags(emojis: list[Emoji], images: Tensor) -> Tensor:
    """Return flags ``(n,)``, True for the test set: one in :data:`TEST_OF` families of a class."""
    family = family_of_each(emojis, images)
    test = torch.zeros(len(emojis), dtype=torch.bool)
    for label in range(len(GROUPS)):
        members = torch.tensor([member.label == label for member in emojis])
        # A family is in the class of its first emoji.
        own = sorted({int(f) for f in family[members] if emojis[int(f)].label == label})
        for first in own[TEST_OF - 1 :: TEST_OF]:
            test |= family == first
    return test


def family_of_each(emojis: list[Emoji], images: Tensor) -> Tensor:
    """Return a family for each emoji, ``(n,)`` int64: the index of the family's first emoji."""
    from scipy.sparse.csgraph import connected_components  # here: few runs have a use for it

    alike = are_near(images, images) | are_near(images, images.flip(3))
    bases = [base_code_points(member.code_points) for member in emojis]
    first_of: dict[tuple[int, ...], int] = {}
    for row, key in enumerate(bases):
        alike[row, first_of.setdefault(key, row)] = True
    _, family = connected_components(alike.numpy(), directed=False)
    _, first = np.unique(family, return_index=True)
    return torch.from_numpy(first[family])


def are_near(a: Tensor, b: Tensor) -> Tensor:
    """Return a matrix, True at [i, j] if ``a[i]`` and ``b[j]`` differ by an RMS < :data:`NEAR`."""
    # Means of blocks of pixels differ by no more than the pixels, so they rule most pairs out.
    coarse, other = (F.avg_pool2d(images, 4).flatten(1) for images in (a, b))
    close = torch.cdist(coarse, other) < NEAR * coarse.shape[1] ** 0.5
    rows, columns = close.nonzero(as_tuple=True)
    for i, j in zip(rows.split(4096), columns.split(4096), strict=True):
        close[i, j] = (a[i] - b[j]).square().mean((1, 2, 3)).sqrt() < NEAR
    return close


def base_code_points(code_points: tuple[int, ...]) -> tuple[int, ...]:
    """Return the code points of the base emoji: without skin, hair, sex and direction."""
    return tuple(min(PEOPLE) if c in PEOPLE else c for c in code_points if c not in IGNORED)


def _ligature_glyphs(font: Any) -> dict[tuple[str, ...], str]:
    """Return the name of each ligature glyph, by the names of the glyphs that it replaces."""
    return {
        (first, *ligature.Component): ligature.LigGlyph
        for lookup in font["GSUB"].table.LookupList.Lookup
        if lookup.LookupType == 4
        for table in lookup.SubTable
        for first, ligatures in table.ligatures.items()
        for ligature in ligatures
    }


def _image_of_bitmap(png: bytes) -> np.ndarray:
    """Return a PNG of 136 x 128 as RGB ``(3, 32, 32)`` float32 in [-1, 1], cropped, on white."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        rgba = np.asarray(picture.convert("RGBA"), dtype=np.float32) / 255
    margin = (rgba.shape[1] - STRIKE) // 2
    rgba = rgba[:, margin : margin + STRIKE]
    white = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
    k = STRIKE // SIDE
    means = white.reshape(SIDE, k, SIDE, k, 3).mean(axis=(1, 3), dtype=np.float64)
    return (2 * means.transpose(2, 0, 1) - 1).astype(np.float32)
