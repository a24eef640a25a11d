"""LPIPS against the package lpips, with a backbone of random weights that it takes from torchvision."""

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.metrics import converged_images as module
from samplerbench.benchmarks.metrics import metrics
from samplerbench.benchmarks.metrics.metric import Endpoints
from samplerbench.benchmarks.scoring.context import CellContext, gather_shards
from samplerbench.benchmarks.scoring.data import ModelData
from samplerbench.models import make_model

pytestmark = pytest.mark.parity


@pytest.fixture(params=["alex", "vgg"], scope="module")
def networks(request, tmp_path_factory):
    """The package's network, made as it makes one but for the download, and ours of the same file."""
    lpips = pytest.importorskip("lpips")
    torchvision = pytest.importorskip("torchvision")
    name = {"alex": "alexnet", "vgg": "vgg16"}[request.param]
    torch.manual_seed(0)
    backbone = getattr(torchvision.models, name)(weights=None)
    path = tmp_path_factory.mktemp("lpips") / f"{name}.pth"
    torch.save(backbone.state_dict(), path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(module.WEIGHTS, str(path))
        module._load_file.cache_clear()
        ours = module.load_lpips()
        patched.setattr(torchvision.models, name, lambda pretrained: backbone)
        yield lpips.LPIPS(net=request.param, verbose=False), ours
    module._load_file.cache_clear()


def test_lpips_conv__is_the_package_s_number(networks):
    """Of RGB images in [0, 2], which the package wants in [-1, 1]; all tensors are the same."""
    network, (ours, name, _) = networks
    assert name.partition("-")[0] == network.pnet_type
    states = [each.state_dict() for each in (network, ours)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    model = make_model("wavelet", side=32)
    model.event, model.limits = (3, 32, 32), (0.0, 2.0)
    x, ends = 2 * torch.rand(2, 5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    shards = gather_shards([{"endpoint": x.numpy(), "sizes": np.array([5])}], 5)
    context = CellContext(
        shards, 5, ModelData(model, "cpu"), None, Endpoints(ends.numpy(), None, 64, 0.0),
        follows_path=False,
    )  # fmt: skip
    found = metrics()["lpips_conv"](context)
    with torch.no_grad():
        expected = network(x - 1, ends - 1).flatten()
    assert (expected > 1e-4).all()
    np.testing.assert_allclose(found.influence["lpips_conv"], expected, rtol=1e-4)
    assert found.columns["lpips_conv"] == pytest.approx(expected.mean().item(), rel=1e-4)


def test_lpips_conv__the_smallest_images_are_those_that_the_package_takes(networks):
    network, (_, _, side) = networks
    with torch.no_grad():
        network(*torch.zeros(2, 1, 3, side, side))
        with pytest.raises(RuntimeError):
            network(*torch.zeros(2, 1, 3, side - 1, side - 1))
