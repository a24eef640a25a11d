"""Claims in rendered pages, Markdown and terminals, read from the text and held against verdicts.

Verdicts are those of ``compare`` and of intervals that must lie apart. What is left of the text when
the claims are taken out may not say better, best, closer, use, buys or recommend.
"""

import functools
import html
import io
import re

import pytest
from rich.console import Console

from samplerbench.results.comparison import compare
from samplerbench.results.comparison.compare import compare_with
from samplerbench.results.comparison.estimates import is_dominated
from samplerbench.results.comparison.findings import findings_of
from samplerbench.results.comparison.headline import headline_of_problem
from samplerbench.results.comparison.significance import SIGNS
from samplerbench.results.printed_values import interval_bounds, interval_flag, value_plus_minus
from samplerbench.results.quantities import judged
from samplerbench.results.report.build import _template_environment
from samplerbench.results.report.model_section import fronts_of
from samplerbench.results.sentences import (
    headline_row,
    lead_sentences,
    markdown_summary,
)
from samplerbench.results.table.curves import comparable_parts, label_of_curve
from samplerbench.results.terminal.ranking import print_table, verdicts_of
from samplerbench.results.values import number, rows_as_dicts, text

WORDS = re.compile(r"\b(better|best|closer|recommend\w*|buys|use)\b", re.IGNORECASE)
TITLES = {measure.title: measure.name for measure in judged()}


PAGES = _template_environment()


@functools.cache
def judge(path, baseline, *metrics):
    """What ``compare`` says; forgotten where another table takes the place."""
    return compare_with(path, baseline, metrics=metrics)


def plain(page):
    """The words of a piece of HTML, without what is the same on every page, one row of a table
    a line.
    """
    page = re.sub(
        r'<p class="note">(Lower is better|Pareto front|\d+ (rows are hidden|more rows)).*?</p>',
        "",
        page,
        flags=re.DOTALL,
    )
    page = re.sub(
        r"<h3>Which sampler for which budget</h3>|<thead>.*?</thead>|<wbr>",
        "",
        page,
        flags=re.DOTALL,
    )
    page = re.sub(
        r"</tr>|</p>|</li>|</h3>", "\n", re.sub(r"</td>|</th>", " ¦ ", page.replace("\n", " "))
    )
    return "\n".join(
        " ".join(html.unescape(re.sub(r"<[^>]*>", "", line)).split()) for line in page.splitlines()
    )


class Problem:
    """The rows of one problem, and what may be said of them."""

    def __init__(self, path, rows, metric):
        self.path, self.metric = path, metric
        self.rows = [
            row
            for row in rows_as_dicts(rows)
            if row["status"] == "ok" and number(row, metric) is not None
        ]
        self.estimator = text(self.rows[0], "estimator")
        self.labels = {label_of_curve(text(row, "curve")): text(row, "curve") for row in self.rows}
        assert len(self.labels) == len({text(row, "curve") for row in self.rows})

    def at(self, budget):
        return [row for row in self.rows if row["slot"] is not None and int(row["slot"]) == budget]

    def lowest(self, budget):
        return min(self.at(budget), key=lambda row: number(row, self.metric))

    def refused(self, row):
        return bool(interval_flag(row, self.metric)) or (
            self.metric in ("fid_proxy", "kid") and is_dominated(row)
        )

    def lower(self, row, other):
        """Whether one row may be called lower than another: their intervals lie apart, and
        nothing speaks against either.
        """
        ends = interval_bounds(row, self.metric), interval_bounds(other, self.metric)
        return (
            not self.refused(row)
            and not self.refused(other)
            and None not in ends
            and ends[0][1] < ends[1][0]
        )

    def lines(self, baseline):
        try:
            found = judge(self.path, baseline, self.metric).lines
        except ValueError:
            return {}
        models = {text(row, "model") for row in self.rows}
        return {(line.sampler, line.budget): line for line in found if line.model in models}

    def curve(self, label):
        """The curve of a label; a phrase such as "any of 2 that coincide" is its own."""
        return self.labels.get(label, label)

    def check_use(self, budget, label):
        curve = self.curve(label)
        others = [row for row in self.at(budget) if row["curve"] != curve]
        first = min(
            (row for row in self.at(budget) if row["curve"] == curve),
            key=lambda row: number(row, self.metric),
        )
        assert others
        baseline = (
            next(row for row in self.at(budget) if row["sampler"] == "euler")
            if "euler" in str(self.at(budget))
            else None
        )
        for other in others:
            line = self.lines("euler").get((curve, budget))
            judged = line is not None and other is baseline and line.verdict == "better"
            assert judged or self.lower(first, other), (curve, other["curve"], budget)
        said = {key: line.verdict for key, line in self.lines(curve).items() if key[1] == budget}
        assert set(said.values()) <= {"worse"}, said

    def check_better_than_euler(self, budget, curve):
        line = compare_line(self.path, curve, budget, {text(row, "model") for row in self.rows})
        assert line.metric == self.metric
        assert line.verdict == "better"

    def check_no_lower(self, budget):
        base = self.lowest(budget)
        for later in sorted(
            {
                int(row["slot"])
                for row in self.rows
                if row["slot"] is not None and row["slot"] > budget
            }
        ):
            row = self.lowest(later)
            assert not self.refused(base)
            assert not self.refused(row)
            low, high = interval_bounds(base, self.metric)
            margin = 0.01 * max(
                number(base, self.metric),
                number(row, self.metric),
                10 * (number(base, "fid_proxy_floor_se") or 0.0),
                0,
            )
            resolution = max(
                margin,
                0.1 * max(number(each, "rmse_resolution") or 0.0 for each in (base, row)),
                margin,
            )
            lower = number(base, self.metric) - number(row, self.metric)
            assert (
                lower <= 0.1 * (number(row, "fid_proxy_floor_se") or 0.0) + resolution
                or high - low == 0
            ), (budget, later)

    def check_front(self, curve, shown, cost):
        """A row of the front that is to be used: all that cost no more for certain, or may cost
        no more, are shown to be worse.
        """
        index = [
            row for row in self.rows if row["curve"] == curve and number(row, cost) is not None
        ]
        row = next(row for row in index if value_plus_minus(row, self.metric) == shown)
        for other in self.rows:
            if other is row or number(other, cost) is None:
                continue
            dearer = number(other, cost) > number(row, cost)
            assert dearer or self.lower(row, other), (curve, other["curve"])


