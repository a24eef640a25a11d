"""Examples in ``--help``, errors of usage in one sentence, and commands of installed packages."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from typer import Abort, Context, Typer

from .common.console import err, say
from .common.help_panels import PanelCommand

LONGEST = 2000  # most characters of an error message; the middle of a longer one is left out
KILLED = 130  # exit code after Ctrl-C, as shells have it


def run_app(app: Typer) -> int:
    """Run the command line, and return the exit code.

    A user's mistake prints one sentence on the standard error, and the exit code is 2. If
    SAMPLERBENCH_TRACEBACK is set, a ValueError or OSError is raised.
    """
    try:
        code = app(standalone_mode=False, prog_name="samplerbench")
    except (ValueError, OSError) as error:
        if os.environ.get("SAMPLERBENCH_TRACEBACK"):
            raise
        sentence = str(error)
        if isinstance(error, OSError) and error.filename:
            sentence = f"{error.strerror}: {error.filename}; {_remedy_for_file(error)}"
        return _print_refusal(sentence)
    except (Abort, KeyboardInterrupt):
        return KILLED
    except Exception as error:
        if not hasattr(error, "format_message"):  # errors of typer, or of its library, have it
            raise
        return _print_refusal(_describe_usage_error(error))
    return code if isinstance(code, int) else 0


def _remedy_for_file(error: OSError) -> str:
    if type(error) is OSError and error.errno == errno.EFBIG:  # not a file too large to read
        return "raise the limit on the size of files, as with ulimit -f unlimited"
    from ...models.checkpoints.check_cache import cache_folder  # imports torch

    if Path(str(error.filename)).is_relative_to(cache_folder()):
        return "set SAMPLERBENCH_CACHE to a folder that can be written"
    return "give another path"


def _print_refusal(sentence: str) -> int:
    words = " ".join(sentence.split())
    if len(words) > LONGEST:  # it quotes the user's input, which may be as long as any file
        words = f"{words[: LONGEST * 3 // 4]} … {words[-LONGEST // 4 :]}"
    say(f"error: {words}", to=err)
    return 2


def _describe_usage_error(error: Any) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "samplerbench"
    if hasattr(error, "option_name") and hasattr(error, "possibilities"):
        close = " or ".join(error.possibilities or ())
        hint = f" did you mean {close}?" if close else ""
        text = f"there is no option {error.option_name};{hint}"
    elif hasattr(error, "param_type"):
        text = f"{_parameter_name(error)} is missing;"
    elif getattr(error, "param", None) is not None:
        text = f"{_parameter_name(error)}: {_in_plain_words(error.message)};"
    else:
        message = error.format_message()
        end = "" if message.endswith("?") else ";"
        text = f"{message[:1].lower()}{message[1:].rstrip('.')}{end}"
    return f"{text} see {command} --help"


_PLAIN = {
    r"value error, (.*?)\.?": r"\1",
    r".*valid integer.*": "give a whole number",
    r".*valid (number|float).*": "give a number",
    r"input should be greater than or equal to (\S+)": r"give a number >= \1",
    r"input should be less than or equal to (\S+)": r"give a number <= \1",
    r"\S+ is not in the range x?([<>]=?\S+?)\.?": r"give a number \1",
}
"""Patterns of typer's messages on invalid values, with their replacements."""


def _in_plain_words(message: str) -> str:
    for pattern, words in _PLAIN.items():
        if match := re.fullmatch(pattern, message, re.IGNORECASE):
            return match.expand(words)
    return message[:1].lower() + message[1:].rstrip(".")


def _parameter_name(error: Any) -> str:
    param = error.param
    is_option = param.param_type_name == "option"
    return param.opts[0] if is_option else (param.metavar or str(param.name)).upper()


