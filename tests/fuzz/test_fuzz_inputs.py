"""Random specs, suites, cards and folders of images: 1,200 of them.

Each is read, or refused in a sentence.
"""

import io
import json
import tomllib

import numpy as np
import pytest
from arena import SCALARS, TREES, UNICODE, Arena, a_sentence, fuzz, warned, watchdog
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samplerbench import samplers
from samplerbench.benchmarks.cli.usage import _print_refusal
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.scoring.real_data import load_real_data
from samplerbench.benchmarks.suites.files import built_in_suite_files, load_suite, refuse_untrusted
from samplerbench.benchmarks.suites.suite import Suite
from samplerbench.models import load_card, make_model
from samplerbench.models.cards.card import CARDS
from samplerbench.samplers.spec import format_spec, parse_spec
from samplerbench_studies.training.cards import _toml

SPECS = {"parse": 240, "sampler": 200, "schedule": 160, "model": 100}
SUITES, CARDS_READ, IMAGES = 250, 200, 50

NAMES = st.sampled_from(
    [
        "ddim",
        "euler",
        "karras",
        "uniform_time",
        "gaussian",
        "gmm-2d",
        "perturbed:gmm-2d",
        "torchdiffeq_dopri5",
        "x",
    ]
)
KEYS = st.sampled_from(
    [
        "eta",
        "rho",
        "process",
        "power",
        "guidance",
        "rtol",
        "name",
        "x",
        "model",
        "dim",
        "s_churn",
        "é",
    ]
)
WORDS = st.sampled_from(
    [
        "0.5",
        "1e999",
        "-1",
        "'a'",
        "None",
        "True",
        "[1, 2]",
        "{'a': 1}",
        "1" * 5000,
        "(" * 400 + ")" * 400,
        "-" * 4000 + "1",
        "1j",
        "b'x'",
        "...",
        "nan",
        "x",
        "f()",
        "{1}",
        "lambda: 0",
        "'\\x1b[31m'",
        "'",
        "1_0",
        "'vp_cosine'",
        "0x10",
        "9" * 19,
        "*a",
        "**a",
        "a:=1",
        "1 if 1 else 0",
    ]
)
PIECES = st.sampled_from(
    [*"()[]{}=,:'\" \n\t\\#", "ddim", "eta", "0.5", "karras", "rho", " " * 3000, "\x1b", "é", "\0"]
)


def specs():
    """Texts near and far from specs, and tables."""
    options = st.lists(st.tuples(KEYS, WORDS), max_size=3).map(
        lambda found: ", ".join(f"{key}={word}" for key, word in found)
    )
    near = st.builds("{}({})".format, NAMES, options)
    tables = st.builds(
        lambda name, more: {"name": name, **more},
        NAMES | SCALARS,
        st.dictionaries(KEYS, TREES, max_size=2),
    )
    return st.one_of(
        near,
        near,
        tables,
        st.lists(PIECES, max_size=12).map("".join),
        st.text(UNICODE, max_size=30),
    )


def refused(read, *given):
    """Read; whatever it refuses, the command line says in one sentence.

    Returns what was read, or None.
    """
    try:
        with watchdog():
            return read(*given)
    except (ValueError, OSError) as error:
        told = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stderr", told)
            _print_refusal(str(error))
        a_sentence(told.getvalue())
        return None


def named(read):
    return lambda spec: read((given := parse_spec(spec)).pop("name"), **given)


READERS = {
    "parse": parse_spec,
    "sampler": samplers.make,
    "schedule": make_schedule,
    "model": named(make_model),
}


@pytest.mark.parametrize("kind", SPECS)
def test_any_spec_is_read_or_refused_in_a_sentence(kind):
    @fuzz(SPECS[kind])
    @given(specs())
    def case(spec):
        found = refused(READERS[kind], spec)
        if kind == "parse" and isinstance(spec, str) and found is not None:
            assert parse_spec(format_spec(found)) == found

    case()


def trees_near(tables):
    """A table of ``tables`` with some values replaced, taken away or added, anywhere in it."""

    @st.composite
    def mutated(draw):
        table = json.loads(json.dumps(draw(st.sampled_from(tables))))
        for _ in range(draw(st.integers(1, 3))):
            place = table
            while isinstance(place, dict) and place:
                key = draw(st.sampled_from(sorted(place)))
                if isinstance(place[key], dict) and draw(st.booleans()):
                    place = place[key]
                    continue
                action = draw(st.sampled_from(["replace", "replace", "delete", "add", "list"]))
                if action == "delete":
                    del place[key]
                elif action == "list":
                    place[key] = [place[key], draw(SCALARS)]
                else:
                    place[draw(st.text(UNICODE, max_size=6)) if action == "add" else key] = draw(
                        TREES
                    )
                break
        return table

    return mutated()


