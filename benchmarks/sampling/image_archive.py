"""Export of a cell's samples as images of 8 bits, in the file format of ADM's evaluator."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import write_array, write_array_header_1_0

from ...models.denoiser import Denoiser
from ...models.extractors.quantised import Quantisation, to_grey_levels
from ..suites.cell import Cell
from .shard import sample_shard, whole_shard_size


def check_exportable(model: Denoiser) -> None:
    """Raise a ValueError if samples are no images, or if the range of their values is not known."""
    if len(model.decoded_event) != 3 or model.decoded_event[0] not in (1, 3):
        raise ValueError(
            f"samples of {model.name} have shape {model.decoded_event} and are no grey or RGB images; "
            "only images are exported"
        )
    if model.decoded_limits is None:
        raise ValueError(
            f"{model.name} does not say which range its images' values have, so that nothing says "
            "what is black and white; give it an attribute limits, such as limits = (-1.0, 1.0)"
        )


def export_samples(model: Denoiser, cell: Cell, path: Path, how: Quantisation) -> None:
    """Write a cell's samples to the file ``path``, and a description to the ``.json`` next to it.

    The ``.npz`` file has ``arr_0`` ``(n, h, w, channels)`` uint8 and, if samples have classes, ``arr_1`` ``(n,)`` int64.
    ``how`` names the rounding to 8 bits. Memory holds one shard at a time. Raises the errors of :func:`check_exportable`
    and :func:`.sample_shard`.
    """
    check_exportable(model)
    unfinished = path.with_suffix(".part")
    try:
        _write_archive(model, cell, unfinished, how)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    about = {**cell.record(""), "model_identity": model.identity, "quantisation": how}
    path.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


def _write_archive(model: Denoiser, cell: Cell, path: Path, how: Quantisation) -> None:
    assert model.decoded_limits is not None
    channels, height, width = model.decoded_event
    whole = whole_shard_size(cell.batch_size)
    header = {"descr": "|u1", "fortran_order": False}
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("arr_0.npy", "w", force_zip64=True) as file:
            shape = (cell.samples, height, width, channels)
            write_array_header_1_0(file, header | {"shape": shape})
            for start in range(0, cell.samples, whole):
                stop = min(start + whole, cell.samples)
                numbers = start, stop, cell.device, 0, stop
                drawn = sample_shard(model, None, cell, *numbers, lambda _: None, precise=False)
                x = model.decode(torch.from_numpy(drawn["endpoint"]))
                levels = to_grey_levels(x, model.decoded_limits, how).permute(0, 2, 3, 1)
                file.write(levels.contiguous().numpy().tobytes())
        ids = torch.arange(cell.samples, device=cell.device)
        labels = model.draw_labels(ids, cell.seed) if model.classes else None
        if labels is not None:
            with archive.open("arr_1.npy", "w") as file:
                write_array(file, labels.cpu().numpy().astype(np.int64))
