"""Suite: models, samplers, schedules and budgets of a run, and its settings.

A suite is TOML on disk, and is checked when it is read.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ...results import quantities
from ...samplers.spec import LARGEST_NUMBER, canonical_json, format_spec, parse_spec
from .messages import COMMAND_LINE, describe_mistake

Spec = str | dict[str, Any]
LARGEST = 1_000_000
"""Most steps, or evaluations per sample: a grid is a list of its levels in memory."""

CHECKPOINT = "checkpoint:"
"""Prefix of the name of a model from a user's file."""

MOST_SAMPLES = 1_000_000_000
"""Most samples of a cell or a batch; larger numbers are typing errors."""

Count = Annotated[int, Field(ge=1, le=LARGEST)]
SampleCount = Annotated[int, Field(ge=2, le=MOST_SAMPLES)]
BatchSize = Annotated[int, Field(ge=1, le=MOST_SAMPLES)]
StartName = Literal["noise", "mean", "gaussian"]
NoiseName = Literal["white", "brownian"]
ExecutionName = Literal["eager", "compile", "cuda-graph", "compile+cuda-graph"]


class StrictTable(BaseModel):
    """Immutable table of a file, in which an unknown key, NaN or infinity is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Timing(StrictTable):
    """Settings of the timing pass.

    Attributes:
        enabled: False for a suite without times.
        batch_size: samples per timed batch, or several sizes to be timed one after the other; 0 for the cell's size.
            The result table has the times of the first size, ``timing.csv`` the times of all.
        seconds: most wall time per model and batch size, unless ``min_rounds`` take longer.
        min_rounds: fewest rounds; a round times each unfinished cell once.
        max_rounds: number of measured times after which a cell is done; disturbed rounds do not count.
        half_width: a cell is done when half the width of its median's 95 % interval is <= this share of the median.
        energy_seconds: seconds for which a cell's energy is measured, on a GPU with NVML; 0 for no measurement.
        minutes: most wall time over all models and batch sizes; the next run times the remaining cells. 0 for no limit.
        sweep: largest batch of a sweep over batch sizes 1, 2, 4, …; 0 for no sweep. A sweep times each
            model's first cell, and ends when throughput stops growing.
        tf32: True if a GPU may compute float32 in TF32 while it is timed.
        cudnn_benchmark: True if cuDNN tries its algorithms before it chooses one.
    """

    enabled: bool = True
    batch_size: Annotated[
        tuple[Annotated[int, Field(ge=0, le=MOST_SAMPLES)], ...],
        BeforeValidator(lambda value: value if isinstance(value, list | tuple) else (value,)),
        Field(min_length=1),
    ] = (0,)
    seconds: float = Field(default=60.0, gt=0)
    min_rounds: Count = 6
    max_rounds: Count = 30
    half_width: float = Field(default=0.01, gt=0)
    energy_seconds: float = Field(default=0.0, ge=0)
    minutes: float = Field(default=0.0, ge=0)
    sweep: int = Field(default=0, ge=0, le=MOST_SAMPLES)
    tf32: bool = False
    cudnn_benchmark: bool = False


class Until(StrictTable):
    """Rule that says when a row has enough samples (``benchmarks.running.sequential_sampling``).

    Attributes:
        baseline: name of the sampler that each row is compared with, at the same model, budget, start, end
            and schedule; None for no comparison.
        metric: column to compare; None for fd_conv if there is a baseline, else fid_proxy.
        margin: difference that does not matter, as a share of the baseline's value.
        target_se: standard error, in the metric's units, at which a row ends undecided; None for no such limit.
        max_samples: most samples of a row; None for 16 times as many as at its first interim analysis.
    """

    baseline: str | None = None
    metric: str | None = None
    margin: float = Field(default=0.01, ge=0)
    target_se: float | None = Field(default=None, gt=0)
    max_samples: SampleCount | None = None

    @model_validator(mode="after")
    def _check_question(self) -> Self:
        if self.baseline is None and self.target_se is None:
            raise ValueError("until needs a baseline to compare with, or a target_se")
        grow = [quantity.name for quantity in quantities.judged() if quantity.is_set_distance]
        if self.metric is not None and self.metric not in grow:
            raise ValueError(
                f"until.metric: more samples make {' and '.join(grow)} more "
                f"certain; choose one of them, not {self.metric!r}"
            )
        return self

    @property
    def column(self) -> str:
        """Column that the rule is about: ``metric`` or, if it is None, its default."""
        return self.metric or ("fid_proxy" if self.baseline is None else "fd_conv")


class ModelEntry(StrictTable):
    """Model of a suite, with the settings that replace the suite's for this model.

    Attributes:
        name: built-in model, file or checkpoint, with options.
        samples, steps, nfe, batch_size, reference_samples, extractor: values for this model; None takes the suite's.
        published: the model's name among published numbers, for ``compare --published``; no number depends on it.
    """

    name: Spec
    samples: SampleCount | None = None
    steps: tuple[Count, ...] | None = None
    nfe: tuple[Count, ...] | None = None
    batch_size: BatchSize | None = None
    reference_samples: SampleCount | None = None
    extractor: str | None = None
    published: str | None = None


class Suite(StrictTable):
    """Configuration of a run.

    Attributes:
        name: part of the default run directory; the name of the file if it is not given.
        version: version of this suite; results of different versions are not compared.
        description: question that the suite answers.
        models: names with options, or tables with what differs for one model.
        samplers: names with options, such as ``ddim(eta=0.5)``; ``fixed-grid`` is every sampler on a fixed grid,
            without synonyms and samplers for few-step maps.
        schedules: names with options, such as ``karras(rho=5)``; None for each model's default, which is ``native``
            for a model that brings levels, else ``karras`` (:mod:`samplerbench.benchmarks.planning.native`).
        steps, nfe: numbers of steps, or budgets of evaluations per sample; exactly one of the two. A budget
            takes the largest grid that fits.
        tolerances: rtol = atol of adaptive samplers that set none themselves, one row each.
        samples: number of samples of each cell.
        seed: root seed of initial noise, labels and step noise.
        end: levels at which grids end: "zero" for 0, "sigma_min" for the model's.
        start: how runs begin (:class:`samplerbench.benchmarks.suites.cell.Start`).
        sigma_start: level at which start "gaussian" ends; None takes three standard deviations of the data.
        noise: stochastic samplers draw independent numbers ("white") or increments of one path a sample ("brownian").
        execution: execution modes (:mod:`samplerbench.benchmarks.sampling.execution`).
        device: "cuda" for a suite that needs a GPU: it runs elsewhere only on request.
        batch_size: number of samples of a batch.
        dtype: dtype of the states; None takes the model's. The key ``network_dtype`` with one or more dtypes is short
            for this option of every model (:mod:`samplerbench.models.rounding`).
        reference_samples: number of samples that are compared with their converged endpoints.
        keep: number of images of each cell to store for reports; of points in the plane, 512 are stored unless it is 0.
        converged_samples: number of converged samples for fd_conv, where the model's card has none.
        extractor: feature space of the Fréchet distance and similar metrics: ``card`` for the model's own, ``card:32``
            for 32 axes of it, or one of :func:`samplerbench.models.extractors.make_extractor`.
        reference: source of real samples, or of their statistics, in another feature space
            (``benchmarks.scoring.real_data``); None has the model draw them. Its old name is ``real``.
        metrics: names of the metrics (``samplerbench list metrics``); "default" stands for the ones that None
            measures, which are all but ``psnr_conv`` and ``lpips_conv``.
        timing: settings of the timing pass.
        path_curvature: True to measure the curvature of each model's paths, which takes as long as references.
        until: when to stop extending rows; None leaves each at ``samples``.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    version: Count = 1
    description: str = ""
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    samplers: tuple[Spec, ...] = Field(min_length=1)
    schedules: Annotated[tuple[Spec, ...], Field(min_length=1)] | None = None
    steps: tuple[Count, ...] | None = None
    nfe: tuple[Count, ...] | None = None
    tolerances: tuple[Annotated[float, Field(gt=0)], ...] = (1e-2, 1e-3, 1e-4)
    samples: SampleCount = 1000
    seed: int = Field(default=0, ge=0, lt=LARGEST_NUMBER)
    end: tuple[Literal["zero", "sigma_min"], ...] = Field(default=("zero",), min_length=1)
    start: tuple[StartName, ...] = Field(default=("noise",), min_length=1)
    sigma_start: float | None = Field(default=None, gt=0)
    noise: NoiseName = "white"
    execution: tuple[ExecutionName, ...] = Field(default=("eager",), min_length=1)
    device: Literal["any", "cuda"] = "any"
    batch_size: BatchSize = 128
    dtype: Literal["float32", "float64", "bfloat16", "float16"] | None = None
    reference_samples: SampleCount = 64
    keep: int = Field(default=8, ge=0, le=LARGEST)
    converged_samples: SampleCount = 1000
    timing: Timing = Timing()
    extractor: str = "card"
    reference: str | None = None
    metrics: tuple[str, ...] | None = None
    path_curvature: bool = False
    until: Until | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_short_and_old_forms(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        if "real" in data and "reference" not in data:
            data["reference"] = data.pop("real")
        if isinstance(data.get("models"), list | tuple):
            data["models"] = [_model_entry(place, m) for place, m in enumerate(data["models"])]
            if "network_dtype" in data:
                data["models"] = _in_precisions(data["models"], data.pop("network_dtype"))
        return data

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        for scope in (self, *self.models):
            if scope.steps is not None and scope.nfe is not None:
                raise ValueError("give steps or nfe, not both")
            if scope.steps == () or scope.nfe == ():
                raise ValueError("steps and nfe need at least one number")
        if self.steps is None and self.nfe is None:
            raise ValueError("give steps (numbers of steps) or nfe (evaluations per sample)")
        if self.reference is not None and re.match(
            r"(?:(?:round|truncate):)?card(?::|$)", self.extractor
        ):
            raise ValueError(
                "a reference is for another feature space: give an extractor too, such as pixels"
            )
        specs = [parse_spec(entry.name) for entry in self.models]
        for i, spec in enumerate(specs):
            if spec in specs[:i]:
                raise ValueError(
                    f"model {format_spec(spec)!r} is listed twice; list it "
                    "once, or tell the two apart by an option"
                )
        return self

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that identify the suite's settings, for the default run directory.

        ``until`` and ``timing.minutes`` do not count, since a run can be continued. Nor does ``published``.
        Newer keys do not count at their defaults, so that older runs keep their folders.
        """
        newer_keys = {
            name
            for name in ("extractor", "reference", "metrics", "path_curvature")
            if getattr(self, name) == type(self).model_fields[name].default
        }
        data = self.model_dump(mode="json", exclude={"until", *newer_keys})
        if data["schedules"] is None:  # as in older runs: karras was every model's default
            data["schedules"] = ["karras"]
        if "reference" in data:
            data["real"] = data.pop("reference")
        for name in ("minutes", "sweep", "tf32", "cudnn_benchmark"):
            value, default = data["timing"].pop(name), Timing.model_fields[name].default
            if name != "minutes" and value != default:
                data["timing"][name] = value
        for entry in data["models"]:
            del entry["published"]
            if entry["extractor"] is None:
                del entry["extractor"]
        return hashlib.sha256(canonical_json(data).encode()).hexdigest()[:8]

    @property
    def extractors(self) -> dict[str, str]:
        """Feature space of each model, by the model's spec."""
        return extractors_of(self.model_dump())

    def replaced(self, **axes: Any) -> Suite:
        """Return this suite with other values for some keys; None leaves a key unchanged.

        A new value also replaces the values of single models. A new batch size replaces several
        timed sizes. Raises a ValueError for an unknown key or an invalid value.
        """
        changes = {key: value for key, value in axes.items() if value is not None}
        data = self.model_dump()
        if "models" in changes:
            own = {canonical_json(parse_spec(m["name"])): m for m in data["models"]}
            changes["models"] = [
                own.get(canonical_json(parse_spec(name)))
                or _replacement_entry(data["models"], name)
                for name in changes["models"]
            ]
        data |= changes
        if "network_dtype" in changes:  # in place of the precisions that models have
            entries = {canonical_json(_in_any_precision(m["name"])): m for m in data["models"]}
            data["models"] = [m | {"name": _in_any_precision(m["name"])} for m in entries.values()]
        cleared = {"samples", "batch_size", "reference_samples", "extractor"} & set(changes)
        if {"steps", "nfe"} & set(changes):
            data |= {key: changes.get(key) for key in ("steps", "nfe")}
            cleared |= {"steps", "nfe"}
        if "batch_size" in changes and len(self.timing.batch_size) > 1:
            data["timing"]["batch_size"] = (0,)
        data["models"] = [{k: v for k, v in m.items() if k not in cleared} for m in data["models"]]
        return check_suite(data, COMMAND_LINE)


def _model_entry(place: int, entry: object) -> object:
    """Return a model's entry as a table; a text is its ``name``. Raises a ValueError for others."""
    if isinstance(entry, str):
        return {"name": entry}
    if isinstance(entry, Mapping | ModelEntry):
        return entry
    raise ValueError(
        f"models.{place}: a model is a text such as 'gmm-2d', not a {type(entry).__name__}; write "
        "the class into a file, and give 'my_model.py:MyClass' (docs/how-to/adding-a-model.md)"
    )


def _in_any_precision(name: Spec) -> dict[str, Any]:
    return {key: value for key, value in parse_spec(name).items() if key != "network_dtype"}


def _in_precisions(models: list[Any], dtypes: Any) -> list[dict[str, Any]]:
    """Return an entry for each model and network dtype. Raises a ValueError if a dtype is no text."""
    dtypes = dtypes if dtypes and isinstance(dtypes, list | tuple) else [dtypes]
    if wrong := [dtype for dtype in dtypes if not isinstance(dtype, str)]:
        raise ValueError(f"network_dtype: a dtype is a text such as 'bfloat16', not {wrong[0]!r}")
    entries = [dict(m) if isinstance(m, Mapping) else m.model_dump() for m in models]
    if not all(isinstance(entry.get("name"), str | Mapping) for entry in entries):
        return entries  # for the checks of the keys to refuse
    return [
        {**entry, "name": {**parse_spec(entry["name"]), "network_dtype": dtype}}
        for entry in entries
        for dtype in dtypes
    ]


def _replacement_entry(models: list[dict[str, Any]], name: Spec) -> dict[str, Any]:
    """Return the entry of a model ``name`` that replaces a suite's ``models``.

    A checkpoint takes the settings of the suite's only model, if that is a checkpoint too.
    """
    stated, replaced = parse_spec(models[0]["name"]), parse_spec(name)
    path = str(replaced["name"]).partition("?")[0]
    is_checkpoint = path.startswith(CHECKPOINT) or os.path.exists(path)
    if len(models) > 1 or not stated["name"].startswith(CHECKPOINT) or not is_checkpoint:
        return {"name": name}
    return {**models[0], "name": {**stated, **replaced}}


def extractors_of(suite: Mapping[str, Any]) -> dict[str, str]:
    """Return the feature space of each model of a stored suite, by the model's spec."""
    default = suite.get("extractor", "card")
    return {
        format_spec(parse_spec(entry["name"])): entry.get("extractor") or default
        for entry in suite.get("models", ())
    }


def check_suite(data: Mapping[str, Any], where: str) -> Suite:
    """Return the suite that ``data`` describe; messages name their source ``where``.

    Raises a ValueError, which describes the first mistake in the data.
    """
    try:
        return Suite.model_validate(data)
    except ValidationError as error:
        tables = (Suite, ModelEntry, Timing, Until)
        keys = [key for table in tables for key in table.model_fields]
        raise ValueError(describe_mistake(error, where, keys)) from error
