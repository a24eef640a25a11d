"""The files that are run from the user's clones of the authors' repositories."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ..types import Source
from .locate import cloned_file

_FILES = {
    "dpm-solver": ("dpm-solver/dpm_solver_pytorch.py",),
    "UniPC": ("UniPC/uni_pc.py", "UniPC/example/score_sde_pytorch/uni_pc.py"),
    "diff-sampler": (
        "diff-sampler/diff-solvers-main/solvers.py",
        "diff-sampler/amed-solver-main/solvers_amed.py",
    ),
    "edm": ("edm/generate.py",),
}
SOURCES = {
    "dpm-solver": Source(
        "lu2022dpmpp", "dpm_solver_pytorch.py", "https://github.com/LuChengTHU/dpm-solver"
    ),
    "UniPC": Source("zhao2023unipc", "uni_pc.py", "https://github.com/wl-zhao/UniPC"),
    "diff-sampler": Source("zhou2024amed", "solvers.py", "https://github.com/zju-pi/diff-sampler"),
    "edm": Source("karras2022edm", "generate.py", "https://github.com/NVlabs/edm"),
}


def path(name: str) -> Path:
    """The file of a peer in the user's clones."""
    library = name.partition(":")[0]
    return cloned_file(name, SOURCES[library].url, *_FILES[library])


def where(name: str) -> str:
    """What tells one copy of the code from another."""
    return str(path(name))


def image(x: Tensor) -> Tensor:
    """The state as a batch of images, which these files assume."""
    return x if x.ndim == 4 else x.reshape(len(x), -1, 1, 1)
