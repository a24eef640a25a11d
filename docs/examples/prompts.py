"""A small text-to-image network, trained here on handwritten digits, as a folder of diffusers and a file
of embeddings of prompts.

Its prompts are "zero" to "nine", and their embeddings are numbers drawn once: a text encoder would have
computed them. Training takes a minute or two of one core of a CPU (pip install 'samplerbench[diffusers]'
scikit-learn):

    python docs/examples/prompts.py digits-by-prompt

writes ``digits-by-prompt/pipeline``, ``digits-by-prompt/prompts.safetensors``, and images that it was not
trained on with the numbers of their prompts, ``digits-by-prompt/images.npz``. What to do with them is in
docs/how-to/checkpoints.md.
"""

import argparse
import json
from pathlib import Path

import diffusers
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from samplerbench.models.cards import datasets

PROMPTS, WORDS, WIDTH = 10, 4, 32
STEPS, BATCH, RATE = 1000, 64, 3e-3
WITHOUT = 0.1
"""How often a prompt is left out in training, so that it can be guided."""


def embeddings() -> dict[str, Tensor]:
    """A row for each prompt, and one for none, by the names that pipelines have."""
    drawn = torch.randn(PROMPTS, WORDS, WIDTH, generator=torch.Generator().manual_seed(0))
    return {"prompt_embeds": drawn, "negative_prompt_embeds": torch.zeros(1, WORDS, WIDTH)}


def network() -> torch.nn.Module:
    """The library's network of text to image, as small as it gets."""
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )


def train(net: torch.nn.Module, images: Tensor, labels: Tensor, steps: int) -> torch.nn.Module:
    """The average of the weights, after steps that predict the noise of a DDPM.

    Args:
        net: is trained.
        images: ``(n, 1, 8, 8)`` in [-1, 1].
        labels: ``(n,)``, the number of each image's prompt.
        steps: of Adam.
    """
    scheduler, generator = diffusers.DDPMScheduler(), torch.Generator().manual_seed(1)
    tables = embeddings()
    rows = torch.cat([tables["prompt_embeds"], tables["negative_prompt_embeds"]])
    optimiser = torch.optim.Adam(net.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.1)
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(1 - 10 / (steps + 10))
    )
    for _ in range(steps):
        at = torch.randint(len(images), (BATCH,), generator=generator)
        x0, prompt = images[at], labels[at].clone()
        prompt[torch.rand(BATCH, generator=generator) < WITHOUT] = PROMPTS
        t = torch.randint(1000, (BATCH,), generator=generator)
        noise = torch.randn(x0.shape, generator=generator)
        seen = scheduler.add_noise(x0, noise, t)
        loss = (net(seen, t, rows[prompt]).sample - noise).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
        average.update_parameters(net)
    return average.module.eval()


def save(folder: Path, net: torch.nn.Module) -> None:
    """A pipeline without text encoder and decoder, and the embeddings."""
    folder.mkdir(parents=True, exist_ok=True)
    net.save_pretrained(folder / "pipeline" / "unet")
    scheduler = diffusers.DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
    scheduler.save_pretrained(folder / "pipeline" / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": [None, None],
        "tokenizer": [None, None],
        "vae": [None, None],
    }
    (folder / "pipeline" / "model_index.json").write_text(json.dumps(index, indent=2))
    save_file(embeddings(), folder / "prompts.safetensors")


def main() -> None:
    """Train, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    images, labels = datasets.digits("train")
    save(given.folder, train(network(), images, labels, given.steps))
    held, of = datasets.digits("test")
    np.savez(given.folder / "images.npz", x=held.numpy(), arr_1=of.numpy())


if __name__ == "__main__":
    main()
