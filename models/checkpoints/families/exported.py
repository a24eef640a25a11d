"""Programs of ``torch.export.save`` (``.pt2``), run operator by operator.

``torch.export.load`` executes the file: it unpickles constants and example inputs, evaluates text of symbolic sizes and
guards, and looks functions up by dotted names. Here the graph is read as JSON and weights are read as bytes; all else
is ignored. The layout is version 8 of ``torch/_export/serde/schema.py``, written since torch 2.8.
Functions are looked up only among torch's operators in ``aten`` and ``prims``, and arithmetic of
sizes. A graph with any other operator is refused before an operator runs.

A file states its inputs; its training is an open question.

Files: ``.pt2`` of torch 2.8 or later, with inputs as for :mod:`.onnx`.
Process: the answer to ``training``.
Prediction: the answer to ``training``.
Say: the same as for :mod:`.onnx`.
Refused: pickled objects, graphs within the graph (control flow, autocast), operators outside ``aten`` and ``prims``,
    buffers that change, AOTInductor's packages, and files of an older torch.
From noise alone: as ``training`` says.
"""

from __future__ import annotations

import io
import json
import operator
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...adapters import Network
from ..opening import CheckpointError, OpenedCheckpoint, error_in_words, state_dict
from ..programs import Port, ProgramNetwork, program_specification, signature_of
from ..specification import Specification

DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    10: torch.complex64,
    11: torch.complex128,
    12: torch.bool,
    13: torch.bfloat16,
}
"""Dtypes by their numbers in torch's schema."""
SCHEMA = 8
AGAIN = "export the network again, in evaluation mode, with a recent torch.export"

Json = Mapping[str, Any]

LIBRARIES = ("torch.ops.aten.", "torch.ops.prims.")
SKIPPED = ("torch.ops.aten._assert", "torch.ops.aten.sym_constrain")
"""Operators that only check the sizes for which the program was exported."""
SIZES = ("add", "sub", "mul", "floordiv", "mod", "neg", "eq", "ne", "lt", "le", "gt", "ge")
SIZES += ("getitem",)
FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
PLAIN = ("as_int", "as_ints", "as_floats", "as_bool", "as_bools", "as_string", "as_strings")
PLAIN += ("as_int_lists",)
Values = dict[str, Any]


def _read_archive(path: Path) -> tuple[Json, list[Json], list[Json], dict[str, Tensor]]:
    """Return graph, input specs, output specs and named tensors in a file of ``torch.export.save``."""
    with zipfile.ZipFile(path) as file:
        names = {name.partition("/")[2]: name for name in file.namelist()}
        if "serialized_exported_program.json" in file.namelist():
            raise CheckpointError(f"{path} is of a torch before 2.8; {AGAIN}")
        programs = [n for n in names if n.startswith("models/") and n.endswith(".json")]
        if len(programs) != 1:
            compiled = "; it is compiled code, which is not run: save the exported program itself"
            problem = f"{path} holds {len(programs)} exported programs, and must hold one"
            raise CheckpointError(problem + ("" if programs else compiled))
        model = programs[0].removeprefix("models/").removesuffix(".json")
        try:
            program = json.loads(file.read(names[programs[0]]))
            version = program["schema_version"]["major"]
            if version != SCHEMA:
                raise CheckpointError(
                    f"{path} is of version {version} of torch's schema, and {SCHEMA} is read; {AGAIN}"
                )
            tensors: dict[str, Tensor] = {}
            for kind in ("weights", "constants"):
                if single_file := names.get(f"data/{kind}/{model}.pt"):
                    tensors |= _read_saved_tensors(path, kind, file.read(single_file))
                config = names.get(f"data/{kind}/{model}_{kind}_config.json")
                entries = json.loads(file.read(config))["config"] if config else {}
                for name, entry in entries.items():
                    # torch.export.load would unpickle such an entry
                    if entry.get("use_pickle") or entry.get("tensor_meta") is None:
                        raise CheckpointError(
                            f"{path}: {name} is a pickled object, and unpickling it would execute what it "
                            "says; export a network of plain tensors"
                        )
                    stored = file.read(names[f"data/{kind}/{entry['path_name']}"])
                    tensors[name] = _make_tensor(stored, entry["tensor_meta"])
            module, signature = program["graph_module"], program["graph_module"]["signature"]
            return module["graph"], signature["input_specs"], signature["output_specs"], tensors
        except CheckpointError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
            what = error_in_words(error, 80)
            raise CheckpointError(f"{path} is damaged ({what}); {AGAIN}") from None


