"""Answer of each budget, from the measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..answer import Alternative, Best, Budget, Choice, Lines, Value
from ..asked.request import OWN_FIELDS, Entry
from ..exports import LIBRARIES, export
from ..racing.measuring import Bench
from ..racing.one_budget import Raced
from ..racing.scoring import Scores, choice, ratio
from ..racing.tuned import TunedGrid
from .run import Run


def answer(
    run: Run,
    bench: Bench,
    race: Raced,
    untuned: Mapping[str, Entry],
    chosen: Sequence[Entry],
    alternatives: Sequence[Entry],
    scores: Scores,
    distributions: Mapping[str, tuple[Choice, Value, bool]],
) -> Budget:
    """Return the answer of one budget.

    Args:
        run: the run.
        bench: where all was measured.
        race: of the budget.
        untuned: what led each field before anything was fitted to the model.
        chosen: what was scored, the default first.
        alternatives: the library's own solvers at their defaults, which were scored too.
        scores: on latents that chose nothing.
        distributions: by label, distances in distribution, and whether each is decidedly below the best one's.
    """
    by_label = scores[race.budget]
    fd = {label: value for label, (_, value, _) in distributions.items()}
    default = chosen[0]
    best = race.left[LIBRARIES[0]][0].label
    answers = {}
    for library in LIBRARIES:
        survivors = race.left.get(library)
        if not survivors:
            continue
        leader = survivors[0]
        squares = by_label.get(leader.label)
        own = race.left.get(OWN_FIELDS.get(library, ""), ())
        own = own[0] if own and own[0].label != leader.label else None
        theirs = None if own is None else by_label.get(own.label)
        plain = untuned.get(library) if isinstance(leader.cell.schedule, TunedGrid) else None
        before = None if plain is None else by_label.get(plain.label)
        answers[library] = Best(
            library,
            choice(bench, leader, squares, fd.get(leader.label)),
            ratio(squares, by_label.get(default.label)),
            ratio(squares, by_label.get(best)),
            tuple(entry.label for entry in survivors[1:]),
            _lines(run, library, leader),
            None if own is None else choice(bench, own, theirs, fd.get(own.label)),
            ratio(theirs, squares),
            None if own is None else _lines(run, library, own),
            None if plain is None else choice(bench, plain, before, fd.get(plain.label)),
            ratio(before, squares),
        )
    leaders = race.left.get(run.library)
    mine = leaders[0] if leaders else None
    nearer = [
        (value.value, candidate)
        for candidate, value, is_nearer in distributions.values()
        if is_nearer
    ]
    return Budget(
        nfe=race.budget,
        default=choice(bench, default, by_label.get(default.label), fd.get(default.label)),
        best=answers,
        in_distribution=min(nearer, key=lambda pair: pair[0])[1] if nearer else None,
        tried=race.tried,
        left_out=race.left_out,
        latents=race.latents,
        undecided=_open_question(run, race),
        hopeless=race.hopeless,
        alternatives=tuple(
            Alternative(
                choice(bench, entry, by_label.get(entry.label), fd.get(entry.label)),
                None
                if mine is None
                else ratio(by_label.get(mine.label), by_label.get(entry.label)),
            )
            for entry in alternatives
        ),
    )


def _open_question(run: Run, race: Raced) -> str:
    sentences = []
    if race.left_out:
        sentences.append(
            f"there was no time to try {race.left_out} of {race.tried + race.left_out} configurations, "
            "those that the look at the model forecasts worst"
        )
    tied = len(race.left[run.library]) - 1 if run.library in race.left else 0
    if tied:
        why = "on all its latents" if race.timely else "in its time"
        others = f"{tied} other{'s' if tied > 1 else ''}"
        sentences.append(f"the race could not tell {others} from the recommendation {why}")
    return f"At {race.budget} evaluations {', and '.join(sentences)}." if sentences else ""


def _lines(run: Run, library: str, entry: Entry) -> Lines:
    cell = entry.cell
    assert cell.grid is not None
    try:
        exported = export(library, cell.sampler, cell.grid, run.asked.model, run.asked.spec)
    except ValueError as error:
        return Lines(library, "", str(error))
    return Lines(library, exported.code, exported.remark)


def halves(
    run: Run, races: Sequence[Raced], chosen: Mapping[int, Sequence[Entry]], scores: Scores
) -> dict[tuple[int, int], Value]:
    """Return ratios of the recommendation's error at M to the default's at N, for M <= N / 2."""
    ratios = {}
    for few in races:
        if run.library not in few.left:
            continue
        mine = scores[few.budget].get(few.left[run.library][0].label)
        for many in races:
            if 2 * few.budget <= many.budget:
                default = chosen[many.budget][0].label
                value = ratio(mine, scores[many.budget].get(default))
                if value is not None:
                    ratios[few.budget, many.budget] = value
    return ratios


def default_in_words(run: Run) -> str:
    """Return the present sampler in words."""
    now = run.now
    if now.sampler == "pipeline":
        return now.told
    return f"{now.sampler} on {now.schedule} ({now.told})"
