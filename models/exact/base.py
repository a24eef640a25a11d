"""Exact models, whose denoiser, density, samples, moments and probability flow are all known.

The order of additions in a matrix product depends on its shape. In a plain batched formula, the
last bits of a sample's result thus depend on the batch. Exact models therefore evaluate in padded
chunks of :data:`CHUNK` rows, or twice as many, and multiply by :func:`row_stable_matmul`. A sample's
result is then bit-identical in every batch, at every position.
"""

from __future__ import annotations

import copy
import hashlib
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..denoiser import Denoiser, level_per_row
from ..reference import FloatArray, Identity, Reference, Statistics
from .probability_flow import flow_states

CHUNK = 96
"""Number of rows in every evaluation, chosen to avoid remainder loops of matrix kernels.

It is a multiple of all vector widths and of the 4, 6, 8, 12, 16 or 24 rows of kernels.
"""

SMALL = 32768
"""Count of numbers in a chunk and its model below which further threads do not pay.

From this size on, torch divides elementwise operations among threads.
"""

TINY = 3072
"""Count of numbers in a chunk and its model below which twice as many rows take the same time."""

Rows = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Holder = TypeVar("Holder")


class _ContinuingGenerator(np.random.Generator):
    """Generator whose spawned streams continue, so that draws in parts equal one large draw."""

    _spawned: list[np.random.Generator] | None = None

    def spawn(self, n_children: int) -> list[np.random.Generator]:
        """Return the same ``n_children`` generators at each call, which continue their streams."""
        if self._spawned is None:
            self._spawned = super().spawn(n_children)  # of this type
        return self._spawned


