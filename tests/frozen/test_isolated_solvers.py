"""A solver in a process of its own gives, bit for bit, what it gives in this one."""

import pytest
import torch
from looping import each

from samplerbench.benchmarks.frozen.isolation import SolverFacts, describe_file
from samplerbench.samplers import SampleNoise, karras, make

COPY = """
from dataclasses import dataclass
from samplerbench.samplers import get

@dataclass(frozen=True, kw_only=True)
class Copy(get("{}")):
    name, same_as = "copy", ""
"""
TUNES = """
from samplerbench.samplers import make

def tune(denoise, draw, nfe, sigma_min, sigma_max):
    x = draw(9)
    for sigma in (sigma_max, 1.0, sigma_min):
        assert denoise(x, sigma).shape == x.shape
    assert denoise.take(torch.tensor([0, 0]))(x[:2], torch.tensor([2.0, 3.0])).shape == x[:2].shape
    return make("heun"), torch.tensor([sigma_max, 1.0, 0.1, 0.0], dtype=torch.float64)
"""


@pytest.mark.slow
@each(
    ("name", "steps", "dtype"),
    [
        ("dpmpp_2m", 9, torch.float64),
        ("heun", 5, torch.float32),
        ("unipc_2", 9, torch.float64),
        ("euler_ancestral", 9, torch.float32),
        ("ddpm", 9, torch.float64),
    ],
)
def test_run_isolated__the_samples_are_bit_identical(problem, name, steps, dtype):
    x, model, sampler = problem.x.to(dtype), problem.model, make(name)
    outcome = problem.run(COPY.format(name), 9, x=x, head="")
    grid = karras(steps, model.sigma_min, model.sigma_max)
    noise = SampleNoise(77, problem.ids, model.event, dtype)
    expected = sampler.sample(model.bind(problem.ids, 0), x, grid, noise)
    assert outcome.failure == ""
    assert torch.equal(outcome.samples, expected)
    assert outcome.samples.dtype == dtype
    assert (outcome.rows, outcome.search) == (8 * 9, 0)


@pytest.mark.slow
def test_run_isolated__rows_of_a_part_of_the_batch_keep_their_numbers(problem):
    text = """
def solve(denoise, x, grid):
    some = denoise.take(torch.tensor([5, 1, 1, -1]))
    part = some.take(torch.tensor([3, 0]))(x[[7, 5]], torch.tensor([1.0, 2.0]))
    return torch.cat([part, denoise(x, 3.0)[2:]])
"""
    asked = []

    def denoise(x, sigma, rows):
        asked.append((x.clone(), sigma, rows.tolist()))
        return x * 0 + rows[:, None]

    outcome = problem.run(text, denoise=denoise)
    assert outcome.samples[:, 0].tolist() == [7, 5, 2, 3, 4, 5, 6, 7]
    assert outcome.rows == 2 + 8
    (x, levels, rows), (_, level, _) = asked
    assert torch.equal(x, problem.x[[7, 5]])
    assert (levels.tolist(), levels.dtype, level) == ([1.0, 2.0], torch.float32, 3.0)
    assert rows == [7, 5]


def test_run_isolated__tune_is_counted_apart_and_chooses_sampler_and_levels(problem):
    outcome = problem.run(TUNES, 5)
    model = problem.model
    levels = [model.sigma_max, 1.0, 0.1, 0.0]
    expected = make("heun").sample(model.bind(problem.ids, 0), problem.x, levels)
    assert torch.equal(outcome.samples, expected)
    assert (outcome.rows, outcome.search) == (8 * 5, 3 * 9 + 2)


def test_run_isolated__an_adaptive_sampler_runs_on_the_ends_of_the_range(problem):
    outcome = problem.run(COPY.format("rk23"), 400, head="")
    ends = [problem.model.sigma_max, problem.model.sigma_min, 0.0]
    expected = make("rk23").sample(problem.model.bind(problem.ids, 0), problem.x, ends)
    assert torch.equal(outcome.samples, expected)
    assert "were allowed" in problem.run(COPY.format("rk23"), 20, head="").failure


def test_run_isolated__an_error_of_the_model_is_a_failure(problem):
    def denoise(x, sigma, rows):
        raise RuntimeError("no memory")

    failure = problem.run("", denoise=denoise).failure
    assert failure == "a request could not be served: RuntimeError: no memory"


@each(
    ("text", "sentence"),
    [
        ("nfe = lambda grid: None", "sampler stranger does not declare its evaluations (nfe)"),
        ("nfe = lambda grid: 5 * len(grid)", "one step costs more than the budget of 4"),
        (TUNES.replace("0.1, 0.0", "0.1"), "the levels of tune() must begin at 80 and end at 0"),
        ("import nothing_there", "stranger.py failed at import: ModuleNotFoundError"),
    ],
)
def test_run_isolated__a_solver_that_cannot_run_gives_a_sentence(problem, text, sentence):
    outcome = problem.run(text)
    assert sentence in outcome.failure
    assert outcome.samples is None
    assert outcome.rows == 0


SECOND = """
@dataclass(frozen=True, kw_only=True)
class Other(get("ddpm")):
    name = "other"
"""


def test_describe_file__declarations_of_the_chosen_sampler(problem):
    path = problem.write(SECOND)
    assert describe_file(path, "stranger(scale=2.0)") == SolverFacts(
        label="stranger(scale=2.0)",
        stochastic=False,
        adaptive=False,
        order=1,
        tunes=False,
    )
    assert describe_file(path, "other").stochastic
    assert describe_file(problem.write("tune = print")).tunes


@pytest.mark.slow
@each(
    ("text", "sampler", "sentence"),
    [
        (SECOND, "", "stranger.py has several samplers; choose one of stranger, other"),
        (SECOND, "heun", "stranger.py has no sampler 'heun'; it has stranger, other"),
        ("", "stranger(rate=1)", "sampler 'stranger' has no option 'rate'; its options: scale"),
        ("sys.exit(3)", "", "plugin file stranger.py failed at import: SystemExit: 3"),
        ("Stranger.name = 'a' * 400", "", "its process wrote garbage in place of a message"),
        ("del Stranger", "", "plugin file stranger.py defines no sampler"),
        ("time.sleep(60)", "", "it took more than 1.5 s"),
    ],
)
def test_describe_file__an_unusable_file_gives_a_sentence(problem, text, sampler, sentence):
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as error:
        describe_file(problem.write(text), sampler, seconds=1.5)
    assert str(error.value).startswith(sentence)
    with pytest.raises(ValueError, match="there is no file"):
        describe_file(problem.folder / "another.py")
