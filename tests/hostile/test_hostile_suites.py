"""A suite and a card from somebody who means harm."""

import re

import pytest
from arena import watchdog
from looping import each

from samplerbench.benchmarks.suites.files import load_suite, refuse_untrusted
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models.cards.card import CardError, load_card

SUITE = 'models = ["gmm-2d"]\nsamplers = ["euler"]\nnfe = [5]\n'


def written(tmp_path, text):
    """A suite's file."""
    (tmp_path / "s.toml").write_text(text)
    return str(tmp_path / "s.toml")


@each(
    "change",
    [
        {"models": ["checkpoint:/etc/passwd"]},
        {"models": ["checkpoint:../../up.pt?schedule=linear"]},
        {"models": ["checkpoint:in.pt?decoder.folder=/etc"]},
        {"models": ["checkpoint:in.pt?embeddings=%2e%2e%2fup.safetensors"]},
        {"models": ["checkpoint:~/.ssh/id_rsa"]},
        {"models": [{"name": {"name": "perturbed", "model": "checkpoint:/x.pt"}}]},
        {"schedules": ["tuned(file='/etc/grids.json')"]},
        {"extractor": "inception:/etc/weights.pth"},
        {"extractor": "pixels", "reference": "../others"},
    ],
    ids=str,
)
def test_suite__files_outside_a_suites_folder_are_refused_unless_it_is_trusted(tmp_path, change):
    base = {"name": "s", "models": ["gmm-2d"], "samplers": ["euler"], "nfe": [5]}
    suite = check_suite(base | change, "s")
    with pytest.raises(ValueError, match=r"outside its folder; .*--trust-suite"):
        refuse_untrusted(suite, str(tmp_path / "s.toml"))
    refuse_untrusted(suite, str(tmp_path / "s.toml"), {*change})  # the command line replaces it


@each(
    "setting",
    ["guide=code.py&guidance=2", "guide=code%2Epy%3Amake", "guide=in.pt%3Fguide%3Dcode.py%26x%3D1"],
)
def test_suite__python_files_in_settings_of_a_checkpoint_are_refused(tmp_path, setting):
    base = {
        "name": "s",
        "models": [f"checkpoint:in.pt?{setting}"],
        "samplers": ["euler"],
        "nfe": [5],
    }
    with pytest.raises(ValueError, match=r"names the Python file .*--trust-suite"):
        refuse_untrusted(check_suite(base, "s"), str(tmp_path / "s.toml"))


def test_files_in_a_suites_folder_are_not(tmp_path):
    path = written(
        tmp_path,
        'models = ["checkpoint:in/a.pt"]\nsamplers = ["euler"]\nnfe = [5]\n'
        'extractor = "inception:w.pth"\n',
    )
    refuse_untrusted(load_suite(path), path)
    refuse_untrusted(load_suite("edm-cifar10"), "edm-cifar10")


def test_the_command_line_refuses_and_says_the_remedy(arena):
    home = arena.fresh()
    (home / "s.toml").write_text(SUITE.replace("gmm-2d", "checkpoint:/etc/passwd"))
    code, _, err = arena.command("plan", "s.toml")
    assert (code, "--trust-suite" in err) == (2, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (".".join(["a"] * 50_000) + " = 1", "dots"),
        ("a = 1\n" * 100_000, "bytes"),
        ("a = " + "[" * 5_000, "not valid TOML"),
        ("a = " + "9" * 5_000, "not valid TOML"),
        (SUITE + "samples = 1_000_000_000_000_000", "<= 1,000,000,000"),
        (SUITE.replace("nfe = [5]", "steps = [1_000_000_000_000]"), "<= 1,000,000"),
    ],
    ids=["key", "long", "deep", "digits", "samples", "steps"],
)
def test_a_bomb_is_one_sentence(tmp_path, text, words):
    with watchdog(20), pytest.raises(ValueError, match=re.escape(words)):
        load_suite(written(tmp_path, text))


def card(folder, file="weights.safetensors", more=""):
    """A card's folder."""
    (folder / "c").mkdir()
    (folder / "c" / "card.toml").write_text(
        f'name = "c"\ntitle = "t"\nlicence = "MIT"\nevent = [2]\n{more}\n'
        f'[files."{file}"]\nsha256 = "{"0" * 64}"\nbytes = 4\n'
    )
    return load_card("c", folder)


@pytest.mark.parametrize("file", ["../up.safetensors", "/etc/passwd", "a/b", "..", "a\\\\u0000b"])
def test_a_card_names_no_file_out_of_its_folder(tmp_path, file):
    with pytest.raises(CardError, match=r"must be a name of letters"):
        card(tmp_path, file)


def test_weights_of_another_hash_are_not_read(tmp_path):
    found = card(tmp_path)
    (tmp_path / "c" / "weights.safetensors").write_bytes(b"evil")
    with pytest.raises(CardError, match="does not match its card"):
        found.tensors()


def test_a_card_of_huge_shapes_is_one_sentence(tmp_path):
    with pytest.raises(CardError, match="channels is"):
        card(tmp_path, more=f"[architecture.net]\nchannels = [{2**60}]")
