"""One row of the result table: its columns, in order, and what each means."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["text", "integer", "number", "flag"]


class Column(NamedTuple):
    """A column of the table."""

    name: str
    kind: Kind
    meaning: str


COLUMNS: tuple[Column, ...] = (
    Column("suite", "text", "suite that asked for the row"),
    Column("model", "text", "model sampled from"),
    Column("sampler", "text", "registry name of the sampler"),
    Column("params", "text", "canonical JSON of the sampler's non-default fields"),
    Column("schedule", "text", "schedule of the noise levels, with its non-default parameters"),
    Column("start", "text", "how the initial state is made: noise, mean or gaussian"),
    Column("sigma_start", "number", "noise level of the initial state, where the grid begins"),
    Column("end", "text", "where the grid ends: zero or sigma_min"),
    Column("noise", "text", "noise of a stochastic sampler: white, or brownian (one path per sample, whatever the steps)"),
    Column("sigma_max", "number", "largest noise level of the model, where the latents lie"),
    Column("sigma_min", "number", "last positive noise level of the schedule"),
    Column("steps", "integer", "intervals of the grid; empty for adaptive methods"),
    Column("budget", "integer", "evaluations per sample that were allowed, if a budget was asked for"),
    Column("nfe", "number", "network evaluations per sample, counted at the model below guidance"),
    Column("depth", "integer", "sequential network calls, the largest over the batches"),
    Column("samples", "integer", "number of samples"),
    Column("seed", "integer", "root seed of latents, labels and step noise"),
    Column("fid_proxy", "number", "Fréchet distance to the reference in the card's features, bias removed"),
    Column("fid_proxy_se", "number", "its standard error"),
    Column("fid_proxy_raw", "number", "the plain plug-in Fréchet distance"),
    Column(
        "fid_proxy_floor",
        "number",
        "plug-in Fréchet distance of as many held-out real or exact samples; compare with raw",
    ),
    Column("fid_flag", "text", "why the interval of fid_proxy is not to be trusted (empty: it is)"),
    Column(
        "fd_conv",
        "number",
        "Fréchet distance to converged samples of the same model from disjoint latents, both sides' bias removed",
    ),
    Column("fd_conv_se", "number", "its standard error"),
    Column(
        "rmse",
        "number",
        "root mean square distance per dimension to the converged ODE endpoint from the same latent",
    ),
    Column("rmse_se", "number", "its standard error"),
    Column("rmse_median", "number", "median over samples of the per-dimension distance"),
    Column("rmse_samples", "integer", "number of samples compared with their converged endpoints"),
    Column("rmse_resolution", "number", "how far off the converged endpoints themselves may be (RMS); 0 where they are exact"),
    Column(
        "flip_fraction",
        "number",
        "fraction of samples that ended in another mode or class than the converged endpoint",
    ),
    Column(
        "strong_error",
        "number",
        "root mean square distance per dimension to the pathwise limit of the reverse SDE, for brownian noise",
    ),
    Column("strong_error_se", "number", "its standard error"),
    Column("strong_resolution", "number", "how far off the pathwise limits themselves may be (RMS)"),
    Column("label_agreement", "number", "fraction of conditional samples that the extractor puts in the class they were asked for"),
    Column("clamped", "number", "fraction of values outside the data range, clamped before the extractor"),
    Column("ms_per_sample", "number", "median wall time per sample, milliseconds"),
    Column("ms_iqr", "number", "interquartile range of the wall time per sample, milliseconds"),
    Column(
        "model_ms_per_sample",
        "number",
        "wall time of the bare network for the same evaluations, milliseconds per sample",
    ),
    Column("overhead", "number", "(total - model) / model"),
    Column("timing_converged", "flag", "whether the interval of the median reached the asked half-width"),
    Column("device", "text", "device of the timing and sampling"),
    Column("dtype", "text", "dtype of the state"),
    Column("batch_size", "integer", "samples per batch"),
    Column("estimator", "text", "identity of metric, extractor, preprocessing and reference"),
    Column("status", "text", "ok, failed, diverged, skipped or missing"),
    Column("reason", "text", "why, if not ok"),
)

NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)

Record = dict[str, object]
"""A row: column name to value; None or absent means empty."""
