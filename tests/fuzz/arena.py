"""What fuzzed inputs may do: end with 0, 1 or 2, within a time limit, and write nothing outside
the working folder.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from new_runs import new_run

import samplerbench.benchmarks.api  # noqa: F401 - else it keeps what is patched when it loads
from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.cli.common.console import WarningHandler
from samplerbench.benchmarks.cli.usage import run_app

SECONDS = 60
"""After so long a case hangs; the slowest takes two on a free core."""

LONGEST = 3000
"""Letters of a sentence: room for two paths."""

ALL = os.environ.get("SAMPLERBENCH_FUZZ") == "all"

WORK = (
    "samplerbench.benchmarks.running.setup.set_up",
    "samplerbench.benchmarks.api.set_up",
    "samplerbench.benchmarks.planning.fitting.Pilot._search_rule",
    "samplerbench.benchmarks.running.forecast.forecast_suite",
    "samplerbench.benchmarks.running.executors.shard_limits.expected_evaluations",
    "samplerbench.benchmarks.tuning.tuning.tune_targets",
    "samplerbench.benchmarks.conformance.check_sampler",
    "samplerbench_studies.calibration.Calibration.__call__",
    "samplerbench_studies.calibration.endpoints.calibrate_endpoints",
    "samplerbench_studies.why_steps.run.explain",
    "samplerbench.benchmarks.timing.doctor.diagnose_machine",
    "samplerbench_studies.frontier.Frontier.__call__",
    "samplerbench.benchmarks.advice.advising._advice_of",
    "samplerbench_studies.validity.study.Validity.__call__",
)
"""Where a command that was understood would begin to compute."""


class HangError(BaseException):
    """A case took too long; nothing that a command catches."""


class Begun(BaseException):
    """A command was understood, and would now compute."""


def begin(*_args, **_options):
    """Takes the place of what would compute."""
    raise Begun


def fuzz(count):
    """The settings of a test of ``count`` cases, the same ones every time; of a quarter of them
    unless ``SAMPLERBENCH_FUZZ`` is ``all``, as `make faults` has it.

    Not made smaller, since one that hangs would hang often.
    """
    quiet = [
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.large_base_example,
    ]
    phases = (Phase.explicit, Phase.generate)
    return settings(
        max_examples=count if ALL else max(4, count // 4),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=quiet,
        phases=phases,
    )


@contextlib.contextmanager
def watchdog(seconds=SECONDS):
    """What takes longer within is ended, with a :class:`HangError`."""

    def bark(_number, _frame):
        raise HangError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def warned():
    """Within, warnings are printed as the command line prints them."""
    said = WarningHandler()
    logging.getLogger("samplerbench").addHandler(said)
    yield
    logging.getLogger("samplerbench").removeHandler(said)


def digest(folder):
    """All that lies in a folder: names, kinds and bytes."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else path.read_bytes()
        found.update(repr((str(path.relative_to(folder)), kind)).encode())
    return found.hexdigest()


def listing(folder):
    """What a change of anything in a folder changes, without reading it: where each thing lies on
    the disk, how large it is, who may do what, and when it was written last.
    """
    found = {}
    for path in (folder, *folder.rglob("*")):
        of = path.lstat()
        found[path] = (of.st_ino, of.st_size, of.st_mode, of.st_mtime_ns, of.st_ctime_ns)
    return found


def a_sentence(words):
    """Fail unless ``words`` are what a user can read: one line of a bounded length, without a
    traceback.
    """
    assert words.strip()
    assert "\n" not in words.strip()
    assert "Traceback" not in words
    assert len(words) <= LONGEST, f"{len(words)} letters: {words[:300]}"


