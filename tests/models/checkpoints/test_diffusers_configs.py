"""What diffusers folders say, read without the library."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from looping import each

from samplerbench.benchmarks.planning.own_scheduler import pipeline_evaluations_by_steps
from samplerbench.models.checkpoints.diffusers.preset import own_sampling
from samplerbench.models.checkpoints.diffusers.steps import native_levels, steps_of
from samplerbench.models.checkpoints.mapping import fields_behind_numbers, process_of
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.checkpoints.specification import Specification
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.samplers import make

UNET = {"_class_name": "UNet2DModel", "sample_size": 8, "in_channels": 1, "out_channels": 1}
DIT = {
    "_class_name": "DiTTransformer2DModel", "sample_size": 8, "in_channels": 2, "out_channels": 4,
    "num_embeds_ada_norm": 3,
}  # fmt: skip
V = {"prediction_type": "v_prediction"}
DDIM = {"_class_name": "DDIMScheduler", "clip_sample": False}
WEIGHTS = "diffusion_pytorch_model.safetensors"


def write(folder: Path, name: str, value: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def pipeline(folder: Path, scheduler=DDIM, network=UNET, decoder=None, name="DDPMPipeline") -> Path:
    """A folder whose weights are nothing that could be read."""
    part = "unet" if network["_class_name"] == "UNet2DModel" else "transformer"
    index = {
        "_class_name": name,
        part: ["diffusers", network["_class_name"]],
        "scheduler": ["diffusers", scheduler["_class_name"]],
    }
    if decoder is not None:
        index["vae"] = ["diffusers", "AutoencoderKL"]
        write(folder, "vae/config.json", decoder)
    write(folder, "model_index.json", index)
    write(folder, f"{part}/config.json", network)
    write(folder, "scheduler/scheduler_config.json", scheduler)
    (folder / part / WEIGHTS).write_bytes(b"weights")
    return folder


def spec_of(folder: Path) -> Specification:
    return specify_checkpoint(open_checkpoint(folder))


def levels(betas) -> list[float]:
    """Of a table of betas, one by one."""
    kept, found = 1.0, []
    for beta in betas:
        kept *= 1 - beta
        found.append(math.sqrt((1 - kept) / kept))
    return found


LINEAR = [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)]


def cosine(i: float) -> float:
    return math.cos((i / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2


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


def at(times) -> list[float]:
    return [levels(LINEAR)[t] for t in times]


@each(
    ("said", "steps", "expected"),
    [
        ({}, 4, [*at([750, 500, 250, 0]), 0.0]),
        ({"steps_offset": 1}, 4, [*at([751, 501, 251, 1]), 0.0]),
        # the last step from time 0 to time 0 goes nowhere
        ({"set_alpha_to_one": False}, 4, at([750, 500, 250, 0])),
        ({"set_alpha_to_one": False, "steps_offset": 1}, 2, at([501, 1, 0])),
        ({"timestep_spacing": "trailing"}, 4, [*at([999, 749, 499, 249]), 0.0]),
        ({"_class_name": "DDPMScheduler", "timestep_spacing": "linspace"}, 4, [*at([999, 666, 333, 0]), 0]),
        ({"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"}, 2, [*at([999, 499]), 0]),
    ],
)  # fmt: skip
def test_diffusers_config__the_levels_of_a_preset(tmp_path, said, steps, expected):
    spec = spec_of(pipeline(tmp_path, DDIM | said))
    assert steps_of(spec, steps).path == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("said", "steps", "times"),
    [
        ({"_class_name": "DDPMScheduler", "timestep_spacing": "leading"}, 8, range(875, -1, -125)),
        # DDIM steps elsewhere than it evaluates next, but it evaluates there
        ({"timestep_spacing": "trailing"}, 3, [999, 666, 332]),
    ],
)
def test_native_levels__are_where_the_scheduler_evaluates(tmp_path, said, steps, times):
    spec = spec_of(pipeline(tmp_path, DDIM | said))
    assert native_levels(spec, steps) == pytest.approx(at(times), rel=1e-9)


def test_the_levels_of_flows_and_of_edm(tmp_path):
    flow = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 2.0}
    found = steps_of(spec_of(pipeline(tmp_path / "flow", flow)), 3).path
    last = 2 * 0.001 / 1.001  # the library shifts it once more
    times = [2 * t / (1 + t) for t in ((1 + last) / 2, last)]
    assert found == pytest.approx([1e4, *(t / (1 - t) for t in times), 0.0])
    edm = {"_class_name": "EDMEulerScheduler"}
    found = steps_of(spec_of(pipeline(tmp_path / "edm", edm)), 3).path
    middle = ((80 ** (1 / 7) + 0.002 ** (1 / 7)) / 2) ** 7
    assert found == pytest.approx([80.0, middle, 0.002, 0.0])


@each(
    ("said", "steps", "why"),
    [
        ({"timestep_spacing": "linspace"}, 4, "does not step to the times"),
        ({"timestep_spacing": "trailing"}, 7, "take a number that divides 1000"),
        ({}, 1001, "need 1 to 1000 steps"),
        ({"_class_name": "PNDMScheduler", "skip_prk_steps": True, "timestep_spacing": "linspace"}, 4, "does not step"),
        ({"_class_name": "PNDMScheduler", "skip_prk_steps": True}, 1, "its only step goes nowhere"),
        ({"_class_name": "PNDMScheduler"}, 4, "without skip_prk_steps"),
        ({"_class_name": "PNDMScheduler", "skip_prk_steps": True, "set_alpha_to_one": True}, 4, "with set_alpha_to_one"),
        ({"_class_name": "PNDMScheduler", "prediction_type": "v_prediction"}, 4, "prediction_type v_prediction"),
        ({"_class_name": "SASolverScheduler"}, 4, "nobody wrote down which sampler of ours is SASolverScheduler"),
        ({"_class_name": "EulerDiscreteScheduler", "interpolation_type": "log_linear"}, 4, "interpolation_type"),
        ({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"} | V, 4, "timestep_type continuous"),
        ({"_class_name": "DDPMScheduler", "variance_type": "learned_range"}, 4, "variance_type learned_range"),
        ({"_class_name": "DDPMScheduler", "variance_type": "fixed_large", "steps_offset": 1}, 4, "ends with noise"),
        ({"_class_name": "DDPMScheduler", "thresholding": True}, 4, "with thresholding"),
        ({"_class_name": "HeunDiscreteScheduler", "clip_sample": True}, 4, "with clip_sample"),
        ({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3, "solver_type": "heun"}, 4, "solver_order 3, solver_type heun"),
        ({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver"}, 4, "algorithm_type sde-dpmsolver"),
        ({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"}, 4, "final_sigmas_type zero"),
        ({"_class_name": "DPMSolverMultistepScheduler", "use_beta_sigmas": True}, 4, "use_beta_sigmas"),
        ({"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True}, 4, "prediction_type epsilon with use_flow_sigmas"),
        ({"_class_name": "UniPCMultistepScheduler", "solver_order": 4}, 4, "solver_order 4"),
        ({"_class_name": "UniPCMultistepScheduler", "solver_type": "bh1"}, 4, "solver_type bh1"),
        ({"_class_name": "UniPCMultistepScheduler", "disable_corrector": [0]}, 4, "disable_corrector"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_karras_sigmas": True}, 4, "use_karras_sigmas"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "stochastic_sampling": True}, 4, "stochastic_sampling"),
        ({"_class_name": "FlowMatchHeunDiscreteScheduler"}, 4, "nobody wrote down"),
    ],
)  # fmt: skip
def test_diffusers_config__steps_that_are_no_path_of_ours_are_refused(tmp_path, said, steps, why):
    spec = spec_of(pipeline(tmp_path, DDIM | said))
    with pytest.raises(ValueError, match=why) as refused:
        own_sampling(spec, steps)
    assert str(said.get("_class_name", "DDIMScheduler")) in str(refused.value) or steps > 1000


def test_own_sampling__another_scheduler_has_the_settings_of_the_folder(tmp_path):
    kept = {"_class_name": "DDPMScheduler", "timestep_spacing": "leading"}
    spec = spec_of(pipeline(tmp_path, DDIM | kept))
    own = own_sampling(spec, 4, "UniPCMultistepScheduler")
    assert own.sampler == "unipc_2(variant='bh2', last=[2, 1])"
    assert own.levels == pytest.approx([*at([800, 600, 400, 200]), 0.0])
    assert own.told == "UniPCMultistepScheduler, leading"
    assert own_sampling(spec, 4, "DDIMScheduler").sampler == "ddim"
    with pytest.raises(ValueError, match="samples no network that was trained for DDPMScheduler"):
        own_sampling(spec, 4, "FlowMatchEulerDiscreteScheduler")
    with pytest.raises(ValueError, match="the scheduler NoScheduler is none that is read"):
        own_sampling(spec, 4, "NoScheduler")


def test_clamping_is_no_difference(tmp_path):
    clamps = spec_of(pipeline(tmp_path / "a", {"_class_name": "DDIMScheduler"}))
    assert clamps.preset["clip"] == 1.0
    assert clamps.preset["differs"] == []  # the sampler pipeline clamps so
    assert spec_of(pipeline(tmp_path / "c")).preset["differs"] == []


def test_an_infinite_range(tmp_path):
    """A flow begins far up; a table with nothing left of the data has no such level in the library."""
    flow = pipeline(tmp_path / "flow", {"_class_name": "FlowMatchEulerDiscreteScheduler"})
    own = own_sampling(spec_of(flow).overridden({"sigma_max": "inf"}), 3)
    assert own.levels[0] == own.start == 1e6
    told = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    table = spec_of(pipeline(tmp_path / "table", DDIM | V | told))
    first = own_sampling(table, 4).levels[0]
    assert first == pytest.approx(table.sigma_max, rel=1e-12)
    assert first > 1e4
    with pytest.raises(ValueError, match="leave out sigma_max=inf"):
        own_sampling(table.overridden({"sigma_max": "inf"}), 4)


@pytest.mark.parametrize(
    ("scheduler", "evaluations"),
    [("HeunDiscreteScheduler", 9), ("PNDMScheduler", 6), ("DPMSolverMultistepScheduler", 5)],
)
def test_a_budget_counts_what_the_scheduler_evaluates(tmp_path, scheduler, evaluations):
    said = {
        "_class_name": scheduler,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "timestep_spacing": "leading",
    }
    spec = spec_of(pipeline(tmp_path, said))
    model = SimpleNamespace(passes=2, own_sampling=lambda n: own_sampling(spec, n))
    assert pipeline_evaluations_by_steps(make("pipeline"), model)(5) == 2 * evaluations


def test_how_it_is_sampled_is_no_part_of_the_model(tmp_path):
    one = spec_of(pipeline(tmp_path / "a", DDIM | {"timestep_spacing": "trailing"}))
    other = spec_of(pipeline(tmp_path / "b", DDIM | {"timestep_spacing": "leading"}))
    assert one.preset["spacing"] != other.preset["spacing"]
    assert fields_behind_numbers(one) == fields_behind_numbers(other)
    with pytest.raises(ValueError, match="no setting"):
        one.overridden({"preset": "1"})


def test_hidden_files_of_a_download_do_not_change_the_content(tmp_path):
    before = open_checkpoint(pipeline(tmp_path)).sha256
    write(tmp_path, ".cache/huggingface/download/unet.metadata", {"time": 1})
    assert open_checkpoint(tmp_path).sha256 == before
    write(tmp_path, "unet/config.json", UNET | {"sample_size": 16})
    assert open_checkpoint(tmp_path).sha256 != before


def test_levels_are_plain_numbers(tmp_path):
    spec = spec_of(pipeline(tmp_path))
    json.dumps(spec.as_json())
    assert not any(isinstance(level, np.generic) for level in steps_of(spec, 5).path)
