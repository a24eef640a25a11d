"""Running the graph of an exported program: one operator of torch after another.

Only operators of torch's own libraries ``aten`` and ``prims``, and arithmetic of sizes, are looked
up; a graph with others is refused before anything runs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..opening import CheckpointError
from .archive import AGAIN, DTYPES, Archive, Json
from .signature import Port

LIBRARIES = ("torch.ops.aten.", "torch.ops.prims.")
REFUSED = ("from_file",)
"""Operators that touch files."""
SKIPPED = ("torch.ops.aten._assert", "torch.ops.aten.sym_constrain")
"""Operators that only check the sizes that the program was exported for."""
SIZES = (
    "add",
    "sub",
    "mul",
    "floordiv",
    "mod",
    "neg",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "getitem",
)
LAYOUTS = {7: torch.strided}
FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
PLAIN = ("as_int", "as_ints", "as_floats", "as_bool", "as_bools", "as_string", "as_strings")
PLAIN += ("as_int_lists",)

Values = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """Call of one operator.

    Attributes:
        call: the operator.
        arguments: by the names of its schema; of arithmetic by position, named 0, 1, ….
        outputs: names, nested as the return value.
        done: names that no later step reads.
    """

    call: Callable[..., Any]
    arguments: tuple[tuple[str, Json], ...]
    outputs: Any
    done: tuple[str, ...]


class Program(nn.Module):
    """Network of an exported program's inputs.

    Args:
        archive: content of the file.

    Raises:
        CheckpointError: it has operators, inputs or outputs that are not supported.
    """

    def __init__(self, archive: Archive) -> None:
        super().__init__()
        self.path = archive.path
        self._buffer_names: dict[str, str] = {}
        self.ports: list[Port] = []
        for spec in archive.inputs:
            self._add_input(archive, spec)
        (kind, spec), *more = (next(iter(output.items())) for output in archive.outputs)
        if more or kind != "user_output" or "as_tensor" not in spec["arg"]:
            raise self._refusal("gives more than one tensor, or changes its buffers")
        self._result: str = spec["arg"]["as_tensor"]["name"]
        self.output = self._port(archive, self._result)
        self._steps = list(self._read(archive.graph["nodes"]))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the output for the inputs, in the order of :attr:`ports`."""
        values: Values = {
            name: getattr(self, buffer) for name, buffer in self._buffer_names.items()
        }
        values |= {port.name: value for port, value in zip(self.ports, inputs, strict=True)}
        device = inputs[0].device
        for step in self._steps:
            call_arguments = {
                name: _value(argument, values, device) for name, argument in step.arguments
            }
            _store(step.outputs, _apply(step.call, call_arguments), values)
            for name in step.done:
                values.pop(name, None)
        return values[self._result]

    def _add_input(self, archive: Archive, spec: Json) -> None:
        ((kind, details),) = spec.items()
        arg = details.get("arg", {})
        if kind == "user_input":
            if "as_tensor" in arg:
                self.ports.append(self._port(archive, arg["as_tensor"]["name"]))
            elif "as_none" not in arg:
                raise self._refusal("has an input that is no tensor")
            return
        name = next((str(details[k]) for k in details if k.endswith("_name")), "")
        if kind not in ("parameter", "buffer", "tensor_constant") or name not in archive.tensors:
            raise self._refusal(f"has an input of the kind {kind}, or one without its weights")
        buffer = f"kept_{len(self._buffer_names)}"
        self.register_buffer(buffer, archive.tensors[name])
        self._buffer_names[arg["name"]] = buffer

    def _port(self, archive: Archive, name: str) -> Port:
        meta = archive.graph["tensor_values"][name]
        sizes = tuple(size.get("as_int") for size in meta["sizes"])
        if meta["dtype"] not in DTYPES:
            raise self._refusal(f"has an input of the dtype {meta['dtype']}")
        return Port(name, sizes, DTYPES[meta["dtype"]])

    def _read(self, nodes: list[Json]) -> Iterator[Step]:
        last = {name: i for i, node in enumerate(nodes) for name in _names(node["inputs"])}
        last[self._result] = len(nodes)
        done: dict[int, list[str]] = {}
        for name, i in last.items():
            done.setdefault(i, []).append(name)
        for i, node in enumerate(nodes):
            if not node["target"].startswith(SKIPPED):
                call = self._operator(node["target"])
                arguments = tuple(
                    (entry["name"] or str(k), self._allowed(entry["arg"], node["target"]))
                    for k, entry in enumerate(node["inputs"])
                )
                yield Step(call, arguments, _outputs(node["outputs"]), tuple(done.get(i, ())))

    def _operator(self, target: str) -> Callable[..., Any]:
        library, _, name = target.rpartition(".")
        if library == "_operator" and name in SIZES:
            return getattr(operator, name)
        if target.startswith(LIBRARIES) and not any(word in target for word in REFUSED):
            place: Any = torch.ops
            for part in target.split(".")[2:]:
                place = getattr(place, part, None)
            if isinstance(place, torch._ops.OpOverload):
                return place
        raise self._refusal(f"calls {target}, which is none of torch's own operators on tensors")

    def _allowed(self, argument: Json, target: str) -> Json:
        (kind,) = argument
        if kind not in _READ and kind not in PLAIN:
            raise self._refusal(f"hands {target} a value of the kind {kind.removeprefix('as_')}")
        return argument

    def _refusal(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path}: its program {what}; {AGAIN}, or wrap the network in a Python file"
        )


