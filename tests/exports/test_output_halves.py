"""Code in lines for diffusers that takes the prediction from a network's output."""

from types import SimpleNamespace

import pytest
import torch

from samplerbench.benchmarks.advice.exports.diffusers import _output_code


@pytest.mark.parametrize(
    ("half", "kept"), [("first", [0, 1]), ("second", [2, 3]), (None, range(4))]
)
def test_output_code__keeps_the_half_that_is_the_prediction(half, kept):
    code = _output_code(SimpleNamespace(model=SimpleNamespace(half=half)))
    given = {"sample": torch.zeros(1, 2), "model_output": torch.arange(4)[None]}
    assert eval(code, {**given})[0].tolist() == [*kept]
    # a pipeline may have cut it already
    given["model_output"] = torch.arange(2)[None]
    assert eval(code, {**given})[0].tolist() == [0, 1]