def compare_line(path, curve, budget, models):
    """The line of ``compare --baseline euler``, as it is without any option."""
    lines = [line for line in judge(path, "euler").lines if line.model in models]
    (line,) = [line for line in lines if (line.sampler, line.budget) == (curve, budget)]
    return line


def take(pattern, said, check):
    """Check each claim of a kind, and return the text without them."""
    for match in re.finditer(pattern, said):
        check(*match.groups())
    return re.sub(pattern, " ", said)


def budgets(words):
    return [int(each) for each in re.findall(r"\d+", words)]


def check_sentences(problem, said):
    """Each claim of the sentences, the tables behind them left in; returns what is left."""
    said = take(
        r"At (\d+) evaluations? use (.+?)[;,] ",
        said,
        lambda at, curve: problem.check_use(int(at), curve),
    )
    said = take(
        r"at ([\d, and]+) NFE \(better than Euler[^)]*\)",
        said,
        lambda at: [
            problem.check_better_than_euler(b, text(problem.lowest(b), "curve"))
            for b in budgets(at)
        ],
    )
    return take(
        r"More than (\d+) evaluations bring no lower",
        said,
        lambda at: problem.check_no_lower(int(at)),
    )


CLAIM = re.compile(
    r"; (?:(it) is|(both) are|(all) are|(.+?) is) (?:at least (\d+) times [\w ]+ than Euler(?: · [^,(]+)?, "
    r"allowing for the 95 % intervals|better than Euler(?: · [^(]+?)?) \("
)


def check_lead(problem, best, sentence):
    """The first sentence: samples that are said to be closer are better by compare too, and the
    factor is between the intervals.
    """
    found = CLAIM.search(sentence)
    if not found:
        return sentence
    one, both, every, name, factor = found.groups()
    curves = [best.curve, *best.rivals] if both or every else [best.curve]
    assert len(curves) == 2 if both else len(curves) > 2 if every else True
    assert name in (None, label_of_curve(best.curve))
    assert bool(one) == (f" use {label_of_curve(best.curve)}; it is" in sentence)
    for curve in curves:
        problem.check_better_than_euler(best.budget, curve)
    if factor:
        rows = [row for row in problem.at(best.budget) if row["curve"] in curves]
        high = max(interval_bounds(row, problem.metric)[1] for row in rows)
        assert int(factor) <= interval_bounds(best.baseline, problem.metric)[0] / high
    return sentence.replace(found[0], "; ")


def check_table(problem, said):
    """The lines of "the answer" and of the front, as they stand on the page."""

    def better(budget, label):
        problem.check_better_than_euler(int(budget), problem.curve(label))

    said = take(
        r"(?m)^(\d+)(?: one step)? ¦ ([^¦]+?) ¦ [^¦]* ¦ [^¦]* ¦ better than Euler[^¦]* ¦",
        said,
        better,
    )
    cost = {"evaluations": "nfe", "ms": "ms_per_sample"}
    for unit, lines in re.findall(r"(?m)^FRONT (\w+)\n((?:.+\n)*)", said):
        for curve, shown in re.findall(r"(?m)^[^¦]+ ¦ ([^¦]+?) ¦ ([^¦]+?) ¦ ✓ use it ¦", lines):
            problem.check_front(problem.curve(curve), shown, cost[unit])
    return re.sub(r"¦ ✓ use it ¦", "", said)