def _apply(call: Callable[..., Any], call_arguments: Values) -> Any:
    """Call an operator of torch by its schema; arithmetic by position."""
    if not isinstance(call, torch._ops.OpOverload):
        return call(*call_arguments.values())
    positional, named, in_order = [], {}, True
    for argument in call._schema.arguments:
        if argument.name not in call_arguments:
            in_order = False  # its default
        elif in_order and not argument.kwarg_only:
            positional.append(call_arguments[argument.name])
        else:
            named[argument.name] = call_arguments[argument.name]
    return call(*positional, **named)


def _value(argument: Json, values: Values, device: torch.device) -> Any:
    ((kind, content),) = argument.items()
    return content if kind in PLAIN else _READ[kind](content, values, device)


def _size(content: Json, values: Values) -> Any:
    return values[content["as_name"]] if "as_name" in content else next(iter(content.values()))


def _optional(content: Json, values: Values) -> Any:
    return values[content["as_tensor"]["name"]] if "as_tensor" in content else None


_READ: Mapping[str, Callable[[Any, Values, torch.device], Any]] = {
    "as_none": lambda spec, values, device: None,  # noqa: ARG005
    "as_tensor": lambda spec, values, device: values[spec["name"]],  # noqa: ARG005
    "as_tensors": lambda spec, values, device: [values[one["name"]] for one in spec],  # noqa: ARG005
    "as_optional_tensor": lambda spec, values, device: _optional(spec, values),  # noqa: ARG005
    "as_optional_tensors": lambda spec, values, device: [_optional(one, values) for one in spec],  # noqa: ARG005
    "as_float": lambda spec, values, device: float(spec),  # noqa: ARG005 - also the text Infinity
    "as_sym_int": lambda spec, values, device: _size(spec, values),  # noqa: ARG005
    "as_sym_ints": lambda spec, values, device: [_size(one, values) for one in spec],  # noqa: ARG005
    "as_sym_float": lambda spec, values, device: _size(spec, values),  # noqa: ARG005
    "as_sym_bool": lambda spec, values, device: _size(spec, values),  # noqa: ARG005
    "as_scalar_type": lambda spec, values, device: DTYPES[spec],  # noqa: ARG005
    "as_memory_format": lambda spec, values, device: FORMATS[spec],  # noqa: ARG005
    "as_layout": lambda spec, values, device: LAYOUTS[spec],  # noqa: ARG005
    "as_device": lambda spec, values, device: device,  # noqa: ARG005 - where the input is
}


def _outputs(outputs: list[Json]) -> Any:
    """Return the names of an operator's return values: one, or a list."""
    names = []
    for output in outputs:
        ((kind, value),) = output.items()
        if kind == "as_tensors":
            names.append([item["name"] for item in value])
        elif kind == "as_none":
            names.append(None)
        else:
            names.append(value.get("name") or value.get("as_name"))
    return names[0] if len(names) == 1 else names


def _store(names: Any, value: Any, values: Values) -> None:
    if isinstance(names, list):
        for name, part in zip(names, value, strict=False):
            _store(name, part, values)
    elif names is not None:
        values[names] = value


def _names(arguments: Any) -> Iterator[str]:
    """Yield each name that arguments refer to."""
    if isinstance(arguments, Mapping):
        for key, value in arguments.items():
            if key in ("as_name", "name") and isinstance(value, str):
                yield value
            else:
                yield from _names(value)
    elif isinstance(arguments, list):
        for item in arguments:
            yield from _names(item)
