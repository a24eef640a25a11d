"""``clip:FOLDER``, image embeddings of CLIP, from a folder that the library transformers saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoints.opening import hash_of_file
from . import Samples, extractor, rgb

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of the channels in CLIP's training."""

CONFIG, WEIGHTS = "config.json", "model.safetensors"


@extractor("clip", usage="clip:FOLDER")
def load(folder: str, samples: Samples) -> rgb.RgbNetwork:
    """Load an extractor of CLIP's image embeddings (Radford et al. 2021, arXiv:2103.00020).

    Embeddings are not normalised. They have 512 elements for ViT-B/32, 768 for ViT-L/14. As in
    CLIP, images are resized by Pillow's bicubic interpolation to 8 bits; here they are stretched if
    not square. A ``folder`` without ``config.json`` and ``model.safetensors`` raises a ValueError.
    """
    limits = rgb.checked_pixel_limits("clip", samples)
    path = Path(folder).expanduser()
    network = _load_network(path)
    dim, side = network.config.projection_dim, network.config.image_size
    space = f"clip-vision-{dim}-pillow-bicubic"
    act = network.config.hidden_act  # of config.json, and not in the hashed weights
    used = "" if act == "quick_gelu" else f"-{act}"
    made_of = f"clip-vision-{dim}-{hash_of_file(path / WEIGHTS)[:16]}{used}-pillow-bicubic{side}"
    return rgb.RgbNetwork(limits, network, _features, dim, made_of, space)


def _features(network: Any, images: Tensor) -> Tensor:
    scaled = rgb.resize_bicubic_as_pillow(images, network.config.image_size) / 255
    return network(pixel_values=rgb.normalise_channels(scaled, MEAN, STD)).image_embeds


def _load_network(folder: Path) -> Any:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(
                f"clip:{folder}: there is no {name}; give a folder of a CLIP model that transformers "
                "saved, with its weights as safetensors"
            )
    library = rgb.import_optional("transformers", "clip needs transformers", "'samplerbench[clip]'")
    problem = f"clip:{folder} does not hold a CLIP model"
    logging = library.utils.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # else it lists the texts' weights as unused
    try:
        with rgb.explain_errors(problem):
            network, info = library.CLIPVisionModelWithProjection.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    finally:
        logging.set_verbosity(verbosity)
    if missing := sorted(map(str, info["missing_keys"]))[:3]:
        raise ValueError(f"{problem}: its weights lack {', '.join(missing)}")
    return network.float().eval().requires_grad_(False)
