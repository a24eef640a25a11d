"""The answer and the verdicts of a page, quoted in a document: ``python -m
samplerbench_studies.why_steps.verdicts PAGE.html DOCUMENT.md``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from samplerbench.results.run_directory import write_text

ANSWER = ("<!-- answer of the page -->", "<!-- end of the answer -->")
VERDICTS = ("<!-- verdicts of the page -->", "<!-- end of the verdicts -->")
"""Marks of the document between which the answer and the verdicts go."""
POINT = re.compile(r"<li>(?P<text>.*?) <span class=\"rests\">", re.DOTALL)
SECTION = re.compile(
    r'<span class="number">(?P<number>\d+)</span> (?P<question>[^<]+)</h2>(?:(?!</section>).)*?'
    r'<div class="finding[^>]*>(?P<kind><p class="kind">.*?</p>)\s*<p '
    r'class="why">(?P<why>.*?)</p></div>',
    re.DOTALL,
)


def quoted_answer(page: str) -> str:
    """Return the answer at the top of a page, as a Markdown list.

    Raises:
        ValueError: it is no page of ``samplerbench explain``.
    """
    top = page.partition("</ol>")[0].partition('<ol class="answer"')[2]
    points = POINT.findall(top)
    if not points:
        raise ValueError("the page has no answer; give one that `samplerbench explain` wrote")
    return "\n".join(f"{place}. {_markdown(text)}" for place, text in enumerate(points, 1))


def quoted_verdicts(page: str) -> str:
    """Return the verdicts of a page, as a Markdown table.

    Raises:
        ValueError: it is no page of ``samplerbench explain``.
    """
    found = list(SECTION.finditer(page))
    if not found:
        raise ValueError("the page has no verdicts; give one that `samplerbench explain` wrote")
    return "\n".join(["| | question | verdict | |", "|---|---|---|---|", *map(_row, found)])


def _row(one: re.Match[str]) -> str:
    return (
        f"| {one['number']} | {one['question']} | {_kind(one['kind'])} | {_markdown(one['why'])} |"
    )


def _kind(paragraph: str) -> str:
    return re.sub(r"<[^>]*>", "", paragraph).rpartition("Measured, and ")[2]


def _markdown(text: str) -> str:
    for tags, sign in (("strong", "**"), ("em", "*"), ("code", "`")):
        text = re.sub(f"</?{tags}>", sign, text)
    return text


def quote(document: str, page: str) -> str:
    """Return the document with the page's answer and verdicts between their marks.

    Raises:
        ValueError: it has no marks.
    """
    document = _between(document, ANSWER, quoted_answer, page)
    return _between(document, VERDICTS, quoted_verdicts, page)


def _between(document: str, marks: tuple[str, str], quoted: Callable[[str], str], page: str) -> str:
    start, end = marks
    if document.count(start) != 1 or document.count(end) != 1:
        raise ValueError(f"the document needs one {start} and one {end}")
    before, _, rest = document.partition(start)
    return f"{before}{start}\n\n{quoted(page)}\n\n{end}{rest.partition(end)[2]}"


def main(page: Path, document: Path) -> None:
    """Rewrite the document's quotation."""
    write_text(document, quote(document.read_text("utf-8"), page.read_text("utf-8")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
