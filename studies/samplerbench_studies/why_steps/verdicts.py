"""The verdicts of a page, quoted in a document: ``python -m
samplerbench_studies.why_steps.verdicts PAGE.html DOCUMENT.md``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from samplerbench.results.run_directory import write_text

START, END = "<!-- verdicts of the page -->", "<!-- end of the verdicts -->"
"""Marks of the document between which they go."""
SECTION = re.compile(
    r'<span class="number">(?P<number>\d+)</span> (?P<question>[^<]+)</h2>(?:(?!</section>).)*?'
    r'<div class="finding[^>]*>(?P<kind><p class="kind">.*?</p>)\s*<p '
    r'class="why">(?P<why>.*?)</p></div>'
    r'(?:\s*<p class="surprise">.*?<span>(?P<surprise>.*?)</span></p>)?',
    re.DOTALL,
)
COMMAND = re.compile(r"<h2>Run it again</h2>(?:(?!</section>).)*?<pre>(.*?)</pre>", re.DOTALL)


def quoted(page: str) -> str:
    """What each row of a page found, as Markdown, with the command that made the page.

    Raises:
        ValueError: it is no page of ``samplerbench explain``.
    """
    command, found = COMMAND.search(page), list(SECTION.finditer(page))
    if not command or not found:
        raise ValueError("the page has no verdicts; give one that `samplerbench explain` wrote")
    return "\n".join(
        [f"The verdicts of `{command[1]}`; the page has their numbers:", "", *map(_row, found)]
    )


def _row(one: re.Match[str]) -> str:
    surprise = f" **What surprises:** {_markdown(one['surprise'])}" if one["surprise"] else ""
    return (
        f"* **{one['number']}. {one['question']}** {_kind(one['kind'])}. "
        f"{_markdown(one['why'])}{surprise}"
    )


def _kind(paragraph: str) -> str:
    return re.sub(r"<[^>]*>", "", paragraph).rpartition("Measured, and ")[2].capitalize()


def _markdown(text: str) -> str:
    return re.sub(r"</?em>", "*", re.sub(r"</?code>", "`", text))


def quote(document: str, page: str) -> str:
    """The document with the page's verdicts between its marks.

    Raises:
        ValueError: it has no marks.
    """
    if document.count(START) != 1 or document.count(END) != 1:
        raise ValueError(f"the document needs one {START} and one {END}")
    before, _, rest = document.partition(START)
    return f"{before}{START}\n{quoted(page)}\n{END}{rest.partition(END)[2]}"


def main(page: Path, document: Path) -> None:
    """Rewrite the document's quotation."""
    write_text(document, quote(document.read_text("utf-8"), page.read_text("utf-8")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
