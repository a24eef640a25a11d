"""The table of an answer, a row for each budget, as the page, the terminal and Markdown show it."""

from __future__ import annotations

from dataclasses import dataclass

from ...results.text import short
from .answer import Advice, Best, Budget
from .wording import Verdict, beside, measured, same, verdict

TITLES = {
    "python": "samplerbench (Python)",
    "diffusers": "diffusers",
    "k-diffusion": "k-diffusion",
    "comfyui": "ComfyUI",
}
"""What libraries are called."""
BEST = "the best known"
SAME = "is what you use now"


@dataclass(frozen=True)
class Row:
    """What is recommended at one budget, in texts; "" is for what is not known.

    Attributes:
        nfe: evaluations that are allowed.
        use: label of the recommendation for the library asked for.
        error: of it, with the interval.
        now: how it compares with the default at this budget, or why it does not.
        tone: what the interval of that shows.
        now_error: of the default, with the interval.
        best: how it compares with the best known.
        best_tone: what the interval of that shows.
        ms: milliseconds that a sample takes.
        tied: labels of those that were not told apart.
        nearer: what is nearer in distribution, with both distances.
    """

    nfe: int
    use: str
    error: str = ""
    now: str = ""
    tone: Verdict = "open"
    now_error: str = ""
    best: str = ""
    best_tone: Verdict = "open"
    ms: str = ""
    tied: tuple[str, ...] = ()
    nearer: str = ""


def title(library: str) -> str:
    """What a library is called."""
    return TITLES.get(library, library)


def table(advice: Advice) -> list[Row]:
    """The rows, by number of evaluations, rising."""
    return [row(budget, advice.library) for budget in advice.budgets]


def row(budget: Budget, library: str) -> Row:
    """The row of one budget."""
    best, default = budget.best.get(library), budget.default
    now_error = "" if default.error is None else measured(default.error)
    if best is None:
        return Row(budget.nfe, f"nothing found for {title(library)}", now_error=now_error)
    choice = best.choice
    return Row(
        budget.nfe,
        choice.label,
        "" if choice.error is None else measured(choice.error),
        beside_default(best, budget),
        verdict(best.to_default),
        now_error,
        beside_best(best, budget),
        verdict(best.to_best),
        "" if choice.ms is None else short(choice.ms),
        best.tied,
        nearer(budget),
    )


def beside_default(best: Best, budget: Budget) -> str:
    """How a recommendation compares with what is used now, or why that is not known."""
    default = budget.default
    if same(best.choice, default):
        return SAME
    if default.failed:
        return f"what you use now fails: {default.failed}"
    if best.choice.failed:
        return f"fails: {best.choice.failed}"
    if best.to_default is None:
        return "no error to compare with"
    return beside(best.to_default)


def beside_best(best: Best, budget: Budget) -> str:
    """How a recommendation compares with the best known of any library."""
    known = budget.best.get("python")
    if known is None:
        return ""
    if same(best.choice, known.choice):
        return BEST
    ratio = beside(best.to_best)
    return f"{ratio}: {known.choice.label}" if ratio else f"best: {known.choice.label}"


def nearer(budget: Budget) -> str:
    """What is nearer in distribution than the best known, with the distances; "" if nothing is."""
    other, known = budget.in_distribution, budget.best.get("python")
    if other is None:
        return ""
    mine = None if known is None else known.choice.fd_conv
    against = f" against {measured(mine)}" if mine else ""
    return f"{other.label}: {measured(other.fd_conv)}{against}"
