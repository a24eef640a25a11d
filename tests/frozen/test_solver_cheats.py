"""Cheats of a stranger's solver: each is caught, or of no use."""

import gc
import math
import pickle
import re
import resource
import tempfile
from pathlib import Path

import pytest
import torch
from looping import each

from samplerbench.benchmarks.frozen import isolation
from samplerbench.results.board.scoring import evaluations_to_targets
from samplerbench.results.board.submission import Curve

GARBAGE = "its process wrote garbage in place of a message"


@each(
    ("text", "served"),
    [
        # says one evaluation a step, and makes three
        ("solve = lambda d, x, g: [d(x, s) for s in g.positive for _ in range(3)][-1]", 4),
        # says none, and takes the most steps
        ("nfe = lambda grid: 0", 4),
        ("nfe = lambda grid: -(10**9)", 4),
        # evaluates more samples than there are
        ("solve = lambda d, x, g: d.take(torch.arange(40) % 8)(x.repeat(5, 1), 1.0)[:8]", 0),
        ("def solve(d, x, g):\n    while True: x = d(x, 1.0)", 4),
    ],
)
def test_budget__more_evaluations_than_allowed_are_a_failure(problem, text, served):
    outcome = problem.run(text, 4)
    assert re.fullmatch("it made 5 evaluations a sample, 4 were allowed", outcome.failure)
    assert (outcome.rows, outcome.samples) == (8 * served, None)


def test_budget__the_count_is_not_the_solvers_own(problem):
    outcome = problem.run("nfe = lambda grid: 2 * len(grid)", 9)  # four steps, one evaluation each
    assert (outcome.failure, outcome.rows) == ("", 8 * 4)


def test_memory__nothing_is_remembered_from_an_earlier_job(problem):
    text = """
import samplerbench.samplers.noise as ours
def solve(denoise, x, grid):
    if hasattr(ours, "KNOWN"):
        return ours.KNOWN[-1]
    ours.KNOWN = Stranger.KNOWN = [euler(denoise, x, grid)]
    return solve(lambda x, sigma: 1 / 0, x, grid)
"""
    first = problem.run(text, 4).samples
    better = problem.run(text, 100).samples
    assert not torch.equal(first, better)
    assert torch.equal(problem.run(text, 4).samples, first)


LOOK = """
def look():
    import gc, os, sys
    found = {name for name in sys.modules if name.startswith("samplerbench.models")}
    found |= {name for name in os.environ if name.startswith(("PYTEST", "SAMPLERBENCH"))}
    gc.unfreeze()
    things = [*gc.get_objects(), *vars(sys.modules["__main__"]).values()]
    for thing in things:
        cls = thing if issubclass(type(thing), type) else type(thing)
        bases = type.mro(cls) if cls is not type else []
        own = {base.__name__ for base in bases}.union(*map(vars, bases))
        if own & {"ExactModel", "Denoiser", "Job"} or own >= {"endpoint", "flow", "moments"}:
            found.add(cls.__name__)
    return found
"""


def test_model__a_solver_finds_none_in_its_process(problem, monkeypatch):
    text = """
def solve(denoise, x, grid):
    if found := look() | set(dir(denoise)) & {"endpoint", "flow", "moments", "model"}:
        raise ValueError(found)
    return euler(denoise, x, grid)
"""
    assert problem.run(LOOK + text).failure == ""
    # here it finds them; among all objects of this process it would take seconds
    monkeypatch.setattr(gc, "get_objects", lambda: [problem.model, problem])
    monkeypatch.setattr(gc, "unfreeze", lambda: None)
    scope = {}
    exec(LOOK, scope)
    assert {"GaussianMixture", "PYTEST_CURRENT_TEST", "samplerbench.models"} <= scope["look"]()


TUNE = """
def tune(denoise, draw, nfe, sigma_min, sigma_max):
    gc.unfreeze()
    before = [t for t in gc.get_objects() if isinstance(t, torch.Tensor)]
    for x in (draw(8), draw(8)):
        denoise(x, 1.0)
    assert not any(t.shape == x.shape for t in before)
    return Stranger(), [sigma_max, 1.0, 0.0]
"""


def test_tune__scored_latents_are_not_there_and_evaluations_are_counted(problem, monkeypatch):
    outcome = problem.run(TUNE)
    assert (outcome.failure, outcome.search, outcome.rows) == ("", 16, 16)
    drawn = {tuple(row) for x in problem.drawn for row in x.tolist()}
    assert len(drawn) == 16
    assert not drawn & {tuple(row) for row in problem.x.tolist()}
    monkeypatch.setattr(isolation, "MOST_SEARCH", 15)
    assert problem.run(TUNE).failure == "it made more than 15 evaluations in tune()"


