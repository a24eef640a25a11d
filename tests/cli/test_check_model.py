"""``check-model`` takes whatever ``run`` takes."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from samplerbench.benchmarks import checking
from samplerbench.benchmarks.advice.request import make_request
from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.cli.common.console import WarningHandler
from samplerbench.benchmarks.conformance.models import ModelCheck
from samplerbench.benchmarks.conformance.models.fit import Check
from samplerbench.models import make_model
from samplerbench.models.nets.adm_unet import ADMUNet

FILE = """
import torch

class Model:
    event, sigma_min, sigma_max = (4,), 0.01, 20.0

    def __init__(self, sign):
        self.sign = sign

    def __call__(self, x, sigma):
        s = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1)
        return self.sign * x / (1 + 4 * s**2)

def data(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return 0.5 * torch.randn(n, 4, generator=generator)

def factory(sign=1, known=True):
    model = Model(sign)
    if known:
        model.sample = data
    return model
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "mine.py"
    path.write_text(FILE)
    return path


def checked(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["check-model", *words, "--samples", "48"])
    said = f" {found.exception}" if isinstance(found.exception, ValueError) else ""
    return found.exit_code, found.stdout + said


def test_check_model__a_python_file_with_data_of_its_own_passes(file):
    code, said = checked(f"{file}:factory")
    assert code == 0, said
    assert "48 samples of its own data" in said
    assert "Verdict: passed." in said


def test_check_model__options_go_to_the_factory_and_the_cause_is_named(file):
    code, said = checked(f"{file}:factory(sign=-1)")
    assert code == 1
    assert "FAILED  usual mistakes: the map is wrong: with the opposite sign" in said


def test_check_model__without_data_it_is_not_decided_with_the_remedy(file, tmp_path):
    code, said = checked(f"{file}:factory(known=False)", "--json")
    assert code == 3
    found = json.loads(said)
    assert (found["verdict"], found["passed"], found["specification"]) == (
        "not decided",
        False,
        None,
    )
    assert "give --images" in next(c["detail"] for c in found["checks"] if c["name"] == "data")
    np.save(tmp_path / "x.npy", 0.5 * np.random.default_rng(0).standard_normal((64, 4)))
    assert checked(f"{file}:factory(known=False)", "--images", str(tmp_path / "x.npy"))[0] == 0


def test_check_model__a_model_that_passed_is_not_said_to_be_unchecked(file, tmp_path, caplog):
    """The very same model: not one of other options, and none of which the file was changed."""
    np.save(tmp_path / "x.npy", 0.5 * np.random.default_rng(0).standard_normal((64, 4)))
    mine = file.with_name("passing.py")
    mine.write_text(file.read_text())

    def warnings(spec):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "samplerbench"):
            make_request(spec, "cpu", 0, "card", ("euler",))
        return [r.getMessage() for r in caplog.records if "nothing compared" in r.getMessage()]

    spec = f"{mine}:factory(known=False)"
    assert warnings(spec)
    assert checked(spec, "--images", str(tmp_path / "x.npy"))[0] == 0
    assert not warnings(spec)
    assert warnings(f"{mine}:factory(known=False, sign=-1)")
    mine.write_text(file.read_text() + "# changed\n")
    assert warnings(spec)


def test_check_model__shipped_names_are_taken():
    code, said = checked("gmm-2d")
    assert code == 0, said
    code, said = checked("digits(guidance=2)")
    assert code == 3
    assert "under guidance" in said


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nosuch", "there is no model 'nosuch'"),
        ("weights/nosuch.pt", "there is no file or folder weights/nosuch.pt; give the path"),
        ("nosuch.onnx?training=flow", "there is no file or folder nosuch.onnx; give the path"),
        ("nosuch.py:factory", "there is no file nosuch.py"),
        ("gmm-2d(guidance=2)", "has no classes, so it cannot be guided"),
    ],
)
def test_check_model__what_is_not_there_is_one_sentence(model, said):
    code, output = checked(model)
    assert code == 1  # of the runner, which gets the ValueError that the command line says
    assert said in output


BY_HAND = """
class ByHand:
    event = (2,)
    sigma_min, sigma_max = 0.01, 157.0

    def __call__(self, x, sigma):
        levels = torch.from_numpy(np.sqrt(1 / alphas_cumprod - 1))
        s = torch.as_tensor(sigma, dtype=torch.float64).expand(len(x))
        n = (levels.log() - s.log()[:, None]).abs().argmin(1)
        s = s.to(x).reshape(-1, *[1] * (x.ndim - 1))
        return x - s * ddpm_network(x / (1 + s**2).sqrt(), n)
"""
"""The formula that the guide has beside the adapter, as code."""


