"""Columns that every result table has: identity of a row (ROW), and its conditions (AROUND).

Columns of measured quantities stand between them (:func:`.quantities.columns`).
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple, get_args

Kind = Literal["text", "integer", "number", "flag"]


class Column(NamedTuple):
    """Column of the table: its name, the kind of its values, their meaning in words, and their unit."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""

    @property
    def meaning_and_unit(self) -> str:
        """Meaning, and the unit in brackets if there is one."""
        return f"{self.meaning} [{self.unit}]" if self.unit else self.meaning


def _column(kind: Kind, name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, kind, meaning, unit)


COLUMN_MAKERS = tuple(partial(_column, kind) for kind in get_args(Kind))
"""Functions that make a column of each :data:`Kind` from a name, a meaning and a unit."""
_text, _integer, _number, _flag = COLUMN_MAKERS
_milliseconds = partial(_number, unit="ms")

ROW: tuple[Column, ...] = (
    _text("suite", "suite that asked for the row"),
    _text("model", "model sampled from"),
    _text("sampler", "registry name of the sampler"),
    _text("params", "canonical JSON of the sampler's non-default fields"),
    _text(
        "origin",
        "where a sampler that is not built in comes from: package or file, with a digest (empty: "
        "built in)",
    ),
    _text("schedule", "schedule of the noise levels, with its non-default parameters"),
    _text("start", "how the initial state is made: noise, mean or gaussian"),
    _number("sigma_start", "noise level of the initial state, where the grid begins", "data units"),
    _text("end", "where the grid ends: zero or sigma_min"),
    _text(
        "noise",
        "noise of a stochastic sampler: white, or brownian (one path per sample, whatever the "
        "steps)",
    ),
    _number("sigma_max", "largest noise level of the model, where the latents lie", "data units"),
    _number("sigma_min", "last positive noise level of the schedule", "data units"),
    _integer("steps", "intervals of the grid; empty for adaptive methods"),
    _integer("budget", "evaluations per sample that were allowed, if a budget was asked for"),
    _number("nfe", "network evaluations per sample, counted at the model below guidance"),
    _integer("depth", "sequential network calls, the largest over the batches"),
    _integer("samples", "number of samples"),
    _integer("seed", "root seed of latents, labels and step noise"),
)
"""Columns that identify a row: what was requested, and counts of evaluations."""

AROUND: tuple[Column, ...] = (
    _number(
        "clamped",
        "fraction of values outside the data range, clamped before the extractor",
        "share",
    ),
    _milliseconds("ms_per_sample", "median wall time per sample"),
    _milliseconds("ms_low", "lower end of its 95 % interval; empty below six calls"),
    _milliseconds("ms_high", "upper end of its 95 % interval"),
    _milliseconds("ms_iqr", "interquartile range of the wall time per sample"),
    _milliseconds(
        "wall_ms_per_sample",
        "the same median by the wall clock, where ms_per_sample is from CUDA events",
    ),
    _milliseconds(
        "model_ms_per_sample", "wall time of the bare network for the same evaluations, per sample"
    ),
    _milliseconds(
        "solver_ms_per_sample",
        "wall time of the sampler's own work, without the network, per sample",
    ),
    _milliseconds(
        "decoder_ms_per_sample",
        "wall time of decoding a latent, per sample, in none of the other times; empty without a "
        "decoder",
    ),
    _milliseconds(
        "cold_ms_per_sample",
        "the same as ms_per_sample where caches are emptied before each call; batches of 1 only",
    ),
    _number("overhead", "solver_ms_per_sample / model_ms_per_sample"),
    _number("overhead_us_per_step", "wall time of the sampler's own work, a step and call", "µs"),
    _number(
        "launches_per_step",
        "CUDA calls that start work on the GPU, a step, by the profiler; batches of 1 only",
    ),
    _number("kernels_per_step", "kernels that run on the GPU, a step"),
    _number("network_kernels_per_step", "those of the bare network"),
    _milliseconds(
        "latency_ms", "median wall time from latents to images of a whole batch, decoder included"
    ),
    _number("samples_per_second", "throughput: samples of a batch over its latency", "1/s"),
    _milliseconds(
        "first_batch_ms",
        "wall time of the first batch, with compilation, recording and all that is done only once",
    ),
    _number(
        "peak_memory_mb",
        "most memory that torch held on the GPU during a call; empty on a CPU",
        "MiB",
    ),
    _number("joules_per_sample", "energy of the whole GPU per sample, where it is counted", "J"),
    _flag("timing_converged", "whether the interval of the median reached the asked half-width"),
    _integer(
        "timing_discarded", "rounds in which the machine was disturbed, left out of the times"
    ),
    _text("timing_flag", "why the times are not to be trusted (empty: they are)"),
    _text("device", "device of the timing and sampling"),
    _text("dtype", "dtype of the state"),
    _integer("batch_size", "samples per batch"),
    _integer(
        "batch_used",
        "samples per batch where memory held no batch_size of them: the smallest that was used "
        "(empty: batch_size)",
    ),
    _text(
        "execution",
        "how runs reach the device: eager, compile, cuda-graph or compile+cuda-graph (empty: "
        "eager)",
    ),
    _text("estimator", "identity of metric, extractor, preprocessing and reference"),
    _integer(
        "pilot_evaluations",
        "network evaluations that found a sampler's rule, all latents together: one probe of the "
        "model, shared with its other rows, and trials",
    ),
    _text(
        "rule",
        "rule that was found for sampler auto; auto(rule='…') with this text makes the same "
        "samples without a search",
    ),
    _text(
        "preset",
        "what sampler pipeline was for this model: its own scheduler, and the spacing of its "
        "levels",
    ),
    _text(
        "tuning_digest",
        "tuned schedule: digest of its levels, which tells apart what a file held at different "
        "times",
    ),
    _integer(
        "tuning_teacher",
        "tuned schedule: network evaluations of its converged endpoints, all training latents "
        "together",
    ),
    _integer(
        "tuning_search",
        "tuned schedule: network evaluations of its search, all training latents together",
    ),
    _text(
        "tuning_what",
        "tuned schedule: what was tuned, coefficients of the sampler or both, and further numbers "
        "(empty: its levels)",
    ),
    _text(
        "tuning_loss",
        "tuned schedule: feature space of the distances that were made small (empty: samples)",
    ),
    _text("tuning_objective", "tuned schedule: which mean of the distances was made small"),
    _integer("tuning_seed", "tuned schedule: root seed of its latents"),
    _integer(
        "tuning_latents",
        "tuned schedule: latents that it was tuned on, none of which any row scores",
    ),
    _number("tuning_seconds", "tuned schedule: time that both took", "s"),
    _number(
        "tuning_gap",
        "tuned schedule: train-test gap, (tuned / untuned error on other latents) / (the same on "
        "its own) - 1",
    ),
    _text("tuning_other", "tuned schedule: another model, which it was not tuned on"),
    _number(
        "tuning_other_error",
        "tuned schedule: its error there, carried over in relative position in log sigma",
    ),
    _number(
        "tuning_other_untuned", "tuned schedule: the error of the best built-in schedule there"
    ),
    _text(
        "made_by",
        "digests of what sampler, model and extractor do: rows that the present code would not "
        "make are set aside",
    ),
    _text(
        "status",
        "ok, failed, diverged, crashed (its process ended), timed out, skipped, missing or damaged",
    ),
    _text("reason", "why, if not ok"),
)
"""Columns after the measured ones: clamping, times, settings, origin of schedules, status."""