def _read_saved_tensors(path: Path, kind: str, stored: bytes) -> dict[str, Tensor]:
    """Return the tensors in a file of ``torch.save`` inside the archive; refuse other content."""
    try:
        content = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        content = None
    tensors = state_dict(content)
    if content is None or len(tensors) != len(content):
        raise CheckpointError(
            f"{path}: its {kind} are pickled objects, and unpickling them would execute what they say; "
            "export a network of plain tensors"
        )
    return tensors


def _make_tensor(stored: bytes, meta: Json) -> Tensor:
    if meta["dtype"] not in DTYPES:
        raise ValueError(f"dtype {meta['dtype']}")
    dtype = DTYPES[meta["dtype"]]
    flat = (
        torch.frombuffer(bytearray(stored), dtype=dtype) if stored else torch.empty(0, dtype=dtype)
    )
    sizes, strides = ([size["as_int"] for size in meta[key]] for key in ("sizes", "strides"))
    return flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"]).clone()


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of a program of ``torch.export.save``; None for other files."""
    if opened.container != "exported":
        return None
    return program_specification("exported", opened, Program(opened.path).signature, {})


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return a network that runs the file's program."""
    program = Program(opened.path)
    return ProgramNetwork(program, program.signature, spec)


class Program(nn.Module):
    """Module that runs the operators of an exported program one after the other.

    Raises a CheckpointError for a damaged file, another format or version, pickled objects, or
    unsupported operators, inputs or outputs.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        graph, inputs, outputs, tensors = _read_archive(path)
        self._buffer_names: dict[str, str] = {}
        self.ports: list[Port] = []
        for spec in inputs:
            self._add_input(graph, tensors, spec)
        kinds, specs = zip(*(next(iter(output.items())) for output in outputs), strict=True)
        if {*kinds} != {"user_output"} or "as_tensor" not in specs[0]["arg"]:
            raise self._refusal("changes its buffers, or its first output is no tensor")
        self._result: str = specs[0]["arg"]["as_tensor"]["name"]
        output = self._port(graph, self._result)
        self._steps = list(self._read_nodes(graph["nodes"]))
        self.signature = signature_of(path, self.ports, [output])

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the program's output for its inputs, in the order of :attr:`ports`."""
        values: Values = {
            name: getattr(self, buffer) for name, buffer in self._buffer_names.items()
        }
        values |= {port.name: value for port, value in zip(self.ports, inputs, strict=True)}
        device = inputs[0].device
        for call, described, names, done in self._steps:
            arguments = {
                key: device if kind == "as_device" else _READ[kind](content, values)
                for key, (kind, content) in described.items()
            }
            by_name = isinstance(call, torch._ops.OpOverload)
            result = call(**arguments) if by_name else call(*arguments.values())
            _store_outputs(names, result, values)
            for name in done:
                values.pop(name, None)
        return values[self._result]

    def _add_input(self, graph: Json, tensors: Mapping[str, Tensor], spec: Json) -> None:
        ((kind, details),) = spec.items()
        arg = details.get("arg", {})
        if kind == "user_input":
            if "as_tensor" in arg:
                self.ports.append(self._port(graph, arg["as_tensor"]["name"]))
            elif "as_none" not in arg:
                raise self._refusal("has an input that is no tensor")
            return
        name = next((str(details[k]) for k in details if k.endswith("_name")), "")
        if kind not in ("parameter", "buffer", "tensor_constant") or name not in tensors:
            raise self._refusal(f"has an input of the kind {kind}, or one without its weights")
        buffer = f"kept_{len(self._buffer_names)}"
        self.register_buffer(buffer, tensors[name])
        self._buffer_names[arg["name"]] = buffer

    def _port(self, graph: Json, name: str) -> Port:
        meta = graph["tensor_values"][name]
        sizes = tuple(size.get("as_int") for size in meta["sizes"])
        if meta["dtype"] not in DTYPES:
            raise self._refusal(f"has an input or output of the dtype {meta['dtype']}")
        return Port(name, sizes, DTYPES[meta["dtype"]])

    def _read_nodes(
        self, nodes: list[Json]
    ) -> Iterator[tuple[Callable[..., Any], dict[str, tuple[str, Any]], Any, list[str]]]:
        """Yield each operator, its arguments, output names, and names that can be freed after it."""
        last = {name: i for i, node in enumerate(nodes) for name in _argument_names(node["inputs"])}
        last[self._result] = len(nodes)
        done: dict[int, list[str]] = {}
        for name, i in last.items():
            done.setdefault(i, []).append(name)
        for i, node in enumerate(nodes):
            if not node["target"].startswith(SKIPPED):
                call = self._find_operator(node["target"])
                arguments = {  # of arithmetic, without names, by position
                    entry["name"] or str(k): self._check_argument(entry["arg"], node["target"])
                    for k, entry in enumerate(node["inputs"])
                }
                yield call, arguments, _output_names(node["outputs"]), done.get(i, [])

    def _find_operator(self, target: str) -> Callable[..., Any]:
        library, _, name = target.rpartition(".")
        if library == "_operator" and name in SIZES:
            return getattr(operator, name)
        if target.startswith(LIBRARIES) and "from_file" not in target:  # it would touch files
            place: Any = torch.ops
            for part in target.split(".")[2:]:
                place = getattr(place, part, None)
            if isinstance(place, torch._ops.OpOverload):
                return place
        raise self._refusal(f"calls {target}, which is none of torch's own operators on tensors")

    def _check_argument(self, argument: Json, target: str) -> tuple[str, Any]:
        ((kind, content),) = argument.items()
        if kind not in (*_READ, "as_device"):  # the device is that of the program's input
            raise self._refusal(f"hands {target} a value of the kind {kind.removeprefix('as_')}")
        return kind, content

    def _refusal(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path}: its program {what}; {AGAIN}, or wrap the network in a Python file"
        )


