"""Validity study: measures methods on models, and compares their order with published tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from samplerbench.benchmarks.running.executors import Executor
from samplerbench.results.published import rows_of_model
from samplerbench.results.run_directory import write_text

from .choosing import CHOICES, tried_predictors
from .correlation import REPLICATES
from .measuring import Depth, Measured, measure_model
from .methods import method_of, why_not_runnable
from .predicting import QUESTIONS, Predictor, Question, all_predictors
from .properties import property_rows
from .sets import SETS, budgets_by_method
from .table import (
    Row,
    measured_rows,
    rows_by_budget,
    tried_rows,
    validity_markdown,
    validity_rows,
    write_csv,
)


@dataclass
class Validity:
    """Resumable validity run, which reuses the samples in its folder.

    Attributes:
        out: folder with a run directory for each model.
        models: specs of the models; by default the models of :data:`.choosing.CHOICES`.
        depth: numbers of samples for each model; None for the chosen numbers, or the default for a
            model that was not chosen.
        explore: True to evaluate all predictors on all sets, without intervals. This happens after
            the choice and does not influence it.
        console: console for progress.
        executor: executor of the samplers; None for this process.
    """

    out: Path
    models: Sequence[str] = ()
    depth: Depth | None = None
    explore: bool = False
    console: Console = field(default_factory=lambda: Console(quiet=True))
    executor: Executor | None = None

    def __call__(self) -> list[Row]:
        """Write all tables to ``out``; return the validity rows by set, question and predictor.

        Raises:
            ValueError: there is no such model.
        """
        models = list(self.models) or models_of_choices()
        measured = {
            model: measure_model(
                model,
                budgets_by_method(),
                self.depth or depth_of(model),
                self.out,
                console=self.console,
                executor=self.executor,
            )
            for model in models
        }
        return self.tables(measured)

    def tables(self, measured: Mapping[str, Measured]) -> list[Row]:
        """Write the tables of the measurements and return the validity rows."""
        on_cifar = [one for question in QUESTIONS for one in tried_predictors(measured, question)]
        answers = self.answers(measured)
        rows = validity_rows(measured, answers, replicates=0 if self.explore else REPLICATES)
        write_csv(rows, self.out / "validity.csv")
        write_csv(tried_rows(on_cifar), self.out / "tried.csv")
        write_csv(measured_rows(measured), self.out / "measured.csv")
        write_csv(property_rows(measured, on_cifar), self.out / "properties.csv")
        budgets = [
            row for question, one in answers for row in rows_by_budget(measured, question, one)
        ]
        write_csv(budgets, self.out / "by-budget.csv")
        write_text(self.out / "validity.md", f"{validity_markdown(rows)}\n{left_out_markdown()}\n")
        return rows

    def answers(self, measured: Mapping[str, Measured]) -> list[tuple[Question, Predictor]]:
        """Return pairs of question and predictor to test: the choices, or all predictors."""
        if self.explore:
            return [(q, one) for q in QUESTIONS for one in all_predictors(list(measured))]
        return [
            (question, choice.predictor)
            for question, choice in CHOICES.items()
            if set(choice.predictor.models) <= measured.keys()
        ]


def models_of_choices() -> list[str]:
    """Return the models of the choices."""
    return list(dict.fromkeys(m for one in CHOICES.values() for m in one.predictor.models))


def depth_of(model: str) -> Depth:
    """Return the sampling depth of a model: the largest among its choices."""
    depths = [one.depth for one in CHOICES.values() if model in one.predictor.models]
    return max(depths, key=lambda depth: depth.samples, default=Depth())


def left_out_markdown() -> str:
    """Return a Markdown list of the published rows that are not run here, with the reasons."""
    by: dict[str, set[str]] = {}
    for name in SETS:
        for row in rows_of_model(SETS[name]):
            if method_of(row) is None:
                by.setdefault(why_not_runnable(row), set()).add(row.solver)
    return "\n".join(f"* {why}: {', '.join(sorted(solvers))}" for why, solvers in by.items())
