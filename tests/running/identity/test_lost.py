"""L2 to L6, L14: what is damaged or failed is made again, and what cannot work is said before
anything is computed.
"""

import pytest
from quiet_runs import quiet_run, quiet_setup
from small_runs import numbers, run, suite

from samplerbench.benchmarks.running import setup
from samplerbench.results.result_table import load
from samplerbench.results.run_directory.run_dir import RunDir
from samplerbench.samplers.methods.edm import Euler

RUN = (
    "run",
    "quick",
    "--model",
    "gmm-2d",
    "--sampler",
    "euler",
    "--nfe",
    "5",
    "--samples",
    "64",
    "--no-timing",
)


@pytest.fixture
def done(tmp_path):
    """A finished run, and its only cell."""
    run(tmp_path / "run")
    ours = RunDir.open(tmp_path / "run")
    return ours, ours.cells()[0]


@pytest.mark.parametrize("content", [b"5", b'"x"', b"\xff\xfe", b"[" * 9000])
@pytest.mark.parametrize("name", ["run.json", "quality.json", "cell.json", "made.json"])
def test_json_of_another_kind_is_damage(done, samplerbench, name, content):
    """L4: they were tracebacks in show, report, compare and run."""
    ours, cell = done
    whole = numbers(load(ours.path).frame)
    path = ours.path / name if name == "run.json" else ours.part_path(cell, name)
    path.write_bytes(content)
    said = ""
    for command in ("show", "status"):
        code, out, err = samplerbench(command, ours.path)
        assert code in (0, 2), err
        assert "Traceback" not in out + err
        said += err
    assert name in said or name == "made.json", "which file is damaged is said"
    assert numbers(run(ours.path)) == whole


def test_pictures_and_influence_that_are_damaged_are_made_again(done):
    """L2: they never were."""
    ours, cell = done
    places = (
        ours.pictures_path(cell),
        ours.trajectories_path(cell),
        ours.part_path(cell, "influence.npz"),
    )
    before = [path.read_bytes() for path in places]
    for path in places:
        path.write_bytes(path.read_bytes()[:-200])
    run(ours.path)
    assert [path.read_bytes() for path in places] == before


def test_a_checksum_error_of_a_shard_costs_that_shard(done, caplog):
    """L3: the run stopped, with its table as it was."""
    ours, cell = done
    shard = ours.shard_path(cell, 0, 128)
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    assert numbers(run(ours.path, samples=200)) == numbers(
        run(ours.path.parent / "fresh", samples=200)
    )
    assert f"{shard} was damaged" in caplog.text


def test_the_lock_is_tried_before_models_are_loaded(tmp_path, monkeypatch):
    """L5: it took 26 s to hear that somebody else was there."""
    monkeypatch.setattr(setup, "load_models", lambda *_: pytest.fail("models are loaded first"))
    monkeypatch.setattr(
        setup, "load_references", lambda *_: pytest.fail("references are loaded first")
    )
    with (
        RunDir.at(tmp_path / "run").lock(),
        pytest.raises(ValueError, match="another samplerbench process is running"),
    ):
        quiet_setup(suite(), tmp_path / "run")


def test_a_row_that_failed_is_tried_again_when_that_is_asked_for(tmp_path, monkeypatch):
    """L6: out of memory stuck, at the same version and size."""
    real = Euler.step

    def starved(self, x, *rest):
        if len(x) != 3:  # not where samplers are looked at, on three points
            raise MemoryError("out of memory")
        return real(self, x, *rest)

    with monkeypatch.context() as edit:
        edit.setattr(Euler, "step", starved)
        (failed,) = run(tmp_path / "run").to_dict("records")
        assert failed["status"] == "failed"
        assert "out of memory" in failed["reason"]
    stuck = run(tmp_path / "run")
    assert stuck["status"].tolist() == ["failed"], "not tried again unasked"
    again = quiet_run(suite(), tmp_path / "run", retry=True).frame
    assert numbers(again) == numbers(run(tmp_path / "fresh"))


@pytest.mark.parametrize(
    "misspelt",
    [
        ("--sampler", "eular"),
        ("--model", "gmm-2"),
        ("--schedule", "karas"),
        ("--start", "noises"),
        ("--extractor", "pixel"),
        ("--until-decided", "--baseline", "heum"),
    ],
)
def test_what_is_misspelt_leaves_no_folder(samplerbench, tmp_path, misspelt):
    """It left an empty one."""
    out = tmp_path / "a" / "run"
    code, _, err = samplerbench(*RUN, "--no-isolation", *misspelt, "--out", out)
    assert code == 2
    assert misspelt[-1] in err
    assert not out.parent.exists()


@pytest.mark.parametrize("seed", [2**63, 2**200, -1])
def test_a_seed_that_no_table_holds_is_refused_before_anything_is_sampled(
    samplerbench, tmp_path, seed
):
    """L14: everything was sampled, and then every command on the directory traced back."""
    code, _, err = samplerbench(*RUN, "--seed", seed, "--out", tmp_path / "run")
    assert code == 2
    assert "seed" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_largest_seed_works(tmp_path):
    found = run(tmp_path / "run", seed=2**53 - 1, samples=16)
    assert found["status"].tolist() == ["ok"]
    assert load(tmp_path / "run").frame["seed"].tolist() == [2**53 - 1]
