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
    Column("origin", "text", "where a sampler that is not built in comes from: package or file, with a digest (empty: built in)"),
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
    Column("fid_proxy", "number", "Fréchet distance to the reference in the features that estimator names, bias removed"),
    Column("fid_proxy_se", "number", "its standard error"),
    Column("fid_proxy_low", "number", "lower end of its 95 % interval, which is not symmetric"),
    Column("fid_proxy_high", "number", "upper end of its 95 % interval"),
    Column("fid_proxy_raw", "number", "the plain plug-in Fréchet distance"),
    Column(
        "fid_proxy_floor",
        "number",
        "plug-in Fréchet distance of as many held-out real or exact samples; compare with raw",
    ),
    Column("fid_proxy_floor_se", "number", "standard error of fid_proxy_floor: smaller distances are not told from 0"),
    Column("fid_flag", "text", "why the interval of fid_proxy is not to be trusted (empty: it is)"),
    Column(
        "fd_conv",
        "number",
        "Fréchet distance to converged samples of the same model from disjoint latents, both sides' bias removed",
    ),
    Column("fd_conv_se", "number", "its standard error"),
    Column("fd_conv_low", "number", "lower end of its 95 % interval, which is not symmetric"),
    Column("fd_conv_high", "number", "upper end of its 95 % interval"),
    Column("fd_conv_flag", "text", "why the interval of fd_conv is not to be trusted, on either side (empty: it is)"),
    Column("fd_inf", "number", "Fréchet distance extrapolated in 1/N to infinitely many samples"),
    Column("fid_proxy_converged", "number", "fid_proxy of the converged samples themselves: the model's own error"),
    Column("fid_proxy_converged_se", "number", "its standard error"),
    Column("fid_proxy_converged_low", "number", "lower end of its 95 % interval, which is not symmetric"),
    Column("fid_proxy_converged_high", "number", "upper end of its 95 % interval"),
    Column("dominated", "flag", "whether a ranking by fid_proxy is dominated by the model's error at this row"),
    Column("kid", "number", "kernel distance (KID) to as many held-out samples, unbiased"),
    Column("kid_se", "number", "its standard error"),
    Column("kid_low", "number", "lower end of its 95 % interval, which is not symmetric"),
    Column("kid_high", "number", "upper end of its 95 % interval"),
    Column("swd", "number", "mean squared Wasserstein distance of projections to as many held-out samples, plug-in"),
    Column("swd_se", "number", "its standard error"),
    Column("swd_floor", "number", "the same distance between two sets of as many held-out samples; compare with swd"),
    Column("precision", "number", "fraction of samples inside the manifold of as many held-out ones"),
    Column("recall", "number", "fraction of held-out samples inside the manifold of the samples"),
    Column("density", "number", "mean number of held-out samples' neighbourhoods around a sample, over what real samples get"),
    Column("coverage", "number", "fraction of held-out samples with a sample in their neighbourhood"),
    Column("mode_coverage", "number", "fraction of the data's modes or classes that the samples visit"),
    Column("mode_p", "number", "p value of the test that they visit them as often as the data do"),
    Column("memorised", "number", "fraction of samples nearer to a training example than 99 % of held-out data are; 0.01 is none"),
    Column("memorised_low", "number", "lower end of its 95 % interval"),
    Column("memorised_high", "number", "upper end of its 95 % interval"),
    Column("duplicates", "number", "fraction of the samples kept whole that repeat an earlier one exactly"),
    Column("w2_coefficients", "number", "RMS Wasserstein distance of coefficients to their exact distributions, in standard deviations"),
    Column("w2_coefficients_floor", "number", "the same distance of as many exact samples"),
    Column(
        "rmse",
        "number",
        "root mean square distance per dimension to the converged ODE endpoint from the same latent",
    ),
    Column("rmse_se", "number", "its standard error"),
    Column("rmse_median", "number", "median over samples of the per-dimension distance"),
    Column("rmse_samples", "integer", "number of samples compared with converged endpoints: the first, as far as they were kept whole"),
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
    Column("ms_low", "number", "lower end of its 95 % interval; empty below six calls"),
    Column("ms_high", "number", "upper end of its 95 % interval"),
    Column("ms_iqr", "number", "interquartile range of the wall time per sample, milliseconds"),
    Column("wall_ms_per_sample", "number", "the same median by the wall clock, where ms_per_sample is from CUDA events"),
    Column(
        "model_ms_per_sample",
        "number",
        "wall time of the bare network for the same evaluations, milliseconds per sample",
    ),
    Column("overhead", "number", "(total - model) / model"),
    Column("peak_memory_mb", "number", "most memory that torch held on the GPU during a call, MiB; empty on a CPU"),
    Column("joules_per_sample", "number", "energy of the whole GPU per sample, J, where it is counted"),
    Column("timing_converged", "flag", "whether the interval of the median reached the asked half-width"),
    Column("timing_flag", "text", "why the times are not to be trusted (empty: they are)"),
    Column("device", "text", "device of the timing and sampling"),
    Column("dtype", "text", "dtype of the state"),
    Column("batch_size", "integer", "samples per batch"),
    Column("execution", "text", "how runs reach the device: eager, compile, cuda-graph or compile+cuda-graph (empty: eager)"),
    Column("estimator", "text", "identity of metric, extractor, preprocessing and reference"),
    Column("tuning_digest", "text", "tuned schedule: digest of its levels, which tells apart what a file held at different times"),
    Column("tuning_teacher", "integer", "tuned schedule: network evaluations of its converged endpoints, all training latents together"),
    Column("tuning_search", "integer", "tuned schedule: network evaluations of its search, all training latents together"),
    Column("tuning_objective", "text", "tuned schedule: which mean of the distances was made small"),
    Column("tuning_seed", "integer", "tuned schedule: root seed of its latents"),
    Column("tuning_latents", "integer", "tuned schedule: latents that it was tuned on, none of which any row scores"),
    Column("tuning_seconds", "number", "tuned schedule: seconds that both took"),
    Column("tuning_gap", "number", "tuned schedule: train-test gap, (tuned / untuned error on other latents) / (the same on its own) - 1"),
    Column("tuning_other", "text", "tuned schedule: another model, which it was not tuned on"),
    Column("tuning_other_error", "number", "tuned schedule: its error there, carried over in relative position in log sigma"),
    Column("tuning_other_untuned", "number", "tuned schedule: the error of the best built-in schedule there"),
    Column("made_by", "text", "digests of what sampler, model and extractor do: rows that the present code would not make are set aside"),
    Column("status", "text", "ok, failed, diverged, crashed (its process ended), timed out, skipped, missing or damaged"),
    Column("reason", "text", "why, if not ok"),
)

NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)

Record = dict[str, object]
"""A row: column name to value; None or absent means empty."""
