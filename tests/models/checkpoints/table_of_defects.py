"""The table of studies/measured/checkpoint-families.md: what check-model finds in small trained networks of every family,
read rightly and wrongly. Some minutes:

    python tests/models/checkpoints/table_of_defects.py

It trains what the tests train, saves it as each library does, and prints the table.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import k_diffusion_files
import test_dit
import test_edm
import test_edm2
import test_flow_matching
import test_k_diffusion
import test_later_dits
import test_openai
import test_score_sde
import test_uvit
import torch
import trained_mixture as training
from torch import Tensor

from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.benchmarks.conformance.models.reading_comparison import SMALLEST_GAIN
from samplerbench.models.checkpoints.families import family
from samplerbench.models.checkpoints.opening import open_checkpoint
from samplerbench.models.loaders.checkpoint import specify_checkpoint
from samplerbench.models.nets.adm_unet import ADMUNet
from samplerbench.models.nets.dit import RotaryDiT
from samplerbench.models.nets.edm_unets import SongUNet
from samplerbench.models.nets.uvit import UViT

IMAGES = 160


class Trained(NamedTuple):
    """A trained file.

    Attributes:
        name: what the table calls it.
        path: of the file or folder.
        given: what is said of it; what is left open is answered by the check.
        images, labels: of the data that it was trained on.
    """

    name: str
    path: Path
    given: dict[str, str]
    images: Tensor
    labels: Tensor | None = None


def saved(folder: Path, name: str, value: object) -> Path:
    torch.save(value, folder / f"{name}.pt")
    return folder / f"{name}.pt"


def of_diffusers(folder: Path) -> Iterator[Trained]:
    import diffusers
    import test_diffusers_trained as tests

    plus = tests.KINDS["edm"]._replace(
        scheduler=lambda: diffusers.EDMEulerScheduler(prediction_type="epsilon"),
        target=lambda x0, z, s: -tests.KINDS["edm"].target(x0, z, s),
    )
    names = {"eps": "noise", "v": "v", "flow": "flow", "edm": "EDM, minus F"}
    for key, kind in {**tests.KINDS, "edm+": plus}.items():
        torch.manual_seed(0)
        net = tests.trained(diffusers.UNet2DModel(**tests.UNET), kind)
        diffusers.DDPMPipeline(net, kind.scheduler()).save_pretrained(folder / key)
        name = f"diffusers, {names.get(key, 'EDM, F')}"
        yield Trained(name, folder / key, {}, tests.noisy(1.0)[0].float())


def of_openai(folder: Path) -> Iterator[Trained]:
    torch.manual_seed(0)
    network = ADMUNet(**test_openai.TRAINED)
    for schedule, steps in (("linear", 200), ("cosine", 80)):
        weights = training.trained(
            network,
            test_openai.losses(schedule, network),
            steps=steps,
            rate=4e-3,
            batch=64,
            side=test_openai.SIDE,
        )
        network.load_state_dict(weights)
        clean = training.data(IMAGES, 5, test_openai.SIDE)[0]
        path = saved(folder, f"adm-{schedule}", weights)
        yield Trained(f"OpenAI, {schedule}", path, test_openai.GIVEN, clean)


def linear_losses(network):
    """Of DiT: the noise at 1000 linear betas."""
    table = test_openai.kept("linear").float()

    def of(x0, modes, generator):
        count = len(x0)
        n = ((torch.rand(count, generator=generator) + torch.arange(count)) * 1000 / count).long()
        z, left = torch.randn(x0.shape, generator=generator), table[n][:, None, None, None]
        labels = torch.where(torch.rand(count, generator=generator) < 0.5, training.MODES, modes)
        out = network(left.sqrt() * x0 + (1 - left).sqrt() * z, n.float(), labels)
        eps, variance = out.chunk(2, 1)
        off = (eps.detach() - z).square()
        return (eps - z).square().mean() + 0.1 * (variance - off).square().mean()

    return of


def of_dit(folder: Path) -> Iterator[Trained]:
    for name, steps in (("SiT", 300), ("REPA", 300), ("DiT", 600)):
        network = test_dit.made()
        losses = test_dit.losses(network, noise_first=name == "SiT")
        losses = linear_losses(network) if name == "DiT" else losses
        weights = training.trained(network, losses, steps=steps, rate=1e-2, batch=256)
        if name == "REPA":
            weights["projectors.0.0.weight"] = torch.zeros(4, 64)
        clean, labels = training.data(IMAGES, 5)
        path = saved(folder, name, {"ema": weights})
        yield Trained(name, path, {"heads": "4"}, clean, labels)


def of_score_sde(folder: Path) -> Iterator[Trained]:
    side = test_score_sde.SIDE
    for name in ("VE", "VP", "subVP"):
        torch.manual_seed(0)
        arguments = test_score_sde.NCSN if name == "VE" else test_score_sde.DDPM
        network = SongUNet(**arguments)
        ve = name == "VE"
        losses = (
            test_score_sde.losses_ve(network) if ve else test_score_sde.losses_vp(network, name)
        )
        weights = training.trained(network, losses, steps=300, rate=6e-3, batch=64, side=side)
        network.load_state_dict(weights)
        clean = training.data(IMAGES, 5, side)[0]
        path = saved(folder, name, test_score_sde.training_file(network, arguments))
        images = 0.5 * (clean + 1) if ve else clean
        yield Trained(f"score_sde, {name}", path, {"size": str(side)}, images)


def of_edm(folder: Path) -> Iterator[Trained]:
    clean, _, labels = test_edm.noisy(IMAGES, 1.0)
    for name, case in test_edm.CASES.items():
        path = test_edm.pickled(folder / f"{name}.pkl", case, test_edm.train(case, 300))
        classes = labels if case.arguments.get("label_dim", 0) else None
        yield Trained(f"EDM, {name}", path, {}, clean.float(), classes)
    path = test_edm2.pickled(folder / "edm2.pkl", test_edm2.train(test_edm2.CASE, 300))
    yield Trained("EDM2", path, {}, clean.float(), labels)


def of_later(folder: Path) -> Iterator[Trained]:
    for name, arguments in (
        ("LightningDiT", test_later_dits.LIGHTNING),
        ("JiT", test_later_dits.JIT),
    ):
        jit = name == "JiT"
        network: RotaryDiT | UViT | ADMUNet = test_later_dits.made(arguments)
        losses = test_later_dits.losses(
            network, scale=test_later_dits.SCALE if jit else 1.0, clean=jit
        )
        weights = training.trained(network, losses, steps=300, rate=8e-3, batch=128)
        held = {f"net.{k}": w for k, w in weights.items()} if jit else {"ema": weights}
        clean, labels = training.data(IMAGES, 5)
        path = saved(folder, name, held)
        yield Trained(
            f"{name}, noise of {test_later_dits.SCALE:g}" * jit or name, path, {}, clean, labels
        )
    torch.manual_seed(0)
    network = UViT(**test_uvit.SHAPE)
    weights = training.trained(network, test_uvit.losses(network), steps=400, rate=6e-3, batch=128)
    clean = training.data(IMAGES, 5)[0]
    yield Trained("U-ViT, VP", saved(folder, "uvit", weights), {"heads": "4"}, clean)
    torch.manual_seed(0)
    network = ADMUNet(**test_flow_matching.SHAPE)
    weights = training.trained(
        network, test_flow_matching.losses(network), steps=200, rate=6e-3, batch=64, side=4
    )
    held = {"net_model": weights, "ema_model": weights}
    clean = training.data(IMAGES, 5, 4)[0]
    yield Trained("torchcfm", saved(folder, "icfm", held), test_flow_matching.GIVEN, clean)


def of_k_diffusion(folder: Path) -> Iterator[Trained]:
    network = k_diffusion_files.made()
    weights = training.trained(
        network, test_k_diffusion.losses(network), steps=250, rate=6e-3, batch=64, side=4
    )
    path = k_diffusion_files.training_file(folder, weights)
    yield Trained("k-diffusion", path, {}, training.data(IMAGES, 5, 4)[0])


def size(excess: float | None) -> str:
    """By how much an error is larger."""
    if excess is None:
        return "not finite"
    if excess >= 1:
        return f"× {1 + excess:.0f}"
    return f"+ {100 * excess:.0f} %" if excess >= 0.005 else "alike"


def rows(of: Trained) -> tuple[list[str], bool]:
    """Lines of the table, and whether the right map passed and all others are worse."""
    opened = open_checkpoint(of.path)
    spec = specify_checkpoint(opened).with_settings(of.given)
    network = family(spec.family).network
    found = check_checkpoint(
        spec,
        network(spec, opened),
        of.images,
        of.labels,
        built=lambda other: network(other, opened),
    )
    stated, *others = found.candidates
    right = stated["settings"] or "as the file says"
    passed = "" if found.passed else ", FAILED"
    lines = [f"| {of.name} | **`{right}`**{passed} | | **{stated['largest_defect']:.2f}** |"]
    told = set()
    for other in others:
        line = f"{size(other['excess'])} | {other['largest_defect']:.2g} |"
        settings = re.sub(r"&time\.offset=-?0$", "", other["settings"])
        if (settings, line) not in told:
            lines.append(f"| | `{settings}` | {line}")
        told.add((settings, line))
    for check in found.checks:
        if not check.passed:
            print(of.name, check.detail, file=sys.stderr)
    # maps that the data cannot tell apart are alike but for chance
    return lines, found.passed and all(
        o["excess"] is None or o["excess"] > -SMALLEST_GAIN for o in others
    )


def main() -> int:
    """Print the table; exit code 1 if a right map failed, or a wrong one is as good."""
    torch.set_num_threads(1)
    print("| trained as | read as | error | defect |\n|---|---|---|---|")
    good = True
    with tempfile.TemporaryDirectory() as place:
        for make in (
            of_diffusers,
            of_openai,
            of_dit,
            of_score_sde,
            of_edm,
            of_later,
            of_k_diffusion,
        ):
            for trained in make(Path(place)):
                lines, fine = rows(trained)
                good &= fine
                print("\n".join(lines), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
