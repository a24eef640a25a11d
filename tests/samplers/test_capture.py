"""A recorded run gives each batch what a plain run gives it.

On a GPU the recording is a CUDA graph, elsewhere a stand-in.
"""

import pytest
import torch
from looping import each
from on_cuda import cuda
from replaying import Rerun

from samplerbench.samplers import NoNoise, SampleNoise, get, karras, make, names
from samplerbench.samplers.brownian import BrownianNoise
from samplerbench.samplers.cuda_graphs import (
    CudaGraph,
    Recording,
    as_level_tensor,
    capture,
    why_not_capturable,
)

EVENT = (6,)
GRID = karras(4, 0.02, 80.0)
RECORDED = [name for name in names() if not why_not_capturable(make(name), GRID)]
WAITS = "torchdiffeq"  # the library waits for the device, which only the device can tell


class Shrink:
    """A denoiser with a label a sample, which takes levels as they come."""

    def __init__(self, labels):
        self.labels = labels

    def __call__(self, x, sigma):
        weight = self.labels.to(x)[:, None] / (1 + as_level_tensor(sigma, x).to(x)[:, None] ** 2)
        return torch.tanh(x) * weight

    def take(self, rows):
        return Shrink(self.labels[rows])


def setting_of(name, brownian=False):
    def setting(ids, labels):
        if not make(name).stochastic:
            return Shrink(labels), NoNoise()
        return Shrink(labels), BrownianNoise(
            7, ids, EVENT, 80.0, 0.02
        ) if brownian else SampleNoise(7, ids, EVENT)

    return setting


def batch(first, device="cpu"):
    """Latents, sample numbers and labels of three samples."""
    ids = torch.arange(first, first + 3, device=device)
    return 80.0 * SampleNoise(7, ids, EVENT).initial(), ids, ids % 4 + 1


def plainly(name, x, ids, labels, brownian=False):
    denoise, noise = setting_of(name, brownian)(ids, labels)
    return make(name).sample(denoise, x, GRID, noise)


def replays(name, device, backend, brownian=False):
    """Three replays, the last of the first batch again, beside plain runs of the same batches."""
    batches = [batch(first, device) for first in (0, 40, 0)]
    run = capture(make(name), GRID, setting_of(name, brownian), batches[0], backend)
    return [run(*given) for given in batches], [
        plainly(name, *given, brownian) for given in batches
    ]


@pytest.mark.slow
@each("name", RECORDED)
def test_capture__each_replay_gives_what_a_plain_run_of_its_batch_gives(name):
    got, expected = replays(name, "cpu", Rerun())
    torch.testing.assert_close(torch.stack(got), torch.stack(expected), rtol=1e-5, atol=1e-6)
    assert not torch.equal(got[0], got[1]), "the second batch has other latents"
    assert torch.equal(got[0], got[2])


def test_a_recorded_path_of_brownian_noise_is_that_of_the_batch():
    got, expected = replays("euler_maruyama", "cpu", Rerun(), brownian=True)
    torch.testing.assert_close(torch.stack(got), torch.stack(expected), rtol=1e-5, atol=1e-6)


def test_stochastic_samplers_draw_the_noise_of_the_sample_numbers_and_not_of_the_recording():
    x, ids, labels = batch(0)
    run = capture(make("ddpm"), GRID, setting_of("ddpm"), (x, ids, labels), Rerun())
    assert not torch.equal(run(x, ids + 100, labels), run(x, ids, labels)), (
        "same latents and labels, other numbers"
    )
    assert torch.equal(run(x, ids + 100, labels), plainly("ddpm", x, ids + 100, labels))


def test_a_recording_warms_up_records_once_and_replays_each_call():
    backend, given = Rerun(), batch(0)
    run = capture(make("heun"), GRID, setting_of("heun"), given, backend)
    run(*given), run(*given)
    assert backend.asked == ["warm_up", "capture", "replay", "replay"]


