"""Suites: what they say, what they refuse, and what the command line replaces."""

import pytest
from looping import each

from samplerbench import samplers
from samplerbench.benchmarks.arguments import suite_from_arguments
from samplerbench.benchmarks.metrics import FrechetReference, estimate
from samplerbench.benchmarks.metrics.estimators.expansion import SAMPLES_PER_FEATURE
from samplerbench.benchmarks.planning.planner import load_models
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.suites.files import built_in_suite_files, load_suite
from samplerbench.benchmarks.suites.suite import Timing, check_suite, extractors_of
from samplerbench.results.comparison.times import FEWEST
from samplerbench.results.published.rows import rows_of_model, solvers_of
from samplerbench.samplers.spec import canonical_json

CHECKPOINTS = ["diffusers-ddpm-cifar10", "edm-cifar10", "edm-ffhq64", "edm-imagenet64"]
CHECKPOINTS += ["ldm-imagenet256"]
MINIMAL = {"name": "mine", "models": ["gmm-2d"], "samplers": ["euler"], "steps": [4]}


@each("name", sorted(built_in_suite_files()))
def test_suite__built_in_suites_are_valid(name):
    suite = load_suite(name)
    assert suite.name == name
    assert suite.description


def test_the_suites_of_the_contract_are_there():
    assert {"quick", "exact", "full", "smoke", "gpu"} <= set(built_in_suite_files())


def test_every_timed_suite_times_each_cell_often_enough_for_an_interval():
    assert Timing().min_rounds >= FEWEST
    for name in built_in_suite_files():
        assert load_suite(name).timing.max_rounds >= FEWEST, name


def test_grids_start_at_one_evaluation():
    """But for those of published checkpoints, and the frozen suite, whose targets take more."""
    suites = [
        s
        for s in map(load_suite, built_in_suite_files())
        if s.name not in (*CHECKPOINTS, "sb-2026")
    ]
    assert all(min(suite.nfe or suite.steps) == 1 for suite in suites)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_suite_of_a_published_checkpoint_needs_its_path_only(name, tmp_path):
    """What the suite says of the model holds for the user's file, and for no other model."""
    suite = load_suite(name)
    (entry,) = suite.models
    path = tmp_path / "mine.pkl"
    path.touch()
    for given in (str(path), f"checkpoint:{path}?labels=balanced"):
        (mine,) = suite.replaced(models=[given]).models
        options = dict(entry.name) if isinstance(entry.name, dict) else {}
        assert mine.published == entry.published
        assert mine.name == {**options, "name": given}
    (other,) = suite.replaced(models=["gmm-2d"]).models
    assert other.published is None
    assert suite.samples == 50000


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_its_samplers_and_grids_are_in_the_published_table(name):
    suite = load_suite(name)
    (entry,) = suite.models
    if entry.published is None:
        return
    rows = rows_of_model(entry.published)
    there = {row.solver for row in rows}
    for sampler in suite.samplers:
        made = samplers.make(sampler)
        record = {"sampler": made.name, "params": canonical_json(samplers.non_default(made))}
        assert there & {solver.name for solver in solvers_of(record)}, sampler
    sizes = {int(row.nfe) for row in rows if row.nfe}
    assert set(suite.nfe or suite.steps) <= sizes | {35}  # the number of EDM's own CIFAR-10 row


def test_a_suite_without_its_checkpoint_is_a_sentence(samplerbench):
    code, _, err = samplerbench("plan", "edm-cifar10")
    assert code == 2
    assert "there is no file or folder edm-cifar10-32x32-uncond-vp.pkl" in err
    assert "--model PATH" in err


def test_the_default_suite_has_samples_enough_for_the_features_of_its_models_and_our_own_default_among_its_samplers():
    """Its network has 128 features: in all of them 512 samples would be flagged, none decided."""
    suite = load_suite("quick")
    references = load_references(load_models(suite), suite.extractors)
    for entry in suite.models:
        reference = references[str(entry.name)]
        assert reference is not None
        n = entry.samples or suite.samples
        assert n >= SAMPLES_PER_FEATURE * reference.extractor.dim, entry.name
        scored = estimate(FrechetReference(reference.mean, reference.cov), reference.held_out(n))
        assert scored.flag == "", entry.name
    assert "auto" in suite.samplers