@dataclass(frozen=True)
class Arena:
    """A working folder with a neighbour.

    Attributes:
        home: the working folder, made anew by :meth:`fresh`.
        outside: what must stay as it is.
        before: digest of the neighbour.
        filled: the template that ``home`` is a copy of, and its listing as it was then.
    """

    home: Path
    outside: Path
    before: str
    filled: list = field(default_factory=list, init=False)

    @classmethod
    def at(cls, folder):
        """One in an empty folder."""
        home, outside = folder / "home", folder / "outside"
        for path in (home, outside / "parts"):
            path.mkdir(parents=True)
        (outside / "precious.txt").write_text("precious")
        small_run(outside / "run", models=("gmm-2d",), budgets=(5,))
        return cls(home, outside, digest(outside))

    def fresh(self, template=None):
        """The working folder as it is before a case: empty, or a copy.

        Most cases are refused and write nothing; after these it is one already.
        """
        if self.filled == [template, listing(self.home)]:
            return self.home
        shutil.rmtree(self.home)
        if template is None:
            self.home.mkdir()
        else:
            shutil.copytree(template, self.home, symlinks=True)
        self.filled[:] = [template, listing(self.home)]
        return self.home

    def unharmed(self):
        """Fail if anything was written outside the working folder."""
        assert digest(self.outside) == self.before
        assert sorted(path.name for path in self.home.parent.iterdir()) == ["home", "outside"]

    def command(self, *args):
        """Call the command line; fail where it breaks the contract.

        Returns (exit code, stdout, stderr).
        """
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        err = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True)
        with contextlib.ExitStack() as stack:
            for place in WORK:
                stack.enter_context(mock.patch(place, begin))
            stack.enter_context(mock.patch.object(sys, "argv", ["samplerbench", *args]))
            stack.enter_context(contextlib.chdir(self.home))
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            try:
                with watchdog():
                    code = run_app(app)
            except Begun:
                code = 0
            finally:
                torch.set_num_threads(1)
        said, told = (stream.buffer.getvalue().decode() for stream in (out, err))
        assert code in (0, 1, 2)
        assert "Traceback" not in said + told
        if code == 2:
            lines = told.rstrip("\n").split("\n")
            assert [line.startswith("error: ") for line in lines] == [False] * (len(lines) - 1) + [
                True
            ], told
            a_sentence(lines[-1])
        self.unharmed()
        return code, said, told


def sealed(path, value, of, made_by=""):
    """Write any JSON with a seal that holds: what cannot be told from a file of a run by its
    seal. NaN stays NaN.
    """
    content = {"seal": {"of": of, "made_by": made_by, "sha256": "0" * 64}, **value}
    data = json.dumps(content).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.replace(b"0" * 64, hashlib.sha256(data).hexdigest().encode(), 1))


def small_run(path, models=("gmm-2d", "gmm-64d"), budgets=(5, 9)):
    """A run directory with two samplers on each model, in invented numbers."""
    run = new_run(path)
    run.write_run(
        {
            "suite": {"name": "quick", "version": 1, "models": list(models)},
            "models": {},
            "provenance": {"command": "x"},
        }
    )
    for model in models:
        for order, sampler in enumerate(("euler", "heun"), 1):
            for budget in budgets:
                cell, fid = f"{model}-{sampler}-{budget}", budget ** -float(order)
                identity = {
                    "suite": "quick",
                    "model": model,
                    "sampler": sampler,
                    "params": "{}",
                    "schedule": "karras",
                    "start": "noise",
                }
                identity |= {
                    "end": "zero",
                    "steps": budget,
                    "budget": budget,
                    "seed": 0,
                    "sigma_max": 80.0,
                    "sigma_min": 0.002,
                }
                run.plan(cell, identity | {"samples": 64})
                run.write(cell, "made.json", {"shard": 64})
                quality = {
                    "samples": 64,
                    "nfe": float(budget),
                    "depth": budget,
                    "status": "ok",
                    "reason": None,
                    "estimator": "x",
                }
                quality |= {
                    "fid_proxy": fid,
                    "fid_proxy_se": fid / 30,
                    "fid_proxy_floor": fid / 100,
                    "fid_flag": "",
                    "fd_conv": fid,
                }
                quality |= {
                    "fd_conv_se": fid / 40,
                    "rmse": fid / 2,
                    "rmse_se": fid / 50,
                    "device": "cpu",
                    "dtype": "float32",
                }
                run.write_score(cell, quality, {})
                run.write(
                    cell,
                    "timing.json",
                    {
                        "ms_per_sample": budget / 7,
                        "timing_converged": True,
                        "raw_total_ms": [1.0, 1.1],
                    },
                )
    return run


UNICODE = st.characters(exclude_categories=("Cs",))
"""What UTF-8 holds; by its name, Hypothesis would encode a million letters to find out."""

LETTERS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
"""Texts that a command line can hold."""

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.floats(),
    st.text(UNICODE, max_size=12),
    st.sampled_from(
        [
            10**29,
            -(2**63),
            2**63,
            1e308,
            -1e308,
            5e-324,
            float("nan"),
            float("inf"),
            "NaN",
            "inf",
            "",
            " ",
            "=1+1",
            "@x",
            "\x1b[31m",
            "\x1b]8;;http://x\x07",
            "\0",
            "\u202e",
            "</script><script>",
            "[bold]",
            "[/]",
            "{0}",
            "%s",
            "../outside/x",
            "/",
            "a" * 20_000,
            "a\nb",
            "\udc80",
            "💣",
            "1e29",
            "-0",
            "True",
        ]
    ),
)
"""Values that a file can hold where others are expected."""

TREES = st.recursive(
    SCALARS,
    lambda deeper: (
        st.lists(deeper, max_size=3)
        | st.dictionaries(st.text(UNICODE, max_size=6), deeper, max_size=3)
    ),
    max_leaves=6,
)
"""The same, nested."""