def test_recognition__a_table_of_answers_reaches_no_target(problem, moved):
    problem.model.tolerance = moved.model.inner.tolerance = 1e-6  # for a quicker test
    table = problem.model.endpoint(problem.x)
    text = f"""
TABLE = {{{float(problem.x[0, 0])!r}: {table.tolist()}}}
def solve(denoise, x, grid):
    known = TABLE.get(float(x[0, 0]))
    return x * 0 if known is None else torch.tensor(known, dtype=x.dtype)
"""
    curves = []
    for where in (problem, moved):
        outcome = where.run(text, 4)
        far = outcome.samples - where.model.endpoint(where.x)
        std = math.sqrt(where.model.moments()[1].trace() / 4)
        error = float(far.square().mean(1).sqrt().median()) / std
        curves.append(Curve(problem="modes-1", nfe=(outcome.rows / 8,), error=(error,)))
    assert evaluations_to_targets(curves[:1], "error").max() == 0  # alone it is perfect
    assert evaluations_to_targets(curves, "error").min() == math.inf


@pytest.mark.slow
@each(
    ("text", "sentence"),
    [
        ("def solve(*args): time.sleep(60)", "it took more than 1.5 s"),
        ("def nfe(grid): os.kill(os.getpid(), 19)", "it took more than 1.5 s"),  # SIGSTOP
        ("def solve(*args): 1 / 0", "sample() raised ZeroDivisionError: division by zero"),
        ("def solve(*args): raise ValueError('a\\nb\\x1b[31m' + 'c' * 9999)", "sample() raised"),
        ("def solve(*args): os._exit(3)", "its process ended itself with exit code 3"),
        ("def solve(*args): sys.exit(3)", "sample() raised SystemExit: 3"),
        ("def solve(*args): os.kill(os.getpid(), 11)", "its process ended with signal 11"),
        ("def solve(*args): os.close(pipe()); time.sleep(60)", "its process was killed, or closed"),
        ("solve = lambda d, x, g: x[:3]", "sample() returned float64 (3, 4), expected float64 (8, 4)"),
        ("solve = lambda d, x, g: x.float()", "sample() returned float32 (8, 4), expected float64"),
        ("solve = lambda d, x, g: x.tolist()", "sample() raised AttributeError"),
        ("solve = lambda d, x, g: d(x.half(), 1.0)", "it asked for an evaluation of float16 (8, 4)"),
        ("solve = lambda d, x, g: d(x[:3], 1.0)", "it asked for an evaluation of float64 (3, 4), int64"),
        ("solve = lambda d, x, g: d(x[:, :3], 1.0)", "it asked for an evaluation of float64 (8, 3)"),
        ("solve = lambda d, x, g: d(x, float('inf'))", "it asked for an evaluation at a level outside"),
        ("solve = lambda d, x, g: d(x, torch.full((8,), -1.0))", "it asked for an evaluation at a level"),
        ("solve = lambda d, x, g: type(d)(d.pipe, torch.arange(8) + 1)(x, 1.0)", "it asked for a row"),
        ("solve = lambda d, x, g: draw(9)\ndef tune(d, own, *ends):\n    global draw\n    draw = own\n"
         "    return Stranger(), [80.0, 0.0]", "it asked for an evaluation of nothing"),
        ("def tune(d, draw, *ends): draw(2**23 + 1)", "it asked for more than 256 MiB"),
        ("def nfe(grid):\n    from samplerbench.benchmarks.frozen.solver_process import RemoteDenoiser, "
         "Connection\n    RemoteDenoiser(Connection(pipe()))(torch.ones(8, 4).double(), 1.0)",
         "it sent 'evaluate' where 'nfe' was due"),
    ],
)  # fmt: skip
def test_failure__a_sentence_and_no_exception(problem, text, sentence):
    outcome = problem.run(text, seconds=1.5)
    assert outcome.failure.startswith(sentence)
    assert outcome.failure.isprintable()
    assert len(outcome.failure) <= 400
    assert outcome.samples is None


