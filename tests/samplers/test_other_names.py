"""Names of other programs in our registries."""

from collections import Counter

import pytest

from samplerbench.benchmarks.advice.exports import comfyui
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.samplers import make, names
from samplerbench.samplers.other_names import other_names, spec_of_other_name
from samplerbench.samplers.peers import translate
from samplerbench.samplers.schedules import SCHEDULES


def test_other_names__every_spec_can_be_made_and_every_gap_has_a_reason():
    count = Counter((row.library, row.kind, row.theirs) for row in other_names())
    assert count.most_common(1)[0][1] == 1
    for row in other_names():
        maker = make if row.kind == "sampler" else make_schedule
        for spec in filter(None, (row.ours, row.nearest)):
            assert maker(spec), row
        assert bool(row.ours) + bool(row.nearest) < 2, row
        assert row.ours or row.note, row


def test_other_names__comfyui_menu_is_what_the_export_writes():
    menu = {row.theirs: row for row in other_names() if row.library == "comfyui"}
    exported = {
        theirs for _, theirs in (*comfyui.OF_TABLES, *comfyui.ANYWHERE) if ":" not in theirs
    }
    for theirs in exported:
        equal = {
            make(ours) for ours, name in (*comfyui.OF_TABLES, *comfyui.ANYWHERE) if name == theirs
        }
        assert make(menu[theirs].ours) in equal, theirs


def test_make__takes_names_of_other_programs_that_are_none_of_ours():
    assert make("uni_pc_bh2") == make("unipc_3_published")
    assert make("DPM++ 2M SDE Heun(eta=0.5)") == make("dpmpp_2m_sde(solver_type='heun', eta=0.5)")
    assert make("ddim").name == "ddim"  # RES4LYF's is euler: a name of ours is ours
    assert make_schedule("SGM Uniform") == make_schedule("sgm_uniform")
    for row in other_names():
        known = names() if row.kind == "sampler" else SCHEDULES
        if row.theirs not in known and row.ours:
            assert spec_of_other_name(row.kind, row.theirs), row


def test_make__says_why_another_programs_method_is_not_here():
    with pytest.raises(
        ValueError, match=r"'lcm'; comfyui .* few-step maps; the nearest is consist"
    ):
        make("lcm")
    with pytest.raises(ValueError, match="the nearest is edm_vp"):
        make_schedule("VPScheduler")


def test_translate__rows_of_programs_and_of_libraries_have_the_same_keys():
    rows = [*translate("diffusers"), *translate("res4lyf"), *translate("forge", "schedule")]
    assert len({tuple(row) for row in rows}) == 1
    theirs = [row["theirs"] for row in translate("diffusers")]
    assert "diffusers:AmusedScheduler" in theirs
