"""k-diffusion's samplers, which take our denoiser and levels unchanged."""

from __future__ import annotations

import importlib.util
import inspect
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from ..types import Source
from .base import Peer, PeerBatch, define_peer
from .locate import (
    find_clone,
    import_without_package,
    missing_library_error,
    name_and_hash_of_file,
    version_of_package,
)

LIBRARY = "k-diffusion"
_NOT_OFFERED = {"extra_args", "callback", "disable", "noise_sampler", "return_info"}


@dataclass(frozen=True, kw_only=True)
class KDiffusion(Peer):
    """Sampler that calls a function of k-diffusion, with our noise in place of its own.

    The function gets the levels of our grid, or only its ends if it takes no levels.
    """

    source = Source(
        "crowson2022kdiffusion",
        "sampling.py",
        "https://github.com/crowsonkb/k-diffusion",
        deviations=(
            "levels and coefficients are float64 whatever the state is",
            "sample_dpm_fast and sample_dpm_adaptive end at the last positive level; the "
            "step to 0 is x <- d",
        ),
    )

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        return bool(getattr(self, "eta", 0) or getattr(self, "s_churn", 0))

    def run(self, batch: PeerBatch, x: Tensor, levels: Tensor) -> Tensor:
        function = getattr(load_sampling(self.name), self.target)
        takes = inspect.signature(function).parameters
        arguments: dict[str, Any] = {"disable": True, **self.options}
        if "noise_sampler" in takes:
            arguments["noise_sampler"] = batch.draw
        given = {"sigmas": levels, "n": len(levels) - 1}
        given |= {"sigma_min": batch.grid.positive[-1], "sigma_max": batch.grid.sigma[0]}
        arguments |= {key: value for key, value in given.items() if key in takes}
        # only churn draws through torch
        with batch.replace_torch_noise(batch.step_noise_function()):
            return function(batch.denoised, x, **arguments)


def package_folder(name: str) -> Path:
    """Return the folder of k-diffusion's package: in the clone if there is one, else installed."""
    cloned = find_clone(LIBRARY)
    if cloned is not None:
        return cloned / "k_diffusion"
    spec = importlib.util.find_spec("k_diffusion")
    if spec is None or not spec.submodule_search_locations:
        raise missing_library_error(name, LIBRARY)
    return Path(spec.submodule_search_locations[0])


def load_sampling(name: str) -> ModuleType:
    """Return k-diffusion's module ``sampling``, imported without the package's other modules."""
    try:
        return import_without_package(package_folder(name), "sampling")
    except ImportError as error:
        raise missing_library_error(name, LIBRARY, error) from error


def names() -> list[str]:
    """Return the names of k-diffusion's samplers, the functions ``sample_…``, sorted."""
    return sorted(key for key in vars(load_sampling(LIBRARY)) if key.startswith("sample_"))


def make_class(name: str) -> type[Peer]:
    """Return the :class:`Peer` subclass ``k-diffusion:FUNCTION``, with its options as fields."""
    target = name.partition(":")[2]
    takes = inspect.signature(getattr(load_sampling(name), target)).parameters
    optional = {key: p.default for key, p in takes.items() if p.default is not p.empty}
    options = {key: value for key, value in optional.items() if key not in _NOT_OFFERED}
    adaptive = "rtol" in takes
    file = package_folder(name) / "sampling.py"
    cloned = find_clone(LIBRARY)
    origin = name_and_hash_of_file(file) if cloned else version_of_package(LIBRARY)
    return define_peer(
        KDiffusion,
        name,
        options,
        origin=origin,
        steps_to_zero="sigmas" in takes,
        adaptive=adaptive,
        translates=not adaptive,
        batch_coupled=adaptive,
    )
