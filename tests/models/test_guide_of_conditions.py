"""The example with prompts in docs/how-to/adding-a-model.md, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from samplerbench.models import make_model

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "adding-a-model.md"


@pytest.fixture
def example(tmp_path):
    """The file of the guide, with embeddings beside it."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (block,) = (b for b in blocks if "def by_prompt" in b)
    (tmp_path / "my_model.py").write_text(f"import torch\n{block}")
    rows = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    tables = {"prompt_embeds": rows, "negative_prompt_embeds": torch.zeros(1, 5)}
    save_file(tables, tmp_path / "mine.safetensors")
    return tmp_path


def test_it_is_told_by_number_and_guided(example):
    torch.manual_seed(0)
    spec, prompts = f"{example}/my_model.py:by_prompt", str(example / "mine.safetensors")
    torch.save(make_model(spec, prompts=prompts).inner.network.state_dict(), example / "w.pt")
    options = {"prompts": prompts, "weights": str(example / "w.pt")}
    model, guided = make_model(spec, **options), make_model(spec, **options, guidance=2)
    x, ids = torch.randn(4, 2), torch.tensor([0, 1, 3, 2])
    d = model.bind(ids, 0)(x, 1.0)
    assert (model.conditions, model.null_label, guided.passes) == (3, True, 2)
    alone = model.bind(torch.tensor([6]), 0)(x[2:3], 1.0)  # prompt 0 again
    torch.testing.assert_close(alone[0], d[2])
    free = model.denoise(x, 1.0, None)
    torch.testing.assert_close(guided.bind(ids, 0)(x, 1.0), free + 2 * (d - free))
    before = model.identity
    save_file({"prompt_embeds": torch.ones(3, 5)}, example / "mine.safetensors")
    assert make_model(spec, **options).identity != before
