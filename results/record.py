"""Columns of the result table that every row has: its identity and its conditions.

The measured columns stand between the two (:func:`.quantities.columns`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

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


ROW: tuple[Column, ...] = (
    Column("suite", "text", "suite that asked for the row"),
    Column("model", "text", "model sampled from"),
    Column("sampler", "text", "registry name of the sampler"),
    Column("params", "text", "canonical JSON of the sampler's non-default fields"),
    Column(
        "origin",
        "text",
        "where a sampler that is not built in comes from: package "
        "or file, with a digest (empty: built in)",
    ),
    Column("schedule", "text", "schedule of the noise levels, with its non-default parameters"),
    Column("start", "text", "how the initial state is made: noise, mean or gaussian"),
    Column(
        "sigma_start",
        "number",
        "noise level of the initial state, where the grid begins",
        "data units",
    ),
    Column("end", "text", "where the grid ends: zero or sigma_min"),
    Column(
        "noise",
        "text",
        "noise of a stochastic sampler: white, or brownian (one path "
        "per sample, whatever the steps)",
    ),
    Column(
        "sigma_max",
        "number",
        "largest noise level of the model, where the latents lie",
        "data units",
    ),
    Column("sigma_min", "number", "last positive noise level of the schedule", "data units"),
    Column("steps", "integer", "intervals of the grid; empty for adaptive methods"),
    Column(
        "budget", "integer", "evaluations per sample that were allowed, if a budget was asked for"
    ),
    Column("nfe", "number", "network evaluations per sample, counted at the model below guidance"),
    Column("depth", "integer", "sequential network calls, the largest over the batches"),
    Column("samples", "integer", "number of samples"),
    Column("seed", "integer", "root seed of latents, labels and step noise"),
)
"""Columns that identify a row: what was requested, and counts of evaluations."""

AROUND: tuple[Column, ...] = (
    Column(
        "clamped",
        "number",
        "fraction of values outside the data range, clamped before the extractor",
        "share",
    ),
    Column("ms_per_sample", "number", "median wall time per sample", "ms"),
    Column("ms_low", "number", "lower end of its 95 % interval; empty below six calls", "ms"),
    Column("ms_high", "number", "upper end of its 95 % interval", "ms"),
    Column("ms_iqr", "number", "interquartile range of the wall time per sample", "ms"),
    Column(
        "wall_ms_per_sample",
        "number",
        "the same median by the wall clock, where ms_per_sample is from CUDA events",
        "ms",
    ),
    Column(
        "model_ms_per_sample",
        "number",
        "wall time of the bare network for the same evaluations, per sample",
        "ms",
    ),
    Column(
        "solver_ms_per_sample",
        "number",
        "wall time of the sampler's own work, without the network, per sample",
        "ms",
    ),
    Column(
        "decoder_ms_per_sample",
        "number",
        "wall time of decoding a latent, per sample, in none of the other times; "
        "empty without a decoder",
        "ms",
    ),
    Column(
        "cold_ms_per_sample",
        "number",
        "the same as ms_per_sample where caches are emptied before each call; batches of 1 only",
        "ms",
    ),
    Column("overhead", "number", "solver_ms_per_sample / model_ms_per_sample"),
    Column(
        "overhead_us_per_step",
        "number",
        "wall time of the sampler's own work, a step and call",
        "µs",
    ),
    Column(
        "launches_per_step",
        "number",
        "CUDA calls that start work on the GPU, a step, by the profiler; batches of 1 only",
    ),
    Column("kernels_per_step", "number", "kernels that run on the GPU, a step"),
    Column("network_kernels_per_step", "number", "those of the bare network"),
    Column(
        "latency_ms",
        "number",
        "median wall time from latents to images of a whole batch, decoder included",
        "ms",
    ),
    Column(
        "samples_per_second", "number", "throughput: samples of a batch over its latency", "1/s"
    ),
    Column(
        "first_batch_ms",
        "number",
        "wall time of the first batch, with compilation, recording and all that is done only once",
        "ms",
    ),
    Column(
        "peak_memory_mb",
        "number",
        "most memory that torch held on the GPU during a call; empty on a CPU",
        "MiB",
    ),
    Column(
        "joules_per_sample",
        "number",
        "energy of the whole GPU per sample, where it is counted",
        "J",
    ),
    Column(
        "timing_converged",
        "flag",
        "whether the interval of the median reached the asked half-width",
    ),
    Column(
        "timing_discarded",
        "integer",
        "rounds in which the machine was disturbed, left out of the times",
    ),
    Column("timing_flag", "text", "why the times are not to be trusted (empty: they are)"),
    Column("device", "text", "device of the timing and sampling"),
    Column("dtype", "text", "dtype of the state"),
    Column("batch_size", "integer", "samples per batch"),
    Column(
        "batch_used",
        "integer",
        "samples per batch where memory held no batch_size of them: the smallest that was used "
        "(empty: batch_size)",
    ),
    Column(
        "execution",
        "text",
        "how runs reach the device: eager, compile, cuda-graph "
        "or compile+cuda-graph (empty: eager)",
    ),
    Column("estimator", "text", "identity of metric, extractor, preprocessing and reference"),
    Column(
        "pilot_evaluations",
        "integer",
        "network evaluations that a sampler's rule was found with, all latents together: one look "
        "at the model, which its other rows share, and trials",
    ),
    Column(
        "rule",
        "text",
        "rule that was found for sampler auto; auto(rule='…') with this text makes the same samples "
        "without a search",
    ),
    Column(
        "preset",
        "text",
        "what sampler pipeline was for this model: its own scheduler, and the spacing of its levels",
    ),
    Column(
        "tuning_digest",
        "text",
        "tuned schedule: digest of its levels, which tells "
        "apart what a file held at different times",
    ),
    Column(
        "tuning_teacher",
        "integer",
        "tuned schedule: network evaluations of its converged endpoints, all training latents "
        "together",
    ),
    Column(
        "tuning_search",
        "integer",
        "tuned schedule: network evaluations of its search, all training latents together",
    ),
    Column(
        "tuning_what",
        "text",
        "tuned schedule: what was tuned, coefficients of the sampler or both, and further numbers "
        "(empty: its levels)",
    ),
    Column(
        "tuning_objective", "text", "tuned schedule: which mean of the distances was made small"
    ),
    Column("tuning_seed", "integer", "tuned schedule: root seed of its latents"),
    Column(
        "tuning_latents",
        "integer",
        "tuned schedule: latents that it was tuned on, none of which any row scores",
    ),
    Column("tuning_seconds", "number", "tuned schedule: time that both took", "s"),
    Column(
        "tuning_gap",
        "number",
        "tuned schedule: train-test gap, (tuned / untuned "
        "error on other latents) / (the same on its own) - 1",
    ),
    Column("tuning_other", "text", "tuned schedule: another model, which it was not tuned on"),
    Column(
        "tuning_other_error",
        "number",
        "tuned schedule: its error there, carried over in relative position in log sigma",
    ),
    Column(
        "tuning_other_untuned",
        "number",
        "tuned schedule: the error of the best built-in schedule there",
    ),
    Column(
        "made_by",
        "text",
        "digests of what sampler, model and extractor do: rows "
        "that the present code would not make are set aside",
    ),
    Column(
        "status",
        "text",
        "ok, failed, diverged, crashed (its process ended), timed out, skipped, missing or damaged",
    ),
    Column("reason", "text", "why, if not ok"),
)
"""Columns after the measured ones: clamping, times, settings, origin of schedules, status."""

Record = dict[str, object]
"""Row: values by column name. An empty value is None or absent."""
