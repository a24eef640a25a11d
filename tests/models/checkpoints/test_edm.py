"""Pickles of NVIDIA's EDM: networks that were trained here, on data whose denoiser is known."""

import hashlib
import math
import pickle
from dataclasses import dataclass
from pathlib import Path

import edm_pickles
import numpy as np
import pytest
import torch
from edm_cases import CLASSES, SIDE, Case, Data, noisy, train
from edm_pickles import persisted, snapshot
from torch import Tensor, nn

from samplerbench.models import make_model
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import build_model, load, specify_checkpoint
from samplerbench.models.nets.edm_unets import DhariwalUNet, SongUNet

SHAPE = {
    "img_resolution": SIDE,
    "in_channels": 1,
    "out_channels": 1,
    "model_channels": 8,
    "channel_mult": [1, 2],
    "channel_mult_emb": 2,
    "num_blocks": 1,
    "attn_resolutions": [4],
    "augment_dim": 9,
}
NCSN = {
    "embedding_type": "fourier",
    "channel_mult_noise": 2,
    "encoder_type": "residual",
    "resample_filter": [1, 3, 3, 1],
}


def levels() -> Tensor:
    """u_0 > … > u_1000 = 0 of iDDPM, by the recursion of Table 1."""
    u = np.zeros(1001)
    bar = [math.sin(math.pi / 2 * j / 1000 / 1.008) ** 2 for j in range(1001)]
    for j in range(1000, 0, -1):
        u[j - 1] = math.sqrt((u[j] ** 2 + 1) / max(bar[j - 1] / bar[j], 0.001) - 1)
    return torch.from_numpy(u)


def one(sigma: Tensor) -> Tensor:
    return torch.ones_like(sigma)


def vp_in(sigma: Tensor) -> Tensor:
    return (sigma**2 + 1) ** -0.5


def vp_time(sigma: Tensor) -> Tensor:
    """999 t of the level."""
    return 999 * ((0.1**2 + 2 * 19.9 * (1 + sigma**2).log()).sqrt() - 0.1) / 19.9


