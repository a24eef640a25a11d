"""Files of denoising-diffusion-pytorch's own classes: the network, the rates of noise and the prediction are
the library's.
"""

import pytest
import torch

from samplerbench.models.loaders.checkpoint import load

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

SIDE = 16
SHAPES = {
    "usual": {"dim": 16, "dim_mults": (1, 2, 4)},
    "grouped": {"dim": 16, "dim_mults": (1, 2)},
    "attends": {"dim": 16, "init_dim": 24, "dim_mults": (1, 2), "full_attn": (True, False)},
    "shown": {"dim": 16, "dim_mults": (1, 2), "self_condition": True, "attn_heads": (2, 3)},
}


@pytest.fixture
def library():
    return pytest.importorskip("denoising_diffusion_pytorch", exc_type=ImportError)


def saved(library, path, shape, objective, **options):
    """What its Trainer saves, with weights that are nowhere 0 and last ones that are spoilt."""
    ema_pytorch = pytest.importorskip("ema_pytorch")
    torch.manual_seed(0)
    net = library.Unet(channels=3, flash_attn=False, **SHAPES[shape])
    for block in net.modules() if shape == "grouped" else ():  # as before its release 2
        if hasattr(block, "proj") and hasattr(block, "norm"):
            block.norm = torch.nn.GroupNorm(8, block.proj.out_channels)
    theirs = library.GaussianDiffusion(net, image_size=SIDE, objective=objective, **options)
    average = ema_pytorch.EMA(theirs)
    for tensor in average.ema_model.parameters():
        tensor.data += 0.02 * torch.randn(tensor.shape)
    held = {"step": 3, "model": theirs.state_dict(), "ema": average.state_dict(), "opt": {}}
    torch.save({**held, "scaler": None, "version": "2"}, path)
    return average.ema_model.eval()


@pytest.mark.parametrize(
    ("shape", "objective", "options"),
    [
        ("usual", "pred_v", {}),
        ("grouped", "pred_v", {}),
        ("usual", "pred_noise", {"beta_schedule": "cosine"}),
        ("attends", "pred_x0", {"beta_schedule": "linear", "timesteps": 200}),
        ("shown", "pred_v", {"min_snr_loss_weight": True}),
        ("shown", "pred_noise", {"min_snr_loss_weight": True, "timesteps": 4000}),
    ],
)
def test_a_trainers_file_is_the_librarys_denoiser(library, tmp_path, shape, objective, options):
    theirs = saved(library, tmp_path / "model-1.pt", shape, objective, **options)
    model = load(tmp_path / "model-1.pt", {"size": str(SIDE)})
    generator = torch.Generator().manual_seed(3)
    clean = torch.rand(2, 3, SIDE, SIDE, generator=generator) * 2 - 1
    for time in (1, 40, theirs.num_timesteps * 3 // 4):
        kept = theirs.alphas_cumprod[time].double()
        sigma = float((1 / kept - 1).sqrt())
        x = clean + sigma * torch.randn(clean.shape, generator=generator)
        with torch.no_grad():
            x_t = (x * kept.sqrt()).float()
            expected = theirs.model_predictions(x_t, torch.full((2,), time)).pred_x_start
            found = model.denoise(x, sigma, None)
        assert (found - expected).abs().max() <= 2e-5 * (1 + expected.abs().max())
