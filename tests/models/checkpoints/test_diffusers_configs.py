"""What diffusers folders say, read without the library."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
from diffusers_folders import (
    DDIM,
    DIT,
    LINEAR,
    UNET,
    WEIGHTS,
    cosine,
    levels,
    pipeline,
    spec_of,
    write,
)
from looping import each

from samplerbench.models.checkpoints.checkpoint_denoiser import process_of
from samplerbench.models.checkpoints.opening import CheckpointError
from samplerbench.models.loaders.checkpoint import load


@pytest.mark.parametrize(
    ("said", "betas"),
    [
        ({}, LINEAR),
        (
            {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195},
            [(a + (b - a) * i / 999) ** 2 for a, b in [(0.0015**0.5, 0.0195**0.5)] for i in range(1000)],
        ),
        (
            {"beta_schedule": "squaredcos_cap_v2"},
            [min(1 - cosine(i + 1) / cosine(i), 0.999) for i in range(1000)],
        ),
        ({"trained_betas": [0.1, 0.2, 0.3], "beta_schedule": "linear"}, [0.1, 0.2, 0.3]),
        (
            {"beta_schedule": "sigmoid", "num_train_timesteps": 50},
            [1e-4 + 0.0199 / (1 + math.exp(6 - 12 * i / 49)) for i in range(50)],
        ),
    ],
)  # fmt: skip
def test_the_schedule_of_betas_is_the_process(tmp_path, said, betas):
    spec = spec_of(pipeline(tmp_path, DDIM | said))
    process = process_of(spec)
    assert process.levels == pytest.approx(levels(betas), rel=1e-9)
    assert (spec.sigma_min, spec.sigma_max) == pytest.approx(
        (process.levels[0], process.levels[-1])
    )
    assert (spec.snap, dict(spec.time), spec.prediction) == ("nearest", {"of": "t"}, "eps")


@each(
    "kind",
    ["DPMSolverMultistep", "DPMSolverSinglestep", "DEISMultistep", "UniPCMultistep", "SASolver"],
)
@each(("said", "prediction"), [("sample", "x0"), ("epsilon", "eps"), ("flow_prediction", "flow")])
def test_flow_sigmas_are_a_process_and_no_prediction(tmp_path, kind, said, prediction):
    flow = {"_class_name": f"{kind}Scheduler", "use_flow_sigmas": True}
    spec = spec_of(pipeline(tmp_path, flow | {"prediction_type": said}))
    assert (spec.process["name"], spec.prediction) == ("flow", prediction)
    with pytest.raises(CheckpointError, match="v_prediction with use_flow_sigmas"):
        spec_of(pipeline(tmp_path, flow | {"prediction_type": "v_prediction"}))


def test_schedulers_have_defaults_of_their_own(tmp_path):
    spec = spec_of(pipeline(tmp_path, {"_class_name": "HeunDiscreteScheduler"}))
    assert (spec.process["start"], spec.process["end"]) == (0.00085, 0.012)


@each(
    ("scheduler", "prediction", "factor", "process"),
    [
        (DDIM | {"prediction_type": "v_prediction"}, "v", 1, "discrete"),
        (DDIM | {"prediction_type": "sample"}, "x0", 1, "discrete"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}, "flow", 1, "flow"),
        (
            {"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction"},
            "flow", 1, "flow",
        ),
        ({"_class_name": "EDMEulerScheduler"}, "edm", 1, "edm"),
        ({"_class_name": "EDMEulerScheduler", "prediction_type": "epsilon"}, "edm", 1, "edm"),
        (
            {"_class_name": "EDMDPMSolverMultistepScheduler", "prediction_type": "v_prediction"},
            "edm", -1, "edm",
        ),
        (
            {
                "_class_name": "EulerDiscreteScheduler", "prediction_type": "v_prediction",
                "timestep_type": "continuous", "sigma_max": 700.0,
            },
            "v", 1, "edm",
        ),
    ],
)  # fmt: skip
def test_diffusers_config__predictions_and_their_signs(
    tmp_path, scheduler, prediction, factor, process
):
    spec = spec_of(pipeline(tmp_path, scheduler))
    assert (spec.prediction, spec.factor, spec.process["name"]) == (prediction, factor, process)


def test_a_flow_is_told_thousandths_whatever_its_shift(tmp_path):
    scheduler = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    spec = spec_of(pipeline(tmp_path, scheduler))
    assert dict(spec.time) == {"of": "t", "scale": 1000.0}
    assert spec.sigma_min == pytest.approx(1 / 999)
    assert spec.sigma_max == pytest.approx(1e4)


def test_edm_says_its_levels_and_the_spread_of_its_data(tmp_path):
    said = {"sigma_min": 0.01, "sigma_max": 50.0, "sigma_data": 0.25}
    spec = spec_of(pipeline(tmp_path, {"_class_name": "EDMEulerScheduler", **said}))
    assert (spec.sigma_min, spec.sigma_max) == (0.01, 50.0)
    assert spec.process["sigma_data"] == 0.25
    assert dict(spec.time) == {"of": "log_level", "scale": 0.25}


def test_no_signal_at_all_is_a_level_that_only_noise_does_not_reach(tmp_path):
    latents = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    zero = DDIM | latents | {"rescale_betas_zero_snr": True}
    v = spec_of(pipeline(tmp_path / "v", zero | {"prediction_type": "v_prediction"}))
    assert v.sigma_max == pytest.approx(1e4)
    assert process_of(v).t_of(1e4) == 999
    eps = spec_of(pipeline(tmp_path / "eps", zero))
    assert eps.sigma_max == pytest.approx(2254, abs=1)


def test_sources_are_told(tmp_path):
    spec = spec_of(pipeline(tmp_path, DDIM | {"beta_schedule": "linear"}))
    assert (spec.source("process"), spec.source("prediction")) == ("file", "family")
    assert spec.source("sigma_max") == "file"
    assert "DDPMPipeline" in spec.evidence[0]
    assert (spec.limits, spec.classes, spec.labels, spec.half) == ((-1, 1), 0, "none", "")


@pytest.mark.parametrize("named", ["DiTTransformer2DModel", "Transformer2DModel"])
def test_a_dit_has_labels_a_learned_variance_and_a_decoder(tmp_path, named):
    vae = {"_class_name": "AutoencoderKL", "scaling_factor": 0.5, "shift_factor": 0.1}
    network = DIT | {"_class_name": named}
    spec = spec_of(pipeline(tmp_path, network=network, decoder=vae, name="DiTPipeline"))
    assert spec.network == {"class": "DiTTransformer2DModel", "folder": "transformer"}
    assert (spec.event, spec.half) == ((2, 8, 8), "first")
    assert (spec.classes, spec.null_label, spec.labels) == (3, True, "random")
    assert spec.decoder == {"class": "AutoencoderKL", "folder": "vae", "scale": 0.5, "shift": 0.1}
    assert spec.limits is None
    assert any("samples are latents" in sentence for sentence in spec.evidence)
    assert any("since vae has no weights" in sentence for sentence in spec.evidence)
    assert not spec.decode


def test_latents_can_be_scaled_channel_by_channel(tmp_path):
    vae = {"_class_name": "AutoencoderKL", "scaling_factor": 0.5}
    vae |= {"latents_mean": [1.0, -2.0], "latents_std": [2.0, 4.0]}
    spec = spec_of(pipeline(tmp_path, network=DIT, decoder=vae, name="DiTPipeline"))
    assert (spec.decoder["scale"], spec.decoder["shift"]) == ([0.25, 0.125], [1.0, -2.0])


def test_a_unet_with_classes_knows_no_other_label(tmp_path):
    spec = spec_of(pipeline(tmp_path, network=UNET | {"num_class_embeds": 4}))
    assert (spec.classes, spec.null_label, spec.labels) == (4, False, "random")


def flat(folder: Path, index: bool) -> Path:
    if index:
        parts = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
        write(folder, "model_index.json", {"_class_name": "DDPMPipeline", **parts})
    write(folder, "config.json", UNET)
    write(folder, "scheduler_config.json", {"_class_name": "DDPMScheduler"})
    (folder / "diffusion_pytorch_model.bin").write_bytes(b"weights")
    return folder


@pytest.mark.parametrize("index", [True, False], ids=["early pipeline", "network alone"])
def test_all_files_in_one_folder(tmp_path, index):
    spec = spec_of(flat(tmp_path, index))
    assert spec.network["folder"] == ""
    assert spec.weights == {"file": "diffusion_pytorch_model.bin", "variant": ""}
    assert spec.event == (1, 8, 8)
    assert spec.preset["sampler"] == "ddpm"


def test_which_weights_are_taken(tmp_path):
    unet = pipeline(tmp_path) / "unet"
    (unet / "diffusion_pytorch_model.bin").write_bytes(b"weights")
    (unet / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"weights")
    assert spec_of(tmp_path).weights == {"file": f"unet/{WEIGHTS}", "variant": ""}
    (unet / WEIGHTS).unlink()
    assert spec_of(tmp_path).weights["file"] == "unet/diffusion_pytorch_model.bin"
    (unet / "diffusion_pytorch_model.bin").unlink()
    assert spec_of(tmp_path).weights["variant"] == "fp16"


def two_networks(folder: Path) -> None:
    nets = {n: ["diffusers", "WanTransformer3DModel"] for n in ("transformer", "transformer_2")}
    write(folder, "model_index.json", {"_class_name": "WanPipeline", **nets})


def code_of_its_own(folder: Path) -> None:
    parts = {"unet": ["my_unet", "MyUNet"], "scheduler": ["diffusers", "DDPMScheduler"]}
    write(folder, "model_index.json", {"_class_name": "DDPMPipeline", **parts})


def lfs_pointer(folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (pipeline(folder) / "unet" / WEIGHTS).write_text(pointer)


def no_scheduler(folder: Path) -> None:
    (flat(folder, index=False) / "scheduler_config.json").unlink()


def no_scheduler_folder(folder: Path) -> None:
    (pipeline(folder) / "scheduler" / "scheduler_config.json").unlink()


def no_weights(folder: Path) -> None:
    (pipeline(folder) / "unet" / WEIGHTS).unlink()


def half_of_the_weights(folder: Path) -> None:
    (pipeline(folder) / "unet" / WEIGHTS).unlink()
    shards = {"a": "diffusion_pytorch_model-00001-of-00002.safetensors"}
    write(folder, f"unet/{WEIGHTS}.index.json", {"weight_map": shards})


def no_config(folder: Path) -> None:
    (pipeline(folder) / "unet" / "config.json").unlink()


@each(
    ("make", "said"),
    [
        (no_weights, r"unet has no weights: there is no .*; download them too"),
        (lfs_pointer, r"pointer of Git LFS, not the file; get it with git lfs pull"),
        (half_of_the_weights, r"-00001-of-00002.safetensors is missing, a part of the weights"),
        (no_scheduler, r"no scheduler_config.json.*or give the folder above"),
        (no_scheduler_folder, r"copy it there as scheduler/scheduler_config.json"),
        (no_config, r"unet/config.json is missing; copy the whole folder"),
        (two_networks, r"a WanPipeline \(WanTransformer3DModel, Wan.*Python file"),
        (code_of_its_own, r"a DDPMPipeline \(MyUNet\), which is not read.*Python file"),
        (
            lambda folder: pipeline(folder, DDIM | {"prediction_type": "noise"}),
            r"prediction_type 'noise' of DDIMScheduler is none of epsilon, v_prediction",
        ),
        (
            lambda folder: pipeline(folder, DDIM | {"beta_schedule": "square"}),
            r"beta_schedule 'square' of DDIMScheduler is none of linear, scaled_linear",
        ),
        (
            lambda folder: pipeline(folder, {"_class_name": "TCDScheduler"}),
            r"the scheduler TCDScheduler is none that is read .*such as DDPMScheduler",
        ),
        (
            lambda folder: pipeline(folder, network=UNET | {"sample_size": None}),
            r"has no sample_size.*write it there",
        ),
        (
            lambda folder: pipeline(folder, network=UNET | {"class_embed_type": "identity"}),
            r"class_embed_type 'identity' makes its labels no class numbers",
        ),
        (
            lambda folder: write(folder, "config.json", {"_class_name": "AutoencoderKL", "_diffusers_version": "0"}),
            r"is a AutoencoderKL of diffusers, which is not read",
        ),
        (lambda folder: write(folder, "config.json", {"model_type": "bert"}), r"no known family"),
    ],
)  # fmt: skip
def test_diffusers_config__wrong_folders_are_refused_in_a_sentence(tmp_path, make, said):
    make(tmp_path)
    with pytest.raises(CheckpointError, match=said) as refused:
        spec_of(tmp_path)
    assert "\n" not in str(refused.value)


def test_without_the_library_its_networks_cannot_be_made(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(CheckpointError, match=r"pip install 'samplerbench\[diffusers\]'"):
        load(pipeline(tmp_path), {})


def test_latents__samples_of_a_network_alone_are_not_clamped_to_the_range_of_images(tmp_path):
    unet = {**UNET, "in_channels": 4, "out_channels": 4}
    assert spec_of(pipeline(tmp_path / "latents", network=unet)).limits is None
    for channels in (1, 3):
        unet = {**UNET, "in_channels": channels, "out_channels": channels}
        assert spec_of(pipeline(tmp_path / f"{channels}", network=unet)).limits == (-1, 1)
    ve = {"_class_name": "ScoreSdeVeScheduler"}
    vae = {"_class_name": "AutoencoderKL"}
    assert spec_of(pipeline(tmp_path / "ve", ve, decoder=vae)).limits is None


def test_invert_sigmas__the_network_s_time_and_output_run_towards_the_data(tmp_path):
    flow = {"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": True}
    spec = spec_of(pipeline(tmp_path, flow))
    assert (spec.prediction, spec.factor) == ("flow", -1)
    assert spec.time == {"of": "t", "scale": -1000, "offset": 1000}