def test_check_model__networks_of_the_guide_pass_and_wrong_steps_of_them_do_not(tmp_path):
    """The page's network of noise, by the adapter and by hand, on the data that it is exact for."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "adding-a-model.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    file = tmp_path / "guide.py"
    file.write_text("\n".join([*blocks[:2], BY_HAND, "by_hand = ByHand\n"]))
    np.save(tmp_path / "x.npy", 0.5 * np.random.default_rng(0).standard_normal((64, 2)))
    for factory in ("ddpm", "by_hand"):
        code, said = checked(f"{file}:{factory}", "--images", str(tmp_path / "x.npy"))
        assert code == 0, said
    file.write_text(file.read_text().replace("x - s * ddpm", "x + s * ddpm"))
    code, said = checked(f"{file}:by_hand", "--images", str(tmp_path / "x.npy"))
    assert code == 1
    assert "the map is wrong: with the opposite sign of the noise" in said


def untrained() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return ADMUNet(
        in_channels=1,
        out_channels=1,
        embedding=8,
        stem=32,
        widths=(32,),
        blocks=1,
        attention=(),
        heads=1,
    ).state_dict()


def test_check_model__each_answer_that_is_left_is_a_command_to_type(monkeypatch):
    alike = tuple({"training": "straight", "attention": heads} for heads in ("1-head", "4-heads"))
    undecided = ModelCheck(None, {}, (Check("open questions", None, ""),), None, 96, alike=alike)
    monkeypatch.setattr(checking, "check_model", lambda *_, **__: undecided)
    code, said = checked("my model.pt?size=8", "--images", "images/")
    assert code == 3
    assert "Verdict: not decided: attention." in said
    for answers in ("training=straight&attention=1-head", "training=straight&attention=4-heads"):
        line = f"samplerbench check-model 'my model.pt?size=8&{answers}' --images images/\n"
        assert line in said


@pytest.mark.slow
def test_check_model__labels_that_the_network_does_not_take_are_named(tmp_path):
    file, images = tmp_path / "net.pt", tmp_path / "images.npz"

    def stop(note: str) -> None:  # before the check, which comes below
        raise RuntimeError(note)

    torch.save({"net_model": untrained()}, file)
    np.savez(images, x=np.random.default_rng(0).uniform(-1, 1, (16, 1, 8, 8)), y=np.arange(16))
    settings = "training=straight&size=8&attention=1-head"
    said = "The labels of the images are not used, since the network takes no classes."
    with pytest.raises(RuntimeError, match=said):
        checking.check_model(f"{file}?{settings}", images=images, progress=stop)
    said = checked(f"{file}?{settings}", "--images", str(images))[1]
    assert re.search(r"factor +-1.0 +training=straight", said)


def test_load_model__an_open_question_is_refused_with_the_path_to_type(tmp_path):
    file = tmp_path / "my net.pt"
    torch.save({"net_model": untrained()}, file)
    with pytest.raises(ValueError, match="does not say everything: attention=") as refused:
        make_model(f"checkpoint:{file}?training=circle")
    assert f"as in '{file}?training=circle&attention=1-head&size=4', or" in str(refused.value)


@pytest.mark.slow
def test_check_model__fields_that_an_answer_decides_are_open_and_answers_are_explained(tmp_path):
    file = tmp_path / "net.pt"
    torch.save({"net_model": untrained()}, file)
    said = checked(f"{file}?size=8&attention=1-head")[1]
    assert re.search(r"factor +see training +open", said)
    assert "training for torchcfm: straight (icfm, otcfm, fm) or circle (si)" in said
    assert "How to answer" not in checked(f"{file}?size=8&attention=1-head&training=circle")[1]


@pytest.mark.slow
def test_check_model__the_set_of_weights_that_a_user_names_is_no_choice(tmp_path):
    file, said = tmp_path / "two.pt", "is taken; weights.entry=model takes the other"
    weights = untrained()
    torch.save({"model": weights, "ema": dict(weights)}, file)
    settings = "schedule=linear&size=8&attention=1-head"
    assert said in checked(f"{file}?{settings}")[1]
    assert said not in checked(f"{file}?{settings}&weights.entry=model")[1]


def test_warnings__notes_and_warnings_are_said_once(capsys):
    handler = WarningHandler()
    for level in (logging.INFO, logging.WARNING, logging.WARNING):
        handler.handle(logging.makeLogRecord({"msg": f"a {level}", "levelno": level}))
    assert capsys.readouterr().err == "note: a 20\nwarning: a 30\n"
