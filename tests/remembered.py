"""What many small runs of one process compute again: endpoints and converged samples of exact
models.

Each takes half a second, most of such a run, and is a function of its arguments alone; tests/models
computes them without this. Nothing is looked up by a name or an identity that could be wrong: the
key is all that is read, bit by bit, and the functions that are called, so that a model with one
other weight, or whose denoiser a test replaces, is another one.
"""

import inspect
import io
import pickle
from typing import Any

import pytest
import torch

from samplerbench.benchmarks.scoring import converged_endpoints as endpoints
from samplerbench.models.exact import base
from samplerbench.models.exact.base import ExactModel

_KNOWN: dict[Any, Any] = {}
_flow = ExactModel.flow
_converged_samples = endpoints.converged_samples


def flow(self, x, sigma_from, sigma_to, labels=None):
    """:meth:`ExactModel.flow`; the evaluations of the first time are told each time."""
    own = {name: value for name, value in vars(self).items() if name != "_observer"}
    try:
        key = (
            _functions(self),
            base.flow_states,
            _bits((own, x, sigma_from, sigma_to, labels)),
        )
    except (pickle.PicklingError, AttributeError, TypeError):  # an object of a test's own
        return _flow(self, x, sigma_from, sigma_to, labels)
    if key not in _KNOWN:
        rows: list[int] = []
        _KNOWN[key] = (
            _flow(self.with_observer(rows.append), x, sigma_from, sigma_to, labels).clone(),
            rows,
        )
    found, rows = _KNOWN[key]
    for count in rows if self._observer is not None else ():
        self._observer(count)
    return found.clone()


def converged_samples(model, *how):
    """:func:`endpoints.converged_samples`; of an exact model whose evaluations nobody counts."""
    told = isinstance(model, ExactModel) and model._observer is None
    solver = endpoints.make(endpoints.SOLVER)
    try:
        bits = _bits((vars(model) if told else None, vars(solver), how))
    except (pickle.PicklingError, AttributeError, TypeError):
        told = False
    if not told:
        return _converged_samples(model, *how)
    parts = (endpoints.solve, endpoints.latents, endpoints.karras)
    numbers = (endpoints.SOLVER, endpoints.CONVERGED_STEPS, endpoints.CONVERGED_IDS)
    key = (_functions(model), _functions(solver), parts, numbers, bits)
    if key not in _KNOWN:
        _KNOWN[key] = _converged_samples(model, *how)
    return _KNOWN[key].clone()


def _functions(of):
    """Its class, and the functions there, as they are now."""
    kinds = type(of).__mro__
    return type(of), *(f for kind in kinds for f in vars(kind).values() if inspect.isfunction(f))


class _Bits(pickle.Pickler):
    """Tensors by their values: torch's own way writes down where they lie in memory."""

    def reducer_override(self, obj):
        if isinstance(obj, torch.Tensor):
            values = obj.detach().cpu().contiguous().numpy().tobytes()
            return str, (str((obj.dtype, obj.device, tuple(obj.shape))),), values
        return NotImplemented


def _bits(value):
    file = io.BytesIO()
    _Bits(file).dump(value)
    return file.getvalue()


@pytest.fixture(scope="module", autouse=True)
def remembered():
    """Within a file of tests, they are computed once a process."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ExactModel, "flow", flow)
        patched.setattr(endpoints, "converged_samples", converged_samples)
        yield
