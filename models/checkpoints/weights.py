"""Sets of weights in a checkpoint that fit a network, and the network made with one of them.

A set may be under any entry of the file, and its weights may have names with any prefix. Averages are preferred.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .opening import CheckpointError, OpenedCheckpoint, error_in_words, shards_of, state_dict
from .pickles import ObjectStandIn, tensors_of
from .specification import USER, Specification

Tensors = Mapping[str, Tensor]
"""Weights by their names in a network."""
Sets = dict[str, dict[str, Tensor]]
"""Sets of weights by entry name, the preferred one first."""

PREFERRED = ("ema", "ema_model", "model_ema", "model_ema1", "model", "net_model", "state_dict")
"""Usual entry names, in order of preference."""
AVERAGE = re.compile(
    r"(?<![a-z])(?<!exp_)(?<!(?<![a-z])no_)(?<!(?<![a-z])non_)(ema\d*|avg|averaged?|swa|shadow|polyak)(?![a-z])"
)
"""Pattern of entry names of averaged weights, from which papers sample. Adam's ``exp_avg`` averages gradients."""
COUNTERS = ("initted", "step", "global_step", "num_updates", "n_averaged", "decay")
"""Names of scalars that training saves with the weights; they are dropped."""
SHADOW = "shadow_params"
"""Name of averaged weights that are saved as a list, in the order of the network's parameters."""
UNDOTTED = "model_ema."
"""Prefix of averaged weights in latent diffusion's files; the names have no other dots."""
FIT = "sets of weights fit"
"""Marker by which :func:`chosen_set_in_words` finds the sentence of :func:`choice_in_words`."""
DEPTH, MOST_NETWORKS, MOST_NAMES = 4, 16, 3
"""Limits of the search for weights: depth of tables, networks in a table, names of one table."""

M = TypeVar("M", bound=nn.Module)
WRAP = "wrap the network in a Python file (docs/how-to/adding-a-model.md)"


def find_sets(opened: OpenedCheckpoint, keys: Sequence[str]) -> Sets:
    """Return the sets of weights that contain all of ``keys``, by entry name, averaged ones first.

    Keys in the file may have a prefix, which is removed. The top level of the file is the entry "".
    The result is empty if no set contains the keys. Raises a CheckpointError if averaged tensors
    without names fit the named tensors in no way, or in several.
    """
    sets: Sets = {}
    averages: dict[str, list[Tensor]] = {}
    for name, value in _walk_tables(opened.value):
        if isinstance(value, list):
            averages[name] = value
            continue
        averages |= _numbered_average(value)
        by_prefix = _by_prefix(value, keys)
        for prefix, tensors in by_prefix.items():
            sets[_name_of_set(name, prefix if len(by_prefix) > 1 else "")] = tensors
            if undotted := _average_without_dots(value, prefix, tensors):
                sets[_name_of_set(name, UNDOTTED)] = undotted
    if sets:
        for name, average in averages.items():
            sets[name] = _with_average(sets, average, opened)
    return dict(sorted(sets.items(), key=lambda item: _sort_key(item[0])))


def weight_set_by_name(sets: Sets, name: Any, opened: OpenedCheckpoint) -> dict[str, Tensor]:
    """Return the set ``name``, or else the first whose dotted name begins or ends with ``name``.

    Raises a CheckpointError if there is no such set.
    """
    wanted = str(name)
    if wanted in sets:
        return sets[wanted]
    for entry, tensors in sets.items():
        if entry.startswith(f"{wanted}.") or entry.endswith(f".{wanted}"):
            return tensors
    entries = ", ".join(entry or "the file itself" for entry in sets)
    raise CheckpointError(
        f"{opened.path}: no weights of this network are in the entry {wanted!r}; they are in: {entries}; "
        "give one of these as weights.entry, or leave it out"
    )


def choice_in_words(sets: Mapping[str, Any]) -> tuple[str, ...]:
    """Return (sentence,), which says that the first of ``sets`` is used; () for a single set."""
    first, *others = sets
    if not others:
        return ()
    options = " or ".join(f"weights.entry={entry}" for entry in others)
    which = "another" if len(others) > 1 else "the other"
    average = " (an average)" if AVERAGE.search(first.lower()) else ""
    return (f"{len(sets)} {FIT}: {first}{average} is taken; {options} takes {which}",)


