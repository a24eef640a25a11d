"""W7, W12: a part is used only as what it is.

Whatever was flipped, copied, renamed or made shorter is not used, and made again.
"""

import shutil
from contextlib import suppress

import numpy as np
import pytest
from small_runs import numbers, run

from samplerbench.results.result_table import load
from samplerbench.results.run_directory.files import write_npz
from samplerbench.results.run_directory.run_dir import RunDir
from samplerbench.results.run_directory.sealed import DamagedError

ASKED = {"samplers": ["euler", "heun"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run of two cells, and its numbers."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, numbers(run(out, **ASKED))


@pytest.fixture
def damaged(whole, tmp_path):
    """A copy to be damaged: the folder, and the folders of its cells by sampler."""
    out = tmp_path / "run"
    shutil.copytree(whole[0], out)
    return out, {path.name.split(".")[1]: path for path in (out / "parts").iterdir()}


def ok(out):
    """Samplers of the rows that have results."""
    frame = load(out).frame
    return frame[frame["status"] == "ok"]["sampler"].tolist()


@pytest.mark.slow
def test_no_single_bit_flip_of_a_quality_json_is_used(damaged):
    """A third of the 14,216 flips of one were valid, and used."""
    out, cells = damaged
    path = cells["heun"] / "quality.json"
    whole, run_dir = path.read_bytes(), RunDir.open(out)
    run_dir.made_by(cells["heun"].name)
    used = []
    with path.open(
        "r+b", buffering=0
    ) as file:  # to make the file anew takes longer than to read it
        for bit in range(8 * len(whole)):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            file.seek(0)
            file.write(flipped)
            with suppress(DamagedError):  # and nothing else
                used.append((bit, run_dir.read_or_raise(cells["heun"].name, "quality.json")))
    assert len(whole) > 1000
    assert not used
    assert ok(out) == ["euler"], "the last flip, through the table"


@pytest.mark.parametrize("name", ["quality.json", "influence.npz", "00000000-00000128.npz"])
def test_another_cell_s_file_is_not_used(damaged, whole, name, caplog):
    out, cells = damaged
    shutil.copy(cells["euler"] / name, cells["heun"] / name)
    if name == "quality.json":
        assert ok(out) == ["euler"]
    assert numbers(run(out, **ASKED)) == whole[1]
    if name.startswith("0"):  # of a finished cell, shards are read when they are needed
        more = ASKED | {"samples": 200}
        caplog.clear()
        assert numbers(run(out, **more)) == numbers(run(out.parent / "fresh", **more))
    assert "it belongs to parts/gmm-2d.euler" in caplog.text or name.startswith("0")


@pytest.mark.slow
def test_another_cell_s_whole_shard_is_not_extended(tmp_path):
    """It was silently half of the larger cell's samples."""
    base = ASKED | {"samples": 512}
    run(tmp_path / "run", **base)
    parts = {path.name.split(".")[1]: path for path in (tmp_path / "run" / "parts").iterdir()}
    shutil.copy(parts["euler"] / "00000000-00000512.npz", parts["heun"] / "00000000-00000512.npz")
    more = ASKED | {"samples": 600}
    assert numbers(run(tmp_path / "run", **more)) == numbers(run(tmp_path / "fresh", **more))


def test_a_copied_cell_is_no_row(damaged, caplog):
    out, cells = damaged
    shutil.copytree(cells["euler"], cells["euler"].with_name("C"))
    assert load(out).frame["sampler"].tolist() == ["euler", "heun"]
    assert "parts/C/cell.json is damaged: it belongs to parts/gmm-2d.euler" in caplog.text


@pytest.mark.parametrize("fault", ["claims more", "holds less"])
def test_a_shard_holds_what_it_claims(damaged, fault):
    """512 samples named 0-1024, and 100 rows of 512, were used: wrong numbers and verdicts."""
    out, cells = damaged
    shard = cells["heun"] / "00000000-00000128.npz"
    if fault == "claims more":
        shard.rename(shard.with_name("00000000-00000256.npz"))
    else:
        with np.load(shard) as arrays:
            cut = {
                name: values[:30] if name == "features" else values
                for name, values in arrays.items()
            }
        write_npz(shard, cut)
    more = ASKED | {"samples": 256}
    assert numbers(run(out, **more)) == numbers(run(out.parent / "fresh", **more))


@pytest.mark.parametrize("kind", ["exact", "converged"])
def test_a_reference_that_was_edited_is_made_again(damaged, kind, caplog):
    """Shifted by 0.1, it was used."""
    out, _ = damaged
    (path,) = out.glob(f"reference/*-{kind}.npz")
    with np.load(path) as arrays:
        shifted = {name: values + 0.1 for name, values in arrays.items()}
    write_npz(path, shifted)
    more = {"samplers": ["euler", "heun", "ddpm"]}
    assert numbers(run(out, **more)) == numbers(run(out.parent / "fresh", **more))
    assert f"{path} was damaged: it has no seal" in caplog.text


def test_a_reference_of_another_kind_is_made_again(damaged):
    """It was a KeyError."""
    out, _ = damaged
    exact, converged = (
        next(out.glob(f"reference/*-{kind}.npz")) for kind in ("exact", "converged")
    )
    shutil.copy(exact, converged)
    more = {"samplers": ["euler", "heun", "ddpm"]}
    assert numbers(run(out, **more)) == numbers(run(out.parent / "fresh", **more))
