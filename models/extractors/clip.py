"""``clip:FOLDER``, image embeddings of CLIP, from a folder that the library transformers saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from . import Samples, extractor
from .rgb import (
    RgbNetwork,
    checked_pixel_limits,
    error_in_short,
    hash_of_file,
    normalise_channels,
    resize_bicubic_as_pillow,
)

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of the channels in CLIP's training."""

CONFIG, WEIGHTS = "config.json", "model.safetensors"


@extractor("clip", usage="clip:FOLDER")
def load(folder: str, samples: Samples) -> RgbNetwork:
    """Load image embeddings of CLIP (Radford et al. 2021, arXiv:2103.00020) before their normalisation.

    There are 512 of them for ViT-B/32, 768 for ViT-L/14. Images are resized by Pillow's bicubic
    interpolation to 8 bits, as by CLIP, and stretched if not square. The folder has ``config.json``
    and ``model.safetensors``, such as a snapshot of ``openai/clip-vit-base-patch32``.
    """
    if not folder:
        raise ValueError(
            "clip needs a folder with a CLIP model that transformers saved; write clip:FOLDER"
        )
    limits = checked_pixel_limits("clip", samples)
    path = Path(folder)
    network = _load_network(path)
    dim, side = network.config.projection_dim, network.config.image_size
    space = f"clip-vision-{dim}-pillow-bicubic"
    made_of = f"clip-vision-{dim}-{hash_of_file(path / WEIGHTS)}-pillow-bicubic{side}"
    return RgbNetwork(limits, network, _features, dim, made_of, space)


def _features(network: Any, images: Tensor) -> Tensor:
    scaled = resize_bicubic_as_pillow(images, network.config.image_size) / 255
    return network(pixel_values=normalise_channels(scaled, MEAN, STD)).image_embeds


def _load_network(folder: Path) -> Any:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(
                f"clip:{folder}: there is no {name}; give a folder of a CLIP model that transformers "
                "saved, with its weights as safetensors"
            )
    try:
        from transformers import (  # pyright: ignore[reportMissingImports]
            CLIPVisionModelWithProjection,
        )
    except ImportError as error:
        raise ValueError("clip needs transformers; pip install 'samplerbench[clip]'") from error
    try:
        with _only_errors_logged():  # else it lists the texts' weights as unused
            loaded: Any = CLIPVisionModelWithProjection.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except Exception as error:  # a file of anything can raise anything
        raise ValueError(
            f"clip:{folder} does not hold a CLIP model ({error_in_short(error)})"
        ) from error
    network, info = loaded
    if info["missing_keys"]:
        missing = sorted(str(key) for key in info["missing_keys"])[:3]
        raise ValueError(
            f"clip:{folder} does not hold a CLIP model: its weights lack {', '.join(missing)}"
        )
    return network.float().eval().requires_grad_(False)


@contextmanager
def _only_errors_logged() -> Iterator[None]:
    from transformers.utils import logging  # pyright: ignore[reportMissingImports]

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
