"""``card``, the features that a model's card names, and ``card:32``, their first 32 principal axes.

``card:32`` is for runs of hundreds of samples, since intervals of the Fréchet distance need about
15 samples per feature. The axes are computed on the reference set, widest first, each scaled to
standard deviation 1 in that set. Without this scaling, the noise of the widest axes hides errors on
the narrower ones. Finding a difference then takes about four times as many samples
(docs/decisions/0018-projected-features.md). The axes are a file of the extractor's card, since
eigenvectors of close eigenvalues differ between machines.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ..cards.reference import FashionExtractor
from ..reference import Extractor, FloatArray, Reference, Statistics
from . import Samples, extractor


@extractor("card", usage="card[:N]")
def load(count: str, samples: Samples) -> Reference:
    """Return the model's own reference, on its first ``count`` principal axes unless it is ""."""
    own = samples.reference
    if count and not (count.isascii() and count.isdigit() and 0 < int(count) < 10**6):
        what = f"'card:{count}' asks for no number of features"
        raise ValueError(f"{what}; write card:N with a whole number, such as card:32")
    if own is None:
        spec = f"card:{count}" if count else "card"
        what = f"{spec!r} {'reduces' if count else 'is'} the model's own features, and it has none"
        raise ValueError(f"{what}; use another extractor, such as pixels")
    return project_reference(own, int(count)) if count else own


class ProjectedExtractor:
    """Extractor of ``inner``'s features times ``axes`` ``(d, k)``; ``digest`` hashes their file."""

    def __init__(self, inner: Extractor, axes: FloatArray, digest: str) -> None:
        self._inner, self.axes = inner, axes
        self.dim = axes.shape[1]
        self.identity = f"{inner.identity}-axes{self.dim}-{digest}"

    def __call__(self, x: Tensor) -> FloatArray:
        """Return coordinates ``(n, k)`` float64 of samples ``(n, *event)``."""
        return self._inner(x) @ self.axes


def project_reference(reference: Reference, count: int) -> Reference:
    """Return ``reference`` on its first ``count`` axes; unchanged for ``count`` features or fewer.

    Raises a ValueError if axes are needed and the reference's extractor has none.
    """
    inner = reference.extractor
    if inner.dim <= count:
        return reference
    if not isinstance(inner, FashionExtractor):
        raise ValueError(
            f"no axes are known for the {inner.dim} features {inner.identity}; use --extractor card"
        )
    axes, digest = inner.axes
    leading_axes = axes[:, :count]

    def statistics() -> Statistics:
        whole = reference.statistics
        converged = None if whole.converged is None else whole.converged @ leading_axes
        return Statistics(
            whole.mean @ leading_axes,
            leading_axes.T @ whole.cov @ leading_axes,
            lambda n: whole.held_out(n) @ leading_axes,
            converged,
        )

    identity = f"{reference.identity}-axes{count}-{digest}"
    extractor = ProjectedExtractor(inner, leading_axes, digest)
    return replace(reference, extractor=extractor, identity=identity, make=statistics)
