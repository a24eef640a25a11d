import numpy as np
from runs import add, make_run

from samplerbench.results.comparison.compare import compare
from samplerbench.results.comparison.gate import gate
from samplerbench.results.comparison.pairing import read_source
from samplerbench.results.result_table import rebuild


def test_a_folder_with_a_table_alone_is_compared_and_gated(tmp_path):
    run, kept = make_run(tmp_path / "run"), tmp_path / "kept"
    add(run, influence=np.random.default_rng(0).normal(size=50) + 3)
    rebuild(run.path)
    kept.mkdir()
    for name in ("table.csv", "run.json"):
        (run.path / name).rename(kept / name)
    source = read_source(kept)
    assert [entry.run for entry in source.entries] == [None]
    assert source.run["suite"]["name"] == "quick"
    (line,) = compare(kept, run.path).lines
    assert (line.difference, line.verdict) == (0.0, "equivalent")
    assert [check.what for check in gate(kept, kept, quality_margin=1.0).checks] == ["fid_proxy"]
