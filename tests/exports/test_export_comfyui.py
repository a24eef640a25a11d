"""Nodes for ComfyUI, held to its formulas in float64 on an exact mixture, 8 steps to 0."""

from __future__ import annotations

from functools import partial

import comfyui_formulas as theirs
import pytest
import torch
from looping import each
from networks import network
from torch import Tensor

from samplerbench.benchmarks.advice.exports import comfyui, export, missing
from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.models.adapters import NativeDenoiser
from samplerbench.models.process import RectifiedFlow
from samplerbench.samplers import Grid, NoNoise, SampleNoise, karras, make, names

PROBLEM = ThreeModes()
EXACT, NEAR = 1e-12, 3e-3
"""Bounds of relative differences: of rounding, and of integrals by 200 terms."""


def shifted(shift: float, steps: int = 8, highest: float = 9999.0) -> Grid:
    """Even times of a flow with this shift, from level ``highest``, which stands for t = 1."""
    times = [k / steps for k in range(steps, -1, -1)]
    levels = [highest, *(shift * u / (1 - u) for u in times[1:])]
    return Grid(tuple(levels))


FLOW = NativeDenoiser(
    network("flow").network, RectifiedFlow(), "flow", name="flow", event=(2,), identity="flow",
    network_dtype=torch.float64,
)  # fmt: skip
PROBLEMS = {
    "EDM": (network("eps"), karras(8, 0.002, 80.0)),
    "VP": (network("eps"), karras(8, 0.03, 14.6)),
    **{f"flow, shift {s:g}": (FLOW, shifted(s)) for s in (1.0, 3.0, 12.0)},
}
SA = "sa_solver(predictor={}, corrector={}, last={}, tau={}, tau_start=10000.0, tau_end=0.0)"
SPECS = [
    *names(),
    "ddim(eta=0.5)",
    "euler_ancestral(eta=0.5, s_noise=1.01)",
    "dpmpp_2s_ancestral(eta=0.5, s_noise=1.01)",
    "dpmpp_2m_sde(solver_type='heun')",
    "dpmpp_2m_sde(eta=0.0)",
    "dpmpp_2m_sde(solver_type='heun', eta=0.5)",
    "dpmpp_3m_sde_published(eta=0.0)",
    "dpmpp_3m_sde_published(eta=0.5)",
    "dpmpp_sde(eta=0.5, r=0.4)",
    "dpmpp_sde(eta=0.0, r=0.4)",
    "dpmpp_2s(r1=0.4)",
    "res_2s(c2=0.3)",
    "res_2s(c2=1.0)",
    "seeds_2(c2=0.3)",
    "exp_heun_2_x0_sde(eta=0.5)",
    "euler_ancestral(flow=True)",
    "euler_ancestral(flow=True, eta=0.5, s_noise=1.01)",
    "dpm_2_ancestral(flow=True)",
    "dpmpp_2s_ancestral(flow=True)",
    "dpmpp_2s_ancestral(flow=True, eta=0.5)",
    *(
        f"flow_time(method='{method}')"
        for method in (
            *("heun", "dpm_2", "dpmpp_2m", "ipndm", "xeab_2"),
            *("ipndm_v_published", "gradient_estimation", "heunpp2"),
        )
    ),
    "seeds_1(eta=0.5)",
    "seeds_2(eta=0.5, weighting='phi_2')",
    "seeds_2(eta=0.0)",
    *(
        f"{name}(scale={scale!r})"
        for name in ("er_sde_1", "er_sde_2", "er_sde_3_published")
        for scale in ("ode", "sde_2", "sde", "sde_3")
    ),
    *(SA.format(k, 2, last, tau) for k, last in ((1, []), (3, [2, 1, 1])) for tau in (0.0, 0.7)),
    SA.format(4, 0, [3, 2, 1, 1], 1.0),
    "sa_solver(predictor=2, corrector=1, last=[1, 1], tau=0.0)",
    "unipc_3_published(variant='bh1')",
]


def difference(made: Tensor, ours: Tensor) -> float:
    return float((made - ours).abs().max() / ours.abs().max())


@pytest.mark.slow
@each("name", PROBLEMS)
def test_find_node__its_formula_in_comfyui_gives_our_samples(name):
    model, grid = PROBLEMS[name]
    flow, noise = model is FLOW, SampleNoise(1, torch.arange(16), (2,), torch.float64)
    seen = set()
    for spec in SPECS:
        sampler = make(spec)
        node = comfyui.find_node(sampler, model)
        if node is None or node.inputs.get("sampler_name") in theirs.APPROXIMATE:
            continue
        ours = sampler.sample(
            PROBLEM,
            grid.sigma[0] * noise.initial(),
            grid,
            noise if sampler.stochastic else NoNoise(),
        )
        run = partial(theirs.Run, PROBLEM, grid, noise, flow=flow)
        if sampler.name in ("er_sde_2", "er_sde_3_published"):
            assert difference(theirs.solve(node, run(), points=0), ours) < EXACT, spec
            assert EXACT < difference(theirs.solve(node, run()), ours) < NEAR, spec
            assert "200 terms" in export("comfyui", sampler, grid, model, "m").remark
        else:
            off = difference(theirs.solve(node, run()), ours)
            assert off < EXACT, (spec, node, off)
        seen.add((node.name, *node.inputs.values()))
    assert len(seen) > (35 if flow else 50)


def test_find_node__every_entry_of_the_tables_has_a_formula():
    known = {*theirs.BY_NAME, *theirs.APPROXIMATE, *theirs.OF_NODES, "SamplerSASolver"}
    for flow in (False, True):
        for ours, _, _, text in comfyui._entries(flow):
            assert text.partition(":")[0] in known, (ours, text)


def test_missing__a_sampler_of_the_same_name_that_differs_says_how():
    table, flow = network("eps"), FLOW
    assert "lower orders" in missing("comfyui", make("sa_solver"), table)
    assert "path in t" in missing("comfyui", make("dpmpp_sde"), flow)
    assert missing("comfyui", make("dpmpp_sde"), table) == ""


def test_export__samplers_that_comfyui_cannot_run_on_these_levels_raise():
    high, low = karras(4, 0.03, 14.6, to_zero=False), karras(4, 0.0005, 14.6)
    sa = make(SA.format(3, 2, [2, 1, 1], 0.0))
    for sampler, grid, said in (
        (sa, high, "leave out last"),
        (make("unipc_3_published"), low, "0.001"),
        (make("unipc_3_published"), Grid((14.6, 0.0)), "one step"),
    ):
        with pytest.raises(ValueError, match=said):
            export("comfyui", sampler, grid, network("eps"), "m")


def test_export__the_nodes_of_a_flow_are_text_to_type():
    code = export("comfyui", make("dpmpp_2m"), shifted(3.0, 4), FLOW, "m").code
    assert code.splitlines()[:3] == [
        "SamplerDPMPP_2M_SDE: solver_type = midpoint, eta = 0.0",
        "ManualSigmas: the text of the next lines",
        "0.9999, 0.9, 0.75, 0.5, 0.0",
    ]


def test_export__writes_levels_out_that_are_not_of_the_range_of_comfyui():
    """ComfyUI's model keeps its own range, whatever range is sampled here."""
    narrow = network("eps")
    narrow.sigma_min, narrow.sigma_max = 2 * narrow.sigma_min, narrow.sigma_max / 2
    for model in (narrow, network("edm")):
        grid = karras(8, model.sigma_min, model.sigma_max)
        assert "ManualSigmas" in export("comfyui", make("dpmpp_2m"), grid, model, "folder").code