def rendered(table, page):
    """The answer and the fronts of each problem as the page has them, by title."""
    found = {}
    for title, rows in comparable_parts(table.frame):
        findings = page.by_title[title]
        if findings is None:
            continue
        first = lead_sentences(findings, headline_of_problem(rows))
        fronts = fronts_of(findings)
        problem = {
            "title": title,
            "findings": findings,
            "lead": first,
            "fronts": fronts,
            "without_data": "",
            "plot": None,
            "samples": None,
        }
        answer = PAGES.get_template("answer.html")
        page_text = plain(answer.render(problems=[problem], baseline="Euler", has_below_zero=False))
        # the direction of the number, which claims nothing of a row
        pieces = [page_text.replace("Lower is better.", "")]
        for front in fronts:
            one = PAGES.get_template("front.html").render(problem={**problem, "fronts": [front]})
            pieces.append(f"FRONT {front.unit}\n{plain(one).strip()}\n")
        found[title] = findings, first, "\n".join(pieces)
    return found


def check_page(path, table):
    """All that the page, the Markdown and the terminal say of a table, whose file is read once for
    all comparisons.
    """
    judge.cache_clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compare, "read_source", functools.cache(compare.read_source))
        _check_claims(path, table)


def _check_claims(path, table):
    page = findings_of(table.frame)
    marks = {
        line.sampler + str(line.budget) + line.model: line.verdict for line in page.lines.values()
    }
    try:
        judged = {
            line.sampler + str(line.budget) + line.model: line.verdict
            for line in judge(path, "euler").lines
        }
    except ValueError:
        judged = {}
    assert marks == judged
    parts = dict(comparable_parts(table.frame))
    markdown = dict(
        zip(
            parts,
            re.split(r"(?m)^## (?!Rows without)", markdown_summary(table, page))[1:],
            strict=False,
        )
    )
    leads = []
    for title, (findings, first, said) in rendered(table, page).items():
        problem = Problem(path, parts[title], findings.quantity.name)
        converged = any(number(row, "fd_conv") is not None for row in problem.rows)
        if converged and any(is_dominated(row) for row in problem.rows):
            assert problem.metric not in ("fid_proxy", "kid")
        titles = re.findall(r"Lowest ([^:]+):", markdown[title])
        assert {TITLES[each] for each in titles} <= {problem.metric}
        lead = check_lead(problem, headline_row(findings), first[0])
        left = check_sentences(problem, check_table(problem, said.replace(first[0], lead)))
        leads += first
        assert not WORDS.search(left), (
            WORDS.search(left) and left[max(0, WORDS.search(left).start() - 80) :][:160]
        )
        sentences = "\n".join(
            line for line in markdown[title].splitlines() if line.startswith("- ")
        ).replace("\\", "")
        assert not WORDS.search(check_sentences(problem, sentences))
        check_floor(parts[title], first)
    check_terminal(path, table, judged, leads)


def check_floor(rows, sentences):
    """That one sampler needs the fewest evaluations is only said where its interval ends before
    all others begin.
    """
    for sentence in sentences:
        if "every other sampler needs more" in sentence:
            first, *others = rows_as_dicts(headline_of_problem(rows))
            assert others
            assert all(
                first["high"] < other["low"] and not first["flag"] and not other["flag"]
                for other in others
            )


def check_terminal(path, table, judged, leads):
    """The signs beside the values are the verdicts of compare, in the column of their budget, and
    the sentences above are the report's.
    """
    baseline, marks = verdicts_of(path)
    assert {
        sampler + str(slot) + model: verdict for (model, _, sampler, slot), verdict in marks.items()
    } == judged
    console = Console(file=io.StringIO(), width=400, no_color=True)
    print_table(table, console, baseline=baseline, marks=marks)
    out = console.file.getvalue()
    for sentence in dict.fromkeys(leads):
        assert sentence in out
        out = out.replace(sentence, "")
    counts = {
        sign: len(
            re.findall(
                rf"\S{re.escape(sign)}(?:\s|$)|\* "
                rf"?{re.escape(sign)}|[\d⁻]†? {re.escape(sign)}",
                out,
            )
        )
        for sign in "▲▼≈"
    }
    expected = {sign: sum(SIGNS[verdict] == sign for verdict in judged.values()) for sign in "▲▼≈"}
    assert counts == expected
    key = "against euler: ▲ better, ▼ worse, ≈ equivalent, ? inconclusive, – no verdict"
    assert not WORDS.search(out.replace(key, "").replace("lower is better", ""))