def chosen_set_in_words(spec: Specification) -> str:
    """Return a clause on the set of weights in use; "" for a single set or one that users chose."""
    sentences = [sentence for sentence in spec.evidence if FIT in sentence]
    is_choice = "entry" in spec.weights and spec.source("weights.entry") != USER
    return sentences[0].partition(";")[0] if sentences and is_choice else ""


def training_arguments(opened: OpenedCheckpoint) -> Mapping[str, Any]:
    """Return the training arguments that a file stores as ``args``; empty if it has none."""
    settings = opened.entries.get("args")
    state = settings.state if isinstance(settings, ObjectStandIn) else settings
    return state if isinstance(state, Mapping) else {}


def tensor_names_by_entry(opened: OpenedCheckpoint) -> dict[str, list[str]]:
    """Return the names of the tensors in each table of a file, by entry name."""
    tables = _walk_tables(opened.value)
    return {name: list(value) for name, value in tables if isinstance(value, dict)}


def _walk_tables(
    value: Any, name: str = "", depth: int = DEPTH, visits: Counter[int] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield entry name and content of each table of tensors, and of each list of averages."""
    visits = Counter() if visits is None else visits
    if (
        not isinstance(value, Mapping | list | tuple | ObjectStandIn)
        or visits[id(value)] >= MOST_NAMES
    ):
        return
    visits[id(value)] += 1
    if isinstance(value, ObjectStandIn):
        if tensors := tensors_of(value):
            yield name, tensors
        return
    is_list = isinstance(value, list | tuple)
    if is_list and value and all(isinstance(v, Tensor) for v in value):
        if AVERAGE.search(name.lower()):
            yield name.removesuffix(f".{SHADOW}"), list(value)
        return
    if isinstance(value, Mapping) and (tensors := state_dict(value)):
        yield name, tensors
    inside = enumerate(value) if is_list else value.items()
    for part, inner in inside if depth else ():
        at = f"{name}.{part}" if name else str(part)
        yield from _walk_tables(inner, at, depth - 1, visits)


def _by_prefix(table: Tensors, keys: Sequence[str]) -> Sets:
    """Return by prefix the weights in ``table``, for each prefix with which it has all ``keys``."""
    prefixes = [name.removesuffix(keys[0]) for name in table if name.endswith(keys[0])]
    prefixes = [p for p in prefixes if not p or p.endswith(".")]
    prefixes = [p for p in prefixes if all(p + key in table for key in keys)][:MOST_NETWORKS]
    sets: Sets = {}
    for prefix in prefixes:
        nested = tuple(p for p in prefixes if p != prefix and p.startswith(prefix))
        sets[prefix] = {
            name.removeprefix(prefix): tensor
            for name, tensor in table.items()
            if name.startswith(prefix) and not name.startswith(nested) and name not in COUNTERS
        }
    return sets


def _average_without_dots(table: Tensors, prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    """Return averaged weights whose names in ``table`` have no dots, renamed; {} if none exist."""
    averages = {name: tensor for name, tensor in table.items() if name.startswith(UNDOTTED)}
    # the average may be of a submodule, so try without up to two leading parts of the names
    for outer in range(3) if averages else ():
        whole = {name: (prefix + name).split(".", outer)[-1] for name in tensors}
        undotted = {n: averages.get(UNDOTTED + of.replace(".", "")) for n, of in whole.items()}
        if any(tensor is not None for tensor in undotted.values()):
            return {n: tensors[n] if tensor is None else tensor for n, tensor in undotted.items()}
    return {}


def _numbered_average(table: Tensors) -> dict[str, list[Tensor]]:
    """Return numbered tensors (``shadow_params.0``, …) as {"ema": tensors in order}, or {}."""
    split = ((key.rpartition(f"{SHADOW}."), tensor) for key, tensor in table.items())
    numbers = ((int(last), t) for (_, dot, last), t in split if dot and last.isdigit())
    numbered = sorted(numbers, key=lambda pair: pair[0])  # two lists may have a number each
    return {"ema": [tensor for _, tensor in numbered]} if numbered else {}


def _with_average(
    sets: Sets, average: Sequence[Tensor], opened: OpenedCheckpoint
) -> dict[str, Tensor]:
    """Return the set of weights that ``average`` fits, with the averaged tensors in their place.

    A fit must be unique, and cover every ``weight`` and ``bias``; else a CheckpointError is raised.
    """
    # matched by shape from both ends; a match is unique if the two are the same
    for tensors in sets.values():
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        first = _names_in_order(shapes, [t.shape for t in average])
        last = _names_in_order(dict(reversed(shapes.items())), [t.shape for t in reversed(average)])
        trained = {name for name in tensors if name.endswith((".weight", ".bias"))}
        if first and first == last[::-1] and trained <= set(first):
            return {**tensors, **dict(zip(first, average, strict=True))}
    raise CheckpointError(
        f"{opened.path}: the average of its weights is of another network: a list without names, whose "
        "shapes match this one in no way or in several; to use the weights that are not averaged, save them alone"
    )


def _names_in_order(shapes: Mapping[str, Any], wanted: Sequence[Any]) -> list[str]:
    """Return the first names with the shapes ``wanted``, in that order; [] if one is not found."""
    names, remaining = [], list(reversed(wanted))
    for name, shape in shapes.items():
        if remaining and remaining[-1] == shape:
            names.append(name)
            remaining.pop()
    return [] if remaining else names


def _name_of_set(name: str, prefix: str) -> str:
    return ".".join(part for part in (name, prefix.removesuffix(".")) if part)


def _sort_key(name: str) -> tuple[bool, int]:
    """Return the sort key of an entry name: averages first, else as in :data:`PREFERRED`."""
    is_average = AVERAGE.search(name.lower()) is not None and "online" not in name
    return not is_average, PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)


def construct_network(kind: Callable[..., M], arguments: Mapping[str, Any], path: Path) -> M:
    """Return a network of class ``kind`` with these arguments, on the CPU.

    Raises a CheckpointError if the class does not accept the arguments, or the network would have
    more elements than the file at ``path`` has bytes.
    """
    try:
        with _SizeLimit(path):  # else a hostile file of a kilobyte could take any amount of memory
            return kind(**arguments)
    except CheckpointError:
        raise
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: its network cannot be built as the file describes it "
            f"({error_in_words(error)}); if its code was changed, {WRAP}"
        ) from None


class _SizeLimit(TorchFunctionMode):
    """Context that raises a CheckpointError if a network has more elements than its file has bytes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        files = path.rglob("*") if path.is_dir() else [path]
        files = shards_of(path) if path.suffix == ".json" else files
        self._bytes = sum(file.stat().st_size for file in files if file.is_file())
        self._path, self._numbers = path, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count elements that layers allocate by ``torch.empty``; refuse more than the limit."""
        if func is torch.empty:
            sizes = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
            self._numbers += math.prod(sizes)
            if self._numbers > self._bytes:
                raise CheckpointError(
                    f"{self._path} describes a network with more numbers than its {self._bytes:,} bytes "
                    "can hold; compare it with the source's, and download it again"
                )
        return func(*args, **(kwargs or {}))


def without_prefix(tensors: Tensors, prefix: str) -> dict[str, Tensor]:
    """Return the weights whose names begin with ``prefix``, under names without it."""
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def fill_network(network: M, tensors: Tensors, path: Path) -> M:
    """Load weights into ``network``; return it in evaluation mode, without gradients.

    Raises a CheckpointError if names or shapes of the weights differ from the network's.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in tensors]
    unknown = [name for name in tensors if name not in own]
    other = [
        f"{name} is {tuple(tensors[name].shape)} and should be {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    wrong = [f"{len(missing)} weights are missing, such as {missing[0]}"] if missing else []
    wrong += [f"{len(unknown)} weights are unknown, such as {unknown[0]}"] if unknown else []
    wrong += other[:1]
    if wrong:
        raise CheckpointError(
            f"{path}: the weights do not fit the network that the file describes: "
            f"{'; '.join(wrong)}; if the file is whole, its code was changed: {WRAP}"
        )
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def load_network(
    kind: Callable[..., M],
    spec: Specification,
    opened: OpenedCheckpoint,
    sets: Sets,
    rename: Callable[[Tensors], Tensors] = dict,
    dropped: str = "",
) -> M:
    """Return a specification's network, a ``kind`` in float32, with weights from a file's ``sets``.

    ``rename`` returns the weights under the names that ``kind`` gives them. Weights whose names
    begin with ``dropped`` are left out; "" drops none. Raises a CheckpointError if the class does
    not accept the arguments, or the weights do not fit the network.
    """
    raw = construct_network(kind, spec.network["arguments"], opened.path)
    tensors = weight_set_by_name(sets, spec.weights["entry"], opened)
    own = {k: t for k, t in tensors.items() if not dropped or not k.startswith(dropped)}
    return fill_network(raw, rename(own), opened.path)
