import json

import pytest

from samplerbench.benchmarks.perf.table import perf_markdown, read_perf


def benchmark(name, median, group=None):
    stats = {
        "min": median / 2,
        "max": median * 2,
        "median": median,
        "iqr": median / 10,
        "ops": 1 / median,
        "rounds": 7,
    }
    return {"name": name, "fullname": f"benchmarks/perf/{name}", "group": group, "stats": stats}


@pytest.fixture
def path(tmp_path):
    content = {
        "machine_info": {"system": "Linux", "machine": "x86_64", "cpu": {"brand_raw": "Fast CPU"}},
        "commit_info": {"id": "abc"},
        "datetime": "2025-01-01T00:00:00",
        "benchmarks": [
            benchmark("slow", 2.5),
            benchmark("fast|er", 3.2e-6, "step"),
            benchmark("mid", 4e-3, "step"),
        ],
    }
    (tmp_path / "perf.json").write_text(json.dumps(content))
    return tmp_path / "perf.json"


def test_every_benchmark_is_a_row(path):
    rows = read_perf([path])
    assert [row["name"] for row in rows] == ["slow", "fast|er", "mid"]
    assert [row["group"] for row in rows] == ["", "step", "step"]
    assert [row["median"] for row in rows] == [2.5, 3.2e-6, 4e-3]
    assert {row["machine"] for row in rows} == {"Fast CPU, Linux"}
    assert len(read_perf([path, path])) == 6


def test_markdown_has_readable_times(path):
    text = perf_markdown(read_perf([path]))
    assert "2.5 s" in text
    assert "3.2 µs" in text
    assert "400 µs" in text  # the interquartile range of mid
    assert r"fast\|er" in text
    assert text.endswith("Measured on Fast CPU, Linux.\n")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"benchmarks": [{"name": "x"}]}', '{"benchmarks": [1]}']
)
def test_something_else_is_a_clear_error(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match="is not a JSON file of pytest-benchmark"):
        read_perf([tmp_path / "x.json"])
    with pytest.raises(ValueError, match="run `make perf`"):
        read_perf([tmp_path / "none.json"])


def test_groups_with_the_yardstick_are_given_in_its_units(tmp_path):
    rows = [
        benchmark("test_axpy2[batch 1]", 2e-6, "a"),
        benchmark("other", 6e-6, "a"),
        benchmark("alone", 1.0, "b"),
    ]
    (tmp_path / "perf.json").write_text(json.dumps({"benchmarks": rows}))
    cells = {
        line.split("|")[2].strip(): line.split("|")[7].strip()
        for line in perf_markdown(read_perf([tmp_path / "perf.json"])).splitlines()[2:]
        if line
    }
    assert cells == {"test_axpy2[batch 1]": "1.00", "other": "3.00", "alone": ""}
