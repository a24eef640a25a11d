"""Description of a table: samplers, models, samples, budgets, and reasons for missing distances."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from ..text import strip_control_characters
from ..values import is_empty, number, rows_as_dicts

WORDS = (
    *("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"),
    *("Ten", "Eleven", "Twelve"),
)
NAMED = 3
"""Largest number of samplers that a heading or a sentence names. Larger numbers are counted."""
MOST_MODELS = 4
"""Largest number of models to list; beyond it, the count or the range is given."""

NO_DATA = (
    "{model} brings no data to compare with: distances to the data (FID proxy, FD to "
    "converged) are missing. {remedy} with --extractor pixels --reference PATH, a folder of images "
    "or an array in a .npy file."
)
OF_CODE, OF_FILES = "Give it sample(n, seed), or a Denoiser data(n, seed), or run", "Run"


def heading_of(frame: pd.DataFrame) -> str:
    """Return samplers and models of a table as a phrase, "Nine samplers on fashion and gmm-2d"."""
    samplers, models = distinct_texts(frame["sampler"]), distinct_texts(frame["model"])
    if not samplers or not models:
        return ", ".join(distinct_texts(frame["suite"])) or "Results"
    who = names_in_words(samplers)
    if len(samplers) > NAMED:
        who = f"{number_in_words(len(samplers))} samplers"
    if len(models) > MOST_MODELS:
        return f"{who} on {number_in_words(len(models)).lower()} models"
    return f"{who} on {names_in_words([brief_model_name(name) for name in models])}"


def why_no_distance_to_data(rows: pd.DataFrame) -> str:
    """Return why no finished row has a distance to the data; "" if one has, or none is finished."""
    finished = rows.loc[rows["status"] == "ok"]
    if finished.empty or not all(
        finished[name].isna().all() for name in ("estimator", "fid_proxy", "fid_proxy_raw")
    ):
        return ""
    model = brief_model_name(strip_control_characters(str(finished["model"].iloc[0])))
    return NO_DATA.format(model=model, remedy=OF_CODE if ".py" in model else OF_FILES)


def brief_model_name(model: str) -> str:
    """Return a model's name without the folders before its file.

    >>> brief_model_name("/home/me/nets/mine.py:factory · run/b"), brief_model_name("gmm-2d")
    ('mine.py:factory · run/b', 'gmm-2d')
    """
    model, dot, run = model.partition(" · ")  # of several runs that differ in it
    looks_like_a_path = re.fullmatch(r"[^<>|\s]*[/\\][^<>|\s]*", model)
    brief = re.split(r"[/\\]", model.rstrip("/\\"))[-1] if looks_like_a_path else ""
    return (brief or model) + dot + run


def number_in_words(number: int) -> str:
    """Return a number as the first word of a sentence: "Three", or "13" above twelve."""
    return WORDS[number] if number < len(WORDS) else str(number)


def names_in_words(names: Sequence[str]) -> str:
    """Return one or more names as a list in a sentence.

    >>> names_in_words(["a"]), names_in_words(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *head, last = names
    return f"{', '.join(head)} and {last}" if head else last


def samples_in_words(frame: pd.DataFrame) -> str:
    """Return the number of samples of each row as a phrase, by model if they differ; "" if unknown."""
    sizes: dict[int, list[str]] = {}
    for row in rows_as_dicts(
        frame.loc[frame["samples"].notna(), ["model", "samples"]].drop_duplicates()
    ):
        sizes.setdefault(int(number(row, "samples") or 0), []).append(
            brief_model_name(strip_control_characters(str(row["model"])))
        )
    if not sizes:
        return ""
    if len(sizes) == 1:
        return f"{next(iter(sizes)):,} samples each"
    if sum(map(len, sizes.values())) > MOST_MODELS:
        return f"{min(sizes):,} to {max(sizes):,} samples each"
    return ", ".join(
        f"{size:,} {'samples ' * (place == 0)}each on {names_in_words(models)}"
        for place, (size, models) in enumerate(sorted(sizes.items()))
    )


def distinct_texts(values: Iterable[object]) -> list[str]:
    """Return the distinct non-empty values as texts without control characters, in their order."""
    names = dict.fromkeys(value for value in values if not is_empty(value))
    return [strip_control_characters(str(name)) for name in names]
