"""The table of an answer, a row for each budget, as the page, the terminal and Markdown show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ...results.text import format_number
from .answer import Advice, Alternative, Best, Budget, Choice, Value
from .wording import Verdict, apart, beside, measured, named, open_ratio, same, verdict

TITLES = {
    "python": "samplerbench (Python)",
    "diffusers": "diffusers",
    "k-diffusion": "k-diffusion",
    "comfyui": "ComfyUI",
}
"""What libraries are called."""
SAME = "what you use now"


class Cell(NamedTuple):
    """A cell of the table.

    Attributes:
        text: what it says; "" for nothing.
        detail: what stands below it, or in brackets.
        tone: what an interval shows, where it compares errors.
    """

    text: str
    detail: str = ""
    tone: Verdict = "open"

    @property
    def whole(self) -> str:
        """Both on one line."""
        return f"{self.text} ({self.detail})" if self.text and self.detail else self.text


NOTHING = Cell("")


@dataclass(frozen=True)
class Row:
    """What is recommended at one budget.

    Attributes:
        nfe: evaluations that are allowed.
        use: label of the recommendation, and how many evaluations it makes if these are others.
        now: how it compares with the default at this budget, or why it does not.
        error: of it, and of the default.
        best: how it compares with the best that was tried.
        ms: milliseconds that a sample takes, and takes now.
        is_best: whether it is the best that was tried, of any library.
        beside_own_solvers: how it compares with the best of the library's own solvers at their defaults.
        tied: labels of those that were not told apart.
        nearer: what is nearer in distribution, and both distances.
    """

    nfe: int
    use: str
    now: Cell = NOTHING
    error: Cell = NOTHING
    best: Cell = NOTHING
    is_best: bool = False
    beside_own_solvers: Cell = NOTHING
    ms: Cell = NOTHING
    tied: tuple[str, ...] = ()
    nearer: Cell = NOTHING


def title(library: str) -> str:
    """What a library is called."""
    return TITLES.get(library, library)


def audience(budgets: Iterable[Budget], library: str) -> str:
    """The library that recommendations are shown for: the one asked for, or, where nothing was
    found for it at any budget, this project's, which has all.
    """
    return library if any(library in budget.best for budget in budgets) else "python"


def table(advice: Advice) -> list[Row]:
    """The rows, by number of evaluations, rising."""
    library = audience(advice.budgets, advice.library)
    return [row(budget, library) for budget in advice.budgets]


def row(budget: Budget, library: str) -> Row:
    """The row of one budget."""
    best, default = budget.best.get(library), budget.default
    if best is None:
        return Row(budget.nfe, f"nothing found for {title(library)}")
    choice, other = best.choice, not same(best.choice, default)
    return Row(
        budget.nfe,
        choice.label + _made(choice, budget, " (makes {})"),
        beside_default(best, budget),
        _with_now(
            "" if choice.error is None else measured(choice.error),
            measured(default.error) if default.error and other else "",
            _made(default, budget, ", with {}:"),
        ),
        beside_best(best, budget),
        "python" in budget.best and same(choice, budget.best["python"].choice),
        beside_own_solvers(budget),
        _with_now(
            "" if choice.ms is None else format_number(choice.ms),
            "" if default.ms is None or not other else format_number(default.ms),
        ),
        best.tied,
        nearer(budget),
    )


def _made(choice: Choice, budget: Budget, words: str) -> str:
    """How many evaluations a configuration makes, where that is not the budget: a sampler of two
    in a step makes an odd number, say.
    """
    return words.format(f"{choice.nfe:.4g}") if choice.nfe not in (0, budget.nfe) else ""


def _with_now(mine: str, now: str, made: str = "") -> Cell:
    return Cell(mine, f"now{made} {now}" if now else "")


def beside_default(best: Best, budget: Budget) -> Cell:
    """How a recommendation compares with what is used now, or why that is not known."""
    default = budget.default
    if same(best.choice, default):
        return Cell(SAME)
    if default.failed:
        return Cell("what you use now fails", default.failed)
    if best.choice.failed:
        return Cell("fails", best.choice.failed)
    if best.to_default is None:
        return _in_distribution(best, default)
    return _compared(best.to_default)


def _in_distribution(best: Best, default: Choice) -> Cell:
    """How the two compare where what is used now draws noise, so that no converged sample is its own."""
    mine, theirs = best.choice.fd_conv, default.fd_conv
    if mine is None or theirs is None:
        return Cell("not compared", "it draws noise")
    numbers = f"fd_conv {measured(mine)} against {measured(theirs)}"
    shown = apart(mine, theirs)
    if shown == "open":
        return Cell("no difference shown in distribution", numbers)
    return Cell(
        "nearer in distribution" if shown == "closer" else "farther in distribution", numbers, shown
    )


def best_of(budget: Budget) -> str:
    """Return what the best of a budget is the best of: ``the best of 24 tried of 919``."""
    if budget.tried >= budget.field:
        return f"the best of all {budget.tried:,}"
    return f"the best of {budget.tried:,} tried of {budget.field:,}"


def beside_own_solvers(budget: Budget) -> Cell:
    """How the recommendation compares with the best of the library's own solvers at their defaults."""
    known = nearest_alternative(budget)
    if known is None or known.ratio is None:
        return NOTHING
    found = _compared(known.ratio)
    return found._replace(detail=": ".join(filter(None, (named(known.choice), found.detail))))


def nearest_alternative(budget: Budget) -> Alternative | None:
    """Return the solver with the smallest error of those that users would try next."""
    some = [(one.choice.error.value, one) for one in budget.alternatives if one.choice.error]
    return min(some, key=lambda pair: pair[0])[1] if some else None


def beside_best(best: Best, budget: Budget) -> Cell:
    """How a recommendation compares with the best that was tried, of any library, and which that is."""
    known = budget.best.get("python")
    if known is None:
        return NOTHING
    if same(best.choice, known.choice):
        return Cell(best_of(budget))
    if best.to_best is None:
        return Cell("not compared", known.choice.label)
    found = _compared(best.to_best)
    return found._replace(detail=": ".join(filter(None, (known.choice.label, found.detail))))


def _compared(ratio: Value) -> Cell:
    """A ratio of errors: closer, farther, or how far it may be from what was not shown."""
    shown = verdict(ratio)
    if shown == "open":
        return Cell("no difference shown", open_ratio(ratio))
    return Cell(beside(ratio), "", shown)


def nearer(budget: Budget) -> Cell:
    """What is nearer in distribution than the best that was tried, with both distances."""
    other, known = budget.in_distribution, budget.best.get("python")
    if other is None:
        return NOTHING
    mine = None if known is None else known.choice.fd_conv
    against = f" against {measured(mine)}" if mine else ""
    return Cell(other.label, f"{measured(other.fd_conv)}{against}")