CASES = {
    case.name: case
    for case in (
        Case(
            "EDMPrecond", SongUNet, {**SHAPE, "label_dim": CLASSES, "label_dropout": 0.1},
            lambda s: s.log() / 4, lambda s: 0.25 / (s**2 + 0.25),
            lambda s: s * 0.5 / (s**2 + 0.25).sqrt(), lambda s: (s**2 + 0.25) ** -0.5,
            {"sigma_data": 0.5, "sigma_min": 0, "sigma_max": math.inf},
        ),
        Case(
            "VPPrecond", SongUNet, {**SHAPE, "decoder_type": "skip"},
            vp_time, one, lambda s: -s, vp_in, {},
        ),
        Case(
            "VEPrecond", SongUNet, {**SHAPE, **NCSN},
            lambda s: (s / 2).log(), one, lambda s: s, one, {"sigma_min": 0.02, "sigma_max": 100},
        ),
        Case(
            "iDDPMPrecond", DhariwalUNet, {**SHAPE, "out_channels": 2, "attn_resolutions": []},
            lambda s: 999 - (s[:, None] - levels()).abs().argmin(1).double(),
            one, lambda s: -s, vp_in, {},
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A case, its trained raw network, and the file."""

    case: Case
    raw: nn.Module
    path: Path


def pickled(path: Path, case: Case, raw: nn.Module, **attributes) -> Path:
    """``raw`` in its preconditioning, as EDM saves it."""
    outer = nn.Module()
    if case.name == "iDDPMPrecond":
        outer.register_buffer("u", levels().float())
    inside = {"model": persisted(raw, type(raw).__name__, case.arguments)}
    given = {
        "img_resolution": SIDE,
        "img_channels": 1,
        "label_dim": case.arguments.get("label_dim", 0),
        "use_fp16": False,
        "model_type": type(raw).__name__,
        **case.given,
    }
    return snapshot(path, persisted(outer, case.name, given, inside, **attributes))


@pytest.fixture(scope="module", params=CASES)
def trained(request, tmp_path_factory) -> Trained:
    """One of the four."""
    case = CASES[request.param]
    raw = train(case, 60)
    return Trained(case, raw, pickled(tmp_path_factory.mktemp("edm") / "net.pkl", case, raw))


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.013, 0.4, 3.0, 77.7])
def test_the_denoiser_is_that_of_the_formula(trained, sigma):
    _, x, _ = noisy(6, sigma)
    model, case = load(trained.path, {}), trained.case
    assert model.classes == case.arguments.get("label_dim", 0)
    told = torch.tensor([0, 1, CLASSES, CLASSES, 1, 0])
    for given in (None, told) if model.classes else (None,):
        rows = torch.zeros(6, CLASSES) if given is None else torch.eye(CLASSES + 1, CLASSES)[told]
        right = case.denoised(
            trained.raw, x, torch.full((6,), sigma), rows if model.classes else None
        )
        found = model.denoise(x, sigma, given)
        assert (found - right).abs().max() <= 1e-5 * max(1.0, right.abs().max())


@pytest.mark.slow
def test_the_map_is_right_because_the_network_was_trained(trained):
    right, wrong = (
        load(trained.path, {}),
        load(trained.path, {"sign": str(-SIGN[trained.case.name])}),
    )
    for sigma in (0.5, 1.0, 3.0):
        _, x, labels = noisy(200, sigma)
        exact = Data().denoiser(x, sigma, labels)
        given = labels if right.classes else None
        off, wrongly = (
            float((m.denoise(x, sigma, given) - exact).square().mean()) / sigma**2
            for m in (right, wrong)
        )
        assert off < 0.2
        assert wrongly > 4 * off


SIGN = {"EDMPrecond": 1.0, "VPPrecond": 1.0, "VEPrecond": -1.0, "iDDPMPrecond": 1.0}
RANGES = {
    "EDMPrecond": (0.002, 80.0),
    "VPPrecond": (0.001, 152.2),
    "VEPrecond": (0.02, 100.0),
    "iDDPMPrecond": (0.0064, 20291.0),
}


def test_the_file_tells_everything(trained):
    spec = specify_checkpoint(open_checkpoint(trained.path))
    case = trained.case
    assert (spec.family, spec.open, spec.event) == ("edm", {}, (1, SIDE, SIDE))
    assert (spec.sigma_min, spec.sigma_max) == pytest.approx(RANGES[case.name], rel=2e-2)
    assert spec.network == {"class": case.network.__name__, "arguments": case.arguments}
    assert spec.weights["entry"] == "ema"
    assert f"{case.name} around {case.network.__name__}" in spec.evidence[0]
    assert hashlib.sha256(edm_pickles.SOURCE.encode()).hexdigest() in spec.evidence[1]
    assert spec.null_label == ("label_dropout" in case.arguments)
    assert spec.source("network") == spec.source("process") == "file"


def test_weights_are_those_of_the_file_bit_for_bit(trained):
    found = load(trained.path, {}).network.network.state_dict()
    expected = trained.raw.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.fixture(scope="module")
def plain() -> nn.Module:
    """An untrained network with labels."""
    return SongUNet(**CASES["EDMPrecond"].arguments)


def test_the_class_decides_and_not_the_name_of_the_file(tmp_path, plain):
    path = pickled(tmp_path / "edm-cifar10-32x32-cond-vp.pkl", CASES["EDMPrecond"], plain)
    model = make_model(f"checkpoint:{path}")
    assert (model.prediction, model.process.sigma_data) == ("edm", 0.5)
    labels = model.draw_labels(torch.arange(100), 0)
    assert labels.unique().tolist() == [0, 1]
    assert 30 < labels.sum() < 70
    assert model.identity != load(path, {"process.sigma_data": "0.4"}).identity


def test_arguments_of_the_outer_class_do_where_the_inner_has_none(tmp_path, plain):
    case = CASES["EDMPrecond"]
    kwargs = {
        key: v for key, v in case.arguments.items() if key not in ("in_channels", "out_channels")
    }
    given = {**kwargs, "img_channels": 1, "model_type": "SongUNet"}
    net = persisted(nn.Module(), case.name, given, {"model": persisted(plain, "SongUNet")})
    whole = load(pickled(tmp_path / "a.pkl", case, plain), {})
    x = torch.randn(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        load(snapshot(tmp_path / "b.pkl", net), {}).denoise(x, 1.0, None),
        whole.denoise(x, 1.0, None),
    )


def test_a_table_of_other_levels_is_taken_from_the_file(tmp_path):
    case = CASES["iDDPMPrecond"]
    outer = nn.Module()
    outer.register_buffer("u", torch.tensor([30.0, 4.0, 0.5, 0.1, 0.0]))
    inside = persisted(DhariwalUNet(**case.arguments), "DhariwalUNet", case.arguments)
    path = snapshot(tmp_path / "net.pkl", persisted(outer, case.name, {}, {"model": inside}))
    model, told = load(path, {}), []
    assert model.process.levels == pytest.approx((0.1, 0.5, 4.0, 30.0))
    model.network = lambda x, t, labels: told.append(t) or torch.cat([x, x], 1)
    # 2.0 is nearer to 0.5 than to 4 as a number, and nearer to 4 in its logarithm
    model.denoise(torch.zeros(4, 1, SIDE, SIDE), torch.tensor([0.2, 2.0, 3.0, 99.0]), None)
    assert told[0].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_images_that_skip_the_blocks_are_halved_and_doubled():
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    network = SongUNet(**SHAPE, encoder_type="skip", decoder_type="skip").eval()
    for part in (network.enc, network.dec):
        for name, module in part.items():
            module.register_forward_hook(
                lambda _, given, output, name=name: seen.update({name: (given[0], output)})
            )
    x = torch.randn(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = network(x, torch.zeros(2))
    torch.testing.assert_close(seen["4x4_aux_skip"][0], nn.functional.avg_pool2d(x, 2))
    coarse, fine = seen["4x4_aux_conv"][1], seen["8x8_aux_conv"][1]
    torch.testing.assert_close(
        output, fine + coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    )


class Evaluated:
    """Is pickled as a call that makes a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self):
        return eval, (f"open({str(self.victim)!r}, 'w').close()",)


class Stored(Evaluated):
    """The same, in what should be the bytes of a tensor."""

    def __reduce__(self):
        return torch.storage._load_from_bytes, (pickle.dumps(Evaluated(self.victim)),)


class Touched(Evaluated):
    """The same, by a function of a module that is read as inert records."""

    def __reduce__(self):
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("payload", [Evaluated, Stored, Touched])
def test_code_in_a_pickle_does_not_run(tmp_path, plain, payload):
    victim = tmp_path / "ran"
    code = payload(victim)
    pickle.loads(pickle.dumps(Evaluated(victim)))
    assert victim.exists()  # so it would
    victim.unlink()
    path = pickled(tmp_path / "net.pkl", CASES["EDMPrecond"], plain, extra=code)
    if payload is Touched:
        assert load(path, {}).event == (1, SIDE, SIDE)
    else:
        assert "nothing of it was executed" in refused(path)
    assert not victim.exists()


def refused(path: Path) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        load(path, {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_wrong_files_are_refused_with_the_remedy(tmp_path, plain):
    case, path = CASES["EDMPrecond"], tmp_path / "net.pkl"
    whole = pickled(path, case, plain).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cut short or damaged" in refused(path)

    other = SongUNet(**{**case.arguments, "model_channels": 12})
    assert "and should be" in refused(pickled(path, case, other))
    fewer = SongUNet(**{**case.arguments, "label_dim": 0})
    assert "map_label.weight; if the file is whole" in refused(pickled(path, case, fewer))

    def outer(inner: object, name: str = "EDMPrecond", **given: object) -> Path:
        given["img_channels"] = 1
        return snapshot(path, persisted(nn.Module(), name, given, {"model": inner}))

    inner = persisted(plain, "SongUNet", case.arguments)
    assert "around a VisionUNet, which is none of SongUNet" in refused(
        outer(persisted(plain, "VisionUNet", case.arguments))
    )
    assert "EDMPrecond has D, which" in refused(outer(inner, D=128))
    assert "of no known family" in refused(outer(inner, "CTPrecond"))
    strange = persisted(plain, "SongUNet", {**case.arguments, "patch": 2})
    assert "cannot be built" in refused(outer(strange))
    short = persisted(plain, "SongUNet", {"img_resolution": 8})
    assert "does not say its in_channels, out_channels" in refused(outer(short))
    assert "no table u" in refused(outer(inner, "iDDPMPrecond"))
    edm_pickles.write(path, {"net": inner, "optimizer_state": {}})
    assert "network-snapshot-*.pkl beside it" in refused(path)


def test_a_specification_can_be_overridden_and_built(tmp_path, plain):
    opened = open_checkpoint(pickled(tmp_path / "net.pkl", CASES["EDMPrecond"], plain))
    spec = specify_checkpoint(opened, "edm").with_settings({"labels": "none", "sigma_max": "50"})
    model = build_model(spec, opened)
    assert model.draw_labels(torch.arange(3), 0) is None
    assert (model.sigma_max, model.spec.source("sigma_max")) == (50.0, "user")
