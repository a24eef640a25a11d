"""The whole of ``advise``: what is asked, the race of each budget, the score, and the answer."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...models import Denoiser
from ...results.run_directory.disk.files import write_json
from ...results.run_directory.leading import leading
from ...samplers.pilot import Look
from ..running.executing import Executor, Failure, InProcess
from ..running.executing.executor import always
from ..running.executing.world import Setting, World
from ..running.provenance import provenance
from ..scoring.references import CARD
from .answer import Advice, Best, Budget, Choice, Lines, Value
from .asked.question import question_of
from .asked.subject import OWN, Asked, Entry, Now, described, load, span_of
from .exports import LIBRARIES, export, missing
from .pictures import COUNT, FILE, Pictures, Pictures8, shown
from .racing.clock import Clock
from .racing.distribution import Distances, converged_count, farther, space_of, value_of
from .racing.forecasting import ordered
from .racing.measuring import Bench
from .racing.one_budget import Raced, raced
from .racing.race import LEVEL
from .racing.scoring import START, Scores, choice, ratio, scored
from .racing.store import Store
from .racing.tasks import Fit, Looked, Paces, Pictured, Taken
from .racing.truth import FIRST, RULE, Truth
from .sentences import sentences

BUDGETS = (4, 6, 8, 10, 15, 20)
MINUTES = 10.0
FITTED, COMPARED = 0.3, 0.93
"""Shares of the time at which the searches of ``auto``, and the distances in distribution, are to be done; what
one leaves, the next ones have.
"""
RACED = (0.5, 0.85)
"""Bounds of the share at which the races are to be done: as late as what follows allows."""
SHARE_OF_SCORES = 0.4
"""Of the time after the races, until the distances in distribution are done, that the scores may take."""
SCREENED = 0.6
"""Share of a race's time that its first look may take."""
LOOK = 3000
"""Evaluations of a look at a model of images, about."""
LEAST = 12
"""Configurations that the least race tries."""
BATCHES = (8, 64)
TIMED_REPEATS = 5
ANSWER = "advice.json"

Progress = Callable[[str], None]


def silent(_stage: str) -> None:
    """Tells nobody."""