def _size_value(content: Json, values: Values) -> Any:
    return values[content["as_name"]] if "as_name" in content else next(iter(content.values()))


def _optional_value(content: Json, values: Values) -> Any:
    return values[content["as_tensor"]["name"]] if "as_tensor" in content else None


_READ: Mapping[str, Callable[[Any, Values], Any]] = {
    **dict.fromkeys(PLAIN, lambda content, values: content),  # noqa: ARG005
    "as_none": lambda spec, values: None,  # noqa: ARG005
    "as_tensor": lambda spec, values: values[spec["name"]],
    "as_tensors": lambda spec, values: [values[one["name"]] for one in spec],
    "as_optional_tensor": _optional_value,
    "as_optional_tensors": lambda spec, values: [_optional_value(one, values) for one in spec],
    "as_float": lambda spec, values: float(spec),  # noqa: ARG005 - also the text Infinity
    "as_sym_int": _size_value,
    "as_sym_ints": lambda spec, values: [_size_value(one, values) for one in spec],
    "as_sym_float": _size_value,
    "as_sym_bool": _size_value,
    "as_scalar_type": lambda spec, values: DTYPES[spec],  # noqa: ARG005
    "as_memory_format": lambda spec, values: FORMATS[spec],  # noqa: ARG005
    "as_layout": lambda spec, values: {7: torch.strided}[spec],  # noqa: ARG005
}


def _output_names(outputs: list[Json]) -> Any:
    """Return the names of an operator's return values: one name, or a list for several."""
    names = []
    for output in outputs:
        ((kind, value),) = output.items()
        if kind == "as_tensors":
            names.append([item["name"] for item in value])
        else:
            names.append(None if kind == "as_none" else value.get("name") or value.get("as_name"))
    return names[0] if len(names) == 1 else names


def _store_outputs(names: Any, value: Any, values: Values) -> None:
    if isinstance(names, list):
        for name, part in zip(names, value, strict=False):
            _store_outputs(name, part, values)
    elif names is not None:
        values[names] = value


def _argument_names(arguments: Any) -> Iterator[str]:
    """Yield each name of a tensor or size in an operator's arguments."""
    is_mapping = isinstance(arguments, Mapping)
    for key, value in arguments.items() if is_mapping else enumerate(arguments):
        if key in ("as_name", "name") and isinstance(value, str):
            yield value
        elif isinstance(value, Mapping | list):
            yield from _argument_names(value)
