"""Names with options."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from looping import each

from samplerbench.benchmarks.cli.listing import list_metrics
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.samplers.spec import format_spec, parse_spec

values = st.one_of(
    st.integers(-5, 5), st.floats(0.1, 9), st.booleans(), st.text("abc ()=,'\"", max_size=6)
)


@pytest.mark.slow
@given(
    st.from_regex(r"[a-z][a-z0-9_.:/-]{0,8}", fullmatch=True),
    st.dictionaries(st.sampled_from(["eta", "rho", "r1"]), values),
)
def test_parse_is_the_inverse_of_format(name, options):
    spec = {"name": name, **options}
    assert parse_spec(format_spec(spec)) == spec


@each(
    "text",
    [
        "ddim(0.5)",
        "ddim(eta=)",
        "ddim(eta=os.remove)",
        "ddim(eta=0.5",
        "",
        "a\nb",
        "(eta=1)",
        "ddim(**{'a': 1})",
    ],
)
def test_spec__what_is_no_spec_is_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match="cannot read"):
        parse_spec(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a" + " " * 2000 + "(", "cannot read 'a "),
        ("a(x=" + "-" * 4000 + "1)", "cannot read the options of"),
        ("a(x=" + "1+" * 1900 + "1)", "cannot read the options of"),
        ("a(x=" + "[" * 1500 + "]" * 1500 + ")", "(brackets within brackets, 1500 deep)"),
        ("a" * 100_000, "(100,000 characters; 4,096 is the most)"),
        ("ddim(eta=1)(eta=2)", "(more than one pair of brackets)"),
        ("ddim(eta=1, eta=2)", "(eta is given twice)"),
        ("ddim(name='euler')", "(no option is called name)"),
        ("ddim(flow=true)", "(true is no value; give True, False, None or a number)"),
        ("ddim(eta={[]: 1})", "cannot read the options of"),
        ("ddim(eta=1j)", "option 'eta' of 'ddim(eta=1j)' is 1j; give a number"),
        ("ddim(eta=b'')", "is b''; give a number"),
        ("ddim(eta=[1, 1e400])", "is inf; give a finite number"),
        ("ddim(eta=" + "9" * 4000 + ")", "is beyond the whole numbers that fit"),
        ("ddim(eta='\0')", "cannot read the options"),
        (
            {"name": "ddim", "eta": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]},
            "option 'eta' of 'ddim' is nested more than 16 deep",
        ),
    ],
    ids=lambda value: str(value)[:20],
)
def test_reading_is_quick_and_bounded_and_one_short_sentence(text, why):
    began = time.process_time()
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the sentence is compared below
        parse_spec(text)
    assert time.process_time() - began < 0.5
    assert why in str(error.value)
    assert len(str(error.value)) < 300
    assert "\n" not in str(error.value)


@given(st.text(max_size=60) | st.text("ab(){}[]=,-1.'\" eE", max_size=60))
def test_any_text_is_a_spec_or_refused_in_a_sentence(text):
    try:
        said = parse_spec(text)["name"]
    except ValueError as error:
        said = str(error)
    assert said
    assert "\n" not in said


@pytest.mark.parametrize(
    "table", [{}, {"eta": 0.5}, {"name": 3}, {"name": None}, {"name": ["ddim"]}], ids=str
)
def test_a_table_without_a_name_is_refused_in_one_sentence(table):
    with pytest.raises(
        ValueError,
        match=r"^a table of options needs a text 'name', got " r".*; write it as \{name = ",
    ):
        parse_spec(table)
    with pytest.raises(ValueError, match="needs a text 'name'"):
        make_schedule(table)


@each(
    ("spec", "sentence"),
    [
        ("karas", "did you mean karras?"),
        ("karras(roh=3)", "has no option 'roh'; its options: rho"),
        ("karras(rho='x')", "must be a float"),
        ("karras(rho=True)", "must be a float, got True"),
        (
            "karras(rho=0.001)",
            "schedule 'karras(rho=0.001)' has no levels between sigma "
            "= 0.002 and 80 (OverflowError)",
        ),
        (
            {"name": "karras", "rho": float("nan")},
            "option 'rho' of 'karras' is nan; give a finite number",
        ),
        ("karras(rho=1e999)", "option 'rho' of 'karras(rho=1e999)' is inf; give a finite number"),
        ("uniform_time(process=[1])", "option 'process' must be a str, got [1]"),
        ("uniform_time(process=None)", "option 'process' must be a str, got None"),
        ("karras(rho=-1)", "rho must be positive"),
        ("uniform_time(process='vp')", "unknown process 'vp'"),
    ],
)
def test_spec__schedule_mistakes(spec, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the sentence is compared below
        make_schedule(spec)
    assert sentence in str(error.value)


@each(
    "spec",
    [
        "karras",
        "uniform_lambda",
        "uniform_time",
        "uniform_time(process='vp_cosine')",
        "uniform_time(power=2)",
    ],
)
@each("steps", [1, 2, 3, 10])
@each("to_zero", [True, False])
def test_schedule__has_the_steps_and_ends_that_were_asked_for(spec, steps, to_zero):
    grid = make_schedule(spec)(steps, 0.002, 80.0, to_zero=to_zero)
    assert len(grid) == steps
    assert grid.sigma[0] == 80.0
    assert grid.sigma[-1] == (0.0 if to_zero else 0.002)


@pytest.mark.parametrize(
    "metric",
    ["fid_proxy", "fid_proxy_se", "fd_conv_se", "rmse_se", "label_agreement", "timing_converged"],
)
def test_the_listing_has_what_is_measured(metric):
    assert metric in {row["name"] for row in list_metrics()}


def test_the_listing_has_nothing_that_was_asked_for():
    settings = {
        "suite",
        "sampler",
        "sigma_min",
        "sigma_max",
        "steps",
        "budget",
        "samples",
        "seed",
        "batch_size",
        "device",
        "status",
    }
    assert not settings & {row["name"] for row in list_metrics()}


def test_a_default_option_does_not_change_the_label():
    assert make_schedule("karras(rho=7)").label == make_schedule("karras").label == "karras"
    assert make_schedule("karras(rho=5)").label == "karras(rho=5)"