@each(
    ("change", "sentence"),
    [
        ({"smaplers": ["euler"]}, "unknown key 'smaplers'; did you mean 'samplers'?"),
        ({"timing": {"secnods": 3}}, "unknown key 'timing.secnods'; did you mean 'seconds'?"),
        ({"steps": [0]}, "steps.0: give a number >= 1, got 0"),
        ({"nfe": [5]}, "give steps or nfe, not both"),
        ({"samples": "many"}, "samples: give a whole number, got 'many'"),
        (
            {"models": [{"name": "gmm-2d", "samples": 1}]},
            "models.0.samples: give a number >= 2, got 1",
        ),
        ({"models": ["gmm-2d", "gaussian", "gmm-2d"]}, "model 'gmm-2d' is listed twice"),
        (
            {"models": ["gmm-2d", {"name": "gmm-2d", "samples": 9}]},
            "model 'gmm-2d' is listed twice",
        ),
        (
            {"models": ["a(x=1, y=2)", {"name": {"name": "a", "y": 2, "x": 1}}]},
            "model 'a(y=2, x=1)' is listed twice",
        ),
        (
            {"models": [{"name": {"guidance": 2}}]},
            "a table of options needs a text 'name', got {'guidance': 2}",
        ),
        ({"samplers": []}, "samplers: give at least one, got []"),
        ({"samplers": [3]}, "samplers.0: give a text, got 3"),
        ({"models": "gmm-2d"}, "models: give a list, got 'gmm-2d'"),
        ({"models": [3]}, "models.0: a model is a text such as 'gmm-2d', not a int;"),
        ({"models": ["gmm-2d", object()]}, "models.1: a model is a text such as 'gmm-2d', not a "),
        (
            {"models": [{"samples": 3}]},
            "models.0.name is missing; docs/how-to/suites.md links to a list of the keys",
        ),
        (
            {"name": "../up"},
            "name: use letters, digits, '.', '_' and '-', and begin with "
            "a letter or digit, got '../up'",
        ),
        (
            {"dtype": "float8"},
            "dtype: choose 'float32', 'float64', 'bfloat16' or 'float16', got 'float8'",
        ),
        ({"network_dtype": []}, "network_dtype: a dtype is a text such as 'bfloat16', not []"),
        (
            {"models": ["gmm-2d", {"samples": 3}], "network_dtype": ["bfloat16", "float16"]},
            "models.1.name is missing",
        ),
        (
            {"models": [{"name": 3}], "network_dtype": "bfloat16"},
            "models.0.name: give a text, got 3",
        ),
        ({"network_dtype": 16}, "network_dtype: a dtype is a text such as 'bfloat16', not 16"),
        ({"timing": {"enabled": "perhaps"}}, "timing.enabled: give true or false, got 'perhaps'"),
        ({"tolerances": [float("inf")]}, "tolerances.0: give a finite number, got inf"),
        ({"steps": [1_000_000_000]}, "steps.0: give a number <= 1,000,000, got 1000000000"),
        ({"samples": 10**30}, "samples: give a number <= 1,000,000,000, got 1000000"),
        (
            {"seed": 2**63},
            "seed: give a number < 9,223,372,036,854,775,808, got 9223372036854775808",
        ),
    ],
)
def test_suite__mistakes_are_one_sentence_that_names_the_key(change, sentence):
    with pytest.raises(ValueError, match=r"^mine\.toml: ") as error:
        check_suite({**MINIMAL, **change}, "mine.toml")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_suite_suggests_one():
    with pytest.raises(ValueError, match=r"unknown suite 'quik'; did you mean quick\?"):
        load_suite("quik")
    with pytest.raises(ValueError, match="unknown suite 'xxx"):
        load_suite("x" * 300)


