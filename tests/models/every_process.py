"""A process of each kind, with the options that change its formula."""

from samplerbench.models.process import (
    EDM,
    VE,
    Cosine,
    Process,
    RectifiedFlow,
    SubVP,
    Trigonometric,
    VPLinear,
)

PROCESSES: list[Process] = [
    VE(),
    VPLinear(),
    VPLinear(beta_d=5.0, beta_min=1.0),
    Cosine(),
    Cosine(s=0.1),
    RectifiedFlow(),
    RectifiedFlow(noise_scale=2.0, t_max=0.999),
    EDM(),
    SubVP(),
    Trigonometric(t_max=0.999),
]