def as_toml(value):
    """A value in TOML, with inline tables; what TOML has no words for is written all the same."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)} = {as_toml(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return (
        json.dumps(value, ensure_ascii=False).replace("NaN", "nan").replace("Infinity", "inf")
        if value is not None
        else "null"
    )


def toml(tree):
    """The bytes of a file with a table, or with any text."""
    text = (
        tree
        if isinstance(tree, str)
        else "".join(f"{json.dumps(key)} = {as_toml(value)}\n" for key, value in tree.items())
    )
    return text.encode(errors="surrogatepass")


SHIPPED = [
    tomllib.loads(path.read_text(encoding="utf-8")) for path in built_in_suite_files().values()
]


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    with warned():
        yield Arena.at(tmp_path_factory.mktemp("inputs"))


@fuzz(SUITES)
@given(
    trees_near(SHIPPED)
    | st.dictionaries(st.sampled_from([*Suite.model_fields, "x"]), TREES, max_size=5)
    | st.text(UNICODE, max_size=40)
)
def test_any_suite_is_read_or_refused_in_a_sentence(arena, tree):
    path = arena.fresh() / "suite.toml"
    path.write_bytes(toml(tree))
    suite = refused(load_suite, str(path))
    if suite is not None:
        refused(refuse_untrusted, suite, str(path), ())
        for make, specs_of in (
            (samplers.make, suite.samplers),
            (make_schedule, suite.schedules or ()),
        ):
            for spec in specs_of[:6]:
                refused(lambda make=make, spec=spec: make(parse_spec(spec)))
    arena.unharmed()


SHIPPED_CARDS = {
    path.parent.name: tomllib.loads(path.read_text(encoding="utf-8"))
    for path in sorted(CARDS.glob("*/card.toml"))
}


@fuzz(CARDS_READ)
@given(trees_near(list(SHIPPED_CARDS.values())) | st.text(UNICODE, max_size=40))
def test_any_card_is_read_or_refused_in_a_sentence(arena, tree):
    folder = arena.fresh() / "toy"
    folder.mkdir()
    if isinstance(tree, dict) and tree.get("name") in list(SHIPPED_CARDS):
        tree["name"] = folder.name
    (folder / "card.toml").write_bytes(toml(tree))
    card = refused(load_card, "toy", folder.parent)
    if card is not None:
        refused(card.tensors)
        refused(_toml, {**vars(card), "files": {}, "folder": None})
    arena.unharmed()


def images():
    """Files of a folder: images of several kinds, whole or damaged, and anything."""

    def image(size, mode, suffix, cut):
        buffer = io.BytesIO()
        Image.fromarray(np.zeros((size, 8), np.uint8)).convert(mode).save(
            buffer, {"jpg": "JPEG"}.get(suffix, suffix.upper())
        )
        data = buffer.getvalue()
        return data[: len(data) - cut]

    kinds = ([8, 8, 8, 9, 1], ["L", "RGB", "1"], ["png", "jpg", "bmp"], [0, 0, 0, 1, 20])
    made = st.builds(image, *map(st.sampled_from, kinds))
    names = st.sampled_from(
        [f"{n}.png" for n in range(12)]
        + ["a.jpg", "deep/er/b.bmp", "é.webp", "x\ny.png", ".png", "notes.txt"]
    )
    return st.dictionaries(names, made | st.binary(max_size=60), max_size=14)


@pytest.fixture(scope="module")
def digits():
    return make_model("digits")


@fuzz(IMAGES)
@given(images(), st.booleans())
def test_any_folder_of_images_is_read_or_refused_in_a_sentence(arena, digits, files, linked):
    folder = arena.fresh() / "images"
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    if linked:
        folder.mkdir(exist_ok=True)
        (folder / "loop").symlink_to(folder)
        (folder / "away.png").symlink_to(arena.outside / "precious.txt")
    found = refused(load_real_data, digits, str(folder))
    assert found is None or found.reference.shape[1:] == (1, 8, 8)
    arena.unharmed()


def test_there_are_1200_inputs():
    assert sum(SPECS.values()) + SUITES + CARDS_READ + IMAGES == 1200
