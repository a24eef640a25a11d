"""Hooks of the site: the decisions, and files outside docs/ that pages link to.

A page links to a file by its path in the repository, as ``../README.md`` or
``../samplers/loop.py``, which is right on any forge. On the site such a file becomes a page of its
own under ``repository/``, so that the site is whole without a forge. What is not there is left as
it is, and fails the strict build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)")
"""The path of a Markdown link or image, without its anchor."""
NAMED = re.compile(r"\[([\w/.-]+\.md)\]\(\1(?=[)#])")
"""A link whose text is the file that it leads to, as ``[timing.md](timing.md)``."""
FENCES = {
    ".py": "python",
    ".toml": "toml",
    ".yml": "yaml",
    ".yaml": "yaml",
    ".sh": "sh",
    ".json": "json",
}


def on_config(config: Any) -> Any:
    """Put every decision into the navigation."""
    pages = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    decisions = next(entry["Decisions"] for entry in config.nav if "Decisions" in entry)
    decisions += [{title(page): f"decisions/{page.name}"} for page in pages]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each file outside docs/ that a page of the site links to, or that such a
    page links to.
    """
    pages = [ROOT / "docs" / file.src_uri for file in files.documentation_pages()]
    seen: set[str] = set()
    while pages:
        page = pages.pop()
        for path in outside(page):
            if path in seen:
                continue
            seen.add(path)
            added = File.generated(config, uri_on_site(path), content=content(ROOT / path))
            added.inclusion = InclusionLevel.NOT_IN_NAV
            if added.src_uri not in files.src_uris:
                files.append(added)
            if path.endswith(".md"):
                pages.append(ROOT / path)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite the links of a page from paths of the repository to paths of the site."""
    here = path_in_repository(page.file.src_uri)
    markdown = NAMED.sub(lambda found: f"[{heading(here, found[1])}]({found[1]}", markdown)
    return LINK.sub(lambda found: rewritten(found[1], here, page.file.src_uri), markdown)


def heading(here: str, link: str) -> str:
    """What a page calls itself that the page at ``here`` links to.

    The link where it is not there.
    """
    page = ROOT / posixpath.dirname(here) / link
    return title(page) if page.is_file() else link


def rewritten(link: str, here: str, page: str) -> str:
    """Where a link of the page at ``here`` (in the repository) leads on the site, seen from
    ``page``.
    """
    path = posixpath.normpath(posixpath.join(posixpath.dirname(here), link))
    if not (ROOT / path).is_file():
        return link
    return posixpath.relpath(uri_on_site(path), posixpath.dirname(page))


def outside(page: Path) -> list[str]:
    """The files outside docs/ that a page links to, by their paths in the repository."""
    here = page.relative_to(ROOT).parent.as_posix()
    links = LINK.findall(page.read_text(encoding="utf-8"))
    paths = [posixpath.normpath(posixpath.join(here, link)) for link in links]
    return [p for p in paths if not p.startswith(("docs/", "..")) and (ROOT / p).is_file()]


def uri_on_site(path: str) -> str:
    """The source address on the site of a file of the repository."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"repository/{path}" if path.endswith(".md") else f"repository/{path}.md"


def path_in_repository(uri: str) -> str:
    """The file of the repository behind a source address on the site."""
    return uri.removeprefix("repository/") if uri.startswith("repository/") else f"docs/{uri}"


def content(file: Path) -> str:
    """A file as a page: Markdown as it is, anything else as a listing under its path."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return text
    return f"# {file.relative_to(ROOT)}\n\n````{FENCES.get(file.suffix, 'text')}\n{text}\n````\n"


def title(page: Path) -> str:
    """The first heading of a page, as ``1: import names``."""
    first = page.read_text(encoding="utf-8").splitlines()[0]
    return first.lstrip("# 0")