@pytest.mark.parametrize(
    ("written", "placed"),
    [
        ("net.safetensors", "{}/net.safetensors"),
        ("a/net.ckpt?schedule=linear", "{}/a/net.ckpt?schedule=linear"),
        (
            "checkpoint:net?embeddings=p.safetensors&decoder.folder=vae",
            "checkpoint:{0}/net?embeddings={0}/p.safetensors&decoder.folder={0}/vae",
        ),
        ("checkpoint:net?decoder.folder=inside", "checkpoint:{}/net?decoder.folder=inside"),
        ("checkpoint:net?embeddings=/p.npz", "checkpoint:{}/net?embeddings=/p.npz"),
        (
            "net.pt?guidance=2&guide=checkpoint:bad.pt",
            "{0}/net.pt?guidance=2&guide=checkpoint:{0}/bad.pt",
        ),
        ("./vae?guidance=2", "{}/vae?guidance=2"),
        ("net.pt?guidance=2&guide=digits", "{}/net.pt?guidance=2&guide=digits"),
        ("net.pt?embeddings=a+b%26c", "{0}/net.pt?embeddings={0}/a%20b%26c"),
    ],
)
def test_load_suite__paths_of_models_are_relative_to_the_file(tmp_path, written, placed):
    for file in ("p.safetensors", "a b&c"):
        (tmp_path / file).touch()
    (tmp_path / "vae").mkdir()
    (tmp_path / "s.toml").write_text(f'models = ["{written}"]\nsamplers = ["euler"]\nnfe = [5]\n')
    (entry,) = load_suite(str(tmp_path / "s.toml")).models
    assert entry.name == placed.format(tmp_path)


