"""A metric of an installed package is in table, report and verdicts, with no edit here."""

import json
import os
import shutil
import textwrap

import pandas as pd
import pytest
from new_processes import command

from samplerbench.benchmarks.cli.scaffold import new_package
from samplerbench.results.run_directory.files import read_npz

NAME = "mean_gap"
COLUMNS = [NAME, f"{NAME}_se", f"{NAME}_low", f"{NAME}_high"]
ARRAYS = {NAME, f"{NAME}_reference"}
RUN = [
    "run",
    "smoke",
    "--model",
    "gmm-2d",
    "--sampler",
    "euler",
    "--sampler",
    "heun",
    "--nfe",
    "3,9",
]
RUN += ["--samples", "64", "--no-timing", "--reference-samples", "16", "--converged-samples", "64"]


class Site:
    """A folder of installed packages, and the command line in a process that has it on its path."""

    def __init__(self, folder):
        self.folder, self.packages = folder, folder / "site-packages"

    def install(self, name, code, points=None, version="0.1.0"):
        """What a package installer leaves there: the package, and its metadata."""
        info = self.packages / f"{name}-{version}.dist-info"
        for made in (self.packages / name, info):
            made.mkdir(parents=True, exist_ok=True)
        self.file(name).write_text(textwrap.dedent(code))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        points = points or f"{name} = {name}:{name}"
        (info / "entry_points.txt").write_text(f"[samplerbench.metrics]\n{points}\n")

    def file(self, name=NAME):
        return self.packages / name / "__init__.py"

    def edit(self, old, new):
        text = self.file().read_text()
        assert old in text
        self.file().write_text(text.replace(old, new))

    def __call__(self, *args):
        environment = os.environ | {
            "PYTHONPATH": str(self.packages),
            "SAMPLERBENCH_CACHE": str(self.folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "200",
            "SAMPLERBENCH_ISOLATION": "0",
        }
        return command(*args, cwd=self.folder, env=environment, strict=True)


def generated(folder):
    return (new_package("metric", NAME, folder) / "src" / NAME / "__init__.py").read_text()


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The package as it is generated, installed, and a run with it."""
    site = Site(tmp_path_factory.mktemp("ran"))
    site.install(NAME, generated(site.folder))
    code, _, err = site(*RUN, "--out", "run")
    assert code == 0, err
    assert "warning" not in err
    return site


@pytest.fixture
def site(ran, tmp_path):
    """A copy of it, to be changed."""
    shutil.copytree(ran.folder, tmp_path / "copy")
    return Site(tmp_path / "copy")


def table(site):
    return pd.read_csv(site.folder / "run" / "table.csv")


def parts(site):
    """What quality.json and influence.npz of each cell hold."""
    return {
        folder.name: (
            json.loads((folder / "quality.json").read_text()),
            read_npz(folder / "influence.npz"),
        )
        for folder in sorted((site.folder / "run" / "parts").iterdir())
    }


def assert_others_stayed(before, after):
    """Bit for bit: columns, versions and influence values of all metrics but the installed one."""
    assert before.keys() == after.keys()
    for cell, (quality, arrays) in before.items():
        changed, values = after[cell]
        mine = {*COLUMNS, "metrics", "reason", "sealed", "pin"}
        others = {k: v for k, v in quality.items() if k not in mine and k in changed}
        assert len(others) > 20
        assert {k for k in quality if k not in mine and changed.get(k) != quality[k]} <= {
            "influence",
            "seal",
            "pinned",
        }
        assert {k: v for k, v in quality["metrics"].items() if k != NAME} == {
            k: v for k, v in changed["metrics"].items() if k != NAME
        }
        for name in arrays.keys() - ARRAYS:
            assert arrays[name].tobytes() == values[name].tobytes()


@pytest.mark.slow
def test_it_is_listed_and_its_columns_are_in_the_table(ran):
    code, out, _ = ran("list", "metrics")
    assert code == 0
    assert f"{NAME}_high" in out
    rows = table(ran)
    assert (rows["status"] == "ok").all()
    assert rows[COLUMNS].notna().all().all()
    assert ((rows[f"{NAME}_low"] >= 0) & (rows[f"{NAME}_low"] <= rows[f"{NAME}_high"])).all()
    for quality, arrays in parts(ran).values():
        assert quality["metrics"][NAME].startswith("1 of mean_gap 0.1.0, code ")
        assert {len(arrays[name]) for name in ARRAYS} == {64}


@pytest.mark.slow
def test_it_is_shown_compared_and_drawn(ran):
    code, out, _ = ran("show", "run", "--metric", NAME)
    assert code == 0
    assert f"{NAME} by NFE budget" in out
    code, out, _ = ran("compare", "run", "--baseline", "heun", "--metric", NAME, "--json")
    assert code == 0
    lines = json.loads(out)
    assert {line["metric"] for line in lines} == {NAME}
    assert all(
        line["paired"] == 64 and line["low"] < line["difference"] < line["high"] for line in lines
    )
    page = (ran.folder / "run" / "report.html").read_text()
    assert "Squared distance of the means of features, without bias." in page
    code, out, err = ran("figures", "run", "--metric", NAME, "--out", "drawn")
    assert code == 0, err
    assert list((ran.folder / "drawn").glob(f"*{NAME}*"))


@pytest.mark.slow
def test_sampling_goes_on_until_it_is_decided(site):
    looks = ("--until-decided", "--baseline", "heun", "--metric", NAME, "--max-samples", 256)
    code, out, err = site(*RUN, *looks, "--out", "run")
    assert code == 0, err
    assert f" of {NAME}: " in out
    assert table(site)["samples"].max() == 256


@pytest.mark.slow
def test_edited_code_has_it_and_only_it_measured_again(site):
    before = parts(site)
    stamps = {path: path.stat().st_mtime_ns for path in site.folder.rglob("quality.json")}
    assert site(*RUN, "--out", "run")[0] == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps, "nothing to do"
    site.edit("value = float(", "value = 2 * float(")
    assert site(*RUN, "--out", "run")[0] == 0
    after = parts(site)
    assert_others_stayed(before, after)
    for cell, (quality, _) in before.items():
        assert after[cell][0][NAME] == 2 * quality[NAME]
        assert after[cell][0]["metrics"][NAME] != quality["metrics"][NAME]


@pytest.mark.slow
def test_one_that_fails_costs_its_own_columns_until_it_is_mended(site):
    before, whole = parts(site), site.file().read_text()
    site.edit("    x = cell.features\n", "    raise RuntimeError('no\\nluck')\n")
    code, _, err = site(*RUN, "--out", "run")
    assert code == 0, err
    assert "metric mean_gap: RuntimeError: no luck" in err
    assert_others_stayed(before, parts(site))
    rows = table(site)
    assert (rows["status"] == "ok").all()
    assert (rows["reason"] == "metric mean_gap: RuntimeError: no luck").all()
    assert rows[COLUMNS].isna().all().all()
    site.file().write_text(whole)
    assert site(*RUN, "--out", "run")[0] == 0
    after = parts(site)
    assert_others_stayed(before, after)
    assert [quality[NAME] for quality, _ in after.values()] == [
        quality[NAME] for quality, _ in before.values()
    ]
    assert table(site)["reason"].isna().all()


def one_sentence(answer, *words):
    code, _, err = answer
    assert code == 2
    (line,) = err.strip().splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


@pytest.mark.slow
def test_a_broken_package_is_one_sentence_and_nothing_is_sampled(site):
    site.install("broken", "import no_such_module\n")
    found = site(*RUN, "--out", "other")
    module = "ModuleNotFoundError: No module named 'no_such_module'"
    one_sentence(found, "the metric broken of broken 0.1.0 cannot be loaded", module, "uninstall")
    assert not (site.folder / "other").exists()
    code, out, err = site("show", "run", "--metric", NAME)
    assert code == 0
    assert f"{NAME} by NFE budget" in out
    assert err.count("warning") == 1
    assert "The metric broken of broken 0.1.0 is left out: it cannot be loaded" in err
    site.install("broken", "broken = 3\n")
    one_sentence(site(*RUN, "--out", "other"), "(broken:broken) is not decorated")


OTHER = """
    from samplerbench.benchmarks.metrics import Measured, metric
    from samplerbench.results.quantities import Quantity

    @metric("{name}", version=1, needs=set(), quantities=(Quantity(name="{column}", meaning="x"),))
    def other(cell):
        return Measured({{"{column}": 1.0}})
"""


@pytest.mark.parametrize(
    ("name", "column", "sentence"),
    [
        ("mean_gap", "another", "two metrics are called 'mean_gap': "),
        (
            "other",
            "mean_gap_low",
            "wants the column or array 'mean_gap_low', which metric mean_gap",
        ),
    ],
)
def test_two_of_one_name_or_column_are_one_sentence(ran, tmp_path, name, column, sentence):
    site = Site(tmp_path)
    shutil.copytree(ran.packages, site.packages)
    site.install("other", OTHER.format(name=name, column=column), "other = other:other")
    one_sentence(site(*RUN, "--out", "run"), sentence)