class ExactModel(Denoiser):
    """Base class of :class:`Denoiser` objects with an exactly known distribution.

    A subclass sets the attributes of :class:`Denoiser` (``identity`` by :func:`exact_fingerprint`)
    and ``scale``. It defines :meth:`denoise_rows`, :meth:`log_density_rows`, :meth:`draw`,
    :meth:`moments` and :meth:`posterior`, and :meth:`flow` if there is a closed form. The
    ``*_rows`` methods work on flattened samples ``(chunk, d)`` in float64. Row k of their result
    must depend, to its last bit, on row k of the arguments only. Elementwise operations, reductions
    of a row and :func:`row_stable_matmul` satisfy this.

    Attributes:
        scale: the smallest standard deviation of the density in any direction. At levels below it,
            a path x(sigma) of the flow is a smooth function of sigma^2.
        tolerance: largest error of a :meth:`flow` step over ``|x| + sqrt(sigma^2 + scale^2)``.
        closed_form: True if :meth:`flow` evaluates a formula without integration.
        make_reference: function that returns a reference in features other than the samples. If it
            is None or returns None, the reference has exact moments of the samples.
    """

    dtype = torch.float64
    scale: float
    tolerance: float = 1e-12
    closed_form: bool = False
    make_reference: Callable[[], Reference | None] | None = None
    _observer: Callable[[int], object] | None = None

    @property
    def dim(self) -> int:
        """Number of dimensions d of a flattened sample."""
        return math.prod(self.event)

    @abstractmethod
    def denoise_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return E[x0 | x] of rows ``(chunk, d)``; ``sigma`` > 0 and labels are ``(chunk,)``."""

    @abstractmethod
    def log_density_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return the log-density ``(chunk,)`` of rows; arguments as in :meth:`denoise_rows`.

        ``sigma`` may be 0 where the data have a density.
        """

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Return ``n`` independent samples ``(n, d)`` of the data distribution."""

    @abstractmethod
    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return the mean ``(d,)`` and covariance ``(d, d)`` of the data distribution, float64."""

    @abstractmethod
    def posterior(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean ``(batch, d)`` and covariance ``(batch, d, d)`` of x0 given ``x``."""

    def posterior_trace(
        self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Return the trace of Cov[x0 | x], in squared data units: ``(batch,)`` float64.

        It equals E[|x0 - d|² | x] with d = E[x0 | x]. A model without a formula of its own takes
        the trace of :meth:`posterior`, and raises a ValueError if ``labels`` are given.
        """
        if labels is not None:
            raise ValueError(
                f"model {self.name} knows its posterior covariance without labels only; leave them out"
            )
        return self.posterior(x, sigma)[1].diagonal(dim1=1, dim2=2).sum(1)

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None) -> Tensor:
        """Return E[x0 | x] (:meth:`Denoiser.denoise`), computed in float64, in ``x``'s dtype."""
        return self.map_states(self.denoise_rows, x, sigma, labels)

    def log_density(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the log-density p_sigma(x) of x0 + sigma z, in nats: ``(batch,)`` float64.

        ``sigma`` may be 0 where the data have a density.
        """
        return self.evaluate_in_chunks(self.log_density_rows, x, sigma, labels)

    def sample(self, n: int, seed: int) -> Tensor:
        """Return ``n`` exact samples of the data, ``(n, *event)`` float64, by ``seed`` >= 0."""
        return self._draw_events(n, np.random.default_rng((seed, 0)))

    def data(self, n: int, seed: int) -> Tensor:
        """Return ``n`` exact samples by ``seed``; the same as :meth:`sample`."""
        return self.sample(n, seed)

    def held_out(self, n: int) -> Tensor:
        """Return ``n`` fixed exact samples ``(n, *event)``, which :meth:`sample` never draws."""
        return self._draw_events(n, np.random.default_rng((0, 1)))

    def held_out_blocks(self, n: int, size: int) -> Iterator[Tensor]:
        """Yield the samples of :meth:`held_out`, up to rounding, in blocks of ``size`` or less."""
        rng = _ContinuingGenerator(np.random.PCG64((0, 1)))
        for start in range(0, n, size):
            yield self._draw_events(min(size, n - start), rng)

    def _draw_events(self, n: int, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(self.draw(n, rng)).reshape(n, *self.event)

    def flow(
        self, x: Tensor, sigma_from: float, sigma_to: float, labels: Tensor | None = None
    ) -> Tensor:
        """Return states like ``x``, carried along the probability flow dx/dsigma = (x - d) / sigma.

        The error is about 10 times ``tolerance``. A sample's result is bit-identical in any batch.

        Args:
            x: ``(batch, *event)``, the states at ``sigma_from``.
            sigma_from: level of ``x``, > 0.
            sigma_to: level of the result, >= 0; above or below ``sigma_from``.
            labels: ``(batch,)`` int64 class labels, or None.

        Raises:
            ArithmeticError: an integration does not converge, such as from infinite states.
        """
        if sigma_to == 0:
            near = 1e-3 * self.scale
            return self.flow_to_zero(self.flow(x, sigma_from, near, labels), near, labels)
        levels = sigma_from, sigma_to
        return flow_states(self._denoise_in_flow, x, labels, *levels, self.scale, self.tolerance)

    def flow_to_zero(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        """Return the end, at level 0, of the flow from states ``x`` at a small level ``sigma``.

        A smooth density has x(sigma) = x(0) + c sigma^2 + O(sigma^4). So d = x - sigma dx/dsigma is
        x(0) - c sigma^2 + O(sigma^4), and (x + d) / 2 is x(0) + O(sigma^4). On a Gaussian the
        relative error is (sigma / scale)^4 / 8.
        """
        return (x + self._denoise_in_flow(x, sigma, labels)) / 2

    def with_observer(self, observer: Callable[[int], object]) -> Self:
        """Return a copy whose :meth:`flow` calls ``observer(n)`` at each evaluation of n rows.

        The sum of n is the cost of exact endpoints. A flow in closed form makes no evaluation.
        """
        twin = copy.copy(self)
        twin._observer = observer
        for key, value in vars(self).items():
            if isinstance(value, ExactModel):
                setattr(twin, key, value.with_observer(observer))
        return twin

    def _denoise_in_flow(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return ``denoise(x, sigma, labels)``; call the observer, if any, with ``len(x)``."""
        if self._observer is not None:
            self._observer(len(x))
        return self.denoise(x, sigma, labels)

    def endpoint(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the end of :meth:`flow` from ``sigma_max`` to 0; see :meth:`Denoiser.endpoint`."""
        return self.flow(x, self.sigma_max, 0.0, labels)

    def reference(self) -> Reference | None:
        """Return ``make_reference``'s reference, else one of exact moments and held-out samples."""
        if self.make_reference and (made := self.make_reference()):
            return made
        features = Identity(self.event)
        return Reference(
            features,
            None,
            self.identity,
            lambda: Statistics(
                *self.moments(),
                lambda n: features(self.held_out(n)),
                held_out_blocks=lambda n, size: map(features, self.held_out_blocks(n, size)),
            ),
        )

    def to(self, device: torch.device | str) -> Self:
        """Return a copy of this model with its tensors, and models inside it, on ``device``."""
        return copy_on_device(self, device)

    def map_states(
        self, rows: Rows, x: Tensor, sigma: float | Tensor, labels: Tensor | None
    ) -> Tensor:
        """Return :meth:`evaluate_in_chunks` of these arguments, in the shape and dtype of ``x``."""
        return self.evaluate_in_chunks(rows, x, sigma, labels).reshape(x.shape).to(x.dtype)

    @cached_property
    def _count_of_numbers(self) -> int:
        """Count of numbers in the tensors of the model and of the models inside it."""
        held = vars(self).values()
        return sum(value.numel() for value in held if isinstance(value, Tensor)) + sum(
            value._count_of_numbers for value in held if isinstance(value, ExactModel)
        )

    @property
    def chunk(self) -> int:
        """Number of rows in every evaluation: :data:`CHUNK`, or twice as many for a tiny model."""
        tiny = CHUNK * self.dim + self._count_of_numbers < TINY
        return 2 * CHUNK if tiny else CHUNK

    def evaluate_in_chunks(
        self, rows: Rows, x: Tensor, sigma: float | Tensor, labels: Tensor | None
    ) -> Tensor:
        """Return the results of the function ``rows`` for all of ``x``, :attr:`chunk` rows at a time.

        ``rows`` takes float64 states ``(chunk, d)``, levels ``(chunk,)``, and labels or None.
        The last chunk is filled up with copies of its first row, whose results are dropped.

        Raises:
            ValueError: ``x`` has another event shape than the model, or a label is not in [0,
                classes]. Labels are checked only on the CPU, where the check waits for no device.
        """
        n = len(x)
        if tuple(x.shape[1:]) != self.event:
            raise ValueError(
                f"model {self.name} expects samples of shape {self.event}, not {tuple(x.shape[1:])}"
            )
        if (
            labels is not None
            and labels.device.type == "cpu"
            and bool(((labels < 0) | (labels > self.classes)).any())
        ):
            raise ValueError(
                f"model {self.name} has {self.classes} classes; labels must "
                f"lie in [0, {self.classes}], the last for no label"
            )
        flat = x.reshape(n, self.dim).double()
        level = level_per_row(sigma, x)
        parts, size = [], self.chunk
        small = CHUNK * self.dim + self._count_of_numbers < SMALL
        # inference mode saves a seventh of the time of small tensors; what leaves it is a new tensor
        with (
            one_thread() if small else nullcontext(),
            torch.inference_mode(not torch.is_grad_enabled()),
        ):
            for start in range(0, n, size):
                part = slice(start, start + size)
                chunk_labels = None if labels is None else pad_rows(labels[part], size)
                states, levels = pad_rows(flat[part], size), pad_rows(level[part], size)
                parts.append(rows(states, levels, chunk_labels))
        if not parts:
            return rows(flat.new_zeros(size, self.dim), flat.new_ones(size), None)[:0]
        return torch.cat(parts)[:n]


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread in this context: for small tensors, more can be 100 times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def copy_on_device(holder: Holder, device: torch.device | str) -> Holder:
    """Return a copy of ``holder`` whose tensors and exact models are on ``device``."""
    twin = copy.copy(holder)
    for key, value in vars(holder).items():
        if isinstance(value, Tensor | ExactModel):
            setattr(twin, key, value.to(device))
    return twin


def to_numpy(*tensors: Tensor) -> tuple[FloatArray, ...]:
    """Return float64 tensors on any device as arrays."""
    return tuple(tensor.cpu().numpy() for tensor in tensors)


def pad_rows(rows: Tensor, size: int = CHUNK) -> Tensor:
    """Return ``rows``, contiguous, with copies of the first appended up to ``size`` rows."""
    if len(rows) == size:
        return rows.contiguous()
    return torch.cat([rows, rows[:1].expand(size - len(rows), *rows.shape[1:])])


def row_stable_matmul(rows: Tensor, matrix: Tensor) -> Tensor:
    """Return ``rows @ matrix``, in which a row's bits are the same at every position.

    ``rows`` are ``(chunk, k)``, ``matrix`` is ``(k, m)``. The product is computed transposed, so
    each row is one lane of the kernel's vectors. In the plain product, a row's bits depend on the
    alignment of its first element in memory. With 64 rows, they also depend on the kernel's loop
    for remainders; :data:`CHUNK` rows have no remainder.
    """
    return (matrix.T @ rows.T.contiguous()).T.contiguous()


def exact_fingerprint(name: str, version: int, *parameters: Tensor) -> str:
    """Return the identity string of an exact model: name, version and a hash of its parameters."""
    digest = hashlib.sha256()
    for tensor in parameters:
        digest.update(repr(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().double().contiguous().numpy().tobytes())
    return f"{name}-v{version}-{digest.hexdigest()[:16]}"
