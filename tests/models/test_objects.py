"""Models of objects that a script or notebook made."""

from __future__ import annotations

import pickle

import torch

from samplerbench.models.objects import _bytes_of, digest_of_object


class Ensemble:
    def __init__(self, shift: float = 0.0) -> None:
        self.means = [torch.ones(2) + shift, {"second": torch.zeros(3)}]


def test_digest_of_object__tensors_in_containers_count_by_their_numbers():
    first, same, other = (digest_of_object(Ensemble(shift)) for shift in (0.0, 0.0, 1.0))
    assert first == same != other
    plain = {"a": [1, 2.5, None], "b": (torch.float32, "text")}
    assert _bytes_of(plain) == pickle.dumps(plain)  # digests of earlier runs stay
