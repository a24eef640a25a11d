"""The schedule ``tuned``: from the file to cells, for each model, sampler and number of steps its
own grid or a sentence.
"""

import json
import re

import pytest
from tuned_home import WAY, cells, retuned

from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.planning.tuned_file import read_tuned, write_tuned
from samplerbench.models import make_model
from samplerbench.samplers import make


@pytest.mark.slow
def test_each_sampler_gets_its_own_levels(home):
    entries = {entry.subject.sampler: entry for entry in read_tuned(home / "tuned.json")}
    found = {cell.sampler.name: cell.grid.sigma for cell in cells(samplers=["euler", "dpmpp_2m"])}
    assert found == {name: entry.levels for name, entry in entries.items()}
    assert found["euler"] != found["dpmpp_2m"]


@pytest.mark.slow
def test_a_cell_is_pinned_to_the_levels_of_its_own_entry(home, tmp_path):
    """What the file has for others leaves it as it is, and so does what the entry cost.

    Other levels are another cell.
    """
    file = tmp_path / "t.json"
    euler, other = read_tuned(home / "tuned.json")
    dearer = euler.model_copy(update={"search": euler.search.model_copy(update={"seconds": 1e6})})
    found = []
    for entries in ((euler,), (euler, other), (other, dearer), (retuned(euler), other)):
        write_tuned(file, entries)
        (cell,) = cells(schedules=[f"tuned(file='{file}')"])
        found.append((cell.key, cell.record(""), cell.facts["tuning_digest"]))
    assert found[0] == found[1] == found[2]
    assert found[0][1] == found[3][1]
    assert len({(key, digest) for key, _, digest in found}) == 2
    assert {key for key, *_ in found}.isdisjoint(cell.key for cell in cells(schedules=["karras"]))


def test_levels_that_were_read_stay_those_that_are_pinned(home, tmp_path):
    file = tmp_path / "t.json"
    euler = read_tuned(home / "tuned.json")[0]
    write_tuned(file, [euler])
    read = (
        make_schedule(f"tuned(file='{file}')")
        .for_model(make_model("gmm-2d"))
        .for_sampler(make("euler"))
    )
    write_tuned(file, [retuned(euler)])
    assert (read(4, 0.002, 80.0).sigma, read.facts(4)["tuning_digest"]) == (
        euler.levels,
        euler.digest,
    )


def test_one_step_is_the_jump(home):
    (cell,) = cells(nfe=None, steps=[1])
    assert cell.grid.sigma == (80.0, 0.0)
    assert cell.facts == {}


def test_it_asks_for_its_model_and_its_sampler(home):
    schedule, model = make_schedule("tuned"), make_model("gmm-2d")
    with pytest.raises(ValueError, match="depends on the model"):
        schedule(4, 0.002, 80.0)
    with pytest.raises(ValueError, match="depends on the sampler"):
        schedule.for_model(model)(4, 0.002, 80.0)
    assert len(schedule.for_model(model).for_sampler(make("euler"))(4, 0.002, 80.0)) == 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"nfe": [6]},
            "has no grid of 6 steps for euler on gmm-2d as it is here; make "
            "it with: samplerbench tune --model gmm-2d",
        ),
        ({"nfe": [4, 6]}, f"--sampler euler --nfe 4,6 {WAY} --out tuned.json"),
        ({"samplers": ["heun"]}, "has no grid of 2 steps for heun"),
        ({"samplers": ["ipndm"]}, f"--sampler ipndm --nfe 4 {WAY} --out tuned.json"),
        (
            {"samplers": ["dpmpp_2m(analytic_first=True)"], "nfe": None, "steps": [4]},
            "4 steps for dpmpp_2m(analytic_first=True)",
        ),
        (
            {"models": ["perturbed:gmm-2d"]},
            "has no grid of 4 steps for euler on perturbed:gmm-2d as it is here",
        ),
        ({"samplers": ["ddpm"]}, "schedule tuned has nothing for ddpm, which draws noise"),
        (
            {"samplers": ["auto"]},
            "schedule tuned has nothing for auto, which has levels of its own",
        ),
        ({"end": ["sigma_min"]}, "were tuned to end at 0"),
        (
            {"schedules": ["tuned(file='nowhere.json')"]},
            "make it with: samplerbench tune --model gmm-2d --sampler euler --nfe 4 --out nowh",
        ),
        (
            {"schedules": ["tuned(file='nowhere.json')"], "nfe": [1]},
            "cannot read nowhere.json (No such file or directory); no sampler of",
        ),
        (
            {"schedules": ["tuned(file='nowhere.json')"], "samplers": ["ddpm"]},
            "has levels to tune; take another schedule",
        ),
        (
            {"nfe": None, "steps": [501]},
            "501 steps of euler are too many to tune; give at most 500, or another schedule",
        ),
    ],
)
def test_what_the_file_does_not_hold_is_a_sentence_with_the_command(home, change, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        cells(**change)


@pytest.mark.parametrize("schedules", [["karras", "tuned"], ["tuned", "karras"]])
def test_samplers_that_cannot_be_tuned_take_part_beside_it(home, schedules):
    found = {
        (cell.label, cell.record("")["schedule"].partition("(")[0])
        for cell in cells(samplers=["auto", "ddpm", "euler"], schedules=schedules)
    }
    assert found == {("auto", "own"), ("ddpm", "karras"), ("euler", "karras"), ("euler", "tuned")}


def test_levels_that_do_not_fit_are_refused(home):
    entry = read_tuned(home / "tuned.json")[0]
    for levels in ([80.0, 0.0], [70.0, *entry.levels[1:]], [*entry.levels[:-1], 0.001]):
        stored = {"tuned": [entry.model_dump(mode="json") | {"levels": levels}]}
        (home / "edited.json").write_text(json.dumps(stored))
        with pytest.raises(ValueError, match=r"edited\.json is no file of tuned schedules"):
            read_tuned(home / "edited.json")


def test_a_gaussian_start_is_skipped_with_the_reason(home):
    (cell,) = cells(start=["gaussian"])
    assert "was searched from sigma_max on" in cell.skip