def test_failure__bad_samples_are_returned_as_they_are(problem):
    outcome = problem.run("solve = lambda d, x, g: d(x * float('nan'), 1.0)")
    assert outcome.failure == ""
    assert bool(outcome.samples.isnan().all())
    outcome = problem.run("solve = lambda d, x, g: x")
    assert torch.equal(outcome.samples, problem.x)
    assert outcome.rows == 0


def test_parent__output_and_patches_of_a_solver_do_not_reach_it(problem, capfd):
    before = problem.run("").samples
    text = """
print("out"); print("err", file=sys.stderr); os.write(1, b"out"); os.system("echo out; echo err >&2")
import samplerbench.samplers.grid as grid, samplerbench.benchmarks.sampling.failure as failure
torch.Tensor.__add__ = torch.Tensor.__sub__ = lambda self, other: self * 0
grid.Grid.intervals = failure.error_in_words = os.fork = lambda *args: []
torch.set_default_dtype(torch.float32)
"""
    assert not torch.equal(problem.run(text).samples, before)
    assert torch.equal(problem.run("").samples, before)
    assert torch.equal(torch.ones(1) + 1, torch.tensor([2.0]))
    assert capfd.readouterr() == ("", "")


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@each(
    ("data", "sentence"),
    [
        ("PICKLED", GARBAGE),
        ("struct.pack('!i', len(PICKLED)) + PICKLED", GARBAGE),
        ("struct.pack('!iQ', -1, 2**40) + b'{}'", GARBAGE),  # a giant length
        ("struct.pack('!i', 2**31 - 1) + b'{}'", GARBAGE),
        ("struct.pack('!i', 1000) + b'{}'", "it took more than 1 s"),  # the rest never comes
        ("framed(b'[' * 60000)", GARBAGE),
        ("framed(b'9' * 60000)", GARBAGE),
        ("framed(b'{\"do\": \"samples\", \"tensors\": []}')", "sample() returned , expected"),
        ("framed(b'{\"do\": \"samples\", \"tensors\": [[\"float64\", [8, 4]]]}') + framed(b'ab')", GARBAGE),
        ("framed(b'{\"do\": \"samples\", \"tensors\": [[\"float64\", [%d, 4]]]}' % 10**9)", "sample() ret"),
        ("framed(b'{\"do\": \"evaluate\", \"tensors\": [[\"float64\", [%d, 4]]]}' % 10**99)",
         "it asked for more than 256 MiB of states at once"),
        ("framed(b'{\"do\": \"draw\", \"n\": true, \"tensors\": []}')", GARBAGE),
    ],
)  # fmt: skip
def test_wire__a_hostile_reply_is_a_failure(problem, tmp_path, data, sentence):
    mark = tmp_path / "unpickled"
    pickled = pickle.dumps(Evil(mark))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = f"""
PICKLED = {pickled!r}
framed = lambda data: struct.pack("!i", len(data)) + data
def solve(*args):
    os.write(pipe(), {data})
    time.sleep(60)
"""
    outcome = problem.run(text, seconds=1.0)
    assert outcome.failure.startswith(sentence)
    assert outcome.samples is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
    assert not mark.exists()
    pickle.loads(pickled)
    assert mark.exists()


def test_disk__folders_and_processes_of_a_job_end_with_it(problem, tmp_path, monkeypatch):
    """Files elsewhere, such as in /var/tmp, are not prevented: see the docstring of the module."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    text = """
places = [".", tempfile.gettempdir(), os.environ["TMPDIR"], os.path.dirname(__file__)]
def solve(denoise, x, grid):
    found = [name for place in places for name in os.listdir(place)]
    if set(found) != {"stranger.py"}:
        raise ValueError(found)
    for place in places:
        open(os.path.join(place, "remembered"), "a").close()
    left = subprocess.Popen(["sleep", "60"], start_new_session=True)
    return x * 0 + left.pid
"""
    for _ in range(2):
        outcome = problem.run(text)
        assert outcome.failure == ""
        assert not Path(f"/proc/{int(outcome.samples[0, 0])}").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["stranger.py"]


def test_parent__a_stopped_server_is_replaced(problem, monkeypatch):
    assert problem.run("").failure == ""
    server = next(reversed(isolation._SERVERS.values()))
    server.control.settimeout(0.3)
    failure = problem.run("def solve(*args): os.kill(os.getppid(), 19); os._exit(0)").failure
    assert failure == "its process stopped the server that started it"
    assert server.process.returncode == -9
    monkeypatch.setattr(isolation, "_Server", lambda: 1 / 0)  # to start one takes seconds
    with pytest.raises(ZeroDivisionError):
        problem.run("")
