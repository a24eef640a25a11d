"""Networks that were exported to ONNX, run by onnxruntime on the CPU (extra ``onnx``).

A file states its inputs. Its training is an open question, unless entries of ``metadata_props`` whose names begin with
``samplerbench.`` answer it.

Files: ``.onnx``, and the files of weights that it names. Inputs, in any order: a noisy image ``(batch, …)``, a time,
    and perhaps labels, as numbers or one-hot rows. The first output is the prediction.
Process: the answer to ``training``.
Prediction: the answer to ``training``.
Say: ``training``. ``half``, if the output has twice the image's channels. ``classes``, if labels are numbers.
    ``limits=[-1,1]`` or ``limits=[0,1]``, to clamp samples. Entries of the file like ``samplerbench.half`` say it too.
Refused: programs with other inputs.
From noise alone: as ``training`` says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...adapters import Network
from ..opening import CheckpointError, OpenedCheckpoint, error_in_words
from ..programs import Port, ProgramNetwork, Signature, program_specification, signature_of
from ..specification import Specification

DTYPES = {
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
    "tensor(float16)": torch.float16,
    "tensor(int64)": torch.int64,
    "tensor(int32)": torch.int32,
}


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of an ONNX file; None for other files."""
    if opened.container != "onnx":
        return None
    session, signature = _open_program(opened.path)
    metadata = session.get_modelmeta().custom_metadata_map
    return program_specification("onnx", opened, signature, metadata)


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return a network that runs the ONNX file."""
    session, signature = _open_program(opened.path)

    def run(*inputs: Tensor) -> Tensor:
        arrays = (np.ascontiguousarray(value.numpy()) for value in inputs)
        named = {port.name: array for port, array in zip(signature.inputs, arrays, strict=True)}
        (output,) = session.run([signature.output.name], named)
        return torch.from_numpy(output)

    return OnnxNetwork(run, signature, spec)


class OnnxNetwork(ProgramNetwork):
    """Network that runs a session of onnxruntime."""

    def to(self, device: torch.device | str) -> OnnxNetwork:
        """Return this network, which stays on the CPU; raise a ValueError for another device."""
        if torch.device(device).type != "cpu":
            raise ValueError(f"ONNX files run on the CPU here, not on {device}; use --device cpu")
        return self


def _open_program(path: Path) -> tuple[Any, Signature]:
    try:
        import onnxruntime
    except ImportError:
        raise CheckpointError(
            f"{path} is an ONNX file, and onnxruntime is not installed; pip install 'samplerbench[onnx]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal; errors are raised here instead
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises exceptions of its own kinds
        raise CheckpointError(
            f"{path} cannot be run by onnxruntime {onnxruntime.__version__} "
            f"({error_in_words(error, 160)}); export it again, "
            "or install a newer onnxruntime"
        ) from None
    inputs = [_port_of(port, path) for port in session.get_inputs()]
    outputs = [_port_of(port, path) for port in session.get_outputs()]
    return session, signature_of(path, inputs, outputs)


def _port_of(port: Any, path: Path) -> Port:
    if port.type not in DTYPES:
        raise CheckpointError(
            f"{path}: {port.name} is a {port.type}; it must be one of {', '.join(DTYPES)}"
        )
    sizes = tuple(size if isinstance(size, int) else None for size in port.shape)
    return Port(port.name, sizes, DTYPES[port.type])
