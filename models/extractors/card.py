"""``card``, the features that a model's card names, and ``card:32``, their first 32 principal axes for
smaller runs.

Intervals of the Fréchet distance need some 15 samples a feature. The axes are eigenvectors of the reference
set's covariance, widest first, in its standard deviations: in plain coordinates the noise of the few widest
axes drowns errors on the others, and a difference needs some four times as many samples
(docs/decisions/0018-projected-features.md). They are a file of the extractor's card, since a new eigenbasis
differs between machines at close eigenvalues.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ..cards.features import FashionExtractor
from ..reference import Extractor, FloatArray, Reference, Statistics
from . import Samples, extractor


@extractor("card", usage="card[:N]")
def load(count: str, samples: Samples) -> Reference:
    """Return the features of the model's own card, or their first N principal axes.

    Raises:
        ValueError: ``count`` is no number, or the model has no reference, or no axes are known for
            its features.
    """
    own = samples.reference
    if count and not (count.isascii() and count.isdigit() and 0 < int(count) < 10**6):
        what = f"'card:{count}' asks for no number of features"
        raise ValueError(f"{what}; write card:N with a whole number, such as card:32")
    if own is None:
        spec = f"card:{count}" if count else "card"
        what = f"{spec!r} {'reduces' if count else 'is'} the model's own features, and it has none"
        raise ValueError(f"{what}; use another extractor, such as pixels")
    return project(own, int(count)) if count else own


class Projected:
    """Projection of an extractor's features.

    Args:
        inner: gives the features, ``(n, d)``.
        axes: ``(d, k)``, columns of the projection.
        digest: of the axes; part of the identity.
    """

    def __init__(self, inner: Extractor, axes: FloatArray, digest: str) -> None:
        self._inner, self.axes = inner, axes
        self.dim = axes.shape[1]
        self.identity = f"{inner.identity}-axes{self.dim}-{digest}"

    def __call__(self, x: Tensor) -> FloatArray:
        """Return coordinates ``(n, k)`` float64 of samples ``(n, *event)``."""
        return self._inner(x) @ self.axes


def projected(reference: Reference, count: int) -> Reference:
    """Project a reference's moments, held-out and converged features on the first ``count`` axes of its
    features.

    Args:
        reference: of a card.
        count: axes, >= 1; a reference of no more features than that is returned as it is.

    Raises:
        ValueError: no axes are known for its features.
        CardError: the file of the axes does not match the card.
    """
    inner = reference.extractor
    if inner.dim <= count:
        return reference
    if not isinstance(inner, FashionExtractor):
        raise ValueError(
            f"no axes are known for the {inner.dim} features {inner.identity}; use --extractor card"
        )
    axes, digest = inner.axes
    extractor = Projected(inner, axes[:, :count], digest)
    on = extractor.axes

    def statistics() -> Statistics:
        whole = reference.statistics
        converged = None if whole.converged is None else whole.converged @ on
        return Statistics(
            whole.mean @ on, on.T @ whole.cov @ on, lambda n: whole.held_out(n) @ on, converged
        )

    return replace(
        reference,
        extractor=extractor,
        identity=f"{reference.identity}-axes{count}-{digest}",
        make=statistics,
    )


def principal_axes(cov: FloatArray) -> Tensor:
    """Return projections ``(d, d)`` float32 that whiten a covariance, as columns, widest first.

    The largest entry of each is positive.

    Raises:
        ValueError: the covariance is singular.
    """
    variances, vectors = np.linalg.eigh(cov)
    if variances[0] <= 1e-9 * variances[-1]:
        raise ValueError(
            "the features vary in fewer directions than they are: no axes "
            "can be in units of their standard deviation"
        )
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    return torch.from_numpy(
        (vectors * np.sign(largest) / np.sqrt(variances))[:, ::-1].astype(np.float32)
    )
