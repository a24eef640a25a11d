import itertools

import numpy as np
import pytest
from looping import each

from samplerbench import samplers
from samplerbench.results.palette import FAMILIES, OWN, style

# Machado, Oliveira & Fernandes (2009), severity 1.0, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour):
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def oklab(rgb):
    to_lms = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.428592205, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.808675766],
    ]
    return np.array(to_lab) @ np.cbrt(np.array(to_lms) @ np.clip(rgb, 0, 1))


def contrast(a, b):
    bright, dim = sorted((linear(c) @ [0.2126, 0.7152, 0.0722] for c in (a, b)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@each("page", ["colour", "dark"])
@each("sight", SIGHT)
def test_palette__every_two_families_are_apart_for_every_reader(page, sight):
    seen = [oklab(np.array(SIGHT[sight]) @ linear(getattr(kin, page))) for kin in FAMILIES]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.0695


def test_every_colour_stands_out_from_its_page():
    assert min(contrast(kin.colour, "#ffffff") for kin in FAMILIES) >= 3
    assert min(contrast(kin.dark, "#121417") for kin in FAMILIES) >= 4.5


def test_nearly_every_sampler_of_the_registry_has_a_look_of_its_own_and_a_family():
    names = samplers.names()
    assert len({style(name) for name in names}) >= 0.95 * len(names)
    assert all(style(name).family != FAMILIES[-1].name for name in names)


@each(
    ("sampler", "kin"),
    [
        ("euler", "Euler, DDIM"),
        ("euler_ancestral", "Stochastic"),
        ("dpmpp_2m", "DPM-Solver++"),
        ("dpmpp_2m_sde", "Stochastic"),
        ("dpm_solver_adaptive_12", "Adaptive"),
        ("dpm_2_ancestral", "Stochastic"),
        ("torchdiffeq_rk4", "Heun, Runge–Kutta"),
        ("torchdiffeq_dopri5", "Adaptive"),
        ("eulerian", "Your own (plugins)"),
        ("diffusers:UniPCMultistepScheduler", "Other libraries"),
    ],
)
def test_palette__families_go_by_whole_words_and_the_longest_beginning(sampler, kin):
    assert style(sampler).family == kin


def test_the_dash_is_the_order_and_the_symbol_the_method():
    assert [style(f"dpmpp_{order}m").dash for order in (1, 2, 3)] == [
        "dot",
        "solid",
        "dash",
    ]
    assert style("dpmpp_2m").symbol == style("dpmpp_3m").symbol != style("dpmpp_2s").symbol
    assert style("dpmpp_3m_published").symbol == style("dpmpp_3m").symbol + "-open"


def test_a_sampler_of_the_readers_own_stands_out_whatever_its_name():
    for name in ("my_solver", "heun_of_mine", "euler"):
        look = style(name, origin="my_solver.py sha256:0123")
        assert look.own
        assert look.family == OWN.name
    assert not style("euler").own
    assert not style("diffusers:DDIMScheduler", origin="0.35").own


@pytest.mark.parametrize("page", ["colour", "dark"])
def test_no_colour_is_as_vivid_as_that_of_the_readers_own(page):
    vivid = {kin.name: np.hypot(*oklab(linear(getattr(kin, page)))[1:]) for kin in FAMILIES}
    assert vivid.pop(OWN.name) > 1.2 * max(vivid.values())
