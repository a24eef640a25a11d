"""Commands in the code blocks of README and docs/, with stand-ins for what takes minutes."""

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from samplerbench.benchmarks.suites.files import built_in_suite_files

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
SOLVER, CHECKPOINT = (
    DOCS / "tutorials" / f"{name}.md" for name in ("new-solver", "own-checkpoint")
)
RUN = [
    README,
    *sorted(DOCS.glob("*.md")),
    *sorted((DOCS / "tutorials").glob("*.md")),
    *sorted((DOCS / "how-to").glob("*.md")),
]
"""Pages whose commands run here."""
PARSED = [page for page in (README, *sorted(DOCS.rglob("*.md"))) if "decisions" not in page.parts]

CHEAP = ["--samples", "16", "--reference-samples", "2", "--converged-samples", "16", "--no-timing"]
"""Options of a run of seconds; those of the page follow, and win."""
SLOW = {"fashion", "emoji", "digits", "fashion-latent", "fashion-mppca", "wavelet"}
"""Models that ship, in whose place gmm-2d runs here."""
CHECKPOINTS = {"ema.pkl", "my_model.pt"}
"""Files of the reader: copies of the checkpoint that ``checkpoints`` makes."""
ELSEWHERE = {
    r"make |source |cd |git |python -m (venv|pip)": "sets up an environment, as .ci/run does",
    r"pip install (?!-e my_(solver|method|metric)$)": "sets up an environment, as .ci/run does",
    r"pytest ": "tests of a package that new-solver or new-metric writes; tests/test_scaffold.py",
    r"(torchrun|srun|sbatch|ray) ": "a cluster; tests/running",
    r"samplerbench .*\b(SUITE|RUN|PATH|FOLDER|DIR|NAME|CARD|WEIGHTS)\b": "a word in whose place the reader puts a name",
    r"samplerbench .*(--executor|--ray|--jobs|--cuda-graph|--compile|--device cuda)": "workers, GPUs; tests/running, tests/timing",
    r"samplerbench (advise|tune|calibrate|validate|explain|frontier|scaling)\b": "minutes; tests/advice, tests/tuning and tests/studies",
    r"samplerbench doctor": "seconds of measurement; tests/timing",
    r"samplerbench .*--extractor (?!card|pixels)": "weights of another library; tests/scoring",
    r"samplerbench .*(my-pipeline|stable-diffusion)": "a folder of diffusers; tests/models/checkpoints and tests/exports",
    r"samplerbench (submit|board)": "minutes of measurement; tests/frozen",
    r"samplerbench run sb-2026": "minutes of measurement; tests/frozen",
    r"samplerbench run .*fashion-map": "a few-step map; tests/models",
    r"samplerbench .*(k-diffusion|diffusers|azula|torchsde|deepinv):": "another library; tests/parity",
    r"samplerbench compare .*--published": "a run of a published network; tests/results",
    r"python (-m samplerbench|docs/(?!examples/own_))": "measurements and training in a checkout; tests/studies and tests/models",
}
"""Commands that do not run here, by a pattern at their start, and why, and where they are tested."""
WITHOUT = {
    "docs/choosing.md": "advice takes minutes; tests/advice",
    "docs/how-to/advise.md": "each command takes minutes; tests/advice",
    "docs/how-to/adding-an-executor.md": "the executor is the reader's; tests/test_adding_an_executor.py runs the page's code",
    "docs/how-to/comfyui.md": "a folder of diffusers; tests/exports/test_comfyui_node.py",
    "docs/how-to/diffusers.md": "a folder of diffusers; tests/parity/test_table_scheduler.py",
    "docs/how-to/execution.md": "a GPU; tests/timing",
    "docs/how-to/gpu.md": "a GPU; tests/test_gpu_command.py",
    "docs/how-to/scaling.md": "workers and clusters; tests/running",
    "docs/how-to/submit.md": "minutes of measurement; tests/frozen",
    "docs/how-to/tuning.md": "tuning takes minutes; tests/tuning",
    "docs/install.md": "sets up an environment; .ci/run begins with it",
}
"""Pages with commands, none of which runs here."""
CODES = {"check-model": {0, 1, 3}}
"""Exit codes of a command where not only 0 will do: a stand-in is hardly trained."""


@dataclass(frozen=True)
class Command:
    """Command of a page.

    Attributes:
        words: of its line, without variables before it, comments and redirection.
        output: file that it is redirected to, or "".
    """

    words: tuple[str, ...]
    output: str = ""

    def __str__(self) -> str:
        return shlex.join(self.words)

    @property
    def is_ours(self) -> bool:
        return self.words[0] == "samplerbench"


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of code of a page in a language, which may be a pattern."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def lines_of(block: str) -> list[str]:
    """Return the lines of a shell block; a line goes on after a backslash and within quotes."""
    lines, line = [], ""
    for part in block.splitlines():
        line += part
        if line.endswith("\\"):
            line = line[:-1]
            continue
        try:
            shlex.split(line, comments=True)
        except ValueError:  # an open quotation
            line += "\n"
            continue
        lines.append(line)
        line = ""
    assert not line, f"an open quotation or a last backslash in {block}"
    return lines


def commands_of(block: str) -> list[Command]:
    """Return the commands of a shell block, in order; ``&&``, ``;`` and ``|`` part them."""
    found = []
    for line in lines_of(block):
        if re.match(r"\w+=\$\(", line):
            continue  # the output of a command of the reader's system
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for token in [*lexer, ";"]:
            if token not in ("&&", "||", ";", "|"):
                words.append(token)
                continue
            output = words[words.index(">") + 1] if ">" in words else ""
            words = words[: words.index(">")] if output else words
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                found.append(Command(tuple(words), output))
            words = []
    return found


@cache
def commands(page: Path) -> list[Command]:
    """Return the commands of a page, in order."""
    return [command for block in blocks(page, "(?:ba)?sh") for command in commands_of(block)]


def name_of(page: Path) -> str:
    """Return the path of a page in the project."""
    return page.relative_to(ROOT).as_posix()


def stand_in(command: Command) -> list[str]:
    """Return the words that run here: the same command and options, on a problem of seconds."""
    program, name, *words = command.words
    if program == "python":
        return [program, name, *(re.sub(r"\bfashion\b", "gmm-2d", word) for word in words)]
    if name in ("run", "plan") and words[0] in built_in_suite_files():
        words = [re.sub(rf"^({'|'.join(SLOW)})\b(?!-).*", "gmm-2d", word) for word in words]
        model = [] if "--model" in words else ["--model", "gmm-2d"]
        words[:1] = ["smoke", *CHEAP, *model]
    files = CHECKPOINTS.intersection(words) or any(word.endswith(".pkl") for word in words)
    if name == "export" or files:  # auto is searched for, which takes its time on networks
        words = [word if word != "auto" else "dpmpp_2m" for word in words]
    if name == "samples":
        words += ["--model", "digits", "--samples", "16"]
    if name == "check-model":
        words += ["--samples", "16"]
    return [program, name, *words]


def why_not(command: Command) -> str:
    """Return why a command does not run here; "" if it does."""
    line = " ".join(command.words)
    return next((why for begin, why in ELSEWHERE.items() if re.match(begin, line)), "")
