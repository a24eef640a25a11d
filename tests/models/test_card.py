import copy
import tomllib
from dataclasses import replace

import pytest
import torch
from looping import each

from samplerbench.models import CardError, load_card
from samplerbench.models.cards.card import CARDS, WEIGHTS, Card, card_names
from samplerbench_studies import CARDS as STUDY_CARDS
from samplerbench_studies.training.cards import _toml, write_card, write_tensors


@pytest.fixture
def card(tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    write_tensors(folder / WEIGHTS, {"w": torch.arange(600.0).reshape(20, 30).T})
    return write_card(
        Card(
            name="toy",
            title='a "toy" with a Fréchet distance',
            licence="MIT",
            event=(1, 4, 4),
            data={"name": "none", "range": [-1.0, 1.0], "class_counts": [3, 4]},
            architecture={"class": "Linear", "net": {"channels": (8, 16), "deep": {"bias": True}}},
            training={"lr": 1e-5, "steps": 7},
            sigma_min=0.002,
            sigma_max=80.0,
            folder=folder,
        )
    )


def test_what_is_written_is_read(card):
    again = load_card("toy", card.folder.parent)
    assert again == card
    assert again.title == 'a "toy" with a Fréchet distance'
    assert again.event == (1, 4, 4)
    assert again.architecture["net"] == {"channels": [8, 16], "deep": {"bias": True}}
    assert again.training == {"lr": 1e-5, "steps": 7}
    assert torch.equal(again.tensors()["w"], torch.arange(600.0).reshape(20, 30).T)


@pytest.mark.parametrize("position", [0, 100, -1])
def test_one_changed_byte_is_named(card, position):
    path = card.folder / WEIGHTS
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        CardError,
        match=r"^toy: weights.safetensors does not match its "
        r"card \(sha256 .*\); .*restore the file$",
    ):
        card.tensors()


def test_a_truncated_file_is_named(card):
    path = card.folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(
        CardError, match=r"^toy: weights.safetensors has \d+ bytes, not " r"the \d+ of its card"
    ):
        card.tensors()


def test_a_missing_file_is_named(card):
    (card.folder / WEIGHTS).unlink()
    with pytest.raises(CardError, match=r"^toy: weights.safetensors is missing"):
        card.tensors()


def test_a_file_that_the_card_does_not_know(card):
    with pytest.raises(
        CardError,
        match=r"toy: the card has no file other.safetensors; it " r"has weights.safetensors",
    ):
        card.tensors("other.safetensors")


def test_a_file_that_is_no_safetensors_file(card):
    (card.folder / WEIGHTS).write_bytes(b"not safetensors")
    with pytest.raises(CardError, match=r"toy: weights.safetensors is not a safetensors file"):
        write_card(card).tensors()


