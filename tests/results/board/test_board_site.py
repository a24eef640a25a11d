"""The site of a board: what it says, what it refuses, and strangers' texts on it."""

import base64
import hashlib
import json
import re

import pytest
from parsed_page import Page
from synthetic_board import BASELINE, NETWORKS, PROBLEMS, site_of, submission_of, write_board

from samplerbench.results.board.entries import stem_of
from samplerbench.results.board.scoring import score, score_submission, targets_of
from samplerbench.results.board.site import TARGETS
from samplerbench.results.board.submission import Claims, read_submission, submissions_in

EVIL = (
    "<script>alert(1)</script>\"><img src=x onerror=alert(1)>' onload=alert(1) {{ 7*7 }} "
    "](javascript:alert(1)) <!-- board --> `|` \u202e"
)


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Folder of 15 submissions, and the folder of their site."""
    home = tmp_path_factory.mktemp("board")
    assert site_of(write_board(home / "in"), home / "out").refused == []
    return home / "in", home / "out"


def rows_of(out):
    """Cells of each line of the Markdown table, by the solver's name."""
    lines = (out / "board.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    return {name.strip("`"): [rank, *rest] for rank, name, *rest in cells}


def test_build_site__scores_are_those_of_the_files(board):
    folder, out = board
    found = {read.solver.name: read for _, read in submissions_in(folder)}
    base = score_submission(found[BASELINE], PROBLEMS, "error", 1e5)
    assert len(rows_of(out)) == 15
    for name, (_, track, area, relative, early, networks, _) in rows_of(out).items():
        made = score_submission(found[name], PROBLEMS, "error", 1e5)
        assert track == found[name].track
        if made is None:
            distances = score_submission(found[name], NETWORKS, "distance")
            assert (area, networks) == ("–", f"{distances.area:.3f}")
            continue
        share = score(made.evaluations, PROBLEMS, within=10).area
        assert share == pytest.approx(made.reached_share(10))  # kinds have as many problems
        assert early == f"{100 * share:.0f}\xa0%"
        assert area.startswith(f"{made.area:.3f}")
        assert relative.startswith(f"{made.relative_to(base).value:.2f}")
    for column, expected in (("area", [1e-2, 1e-3, 1e-4]), ("networks", [8, 1])):
        targets = targets_of("error" if column == "area" else "distance")
        assert [targets[place] for place in TARGETS[column].values()] == pytest.approx(expected)


def test_build_site__pages_link_to_files_that_exist(board):
    folder, out = board
    pages = {page.resolve(): Page(page.read_text()) for page in out.rglob("*.html")}
    hrefs = [(page, link["href"]) for page, read in pages.items() for link in read.named("a")]
    links = {(page.parent / to).resolve() for page, to in hrefs if not re.match("#|https://", to)}
    assert all(link.is_file() for link in links)
    assert links >= pages.keys()
    assert len(pages) == 16
    copies = sorted(path.read_bytes() for path in (out / "submissions").iterdir())
    assert copies == sorted(path.read_bytes() for path in folder.iterdir())


def test_build_site__a_search_costs_more_for_few_samples(board):
    cells = Page((board[1] / "index.html").read_text()).named("td")
    spread = [json.loads(cell["data-at"]) for cell in cells if "data-at" in cell]
    areas = [[key for _, key in some] for some in spread if re.match(r"0\.\d{3} \[", some[0][0])]
    assert len(areas) == 3
    assert all(few < usual <= free for few, usual, free in areas)


def test_build_site__other_files_are_refused_and_a_verified_one_keeps_its_name(tmp_path):
    folder, out = write_board(tmp_path / "in", 1), tmp_path / "out"
    submission_of(7).write(folder / "earlier.json")
    for field, value in (("suite", "sb-2027.1"), ("digest", "f" * 8), ("part", "2026")):
        submission_of(1, "heun", **{field: value}).write(folder / f"{field}.json")
    (folder / "damaged.json").write_text("{")
    site = site_of(folder, out, reruns=write_board(tmp_path / "again", 1))
    reasons = dict(site.refused)
    assert "another file has a solver of this name" in reasons.pop("earlier.json")
    assert "its digest is ffffffff, and the one of the board is 0123abcd" in reasons["digest.json"]
    assert set(reasons) == {"damaged.json", "suite.json", "digest.json", "part.json"}
    assert {name: row[-1] for name, row in rows_of(out).items()} == {BASELINE: "verified"}
    assert "sb-2027.1" not in site.index.read_text()
    with pytest.raises(ValueError, match=r"no errors of the baseline heun .*; add its submission"):
        site_of(folder, out, baseline="heun")
    with pytest.raises(ValueError, match="choose another folder"):
        site_of(out / "submissions", out)


def test_build_site__numbers_that_no_rerun_has_are_not_verified(tmp_path):
    folder, again = write_board(tmp_path / "in", 1), write_board(tmp_path / "again", 1)
    (path,) = again.glob("*.json")
    made = read_submission(path)
    exact = [curve for curve in made.curves if not curve.distance]
    assert len(exact) < len(made.curves)
    made.with_curves(exact, 1.0).write(path)
    site_of(folder, tmp_path / "out", reruns=again)
    assert [row[-1] for row in rows_of(tmp_path / "out").values()] == ["verified in part"]


def write_evil(folder):
    """Write a submission whose every text is hostile."""
    source, made = f"{EVIL}</code></pre><script>alert(2)</script>", submission_of(3)
    texts = {"sampler": EVIL, "schedule": EVIL, "source": source, "name": "www.evil.com (x)"}
    texts["fingerprint"] = hashlib.sha256(source.encode()).hexdigest()
    claims = dict.fromkeys(("authors", "paper", "licence", "family", "notes"), EVIL)
    curves = tuple(curve.model_copy(update={"failures": (EVIL,)}) for curve in made.curves)
    more = {"check": EVIL, "machine": EVIL, "software": {EVIL: EVIL}, "claims": Claims(**claims)}
    more["solver"] = made.solver.model_copy(update=texts)
    submission_of(curves=curves, **more).write(folder / "evil.json")


def test_build_site__texts_of_strangers_are_inert(tmp_path):
    folder, out, shown = write_board(tmp_path / "in", 2), tmp_path / "out", ""
    write_evil(folder)
    submission_of(4, "heun", claims=Claims(paper="javascript:alert(1)")).write(folder / "heun.json")
    site_of(folder, out)
    for path in out.rglob("*.html"):
        page = Page(path.read_text())
        shown += page.sentences
        assert not page.named("img")
        assert not [name for _, named in page.tags for name in named if name.startswith("on")]
        assert not any(re.search("script|alert", link["href"]) for link in page.named("a"))
        (script,) = page.scripts
        checksum = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = next(meta["content"] for meta in page.named("meta") if "http-equiv" in meta)
        assert f"default-src 'none'; script-src 'sha256-{checksum}'" in policy
        assert "unsafe" not in policy
        assert "\u202e" not in path.read_text()
    assert EVIL.removesuffix(" \u202e") in shown  # as text
    assert not re.search(r"alert|\{\{|\]\(", (out / "board.md").read_text())
    names = {BASELINE, "euler on karras", "www.evil.com (x)", "heun"}
    assert rows_of(out).keys() == names


def test_stem_of__names_of_files_are_distinct_and_stay_in_their_folder(tmp_path):
    names = ["../../x", "x", "X", "x_", "..", "a/b", "a-b", "n\0", "é", "", "ab" * 40, "ab" * 41]
    stems = [stem_of(name) for name in names]
    assert len(set(map(str.lower, stems))) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_-]{1,60}", stem) for stem in stems)
    named = submission_of().solver.model_copy(update={"name": "../../x"})
    submission_of().model_copy(update={"solver": named}).write(tmp_path / "x.json")
    ((_, reason),) = submissions_in(tmp_path)
    assert reason.startswith("x.json is not used: solver.name: String should match")
