"""W9: what is not ours stays as it is."""

import pytest

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
THEIRS = {
    "report.html": "theirs",
    "table.csv": "a,b\n",
    ".log.part": "half",
    "deep/.x.npz.0123456789ab.part": "half",
}


def held(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("run_json", [None, '{"epochs": 3}', "5", "[]", "not JSON"])
def test_a_folder_of_another_program_is_refused_and_left_as_it_was(
    samplerbench, tmp_path, run_json
):
    """Its report and table were overwritten.

    With a run.json in it, that was too, and every `.*.part` below it was deleted.
    """
    folder = tmp_path / "theirs"
    for name, text in (THEIRS if run_json is None else THEIRS | {"run.json": run_json}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    before = held(folder)
    code, _, err = samplerbench(*RUN, "--out", folder)
    assert code == 2
    assert "is not a run directory" in " ".join(err.split())
    assert held(folder) == before


def test_a_run_directory_takes_another_run_and_keeps_what_a_user_put_there(samplerbench, tmp_path):
    folder = tmp_path / "ours"
    for _ in range(2):
        assert samplerbench(*RUN, "--out", folder)[0] == 0
        (folder / "notes.txt").write_text("a user's")
        (folder / ".thesis.tex.part").write_text("a user's")
    assert (
        (folder / "notes.txt").read_text()
        == (folder / ".thesis.tex.part").read_text()
        == "a user's"
    )
