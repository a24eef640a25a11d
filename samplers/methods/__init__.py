"""The samplers, one family a file. Importing this package registers them."""

from . import ancestral, dpm_solver, dpm_solver_multistep, dpmpp, euler, euler_maruyama, heun, ipndm, scipy, torchdiffeq

__all__ = [
    "ancestral",
    "dpm_solver",
    "dpm_solver_multistep",
    "dpmpp",
    "euler",
    "euler_maruyama",
    "heun",
    "ipndm",
    "scipy",
    "torchdiffeq",
]