def test_bad_toml_is_named(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("samplers = [")
    with pytest.raises(ValueError, match=r"bad\.toml is not valid TOML"):
        load_suite(str(path))


@pytest.mark.parametrize(
    "text",
    ["steps = " + "[" * 1500 + "]" * 1500, "samples = " + "9" * 5000],
    ids=["brackets", "digits"],
)
def test_toml_that_is_too_much_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "deep.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"^deep\.toml is not valid TOML: [^\n]*$"):
        load_suite(str(path))


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ({"samples": 1}, "--samples: give a number >= 2, got 1"),
        (
            {"seed": 2**63},
            "--seed: give a number < 9,223,372,036,854,775,808, got 9223372036854775808",
        ),
        (
            {"dtype": "half"},
            "--dtype: choose 'float32', 'float64', 'bfloat16' or 'float16', got 'half'",
        ),
        ({"until": {"target_se": -1}}, "--target-se: give a number > 0, got -1"),
    ],
)
def test_mistakes_of_the_command_line_name_the_option(axes, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the sentence is compared below
        check_suite(MINIMAL, "test").replaced(**axes)
    assert str(error.value) == sentence


def test_the_command_line_replaces_whole_axes():
    suite = check_suite(
        {**MINIMAL, "models": [{"name": "gmm-2d", "samples": 50}, "gaussian"]}, "test"
    )
    other = suite.replaced(models=["gmm-2d"], nfe=(5, 9), samplers=["heun"])
    assert [m.name for m in other.models] == ["gmm-2d"]
    assert other.models[0].samples == 50
    assert (other.steps, other.nfe, other.samplers) == (None, (5, 9), ("heun",))
    assert suite.replaced(samples=7).models[0].samples is None


def test_a_model_of_the_command_line_is_found_however_it_is_written():
    suite = check_suite(
        {
            **MINIMAL,
            "models": [{"name": {"name": "fashion", "guidance": 2}, "samples": 50}, "fashion"],
        },
        "test",
    )
    assert [
        m.samples for m in suite.replaced(models=["fashion(guidance=2)", "fashion"]).models
    ] == [50, None]
    with pytest.raises(ValueError, match="the command line: model 'fashion' is listed twice"):
        suite.replaced(models=["fashion", "fashion"])


def test_a_published_name_is_no_part_of_the_digest():
    plain = check_suite({**MINIMAL, "models": [{"name": "gmm-2d"}]}, "test")
    named = check_suite({**MINIMAL, "models": [{"name": "gmm-2d", "published": "edm"}]}, "test")
    assert named.models[0].published == "edm"
    assert named.digest == plain.digest


def test_the_digest_follows_the_content():
    suite = check_suite(MINIMAL, "test")
    assert suite.digest == check_suite(dict(reversed(MINIMAL.items())), "test").digest
    assert suite.digest != suite.replaced(seed=1).digest


def test_a_model_has_a_feature_space_of_its_own_until_the_command_line_names_one():
    entries = [
        {"name": "fashion", "extractor": "card:32"},
        {"name": {"name": "fashion", "guidance": 2}},
    ]
    suite = check_suite({**MINIMAL, "models": entries, "extractor": "pixels"}, "test")
    assert suite.extractors == {"fashion": "card:32", "fashion(guidance=2)": "pixels"}
    assert extractors_of(suite.model_dump(mode="json")) == suite.extractors
    assert set(suite.replaced(extractor="card").extractors.values()) == {"card"}
    assert suite.replaced(models=["fashion"]).extractors == {"fashion": "card:32"}


def test_a_model_s_feature_space_is_part_of_the_folder_only_where_it_has_one():
    plain = check_suite(MINIMAL, "test")
    assert (
        plain.digest
        == check_suite(
            {**MINIMAL, "models": [{"name": "gmm-2d", "extractor": None}]}, "test"
        ).digest
    )
    assert (
        plain.digest
        != check_suite(
            {**MINIMAL, "models": [{"name": "gmm-2d", "extractor": "pixels"}]}, "test"
        ).digest
    )
    assert plain.digest == "58096edf", (
        "as before models had one: folders of earlier runs are found again"
    )


def test_real_samples_do_not_go_with_a_card_s_own_features_however_few():
    for extractor in ("card", "card:32"):
        with pytest.raises(ValueError, match="a reference is for another feature space"):
            check_suite({**MINIMAL, "extractor": extractor, "reference": "x.npy"}, "test")


def test_how_long_is_timed_finds_the_same_folder_and_how_it_is_timed_another():
    def digest(**timing):
        return check_suite({**MINIMAL, "timing": timing}, "test").digest

    assert digest() == digest(minutes=5.0) != digest(tf32=True)
    assert digest(sweep=64) != digest()


def test_suite_of__keywords_replace_keys_of_a_dictionary_as_of_a_suite():
    keys = {"models": [{"name": "gmm-2d", "samples": 64}], "samplers": ["euler"], "nfe": [5]}
    for suite in (keys, check_suite({"name": "x", **keys}, "x")):
        replaced = suite_from_arguments(suite, None, None, {"samples": 128, "steps": [4]})
        assert (replaced.samples, replaced.models[0].samples) == (128, None)
        assert (replaced.steps, replaced.nfe) == ((4,), None)
    assert suite_from_arguments(keys, None, ["heun"], {}).models[0].samples == 64
    empty = {"models": [], "samplers": [], "nfe": None}
    found = suite_from_arguments(
        empty, [{"name": "gmm-2d", "samples": 32}], ["heun"], {"steps": [3]}
    )
    assert (found.models[0].samples, found.steps) == (32, (3,))


def test_suite_of__timing_on_keeps_the_other_settings_of_times():
    assert (
        suite_from_arguments("exact", None, None, {"timing": True}).timing
        == load_suite("exact").timing
    )
    off = suite_from_arguments(
        {**MINIMAL, "timing": {"minutes": 2.0}}, None, None, {"timing": False}
    ).timing
    assert (off.enabled, off.minutes) == (False, 2.0)


def test_suite_replaced__a_precision_replaces_those_that_the_suite_compares():
    data = MINIMAL | {"models": ["digits"], "network_dtype": ["float32", "bfloat16"]}
    found = check_suite(data, "mine.toml").replaced(network_dtype=["float16", "float32"]).models
    assert [entry.name["network_dtype"] for entry in found] == ["float16", "float32"]
