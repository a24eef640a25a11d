"""Sentences say what intervals show, and no more."""

import math
from dataclasses import replace

import pytest
from answers import best, budget, choice

from samplerbench.benchmarks.advice.answer import Alternative, Value
from samplerbench.benchmarks.advice.exports import Export
from samplerbench.benchmarks.advice.sentences import conclusions, headline_budget
from samplerbench.benchmarks.advice.wording import (
    decided_ratio_in_words,
    inverse,
    own_solver_in_words,
    ratio_in_words,
    table_row,
    value_in_words,
    verdict,
)


def said(*budgets, library="diffusers", halves=None, span=None, default="plain heun"):
    return conclusions(budgets, default, library, halves or {}, span)


def simple(nfe, ratio, *, to_best=None, tied=(), sampler="unipc_3", **given):
    mine = choice(sampler, "uniform_lambda", nfe, (0.05, 0.04, 0.06))
    return budget(nfe, best(mine, "diffusers", ratio, to_best, tied), **given)


def test_the_headline_is_the_middle_of_what_is_shown_and_the_rest_follows():
    found = said(
        simple(5, (0.9, 0.8, 1.1)),
        simple(8, (0.32, 0.29, 0.36)),
        simple(12, (0.01, 0.005, 0.02)),
        simple(20, (1.5, 1.2, 1.9)),
    )
    assert found[:3] == (
        "With 8 evaluations, unipc_3 on uniform_lambda is 3.1 times closer [2.8, 3.4] to the "
        "converged samples than what you use now.",
        "What you use now is plain heun.",
        "The recommendation is also closer with 12 evaluations. It is farther than what you use now with "
        "20 evaluations. No difference from what you use now was shown with 5 evaluations.",
    )


@pytest.mark.parametrize(
    "ratio", [(0.8, 0.5, 1.0), (0.8, 0.5, 1.2), (0.5, 0.4, 0.6, "few samples"), (1, 1, 1)]
)
def test_an_interval_that_shows_nothing_is_no_improvement(ratio):
    headline, now = said(simple(8, ratio), halves={(4, 8): Value(*ratio)})
    assert headline == "No difference from what you use now was shown with 8 evaluations."
    assert "plain heun" in now


def test_a_larger_root_mean_square_is_said():
    one = simple(8, (0.5, 0.4, 0.6))
    mine = one.best["diffusers"]
    worse = replace(mine, choice=replace(mine.choice, rms=0.3))
    other = replace(one, default=replace(one.default, rms=0.2), best={"diffusers": worse})
    (text,) = [text for text in said(other) if "root mean square" in text]
    assert "is smaller for what you use now with 8 evaluations. It has no interval." in text
    assert "closer" not in text
    assert not any("root mean square" in text for text in said(one))


def test_what_is_farther_is_said_to_be():
    headline, _, farther = said(simple(8, (1.4, 1.2, 1.6)))
    assert headline.startswith("No configuration was shown to be closer")
    assert farther == "The recommendation is farther than what you use now with 8 evaluations."


def test_the_default_is_not_better_than_itself():
    now = choice("euler", error=(0.5, 0.4, 0.6))
    headline, _ = said(budget(8, best(now, "diffusers", (0.9, 0.8, 0.95))))
    assert headline == "Nothing better than what you use now was found."


def test_what_cannot_be_compared_is_recommended_without_a_number():
    found = said(simple(8, None, default=choice("ddpm", failed="NaN")))
    assert found[::2] == (
        "With 8 evaluations, unipc_3 on uniform_lambda is recommended. It could not be compared "
        "with what you use now.",
        "What you use now fails with 8 evaluations.",
    )
    assert said(budget(8)) == ("Nothing was found that diffusers can use for this model.",)


def test_half_the_evaluations_go_where_most_are_saved():
    halves = {
        (5, 10): Value(0.2, 0.1, 0.3),
        (5, 20): Value(0.8, 0.7, 0.9),
        (5, 40): Value(0.95, 0.9, 1.01),
        (10, 80): Value(0.1, 0.05, 0.2, "flagged"),
    }
    assert (
        "With 5 evaluations the recommendation is 1.2 times closer [1.11, 1.4] than what you use "
        "now is with 20." in said(simple(5, (0.5, 0.4, 0.6)), halves=halves)
    )


@pytest.mark.parametrize("value", [(1.0, 0.9, 1.01), (0.9, 0.8, 0.99, "flagged"), (1.2, 1.1, 1.3)])
def test_no_half_is_claimed_that_was_not_shown(value):
    halves = {(4, 8): Value(*value)}
    assert not any("is with 8" in one for one in said(simple(8, None), halves=halves))


def lacking(*to_best, flag=""):
    auto = best(choice("auto", "", 8, (0.01, 0.009, 0.011)), "python")
    mine = choice("unipc_3", "karras", 8, (0.05, 0.04, 0.06))
    return budget(8, auto, best(mine, "diffusers", (0.5, 0.4, 0.6), Value(*to_best, flag)))


