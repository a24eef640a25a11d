"""As much of ComfyUI as samplers and custom nodes see, after its source.

``comfy/samplers.py`` at 311c014 (``KSAMPLER``, ``KSamplerX0Inpaint``, ``CFGGuider``), ``comfy/model_sampling.py`` at
2fd2083, ``BaseModel._apply_model`` of ``comfy/model_base.py`` at 094c74c, ``default_noise_sampler`` of
``comfy/k_diffusion/sampling.py`` at 02159d8. Run as a script, it samples by a package of a node in a fresh process.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import types
from pathlib import Path
from typing import Any

import torch


class EPS:
    sigma_data = 1.0

    def calculate_input(self, sigma, noise):
        return noise / (column(sigma, noise) ** 2 + self.sigma_data**2).sqrt()

    def calculate_denoised(self, sigma, model_output, model_input):
        return model_input - model_output * column(sigma, model_output)

    def noise_scaling(self, sigma, noise, latent_image, max_denoise=False):
        scale = torch.sqrt(1.0 + sigma**2.0) if max_denoise else sigma
        return noise * scale + latent_image

    def inverse_noise_scaling(self, sigma, latent):
        return latent


class V_PREDICTION(EPS):  # noqa: N801
    sign = -1

    def calculate_denoised(self, sigma, model_output, model_input):
        sigma, data = column(sigma, model_output), self.sigma_data
        total = sigma**2 + data**2
        skip = model_input * data**2 / total
        return skip + self.sign * model_output * sigma * data / total.sqrt()


class EDM(V_PREDICTION):
    sign = 1


class X0(EPS):
    def calculate_denoised(self, sigma, model_output, model_input):
        return model_output


class CONST:
    def calculate_input(self, sigma, noise):
        return noise

    def calculate_denoised(self, sigma, model_output, model_input):
        return model_input - model_output * column(sigma, model_output)

    def noise_scaling(self, sigma, noise, latent_image, max_denoise=False):
        scale = getattr(self, "noise_scale", 1.0)
        return sigma * scale * noise + (1.0 - sigma) * latent_image

    def inverse_noise_scaling(self, sigma, latent):
        return latent / (1.0 - sigma)


class ModelSamplingDiscrete:
    def __init__(self, sigmas):
        self.sigmas = torch.as_tensor(sigmas)
        self.sigma_min, self.sigma_max = self.sigmas[0], self.sigmas[-1]

    def timestep(self, sigma):
        return (sigma.log() - self.sigmas.log()[:, None]).abs().argmin(0)


class ModelSamplingContinuousEDM:
    def __init__(self, sigma_min, sigma_max, sigma_data):
        self.sigma_min, self.sigma_max = torch.tensor(sigma_min), torch.tensor(sigma_max)
        self.sigma_data = sigma_data

    def timestep(self, sigma):
        return 0.25 * sigma.log()


class ModelSamplingDiscreteFlow:
    def __init__(self, shift, noise_scale=1.0):
        times = torch.arange(1, 1001) / 1000
        self.sigmas = shift * times / (1 + (shift - 1) * times)
        self.sigma_min, self.sigma_max = self.sigmas[0], self.sigmas[-1]
        self.shift, self.noise_scale = shift, noise_scale

    def timestep(self, sigma):
        return sigma * 1000


def column(sigma, like):
    return sigma.reshape(sigma.shape[:1] + (1,) * (like.ndim - 1))


class Sampler:
    def max_denoise(self, model_wrap, sigmas):
        highest = float(model_wrap.inner_model.model_sampling.sigma_max)
        first = float(sigmas[0])
        return math.isclose(highest, first, rel_tol=1e-05) or first > highest


class KSamplerX0Inpaint:
    def __init__(self, model, sigmas):
        self.inner_model, self.sigmas = model, sigmas

    def __call__(self, x, sigma, denoise_mask, model_options={}, seed=None):  # noqa: B006
        assert denoise_mask is None
        return self.inner_model(x, sigma, model_options=model_options, seed=seed)


class KSAMPLER(Sampler):
    def __init__(self, sampler_function, extra_options={}, inpaint_options={}):  # noqa: B006
        self.sampler_function, self.extra_options = sampler_function, extra_options
        self.inpaint_options = inpaint_options

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None,
               denoise_mask=None, disable_pbar=False):  # fmt: skip
        extra_args["denoise_mask"] = denoise_mask
        model_k = KSamplerX0Inpaint(model_wrap, sigmas)
        model_k.latent_image, model_k.noise = latent_image, noise
        sampling = model_wrap.inner_model.model_sampling
        most = self.max_denoise(model_wrap, sigmas)
        noise = sampling.noise_scaling(sigmas[0], noise, latent_image, most)
        total = len(sigmas) - 1

        def k_callback(x):
            if callback is not None:
                callback(x["i"], x["denoised"], x["x"], total)

        samples = self.sampler_function(
            model_k, noise, sigmas, extra_args=extra_args, callback=k_callback,
            disable=disable_pbar, **self.extra_options,
        )  # fmt: skip
        return sampling.inverse_noise_scaling(sigmas[-1], samples)


class Guider:
    """CFGGuider of a model: ``inner_model.model_sampling``, ``cfg``, and the guided clean image."""

    def __init__(self, network, sampling, free=None, cfg=1.0):
        self.inner_model = types.SimpleNamespace(model_sampling=sampling)
        self.network, self.free, self.cfg, self.options = network, free, cfg, {"patches": "kept"}

    def __call__(self, x, sigma, model_options={}, seed=None):  # noqa: B006
        assert model_options is self.options
        assert seed is not None
        given = self.denoised(self.network, x, sigma)
        if math.isclose(self.cfg, 1.0):
            return given
        free = self.denoised(self.free, x, sigma)
        return free + (given - free) * self.cfg

    def denoised(self, network, x, sigma):
        sampling = self.inner_model.model_sampling
        x_t, time = sampling.calculate_input(sigma, x), sampling.timestep(sigma)
        return sampling.calculate_denoised(sigma, network(x_t, time.to(x.dtype)), x)

    def sample(self, noise, sampler, sigmas, seed=0, callback=None, latent=None):
        args = {"model_options": self.options, "seed": seed}
        latent = torch.zeros_like(noise) if latent is None else latent
        return sampler.sample(self, sigmas, args, callback, noise, latent, None, True)


def default_noise_sampler(x, seed=None):
    generator = None
    if seed is not None:
        generator = torch.Generator(device=x.device)
        generator.manual_seed(seed + (x.device.type == "cpu"))
    return lambda sigma, sigma_next: torch.randn(x.size(), dtype=x.dtype, generator=generator)


def make_sampling(base, kind, *args):
    """An object as of ``comfy.model_base.model_sampling``."""
    return type("ModelSampling", (base, kind), {})(*args)


def modules() -> dict[str, types.ModuleType]:
    """Modules in the place of ComfyUI's."""
    names = {
        "comfy": {}, "comfy.samplers": {"KSAMPLER": KSAMPLER}, "comfy.k_diffusion": {},
        "comfy.k_diffusion.sampling": {"default_noise_sampler": default_noise_sampler},
    }  # fmt: skip
    made = {}
    for name, content in names.items():
        made[name] = types.ModuleType(name)
        vars(made[name]).update(content)
    return made


def load(folder: Path) -> Any:
    """The package of a custom node, as ComfyUI loads it: by its path, under its folder's name."""
    path = folder / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        str(folder).replace(".", "_x_"), path, submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.modules |= modules()
    node = load(Path(sys.argv[1]))
    made = node.NODE_CLASS_MAPPINGS["SamplerTable"]()
    sampler, sigmas, about = made.load(node.SamplerTable.INPUT_TYPES()["required"]["table"][0][0])
    guider = Guider(lambda x, t: torch.sin(x + 0.01 * t.reshape(-1, 1)), make_sampling(
        ModelSamplingDiscreteFlow, CONST, 3.0
    ))  # fmt: skip
    noise = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    samples = guider.sample(noise, sampler, sigmas)
    foreign = {name.partition(".")[0] for name in sys.modules} & {"samplerbench", "numpy.random"}
    print(about, foreign, samples.tolist(), sep="\n")
