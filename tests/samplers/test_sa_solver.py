"""SA-Solver's rows, which hold a correction and a prediction each, against its algorithm."""

import torch
from looping import each

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import SampleNoise, karras, make
from samplerbench.samplers.families.exponential_sde import data_weights, decay, noise_std


def predict_evaluate_correct(sampler, grid, noise):
    """SA-Solver as its paper has it: the state is the corrected one, and each step's noise
    serves twice.
    """

    def half(x, cur, nxt, seen, z):
        kappa = sampler.tau**2 if sampler.tau_end <= nxt <= sampler.tau_start else 0.0
        weights = data_weights(cur, nxt, [s for s, _ in seen], kappa)
        return (
            decay(cur, nxt, kappa) * x
            + sum(w * d for w, (_, d) in zip(weights, seen, strict=True))
            + noise_std(cur, nxt, kappa) * z
        )

    denoise, x = ThreeModes(), noise.initial() * grid.sigma[0]
    seen = [(grid.sigma[0], denoise(x, grid.sigma[0]))]
    for i, (cur, nxt) in enumerate(grid.intervals()):
        if nxt == 0:
            return seen[0][1]
        z, used = noise.at(i, cur, nxt)(), min(sampler.predictor, len(seen))
        predicted = half(x, cur, nxt, seen[:used], z)
        if i == len(grid) - 1:
            return predicted
        seen.insert(0, (nxt, denoise(predicted, nxt)))
        x = (
            half(x, cur, nxt, seen[: min(sampler.corrector, used + 1)], z)
            if sampler.corrector
            else predicted
        )
    raise AssertionError


@each("tau", [0.0, 0.6, 1.0])
@each(("predictor", "corrector"), [(3, 4), (2, 2), (1, 2), (3, 2), (4, 5), (3, 0)])
@each("to_zero", [True, False])
def test_sa_solver__folded_corrections_are_predict_evaluate_correct(
    predictor, corrector, tau, to_zero
):
    sampler = make(
        {
            "name": "sa_solver",
            "predictor": predictor,
            "corrector": corrector,
            "tau": tau,
            "tau_start": 20.0,
        }
    )
    grid = karras(9, 0.02, 40.0, to_zero=to_zero)
    noise = SampleNoise(1, torch.arange(6), (2,), torch.float64)
    found = sampler.sample(ThreeModes(), noise.initial() * grid.sigma[0], grid, noise)
    torch.testing.assert_close(
        found, predict_evaluate_correct(sampler, grid, noise), rtol=0, atol=1e-12
    )