def test_what_the_library_lacks_is_said_with_what_it_costs():
    assert (
        "The best configuration tried with 8 evaluations, auto, is not in diffusers. The best that diffusers has "
        "is 1.5 times farther [1.3, 1.7]." in said(lacking(1.5, 1.3, 1.7))
    )
    for open_ in (lacking(1.5, 0.9, 1.7), lacking(1.5, 1.3, 1.7, flag="few")):
        assert (
            "The best configuration tried, auto, is not in diffusers. The best that diffusers has was not shown to "
            "be farther." in said(open_)
        )
    assert not any(
        "lack" in one or "not in" in one for one in said(lacking(1, 1, 1), library="python")
    )


def test_what_comfyui_lacks_is_in_its_node_if_that_takes_the_best():
    node = "The node SamplerTable runs the best one (--for comfyui-node)."
    mine = best(
        choice("lms", "karras", 8, (0.05, 0.04, 0.06)), "comfyui", None, Value(1.5, 1.3, 1.7)
    )
    for sampler, shown in (("auto", True), ("heun", False)):
        leader = best(choice("auto", "", 8, (0.01, 0.009, 0.011)), "python")
        other = best(choice(sampler, "", 8, (0.01, 0.009, 0.011)), "comfyui-node")
        found = said(budget(8, leader, mine, other), library="comfyui")
        assert any("is 1.5 times farther [1.3, 1.7]." in one for one in found)
        assert any(node in one for one in found) == shown


def converging(nfe, fd=None, error=(0.05, 0.04, 0.06)):
    return budget(nfe, best(choice("heun", "karras", nfe, error, fd_conv=fd), "diffusers"))


def test_from_which_budget_on_more_buys_nothing():
    zero, above = Value(0.1, 0, 0.2), Value(0.5, 0.2, 0.8)
    found = said(
        converging(8, zero), converging(10, above), converging(12, zero), converging(20, zero)
    )
    assert any(text.startswith("From 12 evaluations on") and "fd_conv" in text for text in found)
    found = said(converging(12, above), converging(20, zero))
    assert any(text.startswith("With 20 evaluations, fd_conv") for text in found)
    flagged = Value(0.1, 0, 0.2, "few")
    for last in (above, flagged, None):
        assert not any("fd_conv" in one for one in said(converging(8, zero), converging(12, last)))


def test_an_error_below_half_a_level_is_one_whose_interval_is():
    small, wide = (0.0035, 0.003, 0.0039), (0.0035, 0.003, 0.004)  # half a level of 2 is 0.00392
    found = said(converging(8, None, small), converging(12, None, small), span=2.0)
    assert any(one.startswith("From 8 evaluations on") and "8-bit" in one for one in found)
    assert not any("8-bit" in one for one in said(converging(8, None, wide), span=2.0))
    assert not any("8-bit" in one for one in said(converging(8, None, small)))


def test_a_library_that_has_nothing_is_told_what_is_best():
    known = best(
        choice("auto", "", 8, (0.01, 0.009, 0.011)), "python", (0.1, 0.09, 0.11), (1, 1, 1)
    )
    assert said(budget(8, known), library="comfyui")[::2] == (
        "With 8 evaluations, auto is 10 times closer [9.1, 11] to the converged samples than what "
        "you use now.",
        "Nothing was found that ComfyUI can use for this model. The recommendation is for "
        "samplerbench (Python).",
    )


def test_the_leading_budget_is_one_that_shows_something():
    budgets = [simple(5, (0.9, 0.8, 1.1)), simple(8, (0.32, 0.29, 0.36)), simple(12, None)]
    assert headline_budget(budgets, "diffusers").nfe == 8
    assert headline_budget(budgets[::2], "diffusers").nfe == 12


def test_ratios_in_words():
    assert decided_ratio_in_words(Value(0.3125, 0.2778, 0.3448)) == "3.2 × closer [2.9, 3.6]"
    assert decided_ratio_in_words(Value(1.3, 1.004, 1.6)) == "1.3 × farther [1.004, 1.6]"
    open_ratio, flagged = (
        table_row(simple(8, ratio), "diffusers").versus_default.detail
        for ratio in ((0.95, 0.9, 1.02), (0.5, 0.4, 0.6, "few"))
    )
    assert open_ratio == "1.05 × as close [0.98, 1.11]"
    assert flagged == "2 × as close [1.7, 2.5], not to be trusted: few"
    assert decided_ratio_in_words(Value(0.0, 0.0, 0.5)) == "∞ × closer [2, no upper limit]"
    assert verdict(Value(math.nan, math.nan, math.nan)) == "open"
    # what is shown to differ from 1 does not read as 1
    assert ratio_in_words(Value(0.9996, 0.9993, 0.9999)) == ("0.9996", "[0.999, 0.9999]")
    assert inverse(Value(0.5, 0.25, 1)) == Value(2, 1, 4)


def test_values_in_words():
    assert value_in_words(Value(0.0512, 0.0481, 0.0543)) == "0.0512 [0.0481, 0.0543]"
    assert value_in_words(Value(0.5, 0.5, 0.5)) == "0.5"
    assert value_in_words(Value(0.5, 0.1, 0.9, "few")) == "0.5 [0.1, 0.9]?"
    assert value_in_words(Value(0.5, 0.1, math.inf, "few")) == "0.5 [0.1, no upper limit]?"
    assert value_in_words(Value(-0.1, 0, 0.2)) == "0 [0, 0.2]"
    assert value_in_words(None) == "–"


