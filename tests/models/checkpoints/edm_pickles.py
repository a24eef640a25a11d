"""Writes pickles in the layout of NVIDIA's ``torch_utils.persistence``, around any network."""

import pickle
import sys
import types
from collections import OrderedDict
from pathlib import Path

from torch import nn

SOURCE = "raise RuntimeError('the source of a class was executed')\n"


class _Persisted:
    def __init__(self, meta: dict) -> None:
        self.meta = meta

    def __reduce__(self):
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


def _reconstruct_persistent_obj(meta: dict) -> _Persisted:
    return _Persisted(meta)


def persisted(
    network: nn.Module,
    name: str = "",
    arguments: dict | None = None,
    inside: dict[str, object] | None = None,
    **attributes,
) -> object:
    """``network`` as its library's class ``name``: its tensors, the modules ``inside`` (its own, if
    not given) and the arguments.
    """
    if inside is None:
        inside = {k: persisted(m) for k, m in network._modules.items() if m is not None}
    state = {
        "training": False,
        "_parameters": OrderedDict(network._parameters),
        "_buffers": OrderedDict(network._buffers),
        "_modules": OrderedDict(inside),
        **({} if arguments is None else {"_init_args": (), "_init_kwargs": EasyDict(arguments)}),
        **attributes,
    }
    if isinstance(network, nn.ModuleDict):  # torch's own classes are pickled by name
        plain = nn.ModuleDict.__new__(nn.ModuleDict)
        plain.__dict__.update(state)
        return plain
    meta = {"type": "class", "version": 6, "module_src": SOURCE, "state": state}
    return _Persisted({**meta, "class_name": name or type(network).__name__})


class EasyDict(dict):
    """A dictionary that is pickled as NVIDIA's ``dnnlib.util.EasyDict``."""


def write(path: Path, value: object) -> Path:
    """Pickle ``value``, in which persisted networks stand."""
    names = {
        "torch_utils.persistence": _reconstruct_persistent_obj,
        "dnnlib.util": EasyDict,
    }
    modules = {}
    for name, thing in names.items():
        thing.__module__ = name
        modules |= {name.partition(".")[0]: types.ModuleType(name.partition(".")[0])}
        modules[name] = types.ModuleType(name)
        setattr(modules[name], thing.__name__, thing)
    sys.modules.update(modules)
    try:
        path.write_bytes(pickle.dumps(value))
    finally:
        for name in modules:
            del sys.modules[name]
    return path


def snapshot(path: Path, network: object, **beside) -> Path:
    """A network-snapshot-*.pkl around a persisted network, with what else it has."""
    return write(
        path,
        {"ema": network, "loss_fn": None, "dataset_kwargs": EasyDict(path="d"), **beside},
    )