EXAMPLES: dict[str, tuple[str, ...]] = {
    "": (
        "run quick",
        "run quick --plugin my_solver.py --sampler my_solver",
        "list samplers",
        "show results/runs/quick-*",
    ),
    "run": (
        "run quick",
        "run quick --model fashion --sampler 'ddim(eta=0.5)' --nfe 5,10",
        "run quick --model my_model.py:factory --out results/runs/mine",
        "run exact --until-decided --baseline heun",
        "run full --jobs auto",
    ),
    "plan": ("plan full", "plan quick --model fashion --nfe 5,10 --json"),
    "samples": (
        "samples quick --model fashion --sampler heun --out images",
        "samples quick --model checkpoint:edm.pkl --quantise truncate",
    ),
    "status": ("status results/runs/mine", "status results/runs/mine --changes"),
    "report": ("report results/runs/mine", "report results/runs/a results/runs/b --out both.html"),
    "show": (
        "show results/runs/mine",
        "show results/runs/mine --metric rmse --baseline heun",
        "show results/runs/mine --errors",
    ),
    "figures": (
        "figures results/runs/mine",
        "figures results/runs/mine --kind pareto --format pdf",
        "figures results/runs/mine --kind ecdf,profile",
    ),
    "compare": (
        "compare results/runs/before results/runs/after",
        "compare results/runs/mine --baseline heun --margin 2%",
        "compare results/runs/mine --published",
    ),
    "gate": (
        "gate results/runs/before results/runs/after",
        "gate results/runs/before results/runs/after --no-time",
    ),
    "advise": (
        "advise --model ./my-pipeline --for diffusers",
        "advise --model fashion --nfe 5,10 --minutes 3",
        "advise --model ema.pkl --ms 200 --default 'heun on karras'",
    ),
    "tune": ("tune --model fashion --sampler heun --nfe 5,10",),
    "list": (
        "list samplers",
        "list samplers --translate comfyui",
        "list extractors",
        "list metrics --json",
    ),
    "check-model": (
        "check-model ema.pt --images train/",
        "check-model 'edm:net.pkl?labels=balanced' --json",
        "check-model my_model.py:factory --images x.npy",
    ),
    "convert": ("convert ema.pt mine/", "convert 'ema.pt?schedule=linear' mine/"),
    "reference": (
        "reference images/ --extractor efficientnet-lite0 --out r.npz",
        "reference x.npy --model gmm-2d --extractor pixels --out r.npz",
    ),
    "check": ("check heun 'ddim(eta=0.5)'", "check my_solver --plugin my_solver.py", "check --all"),
    "new-solver": ("new-solver my_solver", "new-solver my_solver --out packages"),
    "new-metric": ("new-metric my_metric", "new-metric my_metric --out packages"),
    "export": (
        "export 'karras(rho=7):10:0.002:80' --to diffusers",
        "export --schedule uniform_lambda --steps 20 --model fashion",
        "export --sampler auto --steps 8 --model my-pipeline/",
    ),
    "submit": (
        "submit my_solver.py --track plain",
        "submit dpmpp_2m --schedule karras --no-networks",
        "submit old.json --part 2027 --beacon 3f9a27c5d10be864",
    ),
    "board": ("board submissions/ --out site", "board submissions/ --reruns reruns/"),
    "cite": ("cite heun dpmpp_2m",),
    "doctor": ("doctor", "doctor --json"),
}
"""Example command lines by command; "" is the command line itself."""


def epilog(command: str) -> str:
    """Return the end of a built-in command's help: its examples, formatted for typer."""
    more = "" if command else "\n\nSee samplerbench COMMAND -h for the options of a command."
    return format_examples(EXAMPLES[command]) + more


def format_examples(lines: Iterable[str]) -> str:
    """Return a list of example command lines, formatted for typer."""
    return "\b\nExamples:\n" + "\n".join(f"  samplerbench {line}" for line in lines)


MACHINE = "Machine and study"
"""Panel in the help with ``doctor`` and the commands of studies."""
GROUP = "samplerbench.commands"
STUDIES = ("explain", "calibrate", "frontier", "validate")
"""Commands of the distribution ``samplerbench-studies``."""


def add_installed_commands(app: Typer) -> None:
    """Add the commands of installed packages, and hidden ones for studies that are not installed.

    An entry point of the group ``samplerbench.commands`` names a function; typer reads its
    signature. ``EXAMPLES`` of the function's module end the command's help. A command that cannot
    be loaded, or whose name is taken, causes a warning. A hidden command only says how to install its study.
    """
    log = logging.getLogger("samplerbench")
    taken = {str(command.name): "samplerbench itself" for command in app.registered_commands}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in taken:
            both = f"{entry.value} and {taken[entry.name]}"
            log.warning("two commands are called %s: %s; the second runs", entry.name, both)
            continue
        try:
            command = entry.load()
        except (Exception, SystemExit) as error:
            why = f"{type(error).__name__}: {error}"
            log.warning("the command %s of %s cannot be loaded: %s", entry.name, entry.value, why)
            continue
        examples = getattr(sys.modules[command.__module__], "EXAMPLES", ())
        app.command(
            entry.name,
            cls=PanelCommand,
            epilog=format_examples(examples) if examples else None,
            rich_help_panel=MACHINE if entry.name in STUDIES else "Installed commands",
        )(command)
        taken[entry.name] = entry.value
    anything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    for name in set(STUDIES) - taken.keys():
        app.command(name, hidden=True, context_settings=anything)(_explain_missing)


def _explain_missing(context: Context) -> None:
    raise ValueError(
        f"{context.info_name} is a study, which the wheel does not hold; get the repository and "
        "run: pip install -e studies"
    )