def test_search_cost__says_from_how_many_samples_on_it_pays():
    auto = choice("auto", "", nfe=5, error=(0.1, 0.09, 0.11), search_evaluations=9001)
    answer = budget(5, best(auto, to_default=(0.5, 0.4, 0.6)))
    text = " ".join(said(answer, halves={(5, 20): Value(0.5, 0.4, 0.6)}))
    assert "took 9,001 evaluations of the model" in text
    assert "pays from 601 samples on" in text
    assert "9,001" in " ".join(said(answer))
    assert "search" not in " ".join(said(simple(8, (0.5, 0.4, 0.6))))


def alternative(name, error, ratio=None):
    found = choice(f"pipeline(scheduler='{name}')", "", 8, error)
    return Alternative(found, None if ratio is None else Value(*ratio))


def beside_noise(*alternatives):
    """An answer where what is used now draws noise, and the library has solvers that do not."""
    noisy = choice("pipeline", "", 8, draws_noise=True)
    return simple(8, None, default=noisy, alternatives=alternatives)


def test_alternatives__are_what_the_headline_compares_with_where_the_default_draws_noise():
    one = beside_noise(
        alternative("DDIMScheduler", (0.2, 0.1, 0.3), (0.25, 0.2, 0.3)),
        alternative("UniPCMultistepScheduler", (0.1, 0.09, 0.11), (0.5, 0.4, 0.6)),
    )
    found = said(one, default="DDPMScheduler")
    assert found[0] == (
        "With 8 evaluations, unipc_3 on uniform_lambda is recommended. It is 2 times closer [1.7, 2.5] to the "
        "converged samples than UniPCMultistepScheduler at its defaults. It could not be compared with "
        "what you use now."
    )
    assert "DDPMScheduler" in found[1]
    assert found[2].startswith(
        "With 8 evaluations the recommendation is 2 times closer [1.7, 2.5] than UniPC"
    )
    cell = table_row(one, "diffusers").own_solvers
    assert cell.full_text == "2 × closer [1.7, 2.5] (UniPCMultistepScheduler at its defaults)"
    assert table_row(one, "diffusers").versus_default.full_text == "not compared (it draws noise)"


def test_default__without_an_error_is_said_to_draw_noise_only_if_it_does():
    late = simple(8, None, default=choice("heun", "karras", 8))
    assert table_row(late, "diffusers").versus_default.full_text == "not compared (time ran out)"
    assert not any("adds noise" in text for text in said(late))
    assert any("adds noise" in text for text in said(beside_noise()))


def test_own_solver_in_words__is_one_notion_by_the_name_that_users_know():
    """Of the usual solvers and of those that were raced and fitted, the best, in every place."""
    auto = best(choice("auto", "", 8, (0.01, 0.009, 0.011)), "k-diffusion", (0.1, 0.09, 0.12))
    own = choice("zab_4(through_zero=True)", "tuned levels", 8, (0.04, 0.03, 0.05))
    lines = Export("k-diffusion", "samples = sampling.sample_lms(model, x, sigmas)", "")
    auto = replace(auto, own=own, own_ratio=Value(4, 3.6, 4.5), own_lines=lines)
    usual = Alternative(choice("dpmpp_2m", "karras", 8, (0.45, 0.4, 0.5)), Value(0.02, 0.01, 0.03))
    one = budget(8, auto, alternatives=(usual,))
    about = [text for text in said(one, library="k-diffusion") if "solvers of" in text]
    assert about == [
        "With 8 evaluations the recommendation is 4 times closer [3.6, 4.5] than lms on tuned levels, the best of "
        "the solvers of k-diffusion that were tried."
    ]
    cell = table_row(one, "k-diffusion").own_solvers
    assert cell.full_text == "4 × closer [3.6, 4.5] (lms on tuned levels)"
    assert own_solver_in_words(auto) == (
        "Without numbers: lms on tuned levels of k-diffusion has 4 times the error [3.6, 4.5]."
    )
    plain = budget(8, replace(auto, own=None, own_ratio=None), alternatives=(usual,))
    assert "dpmpp_2m on karras, the best of the usual solvers of k-diffusion." in " ".join(
        said(plain, library="k-diffusion")
    )


def test_alternatives__are_not_claimed_to_be_farther_than_their_interval_shows():
    one = beside_noise(alternative("DDIMScheduler", (0.2, 0.1, 0.3), (0.9, 0.7, 1.2)))
    assert "showed no difference from DDIMScheduler at its defaults" in said(one)[2]
    assert "closer" not in said(one)[0]


def test_compare_with_best__says_how_many_were_tried():
    best_of_all = budget(8, best(choice("auto", "", 8, (0.01, 0.009, 0.02)), "python"), left_out=95)
    assert table_row(best_of_all, "python").best.full_text == "the best of 40 tried (of 135)"
    assert table_row(replace(best_of_all, left_out=0), "python").best.text == "the best of all 40"