def test_results_and_arguments_are_the_callers_own():
    given = batch(0)
    before = [tensor.clone() for tensor in given]
    run = capture(make("dpmpp_2m"), GRID, setting_of("dpmpp_2m"), given, Rerun())
    first = run(*given)
    kept = first.clone()
    run(*batch(40))
    assert torch.equal(first, kept), "a later replay wrote into an earlier result"
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))
    given[0].zero_()
    run.replay()
    assert torch.equal(run(*before), first)


@pytest.mark.parametrize(
    "change", [lambda x, *c: (x[:2], *c), lambda x, *c: (x.double(), *c), lambda x, *c: (x, c[0])]
)
def test_another_shape_dtype_or_number_of_tensors_is_refused(change):
    run = capture(make("euler"), GRID, setting_of("euler"), batch(0), Rerun())
    with pytest.raises(
        ValueError,
        match=r"recorded for tensors \(3, 6\) float32, .* "
        r"called with .*; make a recording for each shape",
    ):
        run(*change(*batch(0)))


def test_samplers_that_decide_as_they_go_are_refused_and_all_others_are_not():
    refused = set(names()) - set(RECORDED)
    assert {name for name in names() if get(name).adaptive or get(name).batch_coupled} <= refused
    assert {"paradigms", "rk45", "dpm_solver_adaptive_23"} <= refused
    assert {"auto", "heun", "predictor_corrector", "restart", "unipc_2"} <= set(RECORDED)
    with pytest.raises(
        ValueError, match="sampler rk45 decides from its states how many evaluations it makes"
    ):
        capture(make("rk45"), GRID, setting_of("rk45"), batch(0), Rerun())


def test_a_cpu_has_no_cuda_graphs():
    with pytest.raises(
        ValueError, match="a CUDA graph needs a CUDA device, and this run is on cpu; run it eagerly"
    ):
        capture(make("euler"), GRID, setting_of("euler"), batch(0))


def test_a_recording_is_of_any_function_of_tensors():
    weight = torch.tensor([2.0])
    double = Recording(lambda x: weight * x, (torch.ones(1),), Rerun())
    assert double(torch.tensor([3.0])).item() == 6
    weight.fill_(5)
    assert double(torch.tensor([3.0])).item() == 15, (
        "memory that is read counts as it is when replayed"
    )


@cuda
@pytest.mark.parametrize("name", [name for name in RECORDED if not name.startswith(WAITS)])
def test_cuda_each_replay_gives_what_a_plain_run_of_its_batch_gives(name):
    got, expected = replays(name, "cuda", None)
    torch.testing.assert_close(torch.stack(got), torch.stack(expected), rtol=1e-5, atol=1e-6)
    assert not torch.equal(got[0], got[1])


@cuda
def test_cuda_a_path_of_brownian_noise_is_that_of_the_batch():
    got, expected = replays("euler_maruyama", "cuda", None, brownian=True)
    torch.testing.assert_close(torch.stack(got), torch.stack(expected), rtol=1e-5, atol=1e-6)


@cuda
def test_cuda_graphs_that_share_memory_do_not_disturb_one_another():
    given = {first: batch(first, "cuda") for first in (0, 40)}
    runs = {
        name: capture(make(name), GRID, setting_of(name), given[0])
        for name in ("heun", "ddpm", "dpmpp_2m")
    }
    got = {(name, first): run(*given[first]) for first in given for name, run in runs.items()}
    for (name, first), x in got.items():
        torch.testing.assert_close(x, plainly(name, *given[first]), rtol=1e-5, atol=1e-6)


@cuda
def test_cuda_work_that_waits_for_the_device_is_refused_and_the_device_still_works():
    stream, x = torch.cuda.current_stream(), torch.ones(3, device="cuda")
    with pytest.raises(
        ValueError,
        match=r"cannot become a CUDA graph: it waits for the " r"device \(.*\); run it eagerly",
    ):
        Recording(lambda x: x * float(x.sum()), (x,), CudaGraph(x.device))
    assert torch.cuda.current_stream() == stream
    assert torch.cuda.get_sync_debug_mode() == 0
    assert Recording(lambda x: 2 * x, (x,), CudaGraph(x.device))(x).tolist() == [2.0] * 3