@dataclass
class Advising:
    """One run of ``advise``: resumable, since every measurement is kept when it is made.

    Attributes:
        asked: the model, and how it is run.
        out: folder of the answer.
        budgets: evaluations per sample, rising; empty where ``ms`` says.
        clock: the time that there is.
        executor: where samplers run.
        now: what is used now.
        library: whose users ask.
        ms: milliseconds that a sample may take, in place of budgets; None for budgets.
        progress: told what is being done.
    """

    asked: Asked
    out: Path
    budgets: Sequence[int]
    clock: Clock
    executor: Executor
    now: Now
    library: str = LIBRARIES[0]
    ms: float | None = None
    progress: Progress = silent

    def __call__(self) -> Advice:
        """The answer, written into the folder.

        Raises:
            ValueError: there is too little time, another run is in the folder, or the model has no samples.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        with leading(self.out):
            try:
                return self._answered()
            except Failure as failure:
                raise ValueError(
                    f"model {self.asked.spec} cannot be advised on: {failure.reason}"
                ) from failure

    def _answered(self) -> Advice:
        asked, store = self.asked, Store(self.out, question_of(self.asked))
        extractors = {asked.spec: asked.extractor}
        world = World(
            Setting.here(extractors, asked.device),
            {asked.spec: asked.model},
            extractors={asked.spec: asked.features},
        )
        self.progress(f"{asked.spec}: how fast it is")
        rate, one = self._paces(world)
        budgets = self._budgets(one)
        bench = Bench(
            asked,
            store,
            self.executor,
            world,
            Truth(asked, store, self.executor, world),
            rate,
        )
        self._check_time(bench, budgets)
        races = self._races(bench, budgets)
        chosen = {race.budget: self._chosen(race) for race in races}
        self.progress("scoring on latents that chose nothing")
        left = 60 * self.clock.minutes * COMPARED - self.clock.spent
        scores = scored(bench, chosen, SHARE_OF_SCORES * left)
        in_distribution, untold = self._distributions(bench, races, chosen)
        answers = [
            self._budget(bench, race, chosen[race.budget], scores, in_distribution[race.budget])
            for race in races
        ]
        answers, batch = self._timed(bench, answers, chosen)
        drawn = self._pictures(bench, answers, chosen)
        count = max((len(s) for each in scores.values() for s in each.values()), default=0)
        advice = Advice(
            model=asked.spec,
            about=described(asked.model),
            default=self._default_in_words(),
            library=self.library,
            budgets=tuple(answers),
            sentences=sentences(
                answers,
                self._default_in_words(),
                self.library,
                self._halves(races, chosen, scores),
                span_of(asked.model),
            ),
            undecided=(*(a.undecided for a in answers if a.undecided), *untold),
            scored_on=count,
            resolution=bench.truth.resolution,
            minutes=(self.clock.spent / 60, self.clock.minutes),
            device=str(provenance(asked.device)["device"].get("name", asked.device)),
            timed_batch=batch,
            command=shlex.join(["samplerbench", *sys.argv[1:]]),
            pictures=FILE if drawn else "",
            provenance=provenance(asked.device),
        )
        write_json(self.out / ANSWER, advice.to_json())
        return advice

    # -- before the race -------------------------------------------------------------------------------

    def _paces(self, world: World) -> tuple[float, float]:
        """Evaluations a second of all workers together, and of a batch of one of one of them."""
        asked = self.asked
        task = Paces(asked.spec, asked.model.identity, asked.device, (1, *BATCHES), 0.3)
        rates = []
        for _, found in self.executor.map([task] * self.executor.size, world):
            if isinstance(found, Failure):
                raise found
            rates.append(found)
        return sum(each[1] for each in rates), rates[0][0]

    def _budgets(self, one: float) -> list[int]:
        """Evaluations per sample that are asked for.

        Raises:
            ValueError: fewer than a step costs.
        """
        passes = self.asked.model.passes
        if self.ms is None:
            least = min(self.budgets)
            if least < passes:
                raise ValueError(
                    f"--nfe {least}: a step of model {self.asked.spec} costs {passes} evaluations; "
                    f"give {passes} or more"
                )
            return sorted(set(self.budgets))
        within = int(self.ms * one / 1000)
        if within < max(2, passes):
            raise ValueError(
                f"--ms {self.ms:g}: an evaluation of model {self.asked.spec} takes {1000 / one:.3g} ms here, "
                f"so that there is time for {within}; give --ms {2 * max(2, passes) * 1000 / one:.2g} or more"
            )
        return [within]

    def _check_time(self, bench: Bench, budgets: Sequence[int]) -> None:
        """Refuse what cannot be done in the time.

        Raises:
            ValueError: not even the least race has time.
        """
        exact = self.asked.model.kind != "denoiser"
        solved = 0 if exact else (FIRST * 3 * RULE.first + 32 * 2 * RULE.first)
        needed = (solved + sum(budgets) * (LEAST * FIRST + 3 * 32)) / bench.rate
        if needed > 60 * self.clock.minutes * COMPARED:
            raise ValueError(
                f"--minutes {self.clock.minutes:g} is too little: model {self.asked.spec} makes "
                f"{bench.rate:.3g} evaluations a second here, and the least race at "
                f"{', '.join(map(str, budgets))} evaluations takes about {1.2 * needed / 60:.2g} minutes; "
                "give more --minutes, or fewer and smaller --nfe"
            )

    def _fits(self, bench: Bench, budgets: Sequence[int]) -> set[int]:
        """The budgets for which ``auto`` has a rule; there is none where the time is up first."""
        asked, late = self.asked, self.clock.until(FITTED)
        if asked.only:
            return set()
        steps = {n: n // asked.model.passes for n in budgets}
        tasks = [
            Fit(asked.spec, asked.model.identity, asked.device, steps[n])
            for n in budgets
            if steps[n]
        ]
        fitted = set()
        for which, found in self.executor.map(tasks, bench.world, wanted=lambda _: not late()):
            if isinstance(found, Failure):
                bench.failures["auto"] = found.reason
            else:
                fitted.add(budgets[which])
        return fitted

    def _races(self, bench: Bench, budgets: Sequence[int]) -> list[Raced]:
        """The race of each budget, each with its part of the time."""
        self.progress("looking at the model")
        look = self._look(bench)
        self.progress("auto: searching its rules")
        fitted = self._fits(bench, budgets)
        races: list[Raced] = []
        for k, budget in enumerate(budgets):
            self.progress(f"{budget} evaluations: racing")
            # what the budgets before left is shared by those to come
            at = self.clock.spent / 60 / self.clock.minutes
            share = budget**0.5 / sum(n**0.5 for n in budgets[k:])
            end = at + max(self._raced(bench, budgets) - at, 0.0) * share
            entries = self._entries(budget, look, auto=budget in fitted)
            late = self.clock.until(end)
            screened = self.clock.until(at + (end - at) * SCREENED)
            races.append(raced(bench, entries, budget, races, late, screened))
        return races

    def _raced(self, bench: Bench, budgets: Sequence[int]) -> float:
        """The share of the time at which the races are to be done."""
        own = bench.asked.extractor == CARD and bench.asked.features is not None
        scores = 64 * (256 + 5 * sum(budgets))
        distances = (0 if own else 512 * 64) + sum(budgets) * (5 * 512 + 20 * 128)
        after = (scores + distances) / bench.rate / 60 / self.clock.minutes
        return min(max(COMPARED - after, RACED[0]), RACED[1])

    def _look(self, bench: Bench) -> Look | None:
        """A look at the model; None where it fails, or would take too much of the time."""
        asked = self.asked
        if LOOK / bench.rate > 60 * self.clock.minutes * FITTED:
            return None
        try:
            return self.executor.run(
                Looked(asked.spec, asked.model.identity, asked.device), bench.world
            )
        except Failure:
            return None

    def _entries(self, budget: int, look: Look | None, *, auto: bool) -> list[Entry]:
        """Configurations in the order in which they are tried: what is used now, ``auto``, and the others as
        the look forecasts.

        Raises:
            ValueError: the library has none of them.
        """
        entries = self.asked.entries(budget, auto=auto)
        first = [entry for entry in entries if entry.cell.sampler.name == "auto"]
        others = [entry for entry in entries if entry.cell.sampler.name != "auto"]
        default = self.asked.default(self.now, budget)
        if _runs(default) and not default.cell.sampler.stochastic:
            first = [default, *first]
            others = [entry for entry in others if entry.label != default.label]
        if not any(self.library in entry.libraries for entry in entries):
            why = next(
                (missing(self.library, e.cell.sampler, self.asked.model) for e in entries), ""
            )
            raise ValueError(
                f"--for {self.library}: it cannot run model {self.asked.spec}"
                + (f" ({why})" if why else "")
                + "; leave out --for for lines of Python"
            )
        return [*first, *(ordered(look, others) if look is not None else others)]

    # -- after it --------------------------------------------------------------------------------------

    def _chosen(self, race: Raced) -> list[Entry]:
        """What is scored: the default, and the leader of each library."""
        leaders = [each[0] for each in race.left.values()]
        default = self.asked.default(self.now, race.budget)
        found = {entry.label: entry for entry in [default, *leaders]}
        return list(found.values())

    def _distributions(
        self, bench: Bench, races: Sequence[Raced], chosen: Mapping[int, Sequence[Entry]]
    ) -> tuple[dict[int, dict[str, tuple[Choice, Value, bool]]], list[str]]:
        """By budget and label, distances in distribution, and whether they are decidedly smaller than that
        of the best known; and what was not told.
        """
        nothing: dict[int, dict[str, tuple[Choice, Value, bool]]] = {r.budget: {} for r in races}
        seconds = 60 * self.clock.minutes * COMPARED - self.clock.spent
        first_look = (
            128 * sum(race.budget * len(chosen[race.budget]) for race in races) / bench.rate
        )
        count = converged_count(bench, seconds - first_look)
        if not count:
            return nothing, ["There was no time to compare distributions (fd_conv)."]
        self.progress("distances in distribution")
        space, begin = space_of(bench, count), self.clock.spent
        given = 60 * self.clock.minutes
        first = {r.budget: [e for e in chosen[r.budget] if _runs(e)] for r in races}
        known = {r.budget: Distances(bench, space) for r in races}
        # what is recommended is measured at all budgets before any stochastic sampler is tried
        shares = _shares({r.budget: r.budget * len(first[r.budget]) for r in races})
        for budget, share in shares.items():
            late = self.clock.until((begin + 0.5 * share * (given * COMPARED - begin)) / given)
            known[budget](first[budget], len(first[budget]), late)
        begin, untold = self.clock.spent, []
        for budget, share in _shares({r.budget: r.budget for r in races}).items():
            late = self.clock.until((begin + share * (given * COMPARED - begin)) / given)
            labels = {entry.label for entry in first[budget]}
            others = [e for e in self.asked.stochastic(budget) if e.label not in labels]
            entries = [*first[budget], *others]
            found = known[budget](entries, len(first[budget]), late)
            if len(found) < len(entries):
                untold.append(budget)
            best = next(r for r in races if r.budget == budget).left[LIBRARIES[0]][0].label
            own = next((found[n] for n in found if entries[n].label == best), None)
            for n, estimate in found.items():
                value = value_of(estimate)
                nearer = own is not None and farther(own, estimate, LEVEL / max(len(found), 1))
                told = choice(bench, entries[n], None, value)
                nothing[budget][entries[n].label] = told, value, nearer
        if not untold:
            return nothing, []
        return nothing, [
            f"At {', '.join(map(str, untold))} evaluations there was no time to compare all stochastic "
            "samplers in distribution (fd_conv)."
        ]

    def _budget(
        self,
        bench: Bench,
        race: Raced,
        chosen: Sequence[Entry],
        scores: Scores,
        distributions: Mapping[str, tuple[Choice, Value, bool]],
    ) -> Budget:
        """The answer of one budget."""
        known = scores[race.budget]
        fd = {label: value for label, (_, value, _) in distributions.items()}
        default = chosen[0]
        best = race.left[LIBRARIES[0]][0].label
        answers = {}
        for library in LIBRARIES:
            left = race.left.get(library)
            if not left:
                continue
            leader = left[0]
            squares = known.get(leader.label)
            own = race.left.get(OWN.get(library, ""), ())
            own = own[0] if own and own[0].label != leader.label else None
            theirs = None if own is None else known.get(own.label)
            answers[library] = Best(
                library,
                choice(bench, leader, squares, fd.get(leader.label)),
                ratio(squares, known.get(default.label)),
                ratio(squares, known.get(best)),
                tuple(entry.label for entry in left[1:]),
                self._lines(library, leader),
                None if own is None else choice(bench, own, theirs, fd.get(own.label)),
                ratio(theirs, squares),
                None if own is None else self._lines(library, own),
            )
        nearer = [
            (value.value, found) for found, value, is_nearer in distributions.values() if is_nearer
        ]
        return Budget(
            nfe=race.budget,
            default=choice(bench, default, known.get(default.label), fd.get(default.label)),
            best=answers,
            in_distribution=min(nearer, key=lambda pair: pair[0])[1] if nearer else None,
            tried=race.tried,
            left_out=race.left_out,
            latents=race.latents,
            undecided=self._undecided(race),
        )

    def _undecided(self, race: Raced) -> str:
        said = []
        if race.left_out:
            said.append(
                f"there was no time to try {race.left_out} of {race.tried + race.left_out} configurations, "
                "those that the look at the model forecasts worst"
            )
        tied = len(race.left[self.library]) - 1 if self.library in race.left else 0
        if tied:
            why = "on all its latents" if race.timely else "in its time"
            others = f"{tied} other{'s' if tied > 1 else ''}"
            said.append(f"the race could not tell {others} from the recommendation {why}")
        return f"At {race.budget} evaluations {', and '.join(said)}." if said else ""

    def _lines(self, library: str, entry: Entry) -> Lines:
        cell = entry.cell
        assert cell.grid is not None
        try:
            made = export(library, cell.sampler, cell.grid, self.asked.model, self.asked.spec)
        except ValueError as error:
            return Lines(library, "", str(error))
        return Lines(library, made.code, made.remark)

    def _halves(
        self, races: Sequence[Raced], chosen: Mapping[int, Sequence[Entry]], scores: Scores
    ) -> dict[tuple[int, int], Value]:
        """Errors of the recommendation at M over those of the default at N, for M <= N / 2."""
        found = {}
        for few in races:
            if self.library not in few.left:
                continue
            mine = scores[few.budget].get(few.left[self.library][0].label)
            for many in races:
                if 2 * few.budget <= many.budget:
                    default = chosen[many.budget][0].label
                    value = ratio(mine, scores[many.budget].get(default))
                    if value is not None:
                        found[few.budget, many.budget] = value
        return found

    def _timed(
        self, bench: Bench, answers: Sequence[Budget], chosen: Mapping[int, Sequence[Entry]]
    ) -> tuple[list[Budget], int]:
        """The answers with milliseconds, where there is time to take them: in batches of one."""
        times: dict[tuple[int, str], float] = {}
        for answer in answers:
            entries = {entry.label: entry for entry in chosen[answer.nfe]}
            wanted = [answer.default.label]
            if self.library in answer.best:
                wanted.append(answer.best[self.library].choice.label)
            for label in dict.fromkeys(wanted):
                entry = entries[label]
                seconds = 2 * (TIMED_REPEATS + 1) * answer.nfe * self.executor.size / bench.rate
                if self.clock.left < seconds or not _runs(entry):
                    continue
                self.progress(f"{answer.nfe} evaluations: timing")
                task = Taken(entry.cell, 1, TIMED_REPEATS)
                found = next(iter(self.executor.map([task], bench.world, wanted=always)))[1]
                if not isinstance(found, Failure):
                    times[answer.nfe, label] = found
        return [_with_times(answer, times) for answer in answers], int(bool(times))

    def _pictures(
        self, bench: Bench, answers: Sequence[Budget], chosen: Mapping[int, Sequence[Entry]]
    ) -> bool:
        """Pictures of the first scored latents, where samples are images; whether there are any."""
        asked = self.asked
        if shown_of(asked.model) is False:
            return False
        self.progress("pictures")

        def pictured(x: object) -> Pictures8 | None:
            task = Pictured(asked.spec, asked.model.identity, asked.device, x)  # type: ignore[arg-type]
            return shown(self.executor.run(task, bench.world), asked.model.decoded_limits)

        ends = bench.truth.ends(START, START + COUNT, bench.truth.steps or 0)
        converged = pictured(ends.astype("float32"))
        if converged is None:
            return False
        made: dict[str, dict[int, Pictures8]] = {"default": {}, "best": {}}
        for answer in answers:
            entries = {entry.label: entry for entry in chosen[answer.nfe]}
            wanted = {"default": answer.default.label}
            if self.library in answer.best:
                wanted["best"] = answer.best[self.library].choice.label
            some = [entries[label] for label in wanted.values()]
            runs = [n for n, e in enumerate(some) if _runs(e)]
            for which, found in list(bench.samples([some[n] for n in runs], START, START + COUNT)):
                if not isinstance(found, Failure):
                    image = pictured(found["endpoint"])
                    if image is not None:
                        made[list(wanted)[runs[which]]][answer.nfe] = image
        Pictures(converged, made["default"], made["best"]).write(self.out)
        return True

    def _default_in_words(self) -> str:
        now = self.now
        if now.sampler == "pipeline":
            return now.told
        return f"{now.sampler} on {now.schedule} ({now.told})"


def _shares(weights: Mapping[int, float]) -> dict[int, float]:
    """The part of the time that is over when each is done, in order."""
    total, at, found = sum(weights.values()), 0.0, {}
    for key, weight in weights.items():
        at += weight
        found[key] = at / total if total else 1.0
    return found


def _runs(entry: Entry) -> bool:
    """Whether there is anything to run."""
    return entry.cell.grid is not None and not entry.cell.skip


def _with_times(answer: Budget, times: Mapping[tuple[int, str], float]) -> Budget:
    def timed(one: Choice) -> Choice:
        return replace(one, ms=times.get((answer.nfe, one.label)))

    best = {name: replace(found, choice=timed(found.choice)) for name, found in answer.best.items()}
    return replace(answer, default=timed(answer.default), best=best)


def shown_of(model: Denoiser) -> bool:
    """Whether its samples are pictures."""
    event = model.decoded_event
    return len(event) == 3 and event[0] in (1, 3) and min(event[1:]) >= 8


def advise(
    model: str,
    nfe: Sequence[int] = BUDGETS,
    *,
    out: Path | str,
    minutes: float = MINUTES,
    ms: float | None = None,
    library: str = LIBRARIES[0],
    default: str | None = None,
    only: Sequence[str] = (),
    extractor: str = "card",
    device: str = "cpu",
    seed: int = 0,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Advice:
    """Which sampler on which noise levels, at each number of evaluations, for a model.

    Args:
        model: its spec, as ``--model`` takes it.
        nfe: evaluations per sample.
        out: folder of the answer; what it has measured before of the same question is used.
        minutes: wall time to spend, about.
        ms: milliseconds that a sample may take, in place of ``nfe``.
        library: whose users ask, of :data:`samplerbench.benchmarks.advice.exports.LIBRARIES`.
        default: what is used now, ``SAMPLER`` or ``SAMPLER on SCHEDULE``; None for the scheduler that came
            with the checkpoint, or what is usual for its kind.
        only: samplers to race in place of all.
        extractor: feature space of distances in distribution.
        device: "cpu" or "cuda".
        seed: of the latents.
        executor: where samplers run; None for this process.
        progress: told what is being done.

    Raises:
        ValueError: something is asked for that does not exist or makes no sense, or there is too little
            time; the sentence names it.
    """
    clock = Clock(minutes)
    if library not in LIBRARIES:
        raise ValueError(f"there is no library {library!r}; choose one of {', '.join(LIBRARIES)}")
    asked = load(model, device, seed, extractor, only)
    return Advising(
        asked,
        Path(out),
        nfe,
        clock,
        executor or InProcess(),
        asked.now(default),
        library,
        ms,
        progress,
    )()