@pytest.mark.parametrize("text", ["name = ", 'name = "toy"', '[files]\n"a" = 3', "\udc80"])
def test_a_damaged_card_is_named(card, text):
    (card.folder / "card.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CardError, match=r"^toy: card.toml cannot be read"):
        load_card("toy", card.folder.parent)


def test_an_unknown_card_lists_those_there_are(card):
    with pytest.raises(CardError, match=r"no card 'toi' in .*; the cards are: toy$"):
        load_card("toi", card.folder.parent)


def test_identity_follows_the_weights(card):
    write_tensors(card.folder / WEIGHTS, {"w": torch.zeros(1)})
    other = write_card(replace(card, title="other"))
    assert other.identity.startswith("toy-")
    assert other.identity != card.identity


@each(
    ("root", "name"), [(root, name) for root in (CARDS, STUDY_CARDS) for name in card_names(root)]
)
def test_card__shipped_files_match_their_card(root, name):
    card = load_card(name, root)
    assert card.name == name
    assert {path.name for path in card.folder.iterdir()} == {*card.files, "card.toml"}
    for file in card.files:
        assert card.tensors(file)


def test_shipped_cards_fit_the_package():
    assert sum(path.stat().st_size for path in CARDS.rglob("*")) < 34e6


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("event = [1, 4, 4]", "event = [1, -4, 4]", "event is"),
        ("event = [1, 4, 4]", "event = []", "event is"),
        ("event = [1, 4, 4]", 'event = "144"', "event is"),
        (
            "sigma_min = 0.002",
            "sigma_min = 100.0",
            "sigma_min 100.0 and sigma_max 80.0 must satisfy",
        ),
        ("sigma_min = 0.002", "sigma_min = -0.002", "sigma_min is"),
        ("sigma_max = 80.0", "sigma_max = nan", "sigma_max is"),
        ("sigma_max = 80.0", "sigma_max = inf", "sigma_max is"),
        ("sigma_max = 80.0", 'sigma_max = "80"', "sigma_max is"),
        ("range = [-1.0, 1.0]", "range = [1.0, -1.0]", "data.range is"),
        ("range = [-1.0, 1.0]", "range = [-1.0]", "data.range is"),
        ("class_counts = [3, 4]", "class_counts = [3, -4]", "data.class_counts is"),
        ("class_counts = [3, 4]", "class_counts = 3", "data.class_counts is"),
        ("channels = [8, 16]", "channels = [8, true]", "architecture.net.channels is"),
        ("lr = 1e-05", "lr = nan", "training.lr is"),
        ("steps = 7", "steps = -7", "training.steps is"),
        ('name = "toy"', 'name = "toe"', "the folder is 'toy'"),
        ('name = "toy"', 'name = "../toy"', "name is"),
        ('licence = "MIT"', "licence = 3", "licence is"),
        ('licence = "MIT"', "", "licence is missing"),
        ('sha256 = "', 'sha256 = "x', "sha256 of weights.safetensors is"),
        ("bytes = ", "bytes = -", "bytes of weights.safetensors is"),
        (
            '[files."weights.safetensors"]',
            '[files."../weights.safetensors"]',
            "files: '../weights.safetensors' must be a name",
        ),
        ('licence = "MIT"', 'licence = "MIT"\nextractor = "../other"', "extractor is"),
        ('licence = "MIT"', 'licence = "MIT"\nlicense = "MIT"', "license"),
    ],
    ids=lambda value: value[:30],
)
def test_a_value_that_cannot_be_is_named(card, old, new, what):
    path = card.folder / "card.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(CardError, match=r"^toy: card\.toml cannot be read \(") as error:
        load_card("toy", card.folder.parent)
    assert what in str(error.value)
    assert "\n" not in str(error.value)


MUTATIONS = {
    int: (-1, 0, 2**70, "x", None),
    float: (float("nan"), float("inf"), -1e9, "x", True),
    str: ("", "a\nb", 3, []),
}


@pytest.mark.slow
@each("name", card_names())
def test_card__mutated_cards_that_ship_do_not_load(tmp_path, name):
    """Values that no card can have, in every place that has a rule: what a model is made of."""
    text = (CARDS / name / "card.toml").read_text()
    table = tomllib.loads(text)
    folder = tmp_path / name
    folder.mkdir()
    loaded = tried = 0
    for path, value in _leaves(table):
        for other in MUTATIONS[type(value)]:
            if other is None or type(other) is type(value) is str:
                continue
            changed = copy.deepcopy(table)
            _put(changed, path, other)
            (folder / "card.toml").unlink(missing_ok=True)  # to empty it waits for the disk
            (folder / "card.toml").write_text(_toml(changed))
            tried += 1
            try:
                load_card(name, tmp_path)
            except CardError:
                continue
            assert path[0] == "training" or path[-1] in ("set", "split"), (path, other)
            loaded += 1
    assert tried > 40
    assert loaded < 0.4 * tried


def _leaves(value, path=()):
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def _put(table, path, value):
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value
